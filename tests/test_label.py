"""Labelling: nothing lost, nothing computed twice, and a sentence for what went wrong."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

import ladera
from label_engines import Here, frames
from ladera import cli
from ladera.errors import ConfigError, DataError, LabellingError
from ladera.labelling import journal
from ladera.labelling.cost import estimate
from ladera.lock import locked
from ladera.structure import StructureWarning

TESTS = Path(__file__).parent


def springs(folder: Path, retry: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """Settings of a calculator that notes each frame that it computes."""
    options = {"notes": str(folder / "notes"), **options}
    more = {} if retry is None else {"retry": {"options": options | retry}}
    return {
        "engine": "calculator",
        "calculator": "label_engines:Springs",
        "options": options,
        **more,
    }


def computed(folder: Path) -> Counter[int]:
    """How often each frame was computed."""
    text = (folder / "notes").read_text() if (folder / "notes").exists() else ""
    return Counter(int(line.split()[0]) for line in text.splitlines())


def numbers(path: Path) -> list[int]:
    """Which frames a data file has, in their order."""
    return [round(frame.positions[0, 0]) for frame in ladera.read(path)]


def run(folder: Path, settings: dict[str, Any], count: int = 6, **more: Any) -> ladera.LabelRun:
    return ladera.label(
        frames(count), settings, folder / "data.extxyz", **{"executor": Here()} | more
    )


def test_frames_are_labelled_once(tmp_path: Path) -> None:
    settings = springs(tmp_path)
    done = run(tmp_path, settings, 4)
    assert (done.labelled, done.before, len(done.failed)) == (4, 0, 0)
    data = ladera.read(done.path)
    assert len(data) == 4
    for frame, atoms in zip(data, frames(4), strict=True):
        assert np.array_equal(frame.positions, atoms.positions)
        assert np.array_equal(frame.forces, -atoms.positions)
        assert frame.energy == (atoms.positions**2).sum() / 2
        assert frame.dipole == pytest.approx(atoms.positions.sum(axis=0))
    info = ase.io.read(done.path, 2).info
    assert info["engine"].endswith(" label_engines:Springs")
    assert info["converged"] == 1
    assert info["wall_s"] >= 0
    before = done.path.read_bytes()
    again = run(tmp_path, settings, 6)  # two more
    assert (again.labelled, again.before) == (2, 4)
    assert again.path.read_bytes().startswith(before)
    assert computed(tmp_path) == dict.fromkeys(range(6), 1)
    assert run(tmp_path, settings, 6).labelled == 0
    assert sorted(p.name for p in (tmp_path / "data.extxyz.label").iterdir()) == ["journal.jsonl"]


def test_the_same_frame_twice_is_labelled_once(tmp_path: Path) -> None:
    twice = [*frames(2), *frames(2)]
    done = ladera.label(twice, springs(tmp_path), tmp_path / "data.extxyz", executor=Here())
    assert (done.labelled, done.repeated) == (2, 2)


def test_what_fails_is_set_aside_with_its_log(tmp_path: Path) -> None:
    settings = springs(tmp_path, bad=[1, 4])
    done = run(tmp_path, settings)
    assert done.labelled == 4
    assert [each.reason for each in done.failed] == [
        "RuntimeError: no basis for frame 1.",
        "RuntimeError: no basis for frame 4.",
    ]
    assert "Failed: RuntimeError: no basis for frame 1" in Path(done.failed[0].log).read_text()
    aside = ase.io.read(tmp_path / "data.extxyz.label/failed.extxyz", ":")
    assert [round(each.positions[0, 0]) for each in aside] == [1, 4]
    assert "no basis" in aside[0].info["failed_because"]
    run(tmp_path, settings)  # nothing is left to do
    assert computed(tmp_path) == dict.fromkeys(range(6), 1)
    again = run(tmp_path, settings, again=True)
    assert computed(tmp_path)[1] == 2
    assert len(again.failed) == 2
    assert numbers(done.path) == [0, 2, 3, 5]


def test_no_number_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, springs(tmp_path, nan=[2], unsure=[3]))
    assert [each.reason for each in done.failed] == [
        "the force of atom 1 is not a finite number.",
        "the calculator says that it has not converged.",
    ]
    assert numbers(done.path) == [0, 1, 4, 5]


def test_every_third_frame_fails_and_a_second_attempt_saves_it(tmp_path: Path) -> None:
    settings = springs(tmp_path, bad=[0, 3, 6], retry={"bad": [6]})
    done = run(tmp_path, settings, 9)
    assert numbers(done.path) == [0, 1, 2, 3, 4, 5, 7, 8]  # in their order at the end
    assert done.failed[0].reason.endswith("(The second attempt.)")
    assert "The first attempt failed" in Path(done.failed[0].log).read_text()
    info = [each.info for each in ase.io.read(done.path, ":")]
    assert [each.get("attempt", 1) for each in info] == [2, 1, 1, 2, 1, 1, 1, 1]
    assert info[0]["settings"] != info[1]["settings"]


def test_too_many_failures_stop_it_and_say_why(tmp_path: Path) -> None:
    settings = springs(tmp_path, bad=[2, 5, 8, 11, 14])
    with pytest.raises(LabellingError) as error:
        run(tmp_path, settings, 30)
    said = str(error.value)
    assert "4 of 30 frames failed, more than the 3 that may (--max-failed)" in said
    assert "Frame 2 (): RuntimeError: no basis for frame 2; its log is" in said
    assert "8 labelled frames are in" in said
    assert len(computed(tmp_path)) == 12
    with pytest.raises(LabellingError, match="4 of 30"):
        run(tmp_path, settings, 30)
    assert len(computed(tmp_path)) == 12  # it did not go on
    assert run(tmp_path, settings, 30, max_failed=0.5).labelled == 17
    assert max(computed(tmp_path).values()) == 1
    with pytest.raises(LabellingError, match="1 of 6 frames failed, more than the 0 that may"):
        run(tmp_path / "other", springs(tmp_path, bad=[0]), max_failed=0.0)


def test_an_engine_that_never_works_stops_soon(tmp_path: Path) -> None:
    with pytest.raises(LabellingError, match="5 of 90 frames failed, and none could be labelled"):
        run(tmp_path, springs(tmp_path, bad=[*range(90)]), 90)


def test_a_frame_that_hangs_or_dies_is_given_up(tmp_path: Path) -> None:
    began = time.monotonic()
    settings = springs(tmp_path, hang=[1], die=[3]) | {"time_limit": 2.0}
    done = run(tmp_path, settings, 5, executor=None, processes=2)
    assert time.monotonic() - began < 500  # it would hang for 600
    assert numbers(done.path) == [0, 2, 4]
    reasons = {each.frame: each.reason for each in done.failed}
    assert reasons[1] == "it took longer than the time limit of 2 s."
    assert reasons[3].startswith("its process ended with the exit code -9")
    left = [path.name for path in (tmp_path / "data.extxyz.label").iterdir()]
    assert "running.lock" not in left


# --- killed ---------------------------------------------------------------------------------------


def _begin(folder: Path, processes: int = 1) -> subprocess.Popen[bytes]:
    words = f"label frames.extxyz --engine engine.yaml --output data.extxyz --processes {processes}"
    return subprocess.Popen(
        [sys.executable, "-m", "ladera", *words.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _wait_for(folder: Path, count: int) -> None:
    end = time.monotonic() + 300
    while sum(computed(folder).values()) < count and time.monotonic() < end:
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_at_random_it_computes_no_finished_frame_twice(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "frames.extxyz", frames(12))
    (tmp_path / "engine.yaml").write_text(json.dumps(springs(tmp_path, pause=0.15)))
    chance = random.Random(7)
    kills = 2
    for k in range(kills):
        process = _begin(tmp_path)
        _wait_for(tmp_path, 3 * (k + 1) + k)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = _begin(tmp_path, processes=2)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert numbers(tmp_path / "data.extxyz") == list(range(12))
    twice = [number for number, count in computed(tmp_path).items() if count > 1]
    assert len(twice) <= kills  # those that were being computed
    whole = ladera.label(
        tmp_path / "frames.extxyz",
        springs(tmp_path, pause=0.0),
        tmp_path / "whole.extxyz",
        executor=Here(),
    )
    for one, other in zip(
        ladera.read(tmp_path / "data.extxyz"), ladera.read(whole.path), strict=True
    ):
        assert one.energy == other.energy
        assert np.array_equal(one.forces, other.forces)


def test_ctrl_c_leaves_what_is_labelled(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "frames.extxyz", frames(5))
    (tmp_path / "engine.yaml").write_text(json.dumps(springs(tmp_path, hang=[3])))
    process = _begin(tmp_path)
    _wait_for(tmp_path, 4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert b"what is labelled is safe; the same command goes on" in said
    assert numbers(tmp_path / "data.extxyz") == [0, 1, 2]
    assert not (tmp_path / "data.extxyz.label/running.lock").exists()


@pytest.mark.parametrize("cut", [1, 40, 100000])
def test_a_data_file_that_was_cut_short_is_mended(tmp_path: Path, cut: int) -> None:
    settings = springs(tmp_path)
    whole = run(tmp_path, settings, 3).path.read_bytes()
    folder = tmp_path / "data.extxyz.label"
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    # Killed after the third frame was noted, and before it was in the file; with half a line.
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]) + b'{"kind":"fra')
    (tmp_path / "data.extxyz").write_bytes(whole[: max(0, len(whole) - cut)])
    done = run(tmp_path, settings, 3)
    assert (done.labelled, done.before) == (0, 3)
    assert done.path.read_bytes() == whole
    assert max(computed(tmp_path).values()) == 1


def test_a_data_file_that_was_changed_is_not_touched(tmp_path: Path) -> None:
    settings = springs(tmp_path)
    path = run(tmp_path, settings, 3).path
    folder = tmp_path / "data.extxyz.label"
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    path.write_bytes(changed := path.read_bytes().replace(b"engine=", b"motor=", 1))
    with pytest.raises(DataError, match=r"data\.extxyz has something else at byte 0"):
        run(tmp_path, settings, 3)
    assert path.read_bytes() == changed
    path.unlink()
    assert numbers(run(tmp_path, settings, 3).path) == [0, 1, 2]  # the journal has it all
    (folder / "journal.jsonl").write_bytes(lines[0] + b"nonsense\n" + lines[1])
    with pytest.raises(DataError, match=r"journal\.jsonl, line 2: it is no line of a journal"):
        run(tmp_path, settings, 3)


def test_a_data_file_of_somebody_else_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "data.extxyz"
    ladera.label(frames(1), "tblite", path, executor=Here())
    (tmp_path / "data.extxyz.label").rename(tmp_path / "of somebody else")
    before = path.read_bytes()
    assert run(tmp_path, springs(tmp_path), 2).labelled == 2
    assert path.read_bytes().startswith(before)


def test_a_full_disk_is_a_sentence_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, count = journal._append, [0]

    def full(path: Path, content: bytes) -> None:
        count[0] += 1
        if count[0] == 6:  # session, 2 frames, each in the journal and in the file
            with path.open("ab") as file:
                file.write(content[:20])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        append(path, content)

    monkeypatch.setattr(journal, "_append", full)
    with pytest.raises(OSError, match=r"No space left on device.*journal\.jsonl"):
        run(tmp_path, springs(tmp_path), 4)
    monkeypatch.undo()
    done = run(tmp_path, springs(tmp_path), 4)
    assert numbers(done.path) == [0, 1, 2, 3]
    assert done.before == 2
    assert computed(tmp_path)[2] == 2  # its label found no room
    assert sum(computed(tmp_path).values()) == 5


def test_a_full_disk_on_the_command_line(tmp_path: Path) -> None:
    ase.io.write(tmp_path / "frames.extxyz", frames(2))
    words = "label frames.extxyz --engine label_engines:Springs --output data.extxyz"
    limited = f"ulimit -f 1; exec {sys.executable} -m ladera {words} 2>&1 | cat"
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert "File too large (data.extxyz.label/" in done.stdout
    assert "Traceback" not in done.stdout


def test_one_at_a_time(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "data.extxyz.label"),
        pytest.raises(ConfigError, match=r"data\.extxyz\.label is in use by process"),
    ):
        run(tmp_path, springs(tmp_path))


# --- what is refused, free atoms, the command -----------------------------------------------------


def test_one_file_has_one_level_of_theory(tmp_path: Path) -> None:
    run(tmp_path, springs(tmp_path), 2)
    with pytest.raises(ConfigError, match=r"holds labels of label_engines:Springs, and these wou"):
        run(tmp_path, {"engine": "tblite"}, 2)
    with pytest.warns(UserWarning, match="with other settings"):
        assert run(tmp_path, springs(tmp_path, pause=0.001), 2).labelled == 2


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"output": "data.h5"}, "data.h5 cannot be appended to frame by frame"),
        ({"output": "data.extxyz.gz"}, "cannot be appended to"),
        ({"processes": 0}, "processes is 0; it must be at least 1"),
        ({"time_limit": 0.0}, "time_limit is 0; it must be above zero"),
        ({"max_failed": 2.0}, "max_failed is 2; it is a share"),
        ({"frames": []}, "Structures are a data set, files, frames or ase.Atoms"),
        ({"frames": [Atoms("OH", [[0, 0, 0], [0, 0, 1]])]}, "Frame 0 () (HO, charge +0) has 9 ele"),
    ],
)
def test_bad_inputs_are_one_sentence_and_write_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"frames": frames(1), "engine": "tblite", "output": "data.extxyz"} | more
    with pytest.raises(ladera.LaderaError) as error:
        ladera.label(**given)
    assert says in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_free_atoms_are_labelled_in_their_ground_states(tmp_path: Path) -> None:
    path = tmp_path / "data.extxyz"
    settings = {"engine": "tblite", "charge": 1, "multiplicity": 2, "spin_polarization": True}
    done = ladera.label([molecule("H2O")], settings, path, atoms=True, executor=Here())
    assert done.labelled == 3
    found = ase.io.read(path, ":")
    assert [each.get_chemical_formula() for each in found] == ["H", "O", "H2O"]
    assert [each.info["multiplicity"] for each in found] == [2, 3, 2]
    assert [each.info.get("total_charge", 0) for each in found] == [0, 0, 1]
    assert found[0].info["config_type"] == "IsolatedAtom"
    again = ladera.label([molecule("H2O")], settings, path, atoms=True, executor=Here())
    assert (again.labelled, again.before) == (0, 3)


def test_spins_of_atoms_at_hand_are_settings(tmp_path: Path) -> None:
    atoms = molecule("O2")
    assert atoms.get_initial_magnetic_moments().any()
    with pytest.warns(StructureWarning, match=r"initial magnetic moments.* multiplicity"):
        ladera.label([atoms], "tblite", tmp_path / "data.extxyz", executor=Here())


def test_a_dry_run_writes_nothing_and_says_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = springs(tmp_path, pause=0.05)
    found = estimate(frames(10), settings, tmp_path / "data.extxyz", processes=2, runner=Here())
    assert (found.frames, found.before) == (10, 0)
    assert 0.2 < found.seconds < 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    ase.io.write(tmp_path / "frames.extxyz", frames(2))
    words = ["label", str(tmp_path / "frames.extxyz"), "--engine", "tblite", "--dry-run"]
    with pytest.raises(SystemExit) as code:
        cli.main([*words, "--output", str(tmp_path / "data.extxyz")])
    assert code.value.code == 0
    said = capsys.readouterr().out
    assert "2 frames are to be labelled. Nothing was written." in said
    assert "Tried: H2O" in said
    assert not (tmp_path / "data.extxyz.label").exists()


def test_aimd_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    molecule("H2O").write(tmp_path / "water.xyz")
    words = ["md", str(tmp_path / "water.xyz"), "--engine", "tblite", "--output"]

    def md(name: str, *more: str) -> int:
        with pytest.raises(SystemExit) as code:
            cli.main([*words, str(tmp_path / name), "--trajectory-interval", "1", *more])
        return int(code.value.code)

    assert md("whole", "--steps", "6") == 0
    assert md("parts", "--steps", "3") == 0
    assert md("parts", "--steps", "6", "--resume") == 0
    whole, parts = (ladera.read(tmp_path / name / "trajectory.traj") for name in ("whole", "parts"))
    assert len(whole) == 7
    assert all(np.array_equal(a.forces, b.forces) for a, b in zip(whole, parts, strict=True))
    assert whole.has("dipole").all()
    record = json.loads((tmp_path / "whole/settings.json").read_text())
    assert record["model"]["config"]["options"]["method"] == "GFN2-xTB"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(["md", "ethanol-mace", *words[1:], str(tmp_path / "no"), "--steps", "2"])
    assert "stands in the place of a model, and ethanol-mace is a model" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["md", "--engine", "tblite", "--steps", "2"])
    assert "ladera md needs STRUCTURE" in capsys.readouterr().err


def _ions() -> dict[str, tuple[Atoms, float | None]]:
    """Molecules, and the charges that they say in one way or another."""
    found: dict[str, tuple[Atoms, float | None]] = {"plain": (molecule("H2O"), None)}
    for key in ("charge", "total_charge"):
        atoms = molecule("H2O")
        atoms.info[key] = 2
        found[key] = atoms, 2.0
    atoms = molecule("H2O")
    atoms.set_initial_charges([1.0, 0.5, 0.5001])
    found["initial_charges"] = atoms, 2.0
    return found


@pytest.mark.parametrize("ending", ["extxyz", "traj"])
def test_the_charge_of_a_file_is_not_lost(tmp_path: Path, ending: str) -> None:
    for name, (atoms, charge) in _ions().items():
        ase.io.write(tmp_path / f"{name}.{ending}", atoms)
        path = tmp_path / f"of_{name}.extxyz"
        ladera.label(tmp_path / f"{name}.{ending}", "tblite", path, executor=Here())
        frame = ladera.read(path)[0]
        assert frame.total_charge == charge, name
        assert frame.charges.sum() == pytest.approx(charge or 0.0, abs=1e-8)


def test_the_spin_of_a_file_is_named(tmp_path: Path) -> None:
    atoms = molecule("O2")
    atoms.set_initial_magnetic_moments(None)
    atoms.info["multiplicity"] = 3
    ase.io.write(tmp_path / "o2.extxyz", atoms)
    with pytest.warns(UserWarning, match="frame 0 has multiplicity, which was not read"):
        ladera.label(tmp_path / "o2.extxyz", "tblite", tmp_path / "data.extxyz", executor=Here())


def test_a_model_labels_radicals_too(tmp_path: Path) -> None:
    atoms = molecule("CH3")
    with pytest.warns(StructureWarning, match="computed without"):
        ladera.label(atoms, "ethanol-mace", tmp_path / "warned.extxyz", executor=Here())
    settings = {"engine": "tblite", "multiplicity": "lowest"}  # as the moments of ASE say
    assert ladera.label(atoms, settings, tmp_path / "xtb.extxyz", executor=Here()).labelled == 1
    atoms.set_initial_magnetic_moments(None)
    found = ladera.label(atoms, "ethanol-mace", tmp_path / "data.extxyz", executor=Here())
    assert found.labelled == 1
    info = ase.io.read(found.path).info
    assert info["engine"].endswith(" ethanol-mace")


def test_free_atoms_set_the_reference_of_a_training(tmp_path: Path) -> None:
    from ladera.data.reference_energies import from_isolated_atoms

    path = tmp_path / "data.extxyz"
    ladera.label(molecule("H2O"), "tblite", path, atoms=True, executor=Here())
    energies = from_isolated_atoms(ladera.read(path))
    assert energies == pytest.approx({"H": -10.7072, "O": -102.52}, abs=0.5)


def test_a_dry_run_does_not_touch_the_journal_of_a_run_in_progress(tmp_path: Path) -> None:
    settings = springs(tmp_path)
    run(tmp_path, settings, 2)
    path = tmp_path / "data.extxyz.label/journal.jsonl"
    with path.open("ab") as file:
        file.write(b'{"kind":"frame"')  # being written
    before = path.read_bytes()
    assert estimate(frames(3), settings, tmp_path / "data.extxyz", runner=Here()).before == 2
    assert path.read_bytes() == before
