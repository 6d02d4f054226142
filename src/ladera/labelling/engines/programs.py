"""Programs for cells, by ASE: Quantum ESPRESSO, CP2K and GPAW, where they are installed."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np
from ase.data import chemical_symbols
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ladera.errors import ConfigError, DataError
from ladera.files import closest, hash_of_file
from ladera.labelling.engines.calculator import (
    PROGRAM_GIVES,
    CalculatorEngine,
    version_of_ase,
)
from ladera.labelling.engines.contract import EngineConfig, is_free_atom, require_package
from ladera.units import RYDBERG

if TYPE_CHECKING:
    from ladera.data.frame import Frame

_VALENCE: Final = re.compile(r"z_valence\s*=\s*\"?\s*([0-9.Ee+]+)|([0-9.]+)\s+Z valence")
_POSITIVE3 = tuple[PositiveInt, PositiveInt, PositiveInt]


class ProgramConfig(EngineConfig):
    """What the programs have in common."""

    kpoints: _POSITIVE3 | None = Field(
        None, description="Points along the three reciprocal vectors; the Gamma point by default."
    )
    smearing_ev: NonNegativeFloat = Field(
        0.0, description="Width of the occupations, eV: 0 for insulators and molecules."
    )
    max_iterations: PositiveInt = Field(100, description="Most iterations to self-consistency.")


def require_command(command: str, engine: str) -> None:
    """ConfigError unless the programs of a command line are there."""
    words = shlex.split(command) or [""]
    programs = [words[0], *[w for w in words[1:] if w.endswith((".x", "_shell", ".psmp"))]]
    for program in programs:
        if shutil.which(program) is None:
            raise ConfigError(
                f"The command of the engine {engine} is '{command}', and there is no program "
                f"{program}; install it, load its module, or give its path as command."
            )


def _whole_path(name: str) -> str:
    """A file that is here by its whole path; a name that a program looks up itself as it is."""
    path = Path(name)
    return str(path.resolve()) if path.is_file() else name


def _check_kpoints(frame: Frame, kpoints: tuple[int, int, int] | None) -> None:
    """DataError for points along a direction that is open."""
    for axis, along, points in zip("abc", frame.periodic, kpoints or (1, 1, 1), strict=True):
        if points > 1 and not along:
            raise DataError(
                f"is open along {axis}, and kpoints asks for {points} points there; a molecule "
                "needs none, so leave kpoints out, or give 1 in open directions."
            )


# --- Quantum ESPRESSO ----------------------------------------------------------------------------


class EspressoConfig(ProgramConfig):
    """``engine: espresso``."""

    engine: Literal["espresso"] = "espresso"
    command: str = Field("pw.x", description="How it is started, as mpirun -n 4 pw.x.")
    pseudo_dir: Path = Field(description="Folder of the pseudopotentials.")
    pseudopotentials: dict[str, str] = Field(description="File of each element.")
    cutoff_ry: PositiveFloat = Field(description="Cutoff of the wave functions, Rydberg.")
    density_cutoff_ry: PositiveFloat | None = Field(
        None, description="Cutoff of the density, Rydberg; by default four times the other."
    )
    smearing: Literal["gaussian", "marzari-vanderbilt", "methfessel-paxton", "fermi-dirac"] = Field(
        "gaussian", description="Kind of the occupations, with smearing_ev."
    )
    input: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="More of its input, by sections: system, electrons, ..."
    )


class Espresso(CalculatorEngine):
    """Energy, forces and stress of pw.x."""

    config: EspressoConfig
    gives = PROGRAM_GIVES
    takes_open = False
    has_spin = False  # metals have none; see check_more
    unconverged: ClassVar[str] = "convergence NOT achieved"

    def __init__(self, config: EspressoConfig) -> None:
        folder = config.pseudo_dir.expanduser()
        if not folder.is_dir():
            raise ConfigError(f"There is no folder {folder} of pseudopotentials; give pseudo_dir.")
        super().__init__(config.model_copy(update={"pseudo_dir": folder.resolve()}))
        require_command(config.command, "espresso")
        unknown = sorted(set(config.pseudopotentials) - set(chemical_symbols))
        if unknown:
            raise ConfigError(f"pseudopotentials has '{unknown[0]}', which is no element.")
        for symbol in config.pseudopotentials:
            self._valence(symbol)

    version = property(lambda self: f"{version_of_ase()}, {self.config.command.split()[-1]}")
    method = property(lambda self: f"Quantum ESPRESSO at {self.config.cutoff_ry:g} Ry")

    def identity(self) -> Mapping[str, Any]:
        """The pseudopotentials, by what is in them."""
        config = self.config
        files = {
            symbol: config.pseudo_dir / name for symbol, name in config.pseudopotentials.items()
        }
        return {"files": {symbol: hash_of_file(path) for symbol, path in files.items()}}

    def check_elements(self, symbols: Iterable[str]) -> None:
        """A pseudopotential for each."""
        missing = sorted(set(symbols) - set(self.config.pseudopotentials))
        if missing:
            raise ConfigError(
                f"pseudopotentials has no file for {', '.join(missing)}, which the frames contain; "
                "add it."
            )

    def _valence(self, symbol: str) -> float:
        """Electrons outside of the core of an element, by its file."""
        path = self.config.pseudo_dir / self.config.pseudopotentials[symbol]
        if not path.is_file():
            raise ConfigError(f"There is no pseudopotential {path}; {closest(path)}")
        found = _VALENCE.search(path.read_text(encoding="utf-8", errors="replace"))
        if found is None:
            raise ConfigError(f"{path} does not say its valence; is it a pseudopotential in UPF?")
        return float(found[1] or found[2])

    def check_more(self, frame: Frame) -> None:
        """Spin and k-points."""
        _check_kpoints(frame, self.config.kpoints)
        symbols = [chemical_symbols[number] for number in frame.numbers]
        electrons = round(sum(map(self._valence, symbols))) - self.charge_of(frame)
        if is_free_atom(frame) or self.config.multiplicity is not None:
            self.multiplicity_of(frame)
        elif electrons % 2 and not self.config.smearing_ev:
            raise DataError(
                f"has {electrons} valence electrons, an odd number, and neither a multiplicity nor "
                "smearing is given; say multiplicity: 2 (or lowest), or smearing_ev for a metal."
            )

    def make(self, frame: Frame) -> Any:
        """The calculator of ASE."""
        from ase.calculators.espresso import Espresso as OfASE
        from ase.calculators.espresso import EspressoProfile

        config = self.config
        system: dict[str, Any] = {
            "ecutwfc": config.cutoff_ry,
            "ecutrho": config.density_cutoff_ry or 4 * config.cutoff_ry,
            "tot_charge": self.charge_of(frame),
        }
        if config.smearing_ev:
            width = config.smearing_ev / RYDBERG
            system |= {"occupations": "smearing", "smearing": config.smearing, "degauss": width}
        if is_free_atom(frame) or config.multiplicity is not None:
            system |= {"nspin": 2, "tot_magnetization": self.multiplicity_of(frame) - 1}
        control = {"calculation": "scf", "tprnfor": True, "tstress": True}
        electrons = {"electron_maxstep": config.max_iterations}
        given = {"control": control, "system": system, "electrons": electrons}
        merged = {
            section: given.get(section, {}) | config.input.get(section, {})
            for section in {*given, *config.input}
        }
        profile = EspressoProfile(command=config.command, pseudo_dir=config.pseudo_dir)
        return OfASE(
            profile=profile,
            directory=str(Path.cwd()),
            input_data=merged,
            pseudopotentials=config.pseudopotentials,
            kpts=config.kpoints,
        )


# --- CP2K ----------------------------------------------------------------------------------------


class CP2KConfig(ProgramConfig):
    """``engine: cp2k``."""

    engine: Literal["cp2k"] = "cp2k"
    command: str = Field("cp2k_shell", description="How its shell is started.")
    functional: str = Field("PBE", description="The functional, as CP2K spells it.")
    basis: str = Field("DZVP-MOLOPT-SR-GTH", description="Basis set of all elements.")
    basis_file: str = Field("BASIS_MOLOPT", description="The file with it.")
    potential: str = Field("auto", description="Pseudopotentials, as GTH-PBE; auto: by functional.")
    potential_file: str = Field("POTENTIAL", description="The file with them.")
    cutoff_ry: PositiveFloat = Field(400.0, description="Cutoff of the finest grid, Rydberg.")
    input: str = Field("", description="More of its input, which is merged with that of the keys.")


class CP2K(CalculatorEngine):
    """Energy, forces and stress of CP2K, by its shell."""

    config: CP2KConfig
    gives = PROGRAM_GIVES
    takes_open = False
    unconverged: ClassVar[str] = "SCF run NOT converged"

    def __init__(self, config: CP2KConfig) -> None:
        files = {
            name: _whole_path(getattr(config, name)) for name in ("basis_file", "potential_file")
        }
        super().__init__(config.model_copy(update=files))
        require_command(config.command, "cp2k")
        if config.kpoints is not None or config.smearing_ev:
            raise ConfigError(
                "The engine cp2k takes neither kpoints nor smearing_ev by itself; write them as "
                "&KPOINTS and &SMEAR into its input, and leave these keys out."
            )

    version = property(lambda self: f"{version_of_ase()}, {self.config.command.split()[-1]}")
    method = property(lambda self: f"CP2K {self.config.functional}/{self.config.basis}")

    def make(self, frame: Frame) -> Any:
        """The calculator of ASE."""
        from ase.calculators.cp2k import CP2K as OfASE

        config, multiplicity = self.config, self.multiplicity_of(frame)
        return OfASE(
            command=config.command,
            xc=config.functional,
            basis_set=config.basis,
            basis_set_file=config.basis_file,
            pseudo_potential=config.potential,
            potential_file=config.potential_file,
            cutoff=config.cutoff_ry * RYDBERG,
            max_scf=config.max_iterations,
            charge=self.charge_of(frame),
            multiplicity=multiplicity,
            uks=multiplicity > 1,
            inp=config.input,
            stress_tensor=True,
        )


# --- GPAW ----------------------------------------------------------------------------------------


class GPAWConfig(ProgramConfig):
    """``engine: gpaw``."""

    engine: Literal["gpaw"] = "gpaw"
    mode: Literal["pw", "lcao", "fd"] = Field("pw", description="Plane waves, orbitals or a grid.")
    cutoff_ev: PositiveFloat = Field(500.0, description="Of the plane waves, eV.")
    basis: str = Field("dzp", description="Of lcao.")
    functional: str = Field("PBE", description="The functional, as GPAW spells it.")
    grid_spacing: PositiveFloat = Field(0.18, description="Of lcao and fd, Angstrom.")
    options: dict[str, Any] = Field(default_factory=dict, description="More keywords of GPAW.")


class GPAW(CalculatorEngine):
    """Energy and forces of GPAW; stress with plane waves."""

    config: GPAWConfig
    takes_films = True
    has_spin = False  # metals have none; see check_more

    def __init__(self, config: GPAWConfig) -> None:
        super().__init__(config)
        self._library = require_package("gpaw", "see its own pages for how", _import_gpaw)
        self.gives = PROGRAM_GIVES if config.mode == "pw" else PROGRAM_GIVES[:2]

    version = property(lambda self: f"gpaw {self._library.__version__}")
    method = property(lambda self: f"GPAW {self.config.functional}, {self.config.mode}")

    def check_elements(self, symbols: Iterable[str]) -> None:
        """A setup for each, in the folders of GPAW."""
        folders = [Path(folder) for folder in self._library.setup_paths]
        for symbol in symbols:
            name = f"{symbol}.{self.config.functional}"
            if not any(list(folder.glob(f"{name}*")) for folder in folders):
                raise ConfigError(
                    f"GPAW has no setup {name} in {', '.join(map(str, folders)) or 'any folder'}; "
                    "install its setups, or choose another functional."
                )

    def check_more(self, frame: Frame) -> None:
        """Spin, cell and k-points."""
        _check_kpoints(frame, self.config.kpoints)
        if not np.linalg.det(frame.cell):
            raise DataError("has no cell, which GPAW needs of a molecule, too; give it a box.")
        if self.config.multiplicity is not None or not self.config.smearing_ev:
            self.multiplicity_of(frame)

    def make(self, frame: Frame) -> Any:
        """GPAW's calculator."""
        config, library = self.config, self._library
        mode: Any = {"name": config.mode}
        more: dict[str, Any] = {"h": config.grid_spacing}
        if config.mode == "pw":
            mode, more = {"name": "pw", "ecut": config.cutoff_ev}, {}
        if config.mode == "lcao":
            more["basis"] = config.basis
        if config.kpoints is not None:
            more["kpts"] = config.kpoints
        if config.smearing_ev:
            more["occupations"] = {"name": "fermi-dirac", "width": config.smearing_ev}
        if config.multiplicity is not None or not config.smearing_ev:
            unpaired = self.multiplicity_of(frame) - 1
            moments = np.full(frame.n_atoms, unpaired / frame.n_atoms)
            more |= {"spinpol": True, "magmoms": moments} if unpaired else {}
            if unpaired:
                width = config.smearing_ev
                more["occupations"] = {"name": "fermi-dirac", "width": width, "fixmagmom": True}
        return library.GPAW(
            mode=mode,
            xc=config.functional,
            charge=self.charge_of(frame),
            maxiter=config.max_iterations,
            txt="gpaw.txt",
            **(more | config.options),
        )


def _import_gpaw() -> Any:
    import gpaw

    return gpaw
