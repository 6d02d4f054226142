"""The card of a model: a sound one, one with a hole, and pieces that are not computed twice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import write
from ase.io.trajectory import TrajectoryWriter

from argon import argon, crystal, one_thread  # noqa: F401
from ladera import modelfile
from ladera.cli import main
from ladera.errors import ConfigError, PropertyError
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.potential import Committee
from ladera.properties import result
from ladera.properties.card import validate
from ladera.properties.conservation import energy_conservation
from ladera.properties.dimers import dimers
from ladera.properties.survival import survival
from ladera.properties.verdicts import read_references

MODEL = {"epsilon": 0.3, "sigma": 1.8, "cutoff": 6.0}


class Fermi(LennardJones):
    """Argon whose repulsion is taken back below 1.2 Angstrom: a hole."""

    def atomic_energies(self, graph):
        energies = super().atomic_energies(graph)
        distance = graph.vectors.norm(dim=1)
        close = -1e8 * (1.2 - distance).clamp(min=0) ** 2
        return energies.index_add(0, graph.centers, close)


def test_a_pair_is_followed_down_its_wall():
    found = dimers(argon(**MODEL))
    assert found.pairs == ("Ar-Ar",)
    assert found.minimum[0] == pytest.approx(1.8 * 2 ** (1 / 6), abs=0.05)
    assert found.well[0] == pytest.approx(0.29, abs=0.02)
    assert not found.soft
    assert found.shortest[0] > 1e6
    hole = dimers(Fermi(argon(**MODEL).config).requires_grad_(False))
    assert hole.soft["Ar-Ar"].startswith("falls below 1.")
    config = LennardJonesConfig(
        species=("Ar", "Xe"),
        cutoff=6.0,
        epsilon={"Ar": 0.3, "Xe": 1e-9},
        sigma={"Ar": 1.8, "Xe": 0.05},
    )
    assert dimers(LennardJones(config)).soft["Xe-Xe"] == "hardly repels"


def test_a_weak_and_wide_minimum_is_found_and_an_end_is_none():
    """Argon: the minimum of 4 e ((s/r)^12 - (s/r)^6) is at 2^(1/6) s, far beyond 1.6 radii."""
    found = dimers(argon(cutoff=14.0))
    assert found.minimum[0] == pytest.approx(3.4 * 2 ** (1 / 6), abs=0.03)
    assert found.well[0] == pytest.approx(0.0104, abs=2e-4)
    # A well that lies beyond the cutoff ends the scan and is none.
    slope = dimers(Falling(argon(**MODEL).config).requires_grad_(False))
    assert np.isnan(slope.minimum[0])
    assert np.isnan(slope.well[0])
    assert slope.table().rows[0][1:3] == ("none", "none")
    assert not slope.soft


class Falling(LennardJones):
    """Argon's repulsion alone: it falls all the way to the cutoff."""

    def atomic_energies(self, graph):
        distance = graph.vectors.norm(dim=1)
        energy = 20 * (1 - distance / self.cutoff) ** 2
        zero = energy.new_zeros(graph.n_atoms, dtype=torch.float64)
        return zero.index_add(0, graph.centers, energy.double())


def labelled(trained_on: dict[str, float], r2: dict[str, float]) -> LennardJones:
    """Argon that says it was trained by these weights to these errors."""
    errors = {
        name: {"count": 9, "mae": 1.0, "rmse": 120.0, "max": 300.0, "r2": value}
        for name, value in r2.items()
    }
    model = LennardJones(argon().config)
    model.provenance = {"config": {"loss": trained_on}, "errors": {"test": errors}}
    return model


@pytest.mark.parametrize(
    ("trained_on", "r2", "expected", "why"),
    [
        ({"energy": 1, "forces": 1, "stress": 0}, {"forces": 0.999}, "with care", "never trained"),
        ({"energy": 1, "forces": 1, "stress": 1}, {"stress": 0.999}, "no reference", ""),
        ({"energy": 1, "forces": 1, "stress": 0}, {"stress": -3.0}, "no", "errors of stress: no"),
    ],
)
def test_what_follows_from_an_untrained_stress_is_not_good(
    tmp_path, monkeypatch, trained_on, r2, expected, why
):
    """A property is judged against a reference or not called good."""
    model = labelled(trained_on, r2)
    for piece in ("pair_curves", "dynamics"):
        monkeypatch.setattr(f"ladera.properties.card._Work.{piece}", lambda *a: None)
    for piece in ("elasticity", "phonons"):
        monkeypatch.setattr(f"ladera.properties.card.{piece}", _no_piece)
    errors = model.provenance["errors"]["test"]
    folders = validate(model, crystal(1), tmp_path, errors=errors)
    card = result.load(folders[0])
    lines = {s: (f, v) for s, f, v in zip(card.subjects, card.findings, card.verdicts, strict=True)}
    finding, verdict = lines["equation of state"]
    assert verdict == expected
    assert why in finding
    assert ("trained on" in lines) == (trained_on["stress"] == 0)
    if "stress" in r2:
        assert "19.2 GPa" in lines["errors of stress"][0]  # 120 meV/A^3
        assert lines["errors of stress"][1] == ("good" if r2["stress"] > 0.99 else "no")


REFERENCES = """
equation_of_state: {source: "a paper", volume: 37.3, bulk_modulus: 3.0}
elasticity: {source: "a table", C11: 5.0, C12: 2.0, shear_modulus: 100}
phonons: {source: "a database", heat_capacity: 24.0}
"""


def test_numbers_are_held_against_published_ones(tmp_path):
    """The line says value, difference and source; runs of no time are left out, and it says so."""
    path = tmp_path / "references.yaml"
    path.write_text(REFERENCES)
    references = read_references(path)
    folders = validate(argon(), crystal(1), tmp_path / "card", time=0.0, references=references)
    card = result.load(folders[0])
    lines = {s: (f, v) for s, f, v in zip(card.subjects, card.findings, card.verdicts, strict=True)}
    volume = result.load(tmp_path / "card" / "equation_of_state").volume[0]
    finding, verdict = lines["equation of state"]
    off = 100 * (volume / 37.3 - 1)
    assert f"a paper: volume 37.300 Å³ per atom ({off:+.1f} %), bulk modulus 3.0 GPa" in finding
    assert verdict == ("good" if abs(off) < 1 else "with care" if abs(off) < 3 else "no")
    assert lines["elastic constants"][1] == "no"  # its shear modulus is far off
    assert "a table: C11 5.0 GPa (" in lines["elastic constants"][0]
    assert "a database: heat at 300 K 24.00 J/K/mol (" in lines["phonons"][0]
    assert lines["simulations"] == ("none, as their time is 0", "")
    assert not (tmp_path / "card" / "runs").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("elasticity: {C11: 5}", "'elasticity' has no source; say with 'source:'"),
        ("elasticity: {source: a, C17: 5}", "'elasticity.C17' is nothing that the card has"),
        ("elastic: {source: a}", "'elastic' is nothing that the card has; did you mean 'elasti"),
        ("phonons: {source: a, heat_capacity: warm}", "heat_capacity' is 'warm'; expected a nu"),
        ("phonons: {source: a, heat_capacity: -2}", "heat_capacity' is -2; it must be above ze"),
        ("phonons: 5", "'phonons' is 5; expected its numbers and their source"),
    ],
)
def test_bad_references_are_named(tmp_path, text, said):
    path = tmp_path / "references.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_references(path)
    assert said in str(caught.value)
    with pytest.raises(ConfigError, match=r"There is no file .*nope\.yaml with published numbers"):
        read_references(tmp_path / "nope.yaml")


def _no_piece(atoms):
    raise PropertyError("not looked at")


def test_a_committee_spreads_along_its_pairs():
    depths = np.array([0.28, 0.30, 0.35])
    committee = Committee([argon(epsilon=float(d), sigma=1.8, cutoff=6.0) for d in depths])
    found = dimers(committee)
    expected = found.well[0] * depths.std(ddof=1) / depths.mean()
    assert found.spread["well"][0] == pytest.approx(expected, rel=1e-3)
    assert found.spread["energies"].shape == found.energies.shape
    assert found.table().cells[0][2].deviation == pytest.approx(expected, rel=1e-3)
    assert len(found.plot().axes[0].collections) == 1  # the band


def test_energy_fluctuates_with_the_square_of_the_step(tmp_path):
    """Velocity Verlet keeps a shadow energy: what is seen fluctuates as the step squared."""
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 2.0]])
    found = energy_conservation(
        atoms, argon(**MODEL), tmp_path, temperature=50.0, timesteps=(8.0, 16.0)
    )
    ratio = found.fluctuation[1:] / found.fluctuation[:-1]
    assert ratio == pytest.approx([4], rel=0.25)
    assert np.abs(found.drift).max() < 0.5
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/trajectory.traj")}
    again = energy_conservation(
        atoms, argon(**MODEL), tmp_path, temperature=50.0, timesteps=(8.0, 16.0)
    )
    assert again.fluctuation == pytest.approx(found.fluctuation)
    assert set(before) == set(tmp_path.glob("*/trajectory.traj"))
    with pytest.raises(PropertyError, match="above zero"):
        energy_conservation(atoms, argon(), tmp_path, temperature=-5.0)


def full_disk(*_):
    raise OSError(28, "No space left on device")


def test_survival_says_where_a_run_broke_off(tmp_path, monkeypatch):
    atoms = Atoms("Ar2", [[0, 0, 0], [0, 0, 2.0]])
    sound = survival(atoms, argon(**MODEL), tmp_path / "a", temperature=300, timestep=2, time=0.5)
    assert not sound.reason
    assert sound.survived == 0.5
    with monkeypatch.context() as patch:
        patch.setattr(TrajectoryWriter, "write", full_disk)  # which is not the end of the model
        with pytest.raises(OSError, match="No space left"):
            survival(atoms, argon(**MODEL), tmp_path / "c", temperature=300, timestep=2, time=0.5)
    wild = survival(atoms, argon(**MODEL), tmp_path / "b", temperature=300, timestep=200, time=50)
    assert wild.reason
    assert wild.survived < 50


def test_command_makes_one_page_and_computes_nothing_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ladera.properties.conservation.DURATION", 0.02)
    model = LennardJones(argon().config)
    model.provenance = {
        "errors": {
            "test": {"energy": {"count": 7, "mae": 1.0, "rmse": 2.0, "max": 3.0, "r2": 0.9}}
        },
    }
    modelfile.save(model, "model.ladera")
    write("cell.extxyz", crystal(1))
    line = ["validate", "model.ladera", "--structure", "cell.extxyz", "--time", "0.05"]
    line += ["--temperature", "50"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(line)
    said = " ".join(capsys.readouterr().out.split())
    assert "MAE 1, RMSE 2 meV/atom" in said
    page = (tmp_path / "validation" / "report.html").read_text()
    for words in ("What this model may be trusted for", "Pairs of atoms", "C11", "Phonons"):
        assert words in page
    card = result.load("validation")
    verdicts = dict(zip(card.subjects, card.verdicts, strict=True))
    assert {verdicts[name] for name in ("phonons", "elastic constants")} == {"no reference"}
    assert verdicts["errors of energy"] == "no"  # R2 0.9: a third of what guessing the mean has
    monkeypatch.setattr("ladera.properties.card.elasticity", None)  # not to be called again
    with pytest.raises(SystemExit, match=r"^0$"):
        main(line)
    capsys.readouterr()
    # Nor does anything of one model pass for another's.
    modelfile.save(argon(epsilon=0.02), "model.ladera")
    with pytest.raises(SystemExit, match=r"^1$"):
        main([*line[:-1], "60"])
    said = " ".join(capsys.readouterr().err.split())
    assert "another model, another temperature (50, not 60); remove it" in said


def test_what_does_not_relax_is_a_line_of_the_card(tmp_path):
    hole = Fermi(argon(**MODEL).config).requires_grad_(False)
    folders = validate(hole, Atoms("Xe2", [[0, 0, 0], [0, 0, 2.0]]), tmp_path)
    card = result.load(folders[0])
    lines = dict(zip(card.subjects, card.verdicts, strict=True))
    assert lines["structure"] == "no"
    assert "Atom 0 is Xe" in card.findings[card.subjects.index("structure")]
    assert lines["atoms pushed together"] == "with care"


def test_a_model_without_data_asks_for_a_structure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    modelfile.save(LennardJones(argon().config), "model.ladera")
    with pytest.raises(SystemExit, match=r"^1$"):
        main(["validate", "model.ladera"])
    assert "--structure FILE" in capsys.readouterr().err
