"""A teacher and its student: the loop that makes one of the other, and how they are compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, molecule
from ase.io import read, write

import ladera
from label_engines import Here
from ladera import cli
from ladera.errors import ConfigError, PropertyError, TooLargeError
from ladera.modelfile import save
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.properties.agreement import Agreement, agreement
from ladera.properties.result import load
from training_runs import CUTOFF, EPSILON, SIGMA

# The crystal at rest is smaller than at the temperatures of the walks.
pytestmark = pytest.mark.filterwarnings("ignore:Extrapolation")

SHORT = (
    "begin.number=6",
    "begin.frames=6",
    "begin.time=0.1",
    "explore.time=0.1",
    "explore.timestep=4",
    "explore.interval=20",
    "explore.walkers=1",
    "select.frames=6",
    "select.checks=4",
    "select.lost=1000",
    "training.model.level=6",
    "training.model.cutoff=6.0",
    "training.epochs=20",
    "stop.rounds=1",
)


def lennard_jones(epsilon: float = EPSILON) -> ladera.Potential:
    return ladera.build(
        LennardJonesConfig(
            species=("Ar",), cutoff=CUTOFF, epsilon={"Ar": epsilon}, sigma={"Ar": SIGMA}
        )
    )


def distill(folder: Path) -> ladera.Distilled:
    return ladera.distill(
        folder / "teacher.ladera",
        bulk("Ar", a=5.25, cubic=True),
        folder / "out",
        temperatures=(20.0, 40.0),
        changes=SHORT,
        executor=Here(),
    )


def command(folder: Path, answer: Path) -> int:
    """The same on the command line; its exit code."""
    changes = [word for change in SHORT for word in ("--set", change)]
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                *("distill", str(folder / "teacher.ladera"), str(folder / "argon.xyz")),
                *("--temperatures", "20", "40", "--output", str(folder / "out"), *changes),
                *("--json", str(answer)),
            ]
        )
    return int(ended.value.code or 0)


def test_a_student_is_made_and_kept_and_does_what_its_teacher_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One loop: first its comparison fails, then the same command makes what is missing."""
    save(lennard_jones(), tmp_path / "teacher.ladera")
    write(tmp_path / "argon.xyz", bulk("Ar", a=5.25, cubic=True), format="extxyz")
    with monkeypatch.context() as restless:
        restless.setattr("ladera.properties.agreement._LIMITS", (1e-12, 1))
        unrest = distill(tmp_path).agreement
        assert "teacher.ladera does not relax the structure to 1e-12" in unrest.not_compared
        assert unrest.speedup > 0
        before = times_of(tmp_path / "out")
        restless.setattr("ladera.cli.active.report", lambda *_: [])  # once is enough
        assert command(tmp_path, tmp_path / "unrest.json") == 1
    said = capsys.readouterr()
    assert "The student is" in said.out
    assert "Error: The student is done, but not all of the comparison. Neither" in said.err
    answer = json.loads((tmp_path / "unrest.json").read_text())
    assert answer["files"][0].endswith("model.ladera")
    assert answer["agreement"]["fields"]["distance"]["value"] is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert "does not relax the structure to 1e-12" in page

    monkeypatch.setattr("ladera.cli.active.report", lambda *_: [])
    assert command(tmp_path, tmp_path / "answer.json") == 0
    said = capsys.readouterr()
    assert "times faster than its teacher and" in said.out
    assert "from it in forces (mean absolute, on 4 structures that it has not seen)" in said.out
    assert before == times_of(tmp_path / "out")  # the loop computed nothing again
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Teacher and student" in page
    assert "does not relax the structure" not in page
    distilled = distill(tmp_path)
    found = distilled.agreement
    answer = json.loads((tmp_path / "answer.json").read_text())
    compared = answer["agreement"]["fields"]["microseconds"]["value"]
    assert compared == pytest.approx(found.microseconds.tolist())
    assert len(answer["rounds"]) == 2
    assert found.deviation < 0.1 * found.teacher_frequencies.max()
    assert found.volumes[1] == pytest.approx(found.volumes[0], rel=0.02)
    assert found.atoms == 32  # the cell was repeated, so that atoms can move
    judged = distilled.run.rounds[1].judged
    assert judged is not None
    assert judged.forces is not None
    assert judged.forces < 0.005


def times_of(folder: Path) -> dict[Path, int]:
    """When the labels of a loop were written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("round_*/*.extxyz")}


def test_what_memory_is_too_short_for_is_told_and_the_rest_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(*_: object) -> None:
        raise TooLargeError("The Hessian of 4 atoms needs 9 TB.")

    monkeypatch.setattr("ladera.properties.displacements.require_memory", too_large)
    atoms = bulk("Ar", a=5.25, cubic=True)
    found = agreement(atoms, lennard_jones(), lennard_jones(), names=("one", "other"))
    assert found.not_compared == "Modes were not compared: The Hessian of 4 atoms needs 9 TB."
    assert found.volumes[0] == found.volumes[1]
    assert np.isnan(found.deviation)
    found.save(tmp_path)
    again = load(tmp_path)
    assert isinstance(again, Agreement)
    assert (again.not_compared, len(again.student_frequencies)) == (found.not_compared, 0)
    assert "not compared" in str(again.table().rows)
    assert found.not_compared in again.table().foot


def test_a_model_agrees_with_itself() -> None:
    atoms = bulk("Ar", a=5.25, cubic=True)
    same = agreement(atoms, lennard_jones(), lennard_jones(), names=("one", "other"))
    assert same.deviation == 0
    assert same.distance == 0
    assert same.volumes[0] == same.volumes[1]
    assert len(same.teacher_frequencies) == 3 * len(atoms) - 3
    assert (same.teacher_frequencies > 1).all()
    # Frequencies go with the root of epsilon, and the structure stays.
    stiff = agreement(atoms, lennard_jones(), lennard_jones(4 * EPSILON), names=("soft", "stiff"))
    ratio = stiff.student_frequencies / stiff.teacher_frequencies
    assert ratio == pytest.approx(np.full(len(ratio), 2.0), rel=1e-3)


def test_a_molecule_is_turned_upon_the_other() -> None:
    cluster = Atoms("Ar3", [[0, 0, 0], [3.8, 0, 0], [1.9, 3.3, 0]])
    found = agreement(cluster, lennard_jones(), lennard_jones(2 * EPSILON), names=("a", "b"))
    assert len(found.teacher_frequencies) == 3
    assert found.distance < 0.01  # of two relaxations, not of how they lie
    assert np.isnan(found.volumes).all()
    assert "volume" not in str(found.table())


def test_slabs_are_compared_in_the_cell_that_they_have() -> None:
    """Periodic along two directions: no volume, and the third cell vector may be left out."""
    slab = fcc100("Ar", (2, 2, 2), a=5.25)
    assert not slab.cell[2].any()
    soft, stiff = lennard_jones(), lennard_jones(4 * EPSILON)
    found = agreement(slab, soft, stiff, names=("soft", "stiff"))
    assert len(found.teacher_frequencies) == 3 * len(slab) - 3
    assert found.teacher_frequencies.min() > 1
    ratio = found.student_frequencies / found.teacher_frequencies
    assert ratio == pytest.approx(np.full(len(ratio), 2.0), rel=1e-3)
    assert np.isnan(found.volumes).all()
    assert found.distance < 0.01


def test_a_slab_is_repeated_within_its_plane(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"explore\.tme"):
        ladera.distill("x", fcc100("Ar", (2, 2, 2), a=5.25), tmp_path, changes=["explore.tme=1"])
    atoms = read(tmp_path / "structure.extxyz")
    assert (len(atoms), atoms.cell.lengths()[:2].min() > 9) == (32, True)


@pytest.mark.parametrize(
    "atoms", [Atoms("Ar"), Atoms("Ar2", [[0, 0, 0], [0, 0, 3.8]], cell=[9, 9, 9], pbc=[1, 0, 0])]
)
def test_what_cannot_be_compared(atoms: Atoms, tmp_path: Path) -> None:
    with pytest.raises(PropertyError, match="compared on molecules, slabs and crystals"):
        agreement(atoms, lennard_jones(), lennard_jones(), names=("a", "b"))
    # It is said before a loop of hours, and not behind it.
    with pytest.raises(PropertyError, match="compared on molecules, slabs and crystals"):
        ladera.distill("teacher.ladera", atoms, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no student 'mtpp'; did you mean 'mtp'"):
        ladera.distill("teacher.ladera", molecule("H2O"), tmp_path, student="mtpp")
    with pytest.raises(ConfigError, match=r"'explore\.tme' is no key .* 'time'"):
        ladera.distill("x.ladera", molecule("H2O"), tmp_path, changes=["explore.tme=1"])
