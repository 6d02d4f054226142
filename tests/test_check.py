"""ladera check: what is right passes, and each thing that is wrong is found by its line."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

import ladera
from argon import argon, crystal, one_thread  # noqa: F401
from conftest import lennard_jones, water_like
from ladera.cli import main
from ladera.errors import PropertyError, SimulationError
from ladera.models.lennard_jones import LennardJones
from ladera.potential import LaderaCalculator, differentiate
from ladera.properties import result
from ladera.properties.check import FAILED, Check, check
from ladera.properties.checks import density, drift
from ladera.properties.checks.ase_engine import ASEEngine
from ladera.properties.checks.density import check_density, error_of_mean
from ladera.properties.checks.derivatives import check_derivatives
from ladera.properties.checks.rows import Row
from ladera.report.report import write_report
from lammps_runs import needs_compiler, needs_lammps

needs_ipi = pytest.mark.skipif(find_spec("ipi") is None, reason="i-PI is not installed")
CRYSTAL = water_like(9, 5.5, True, 2)
MOLECULE = water_like(5, 5.0, False, 1)
MOLECULE.positions *= 1.4


def failures(found: Check) -> set[str]:
    """What is not right, without the quantity in which it was largest."""
    pairs = zip(found.names, found.verdicts, strict=True)
    return {name.partition(":")[0] for name, verdict in pairs if verdict == FAILED}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("atoms", [CRYSTAL, MOLECULE], ids=["crystal", "molecule"])
def test_a_sound_model_passes(atoms: Atoms, dtype: str) -> None:
    model = lennard_jones()
    found = check(model.float() if dtype == "float32" else model, atoms)
    assert found.passed, failures(found)
    unchecked = {name for name, v in zip(found.names, found.verdicts, strict=True) if "not" in v}
    expected = set() if atoms.pbc.any() else {"stress", "atoms moved by whole cells"}
    assert unchecked == expected


class OfEdges(LennardJones):
    """Argon-like atoms of which one thing is wrong; of_edge is a factor of each edge's energy."""

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        extra = self.extra(graph, graph.vectors.norm(dim=1))
        return energies.index_add(0, graph.centers, extra.to(energies))

    def extra(self, graph, distance):
        return 0 * distance

    def energies_and_edge_gradients(self, graph):
        prediction = differentiate(self, graph)
        return prediction.atomic_energies, self.slopes(graph, prediction.edge_gradients)

    def slopes(self, graph, gradients):
        return gradients


class ScaledForces(OfEdges):
    def slopes(self, graph, gradients):
        return 1.001 * gradients


class Swirling(OfEdges):
    """Forces with a curl, of a force field that has no energy."""

    def slopes(self, graph, gradients):
        near = (1 - graph.vectors.norm(dim=1, keepdim=True) / self.cutoff).clamp(min=0) ** 3
        axis = graph.vectors.new_tensor([0.0, 0.0, 1.0]).expand_as(graph.vectors)
        return gradients + 1e-2 * near * torch.linalg.cross(axis, graph.vectors)


class Cut(OfEdges):
    """Not brought to zero at the cutoff."""

    def extra(self, graph, distance):
        return 1e-3 * (distance < self.cutoff)


class Bent(OfEdges):
    """Forces that are not brought to zero there."""

    def extra(self, graph, distance):
        return 1e-2 * (self.cutoff - distance).clamp(min=0)


class Directed(OfEdges):
    """As by harmonics with a wrong sign: not the same when turned."""

    def extra(self, graph, distance):
        near = (1 - distance / self.cutoff).clamp(min=0) ** 3
        return 1e-4 * near * graph.vectors[:, 0] ** 2 / distance


class Handed(OfEdges):
    """Not the same in a mirror: a sum of r_a . (r_b x r_c) over three weighted sums of edges."""

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        distance = graph.vectors.norm(dim=1, keepdim=True)
        near = (1 - distance / self.cutoff).clamp(min=0) ** 3 * graph.vectors
        sums = [
            energies.new_zeros(graph.n_atoms, 3).index_add(
                0, graph.centers, (near * w).to(energies)
            )
            for w in (1.0, distance, distance**2)
        ]
        return energies + 1e-4 * (sums[0] * torch.linalg.cross(sums[1], sums[2])).sum(dim=1)


class Numbered(OfEdges):
    """Looks at the number of an atom."""

    def extra(self, graph, distance):
        near = (1 - distance / self.cutoff).clamp(min=0) ** 3
        return 1e-5 * near * (graph.centers - graph.neighbors) ** 2


class Crowded(OfEdges):
    """Looks at how many atoms there are: neither extensive, nor the same in a batch."""

    def extra(self, graph, distance):
        return 1e-6 * graph.n_atoms * (1 - distance / self.cutoff).clamp(min=0) ** 3


class Threaded(OfEdges):
    """A race: another sum on another number of threads."""

    def extra(self, graph, distance):
        many = torch.get_num_threads() > 1
        return 1e-8 * many * (1 - distance / self.cutoff).clamp(min=0) ** 3


class Noisy(OfEdges):
    """Energies of atoms as large as those of all their electrons, in single precision."""

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        return (energies - 2041.8) if energies.dtype == torch.float32 else energies


class Coarse(OfEdges):
    """Energies of atoms in steps, which are a hundred times their rounding."""

    step = 3e-14  # eV; a thousand roundings of the force were allowed once

    def atomic_energies(self, graph):
        return (super().atomic_energies(graph) / self.step).round() * self.step


class Cancelling(OfEdges):
    """The same energies as a difference of large ones, as last layers of networks make them."""

    def __init__(self, config) -> None:
        super().__init__(config)
        factors = torch.tensor([1 + 1e4, -1e4], dtype=torch.float64)
        self.factors = torch.nn.Parameter(factors)

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        return self.factors[0] * energies + self.factors[1] * energies


WRONG = {
    ScaledForces: {"forces", "stress"},
    Swirling: {"forces", "Hessian is symmetric", "drift at constant energy"},
    Cut: {"energy at the cutoff"},
    Bent: {"forces at the cutoff"},
    Directed: {"rotation"},
    Handed: {"inversion"},
    Numbered: {"order of the atoms"},
    Crowded: {"two cells in one", "in a batch"},
    Threaded: {"on 2 threads"},
}


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "STEPS", 50)


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_found(kind: type[OfEdges]) -> None:
    model = kind(lennard_jones().config).requires_grad_(False).eval()
    found = check(model, CRYSTAL)
    assert failures(found) >= WRONG[kind]
    if kind in (Cut, Bent, Directed, Threaded):  # and nothing else is blamed
        assert failures(found) <= WRONG[kind] | {"drift at constant energy"}
    if kind is ScaledForces:
        assert found.notes[found.names.index("forces")] == "1.001 times what the energy says"


def test_noise_of_single_precision_is_found() -> None:
    model = Noisy(lennard_jones().config).requires_grad_(False).float().eval()
    assert "noise of the energy" in failures(check(model, CRYSTAL))


def noise_of(model: OfEdges) -> Row:
    """The first line of the table."""
    engine = ASEEngine(model.requires_grad_(False).eval())
    return next(iter(check_derivatives(engine, CRYSTAL, np.random.default_rng(1))))


def test_noise_is_held_to_what_a_model_is_made_of() -> None:
    config = lennard_jones().config
    sound, coarse, cancelling = (noise_of(kind(config)) for kind in (OfEdges, Coarse, Cancelling))
    assert sound.passed
    assert not coarse.passed
    assert coarse.found < 1000 * sound.found  # single precision would be far above
    assert cancelling.passed
    assert cancelling.found > sound.allowed


class WrongEMT(EMT):
    """Copper of another code, of which one thing is wrong."""

    def __init__(self, change) -> None:
        super().__init__()
        self._change = change

    def calculate(self, *arguments, **keywords) -> None:
        super().calculate(*arguments, **keywords)
        self.results |= self._change(self.results, self.atoms)


def _unwrapped(results, atoms):
    """A force field that does not know the images of an atom."""
    outside = 0.001 * np.abs(np.floor(atoms.get_scaled_positions(wrap=False))).sum()
    return {name: results[name] + outside for name in ("energy", "free_energy")}


FOREIGN = {
    "stress": (lambda r, a: {"stress": -r["stress"]}, "the sign is wrong"),
    "sum of the atomic energies": (lambda r, a: {"energies": 1.01 * r["energies"]}, ""),
    "sum of the forces": (lambda r, a: {"forces": r["forces"] + 1e-4}, ""),
    "atoms moved by whole cells": (_unwrapped, ""),
}


@pytest.mark.parametrize("line", FOREIGN)
def test_what_is_wrong_with_another_codes_calculator_is_found(line: str) -> None:
    change, words = FOREIGN[line]
    found = check(WrongEMT(change), bulk("Cu", cubic=True))
    said = {
        name.partition(":")[0]: note for name, note in zip(found.names, found.notes, strict=True)
    }
    assert line in failures(found)
    assert words in said[line]


def test_a_factor_between_units_is_named() -> None:
    """A stress in GPa."""
    model = WrongEMT(lambda results, atoms: {"stress": results["stress"] * 160.21766})
    found = check(model, bulk("Cu", cubic=True))
    assert "160.2 times what the energy says" in found.notes


@needs_lammps
@needs_compiler
def test_lammps_is_held_against_itself_and_the_calculator() -> None:
    found = check(lennard_jones(), CRYSTAL, engine="lammps")
    assert found.passed, failures(found)
    lines = {name.partition(":")[0] for name in found.names}
    assert {"on 2 processes", "Ladera's own calculator", "stress"} <= lines


@pytest.mark.skipif(find_spec("openmm") is None, reason="OpenMM is not installed")
@pytest.mark.parametrize("atoms", [CRYSTAL, MOLECULE], ids=["crystal", "molecule"])
def test_openmm_is_held_against_itself_and_the_calculator(atoms: Atoms) -> None:
    found = check(lennard_jones(), atoms, engine="openmm")
    assert found.passed, failures(found)
    lines = {name.partition(":")[0] for name in found.names}
    assert {"on platform CPU", "Ladera's own calculator"} <= lines
    assert found.verdicts[found.names.index("drift at constant energy")] == "yes"


@needs_ipi
def test_ipi_is_held_against_itself_and_the_calculator() -> None:
    found = check(lennard_jones(), CRYSTAL, engine="ipi")
    assert found.passed, failures(found)
    lines = {name.partition(":")[0] for name in found.names}
    assert {"one of 3 beads", "Ladera's own calculator", "stress"} <= lines
    assert found.verdicts[found.names.index("drift at constant energy")] == "yes"


@needs_ipi
def test_what_ends_ipi_is_said() -> None:
    from ladera.properties.checks.ipi_engine import IPIEngine

    engine = IPIEngine(lennard_jones())
    Path(engine._folder(CRYSTAL, 1), "model.ladera").unlink()
    with pytest.raises(SimulationError, match=r"i-PI stopped: .*model\.ladera"):
        engine.ask(CRYSTAL)


# --- densities -----------------------------------------------------------------------------------


class Volumes(ASEEngine):
    """Volumes of a liquid that is denser or not, which last some steps."""

    def __init__(self, scale: float, spread: float = 1.0) -> None:
        super().__init__(lennard_jones())
        self.scale, self.spread = scale, spread

    def volumes(self, atoms, temperature, timestep, steps, every):
        noise = np.random.default_rng(int(1e4 * self.scale)).standard_normal(steps // every)
        slow = np.convolve(noise, np.full(20, 20**-0.5), mode="same")
        return self.scale * (200 + self.spread * slow)


def test_densities_differ_or_do_not() -> None:
    def row(*engines):
        return check_density(*engines, CRYSTAL, 300.0, np.random.default_rng(0))

    assert row(Volumes(1.0), Volumes(1.0001)).passed
    wrong = row(Volumes(1.0), Volumes(1.01))
    assert not wrong.passed
    assert " by ladera md and " in wrong.note
    assert not row(Volumes(1.0, 60.0), Volumes(1.0001, 60.0)).was_checked


def test_a_run_that_breaks_off_is_a_line_that_says_so() -> None:
    class Broken(Volumes):
        def volumes(self, *_):
            raise SimulationError("It evaporates.")

    for pair, passed in (((Broken(1.0), Volumes(1.0)), True), ((Volumes(1.0), Broken(1.0)), False)):
        row = check_density(*pair, CRYSTAL, 300.0, np.random.default_rng(0))
        assert row.passed is passed
        assert row.note == "the run broke off: It evaporates"


def test_the_error_of_a_mean_knows_what_lasts() -> None:
    """Of noise summed over 100 steps: sqrt(100 / n)."""
    generator = np.random.default_rng(0)
    series = [
        np.convolve(generator.standard_normal(4100), np.full(100, 0.1), mode="valid")
        for _ in range(50)
    ]
    true = np.std([each.mean() for each in series])
    assert 0.8 < np.mean([error_of_mean(each) for each in series]) / true < 1.6


@needs_lammps
@needs_compiler
def test_lammps_and_ladera_have_barostats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(density, "STEPS", 300)
    found = check(argon(), crystal(2), engine="lammps", temperature=20.0)
    assert "density at 20 K" in found.names


def test_temperatures_without_two_densities_are_refused() -> None:
    with pytest.raises(PropertyError, match=r"temperature is 60 K; .* name one, such as lammps"):
        check(lennard_jones(), CRYSTAL, temperature=60.0)
    with pytest.raises(PropertyError, match=r"periodic in all directions; leave it out"):
        check(lennard_jones(), MOLECULE, engine="lammps", temperature=60.0)
    with pytest.raises(PropertyError, match=r"temperature is -1 K; it must be above zero"):
        check(lennard_jones(), CRYSTAL, engine="lammps", temperature=-1.0)


# --- the command, the structure, the report ------------------------------------------------------


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    argon(epsilon=0.1).save("argon.ladera")
    with pytest.raises(SystemExit, match=r"^0$"):  # a packing, as there are no training frames
        main(["check", "argon.ladera", "--json", "check.json"])
    found = result.load("check")
    assert isinstance(found, Check)
    assert found.structure.startswith("A random packing of the model's elements, Ar16")
    assert json.loads(Path("check.json").read_text())["kind"] == "check"
    page = write_report("check").read_text(encoding="utf-8")
    assert "Is what was deployed right?" in page
    assert "Hessian is symmetric" in page


def test_what_is_not_right_ends_with_1(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LaderaCalculator, "_derive", _wrong_sign(LaderaCalculator._derive))
    argon(epsilon=0.1).save("argon.ladera")
    write("argon.extxyz", bulk("Ar", cubic=True, a=5.3))
    with pytest.raises(SystemExit, match=r"^1$"):
        main(["check", "argon.ladera", "argon.extxyz"])
    assert "stress: the sign is wrong." in capsys.readouterr().out
    assert not result.load("check").passed


def _wrong_sign(derive):
    return lambda self, name: -derive(self, name) if name == "stress" else derive(self, name)


def test_the_lowest_training_frame_is_taken(tmp_path: Path) -> None:
    frames = [bulk("Ar", cubic=True, a=a) for a in (5.1, 5.4)]
    for atoms in frames:
        atoms.calc = argon(epsilon=0.1).calculator()
        atoms.get_forces()
    write(tmp_path / "frames.extxyz", frames)
    model = argon(epsilon=0.1)
    model.provenance = {"config": {"data": {"files": [str(tmp_path / "frames.extxyz")]}}}
    assert check(model).structure.startswith("The lowest training frame, Ar4")


def test_a_model_without_energies_and_engines_that_are_none_are_refused() -> None:
    model = lennard_jones()
    with pytest.raises(PropertyError, match="no engine 'lamps'"):
        ladera.check(model, CRYSTAL, engine="lamps")
    model.gives = ()
    with pytest.raises(PropertyError, match="gives no energy"):
        ladera.check(model, CRYSTAL)


def test_a_number_that_is_none_fails() -> None:
    def broken(results, atoms):
        return {"forces": np.full_like(results["forces"], np.nan)}

    found = check(WrongEMT(broken), bulk("Cu", cubic=True))
    assert {"forces", "sum of the forces", "Hessian is symmetric"} <= failures(found)
    loaded = Check.from_json(replace(found).to_json())
    assert failures(loaded) == failures(found)
