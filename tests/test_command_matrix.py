"""Every command that takes a model, on a model of every family: it works, or says why it cannot.

The models are small and random, but of each there is a crystal of copper and a molecule CuO in
which no force is left, so that all properties can be asked of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms

import ladera
from ladera import Graph, Potential
from ladera.cli import COMMANDS, GROUPS, main
from ladera.data import formats
from ladera.data.dataset import Dataset
from ladera.data.frame import Frame
from ladera.kernels.moment_tensors import reference
from ladera.loading import as_potential
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.hdnnp_4g import HDNNP4GConfig
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.models.mace import MACEConfig
from ladera.models.mtp import MTP, MTPConfig
from ladera.models.nequip import NequIPConfig
from ladera.potential import Calibration, Committee, TrainingStatistics
from ladera.processes import Processes, Task

SPECIES: Final = ("O", "Cu")
CUTOFF: Final = 3.2
MACE: Final = {
    "species": SPECIES,
    "cutoff": CUTOFF,
    "channels": 2,
    "max_l": 1,
    "correlation": 2,
    "num_radial": 4,
    "radial_layers": (4,),
}
NETWORKS: Final = {
    "species": SPECIES,
    "cutoff": CUTOFF,
    "size": "small",
    "hidden_layers": (4,),
}


def crystal(a: float) -> Atoms:
    return bulk("Cu", "fcc", a=a)


def molecule(d: float) -> Atoms:
    return Atoms("CuO", [[0, 0, 0], [0, 0, d]])


# --- models --------------------------------------------------------------------------------------


def _fitted(config: Any, seed: int) -> Potential:
    torch.manual_seed(seed)
    potential = ladera.build(config)
    frames = [crystal(a) * (2, 2, 2) for a in np.linspace(2.6, 4.8, 12)]
    frames += [molecule(d) for d in np.linspace(1.0, 3.1, 12)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.1, seed=k)
    graphs = [Graph.from_atoms(atoms, config.cutoff) for atoms in frames]
    zero = dict.fromkeys(SPECIES, 0.0)
    potential.fit_statistics(graphs, TrainingStatistics(zero, energy_shift=-1.0, force_scale=1.0))
    return potential.eval().requires_grad_(False)


def hdnnp(seed: int) -> Potential:
    return _fitted(HDNNPConfig(**NETWORKS), seed)


def fourth_generation(seed: int) -> Potential:
    return _fitted(HDNNP4GConfig(**NETWORKS), seed)


def mace(seed: int) -> Potential:
    return _fitted(MACEConfig(**MACE), seed)


def mace_with_dipoles(seed: int) -> Potential:
    return _fitted(MACEConfig(**MACE, outputs=("energy", "dipole"), hidden_l=1), seed)


def nequip(seed: int) -> Potential:
    sizes = {"layers": 2, "channels": (4, 2), "max_l": 1, "radial_layers": (4,)}
    return _fitted(NequIPConfig(species=SPECIES, cutoff=CUTOFF, **sizes), seed)


def lennard_jones(seed: int) -> Potential:
    return ladera.build(
        LennardJonesConfig(
            species=SPECIES,
            cutoff=4.5,
            epsilon={"O": 0.1, "Cu": 0.4},
            sigma={"O": 1.5, "Cu": 2.3},
        )
    )


def moment_tensors(seed: int) -> Potential:
    """Pairs that bind as a Morse curve does, and a little of all other functions."""
    torch.manual_seed(seed)
    potential = MTP(MTPConfig(species=SPECIES, cutoff=CUTOFF, min_distance=1.0, level=8))
    distances = torch.linspace(1.2, CUTOFF, 60, dtype=torch.float64)
    basis = reference.chebyshev(distances, potential.config.radial_basis_size, 1.0, CUTOFF)
    with torch.no_grad():
        potential.moment_coefficients.normal_(std=1e-3)
        potential.moment_coefficients[0] = 1.0  # of the sum over pairs
        for (i, j), length in {(0, 0): 1.6, (0, 1): 1.8, (1, 0): 1.8, (1, 1): 2.4}.items():
            morse = 0.2 * ((1 - torch.exp(-1.5 * (distances - length))) ** 2 - 1)
            potential.radial_coefficients[i, j, 0] = torch.linalg.lstsq(basis, morse).solution
    return potential.eval().requires_grad_(False)


def committee(seed: int) -> Potential:
    one = hdnnp(seed)
    other = hdnnp(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter *= 1.01
    return Committee([one, other], Calibration(energy=2.0, forces=2.0, largest_force_std=5.0))


FAMILIES: Final[dict[str, Callable[[int], Potential] | str]] = {
    "hdnnp": hdnnp,
    "hdnnp_4g": fourth_generation,
    "mace": mace,
    "mace-dipoles": mace_with_dipoles,
    "mtp": moment_tensors,
    "nequip": nequip,
    "lennard_jones": lennard_jones,
    "committee": committee,
    "emt": "ase.calculators.emt:EMT",
    "tblite": "tblite.ase:TBLite",
}

# With one wave vector the charges of a metal do not converge, and no crystal has a lowest energy.
WITHOUT_CRYSTAL: Final = ("tblite",)


class Case(NamedTuple):
    """A model by the words that name it, and the files that commands are given."""

    model: str
    other: str  # a model a little beside it
    calculator: bool
    crystal: Path
    molecule: Path
    start: Path  # the molecule with its copper held
    end: Path  # the same, its oxygen gone round by 40 degrees
    cell: Path  # eight atoms of the crystal
    data: Path


def _lowest(potential: Potential, make: Callable[[float], Atoms], sizes: Any) -> Atoms | None:
    """The structure at a minimum of the energy along one length; None where there is none."""
    from scipy.optimize import minimize_scalar

    calculator = potential.calculator()

    def energy(size: float) -> float:
        atoms = make(float(size))
        atoms.calc = calculator
        return float(atoms.get_potential_energy())

    energies = np.array([energy(size) for size in sizes])
    inner = np.flatnonzero((energies[1:-1] < energies[:-2]) & (energies[1:-1] < energies[2:])) + 1
    if not len(inner):
        return None
    k = int(inner[np.argmin(energies[inner])])
    found = minimize_scalar(energy, sizes[k - 1 : k + 2], options={"xtol": 1e-9})
    return make(float(found.x))


def _repeated(atoms: Atoms, *counts: int) -> Atoms:
    return atoms * counts if atoms.pbc.all() else atoms


def _prepared(name: str, folder: Path) -> Case:
    """A model of a family with a minimum of both structures, the first of its seeds that has."""
    source = FAMILIES[name]
    for seed in range(60):
        potential = as_potential(source) if isinstance(source, str) else source(seed)
        pair = _lowest(potential, molecule, np.linspace(1.3, 2.7, 15))
        solid = pair  # in its place where no crystal is
        if pair and name not in WITHOUT_CRYSTAL:
            solid = _lowest(potential, crystal, np.linspace(2.9, 4.4, 16))
        if pair and solid:
            break
    else:
        raise AssertionError(f"no model of {name} binds copper and CuO")
    folder.mkdir()
    start = pair.copy()
    start.set_constraint(FixAtoms([0]))
    end = start.copy()
    end.rotate(40, "x")
    paths = {n: folder / f"{n}.extxyz" for n in Case._fields[3:]}
    for path, atoms in zip(
        paths.values(), (solid, pair, start, end, _repeated(solid, 2, 2, 2)), strict=False
    ):
        ase.io.write(path, atoms)
    frames = []
    for k in range(4):
        atoms = (_repeated(solid, 2, 2, 1), pair)[k % 2].copy()
        atoms.rattle(0.03, seed=k)
        atoms.calc = lennard_jones(0).calculator()
        # Those of no model here: its own labels would be refused.
        energy, forces = 1.1 * atoms.get_potential_energy(), 1.1 * atoms.get_forces()
        labels = {"energy": energy, "forces": forces}
        frames.append(Frame.from_atoms(atoms).with_(**labels))
    formats.write(Dataset.from_frames(frames), paths["data"])
    if isinstance(source, str):
        return Case(source, source, True, *paths.values())
    names = [str(folder / f"{name}.ladera") for name in ("model", "other")]
    potential.save(names[0])
    for parameter in potential.parameters():
        parameter.data.mul_(1.01)
    potential.save(names[1])
    return Case(*names, False, *paths.values())


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """The model of a family, made when it is first asked for."""
    made: dict[str, Case] = {}
    folder = tmp_path_factory.mktemp("families")

    def case(name: str) -> Case:
        if name not in made:
            made[name] = _prepared(name, folder / name)
        return made[name]

    return case


# --- commands ------------------------------------------------------------------------------------


class Command(NamedTuple):
    """How a command is called, in a folder of its own; MODEL stands for the model."""

    words: str  # of the command
    line: str  # with fields of Case

    @property
    def of_crystal(self) -> bool:
        return "{crystal}" in self.line or "{cell}" in self.line


CALLS: Final[dict[str, Command]] = {
    name: Command(words, text)
    for name, words, text in (
        ("evaluate", "evaluate", "MODEL {data}"),
        ("predict", "predict", "MODEL {data} --output out.extxyz"),
        ("info", "info", "MODEL"),
        ("committee", "committee", "MODEL {other} --data {data} --output out.ladera"),
        ("grade", "grade", "MODEL {data} --output out.ladera"),
        ("prune", "prune", "MODEL {data} --cost 0.97 --epochs 0 --output out.ladera"),
        ("finetune", "finetune", "MODEL {data} --epochs 1 --output out"),
        ("import", "import", "MODEL --output out.ladera"),
        ("export to n2p2", "export", "MODEL out --to n2p2"),
        ("export to mace", "export", "MODEL out --to mace"),
        ("export to mtp", "export", "MODEL out.mtp --to mtp"),
        ("export to lammps", "export", "MODEL out --to lammps --structure {crystal}"),
        ("relax", "relax", "MODEL {crystal} --fmax 0.001 --output out"),
        ("relax the cell", "relax", "MODEL {crystal} --cell --steps 50 --output out"),
        ("md", "md", "MODEL {molecule} --steps 2 --temperature 10 --output out"),
        ("eos", "eos", "MODEL {crystal} --strain 0.01 --points 6 --output out"),
        ("elastic", "elastic", "MODEL {crystal} --output out"),
        ("phonons", "phonons", "MODEL {crystal} --supercell 2 2 2 --output out"),
        (
            "expansion",
            "expansion",
            "MODEL {crystal} --supercell 2 2 2 --strain 0.02 --points 6 --output out",
        ),
        ("vibrations", "vibrations", "MODEL {molecule} --output out"),
        ("ir", "ir", "MODEL {molecule} --output out"),
        (
            "diffusion",
            "diffusion",
            "--model MODEL --structure {cell} --species Cu --temperature 5 --time 0.6 "
            "--window 0.05 0.3 --timestep 2 --processes 1 --output out",
        ),
        ("neb", "neb", "MODEL {start} {end} --images 4 --fmax 0.5 --output out"),
        ("draw", "draw", "MODEL --output out"),
        (
            "scan",
            "scan",
            "MODEL {molecule} --coordinate 0-1 --from 1.1 --to 1.2 --points 2 --output out",
        ),
        (
            "validate",
            "validate",
            "MODEL --structure {molecule} --time 0.02 --temperature 10 --output out",
        ),
        ("check", "check", "MODEL {molecule} --output out"),
        ("ipi input", "ipi input", "MODEL {molecule} --temperature 300 --output out"),
        ("functions report", "functions report", "MODEL {data} --output out"),
        ("data select", "data select", "MODEL {data} --number 2 --output out.extxyz"),
        ("vacancy", "vacancy", "MODEL {crystal} --heights 4 5 --output out"),
        ("surface", "surface", "MODEL {crystal} --facets 111 --thickness 3 --output out"),
        ("raman", "raman", "MODEL {molecule} --output out"),
        (
            "lattice conductivity",
            "thermal-conductivity lattice",
            "MODEL {crystal} --supercell 3 3 3 --mesh 6 6 6 --output out",
        ),
        (
            "conductivity by heat flux",
            "thermal-conductivity green-kubo",
            "--model MODEL --structure {cell} --temperature 5 --time 0.2 --equilibration 0.01 "
            "--runs 2 --window 0.02 --flux-interval 1 --processes 1 --output out",
        ),
    )
}

# Why a command has no answer for a family: a part of the sentence in which it says so.
_OURS: Final = "is a model of Ladera already; add --head to choose one of several heads"
_NO_DIPOLE: Final = "gives no dipole, and infrared intensities are made of its changes"
_NO_FUNCTIONS: Final = "has no energy that is a function of symmetry functions alone"
_NO_MACE: Final = "; export a MACE"
_NO_MTP: Final = "cannot be written as an .mtp file; export an mtp model"
_NO_PRUNING: Final = "Pruning removes functions of moment tensor potentials, and this is a"
_NO_N2P2: Final = "cannot be written for n2p2; export an hdnnp model"
_CODE: Final = "cannot hold an ASE calculator, which is code and not parameters"
_REASONS: Final = {
    "committee": {
        # Two of one calculator: another class would do, but a file could hold neither.
        "emt": "no value has both a label and a spread (are its members the same model?)",
        "tblite": "no value has both a label and a spread (are its members the same model?)",
    },
    "finetune": {
        **dict.fromkeys(("emt", "tblite"), "has no parameters to fine-tune"),
        "committee": "is a committee; fine-tune its members, and make a new one",
        "mace-dipoles": "has dipoles that nothing would train; set loss.dipole",  # as labels have
    },
    "grade": dict.fromkeys(("lennard_jones", "emt", "tblite"), "has no last layer that an active"),
    "prune": dict.fromkeys([name for name in FAMILIES if name != "mtp"], _NO_PRUNING),
    "draw": dict.fromkeys(
        ("mtp", "lennard_jones", "emt", "tblite"), "has no networks of layers to draw"
    ),
    "import": dict.fromkeys(FAMILIES, _OURS) | dict.fromkeys(("emt", "tblite"), _CODE),
    "export to n2p2": dict.fromkeys([name for name in FAMILIES if name != "hdnnp"], _NO_N2P2),
    "export to mtp": dict.fromkeys([name for name in FAMILIES if name != "mtp"], _NO_MTP),
    "export to lammps": dict.fromkeys(("emt", "tblite"), "has no file of its own"),
    "ipi input": dict.fromkeys(("emt", "tblite"), "cannot hold an ASE calculator"),
    "export to mace": {
        **dict.fromkeys([name for name in FAMILIES if name != "mace"], _NO_MACE),
        "mace-dipoles": "EnergyDipolesMACE, whose charges would be False; this model has True",
    },
    # Random numbers bind a crystal, but its phonons are what they are.
    "expansion": dict.fromkeys(
        ("hdnnp", "hdnnp_4g", "mace", "mace-dipoles", "nequip", "committee"),
        "relax the cell first, or take a larger strain|a mode is imaginary",
    ),
    "vacancy": {"hdnnp_4g": "atoms beside a vacancy did not come to rest"},
    "lattice conductivity": {"hdnnp_4g": "The crystal has an imaginary mode"},
    "ir": dict.fromkeys(
        ("hdnnp", "mace", "mtp", "nequip", "lennard_jones", "committee", "emt"), _NO_DIPOLE
    ),
    "data select": dict.fromkeys(
        ("lennard_jones", "emt", "tblite"), "model has no descriptors to choose frames by"
    ),
    "raman": dict.fromkeys(
        [name for name in FAMILIES if name != "tblite"],
        "gives no polarisability and takes no electric_field",
    ),
    "conductivity by heat flux": dict.fromkeys(
        ("hdnnp_4g", "emt", "tblite"),
        "which neither electrostatics nor an ASE calculator has; take a model without charges",
    ),
    "functions report": dict.fromkeys(
        [name for name in FAMILIES if name != "hdnnp"], _NO_FUNCTIONS
    ),
}
REFUSED: Final = {
    (name, family): reason
    for name, families in _REASONS.items()
    for family, reason in families.items()
}


def _words(command: Command, case: Case) -> list[str]:
    text = command.line.format(**case._asdict())
    takes_calculator = command.words in _with_options()
    if case.calculator and takes_calculator:
        text = text.replace("--model MODEL", "").replace("MODEL", "")
        text += f" --calculator {case.model}"
    return [*command.words.split(), *text.replace("MODEL", case.model).split()]


def _functions() -> Iterator[tuple[str, Callable[..., int]]]:
    """All commands by their words."""
    for command in COMMANDS:
        if isinstance(command, tuple):
            module, name = command[0].split(":")
            yield name, getattr(importlib.import_module(module), name)
        else:
            yield command.__name__.strip("_"), command
    for group, _, commands in GROUPS:
        for command in commands:
            name = command.__name__.strip("_").replace("_", "-")
            yield f"{group} {name}", command


def _with_options() -> set[str]:
    """The commands that take a calculator in the place of a model."""
    return {
        name
        for name, function in _functions()
        if any("ModelOptions" in str(p.annotation) for p in _parameters(function))
    }


def _parameters(function: Callable[..., int]) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def test_no_command_with_a_model_is_left_out() -> None:
    models = {"model", "models", "base", "source"}
    named = {n for n, f in _functions() if models & {p.name for p in _parameters(f)}}
    named.add("info")  # of any file
    apart = {"ipi client"}  # needs a server: tests/test_ipi.py
    assert (named | _with_options()) - apart == {command.words for command in CALLS.values()}
    assert {family for _, family in REFUSED} <= set(FAMILIES)
    assert {name for name, _ in REFUSED} <= set(CALLS)


def _here(
    self: Processes, tasks: Sequence[Task[Any]], look: Callable[[], None] = lambda: None
) -> Iterator[tuple[Task[Any], Any]]:
    """What processes do, in this one: each takes seconds to begin (tests/test_processes.py)."""
    for task in tasks:
        yield task, task.call()
        look()


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", CALLS)
def test_command(
    name: str,
    family: str,
    cases: Callable[[str], Case],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if family == "tblite" and importlib.util.find_spec("tblite") is None:
        pytest.skip("tblite is not installed (pip install ladera[xtb])")
    if name == "lattice conductivity" and importlib.util.find_spec("phono3py") is None:
        pytest.skip("phono3py is not installed (pip install ladera[thermal])")
    if CALLS[name].of_crystal and family in WITHOUT_CRYSTAL and (name, family) not in REFUSED:
        pytest.skip(f"{family} has one wave vector, of which no crystal is made")
    if name == "check" and family == "tblite":
        pytest.skip("its charges converge to 1e-5, which the check finds: it ends with 1, as told")
    case = cases(family)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Processes, "run", _here)
    monkeypatch.setattr("ladera.properties.conservation.DURATION", 0.02)  # ps
    with pytest.raises(SystemExit) as stop:
        main(_words(CALLS[name], case))
    said = capsys.readouterr()
    reason = REFUSED.get((name, family))
    if reason is None:
        assert not stop.value.code, said.err
        assert said.out.strip()
    else:
        assert stop.value.code == 1
        (sentence,) = [line for line in said.err.splitlines() if line.startswith("Error: ")]
        assert any(part in sentence for part in reason.split("|")), sentence
