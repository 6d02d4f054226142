"""Molecules by PySCF: Hartree-Fock, density functionals and MP2 in Gaussian basis sets."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from pydantic import Field, PositiveFloat, PositiveInt

from ladera.errors import ConfigError, LabellingError, did_you_mean
from ladera.labelling.engines.contract import Engine, EngineConfig, Labels, require_package
from ladera.models.dispersion import Dispersion
from ladera.quantities import CHARGES, DIPOLE, ENERGY, FORCES
from ladera.units import BOHR, HARTREE

if TYPE_CHECKING:
    from ladera.data.frame import Frame

_KRYPTON: Final = 36  # beyond it the def2 basis sets want the potentials of their cores
_DEF2: Final = "def2-svp"  # all of the family have the potentials of this one
_FUNCTIONALS: Final = (
    *("pbe", "pbe0", "revpbe", "rpbe", "pbesol", "blyp", "b3lyp", "bp86", "tpss", "scan", "r2scan"),
    *("m06-2x", "m06-l", "pw6b95", "cam-b3lyp", "hse06", "svwn", "hf", "mp2"),
)


class PySCFConfig(EngineConfig):
    """``engine: pyscf``."""

    engine: Literal["pyscf"] = "pyscf"
    method: str = Field(
        "pbe",
        description="A functional as PySCF spells it (pbe, pbe0, b3lyp, r2scan), hf, or "
        "mp2 (of all electrons).",
    )
    basis: str = Field("def2-svp", description="Basis set, such as def2-tzvp.")
    dispersion: str | None = Field(
        None, description="D3 of a functional, such as pbe, or with the older damping pbe:zero."
    )
    grid: int = Field(
        3, ge=0, le=9, description="Level of the grid of a functional: larger is more accurate."
    )
    grid_response: bool = Field(
        True,
        description="Forces with what moves the grid, so that they are the exact derivatives of "
        "the energy and sum to zero.",
    )
    density_fitting: bool = Field(
        False, description="Faster integrals by an auxiliary basis; changes energies a little."
    )
    convergence: PositiveFloat = Field(
        1e-10, description="Change of the energy at which it is converged, Hartree."
    )
    max_iterations: PositiveInt = Field(100, description="Most iterations to self-consistency.")
    level_shift: float = Field(
        0.0, ge=0, description="Shift of empty orbitals, Hartree: 0.3 helps where it swings."
    )
    second_order: bool = Field(
        False, description="Converge by second derivatives: slower, and surer."
    )
    charges: Literal["mulliken"] | None = Field(
        None, description="Charges of the atoms; in basis sets with diffuse functions of no use."
    )


class PySCF(Engine):
    """Energy, forces and dipole of a molecule; restricted with the multiplicity 1, else not.

    Heavy atoms in a def2 or LANL basis get the effective potentials that belong to it. Every frame
    begins from the same guess. MP2 has no dipole here: that of PySCF is of an unrelaxed density.
    """

    config: PySCFConfig
    takes_cells = False

    def __init__(self, config: PySCFConfig) -> None:
        super().__init__(config)
        self._library = require_package("pyscf", "pip install ladera[pyscf]", _import)
        self._correlated = config.method.lower() == "mp2"
        self._wave_function = config.method.lower() in ("mp2", "hf")
        self._check_method()
        self._dispersion = None if config.dispersion is None else Dispersion(config.dispersion)
        given = [ENERGY, FORCES]
        given += [DIPOLE] * (not self._correlated) + [CHARGES] * (config.charges is not None)
        self.gives = tuple(given)

    @property
    def version(self) -> str:
        """Of the package."""
        return f"pyscf {self._library.__version__}"

    @property
    def method(self) -> str:
        """Functional and basis."""
        config = self.config
        d3 = "" if config.dispersion is None else f"+D3({config.dispersion})"
        return f"{config.method.upper()}{d3}/{config.basis}"

    # --- settings --------------------------------------------------------------------------------

    def _check_method(self) -> None:
        name = self.config.method
        if self._correlated and self.config.density_fitting:
            raise ConfigError(
                "PySCF has no forces of mp2 with density_fitting; leave that out, or take a "
                "functional."
            )
        if self._wave_function:
            return
        plain = re.sub(r"[-_]d[34].*$", "", name.lower())
        if plain != name.lower():
            raise ConfigError(
                f"method is '{name}': the dispersion is a key of its own here; write method: "
                f"{plain} and dispersion: {plain}."
            )
        if name.lower() in ("lda", "b88", ""):
            raise ConfigError(
                f"method is '{name}', which is exchange without correlation for PySCF; write svwn, "
                "blyp or whatever is meant."
            )
        from pyscf.dft import libxc
        from pyscf.scf.dispersion import parse_dft

        try:
            with warnings.catch_warnings(action="ignore"):
                _, _, more = parse_dft(name)
                libxc.parse_xc(name)
            if more:
                raise KeyError("it includes a dispersion that PySCF does not compute by itself")
        except Exception as error:  # KeyError, ValueError, NotImplementedError
            hint = did_you_mean(name.lower(), _FUNCTIONALS)
            said = str(error).strip("\"'. ")
            raise ConfigError(
                f"method is '{name}', which PySCF does not know ({said}); {hint}"
            ) from None

    def check_elements(self, symbols: Iterable[str]) -> None:
        """A basis for each."""
        for symbol in symbols:
            self._basis_of(symbol)

    def _basis_of(self, symbol: str) -> tuple[Any, Any]:
        """The functions of an element, and the potential of its core, None where it has none."""
        gto, name = self._library.gto, self.config.basis
        with warnings.catch_warnings(action="ignore"):
            try:
                functions = gto.basis.load(name, symbol)
            except Exception as error:  # one of several, by the kind of the basis
                known = gto.basis.ALIAS
                plain = re.sub(r"[-_ ]", "", name.lower())
                if plain in known:
                    raise ConfigError(
                        f"The basis {name} has no functions for {symbol}; choose one that has, "
                        "such as def2-svp."
                    ) from error
                hint = did_you_mean(name.lower(), _BASES)
                raise ConfigError(f"basis is '{name}', which PySCF does not know; {hint}") from None
            try:
                core = gto.basis.load_ecp(self._core_basis(symbol), symbol)
            except Exception:  # a basis without any
                core = None
        return functions, core or None

    def _core_basis(self, symbol: str) -> str:
        """The basis whose potentials of cores belong to the one chosen."""
        def2 = self.config.basis.lower().startswith("def2")
        return _DEF2 if def2 and atomic_numbers[symbol] > _KRYPTON else self.config.basis

    @cached_property
    def _bases(self) -> dict[str, tuple[Any, Any]]:
        """Those of the elements so far."""
        return {}

    # --- one frame -------------------------------------------------------------------------------

    def label(self, frame: Frame) -> Labels:
        """See :class:`Engine`."""
        molecule = self._molecule(frame)
        field = self._mean_field(molecule)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            field.kernel()
            if not field.converged:
                raise LabellingError(
                    f"the SCF did not converge in {self.config.max_iterations} iterations."
                )
            found = field
            if self._correlated:
                found = self._library.mp.MP2(field)
                found.kernel()
            gradient = found.nuc_grad_method()
            if not self._wave_function:
                gradient.grid_response = self.config.grid_response
            slope = np.array(gradient.kernel())
        energy, forces = float(found.e_tot) * HARTREE, -slope * (HARTREE / BOHR)
        if self._dispersion is not None:
            more = self._dispersion.of(frame.structure)
            energy, forces = energy + float(more.energies.sum()), forces - more.gradient
        dipole, charges = None, None
        if not self._correlated:
            dipole = np.array(field.dip_moment(unit="AU", verbose=0)) * BOHR
        if self.config.charges is not None:
            charges = np.array(field.mulliken_pop(verbose=0)[1])
        facts = {"multiplicity": molecule.spin + 1, "scf_iterations": _iterations(field)}
        contaminated = self._contamination(field, molecule.spin)
        return Labels(
            energy=energy,
            forces=forces,
            dipole=dipole,
            charges=charges,
            facts={name: value for name, value in facts.items() if value is not None},
            warnings=contaminated,
        )

    def _molecule(self, frame: Frame) -> Any:
        symbols = [chemical_symbols[number] for number in frame.numbers]
        bases = self._bases
        for symbol in set(symbols) - set(bases):
            bases[symbol] = self._basis_of(symbol)
        molecule = self._library.gto.Mole(
            atom=list(zip(symbols, (frame.positions / BOHR).tolist(), strict=True)),
            unit="Bohr",
            basis={symbol: bases[symbol][0] for symbol in set(symbols)},
            ecp={symbol: bases[symbol][1] for symbol in set(symbols) if bases[symbol][1]},
            charge=self.charge_of(frame),
            spin=self.multiplicity_of(frame) - 1,
            verbose=4 if self.says_more else 0,
        )
        return molecule.build(dump_input=False, parse_arg=False)

    def _mean_field(self, molecule: Any) -> Any:
        config, library = self.config, self._library
        if self._wave_function:
            field = (library.scf.UHF if molecule.spin else library.scf.RHF)(molecule)
        else:
            field = (library.dft.UKS if molecule.spin else library.dft.RKS)(molecule)
            field.xc = config.method
            field.grids.level = config.grid
        if config.density_fitting:
            field = field.density_fit()
        field.chkfile = None
        field.conv_tol, field.max_cycle = config.convergence, config.max_iterations
        # The energy errs by the square of this, forces and the energy of MP2 by itself.
        field.conv_tol_grad = config.convergence**0.5 / (100 if self._correlated else 2)
        field.level_shift = config.level_shift
        # A free atom may turn its open shell at no cost, around which the first order swings.
        return field.newton() if config.second_order or molecule.natm == 1 else field

    def _contamination(self, field: Any, unpaired: int) -> tuple[str, ...]:
        """A sentence where <S^2> is far from that of a pure state."""
        if not unpaired:
            return ()
        square, pure = float(field.spin_square()[0]), unpaired / 2 * (unpaired / 2 + 1)
        if square - pure < 0.1 * max(pure, 1.0):
            return ()
        return (f"<S^2> is {square:.3f}, and {pure:.3f} of a pure state of this multiplicity",)


_BASES: Final = (
    *("sto-3g", "3-21g", "6-31g", "6-31g*", "6-31g**", "6-311g**", "def2-svp", "def2-svpd"),
    *("def2-tzvp", "def2-tzvpp", "def2-tzvpd", "def2-qzvp", "cc-pvdz", "cc-pvtz", "cc-pvqz"),
    *("aug-cc-pvdz", "aug-cc-pvtz", "lanl2dz"),
)


def _iterations(field: Any) -> int | None:
    cycles = getattr(field, "cycles", None)
    return int(cycles) if cycles else None


def _import() -> Any:
    import pyscf
    from pyscf import dft, gto, mp, scf  # noqa: F401  (they become attributes of pyscf)

    return pyscf
