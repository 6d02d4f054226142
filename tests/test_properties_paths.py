"""Paths of atoms through cells of every kind, and the clocks of the files that hold them.

Walks are made in the open, where they are known, and written as programs write them: folded, in
skewed, left-handed, breathing and flipping cells, in dumps with gaps and repeats.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import wrap_positions
from ase.io import write
from ase.io.trajectory import Trajectory as TrajectoryFile

from cases import case
from ladera.cli import main
from ladera.errors import DataError, PropertyError
from ladera.properties import result
from ladera.properties.diffusion import diffusion
from ladera.properties.frames import TrajectoryWarning, read_frames
from ladera.properties.trajectory import Trajectory, read_trajectory
from ladera.properties.unfolding import unfold

INTERVAL = 200.0  # fs
NUMBERS = [3] * 6 + [16] * 2
SKEWED = np.array([[7.0, 0, 0], [2.5, 8.0, 0], [1.0, -2.0, 9.0]])


def walk(seed: int = 0, n_frames: int = 150, step: float = 0.4) -> np.ndarray:
    """Six lithium atoms that walk, far away from where they began, and two sulfur atoms at rest."""
    rng = np.random.default_rng(seed)
    paths = np.zeros((n_frames, 8, 3)) + rng.random((1, 8, 3)) * 7
    paths[1:, :6] += np.cumsum(rng.normal(0, step, (n_frames - 1, 6, 3)), axis=0)
    return paths


def direct(paths: np.ndarray) -> np.ndarray:
    """D along x, y and z by the definition: a line through the MSD of all origins, 1 to 5 ps."""
    lithium = paths[:, :6] - paths[:, 6:].mean(axis=1, keepdims=True)
    lags = np.arange(5, 26)
    msd = [((lithium[lag:] - lithium[:-lag]) ** 2).mean(axis=(0, 1)) for lag in lags]
    return 0.1 * np.polyfit(lags * INTERVAL, msd, 1)[0] / 2


def turned(cell: np.ndarray, *, rows: np.ndarray | list[list[int]]) -> np.ndarray:
    return np.array(rows) @ cell


DESCRIPTIONS = {
    "as it is": SKEWED,
    "left-handed": SKEWED[[1, 0, 2]],
    "skewed": turned(SKEWED, rows=[[1, 0, 0], [3, 1, 0], [-2, 2, 1]]),
}


@pytest.mark.parametrize("open_directions", [(), (2,), (0,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_folded_atoms_are_where_they_would_be_unfolded(name, open_directions):
    """Crystals, films, wires and clusters; each direction folded where it is periodic."""
    cell = DESCRIPTIONS[name].copy()
    if name == "skewed" and open_directions:  # of what is periodic, or it is another lattice
        cell = SKEWED.copy()
        closed = [axis for axis in range(3) if axis not in open_directions]
        cell[closed[-1:]] += 3 * cell[closed[:1]] if len(closed) > 1 else 0
    cell[list(open_directions)] = 0
    paths = walk()
    periodic = cell.any(axis=1)
    folded = np.array([wrap_positions(p, cell, pbc=periodic) for p in paths])
    found = Trajectory.from_positions(NUMBERS, folded, cell, INTERVAL)
    assert found.wrapped == periodic.any()
    moved = found.positions - found.positions[0]
    assert moved == pytest.approx(paths - paths[0], abs=1e-9)
    components = diffusion(found, "Li", window=(1, 5)).components
    assert components == pytest.approx(direct(paths), rel=1e-6)


def test_a_film_of_two_atoms_that_glide():
    """0.1 Angstrom a frame: MSD = (v t)^2, whose line from 1 to 20 ps has the slope below."""
    trajectory = read_trajectory(case("physics", "film_walk.extxyz"), interval=100.0)
    found = diffusion(trajectory, "Li", window=(1, 20))
    times = np.arange(10, 201) * 100.0
    assert found.components[0] == pytest.approx(
        0.05 * np.polyfit(times, (times * 1e-3) ** 2, 1)[0], rel=1e-9
    )
    assert found.exponent == pytest.approx(2)
    rows = {row[0]: row[1:] for row in found.table().rows}
    assert rows["atoms folded into the cell"][0] == "yes, followed"
    # Nothing diffuses, so there is no walk whose scatter an error could be.
    assert np.isnan(found.coefficient_error)
    assert "FLYING" in rows["MSD grows as time to the power"][1]


def breathing(n_frames: int) -> np.ndarray:
    scale = 1 + 0.005 * np.random.default_rng(1).normal(size=n_frames)
    return scale[:, None, None] * SKEWED


@pytest.mark.parametrize("whole", [False, True])
def test_atoms_at_rest_in_a_cell_that_breathes_do_not_diffuse(whole):
    """On a face, seen on one side or the other; or unwrapped, ten cells away."""
    cells = breathing(300)
    rng = np.random.default_rng(2)
    places = np.zeros((300, 8, 3)) + rng.random((1, 8, 3))
    places[:, :4, 0] = 1e-9 * rng.choice([-1, 1], (300, 4))
    places = places + 10 if whole else places % 1
    found = Trajectory.from_positions(NUMBERS, places @ cells, cells, INTERVAL)
    assert diffusion(found, "Li").coefficient == pytest.approx(0, abs=1e-14)


def test_a_walk_in_a_cell_that_breathes_is_the_walk_alone():
    """The flow of the cell carries all atoms along; folded or not, what is left is the walk."""
    cells = breathing(150)
    scaled = walk() @ np.linalg.inv(SKEWED)
    apart = [
        Trajectory.from_positions(NUMBERS, (scaled - turns) @ cells, cells, INTERVAL)
        for turns in (0, np.floor(scaled))
    ]
    for found in apart:
        components = diffusion(found, "Li", window=(1, 5)).components
        assert components == pytest.approx(direct(walk()), rel=1e-2)
    assert apart[0].positions - apart[0].positions[0] == pytest.approx(
        apart[1].positions - apart[1].positions[0]
    )


def test_a_box_that_flips_is_the_same_lattice():
    """As LAMMPS does when a box leans too far: b becomes b - a. Three atoms rest, one walks."""
    leaning = np.linspace(0, 1, 100)
    cells = np.array([[[8, 0, 0], [4.4 * x - 8 * (x > 0.5), 8, 0], [0, 0, 8]] for x in leaning])
    places = np.random.default_rng(3).random((1, 8, 3))
    unflipped = cells.copy()
    unflipped[:, 1, 0] = 4.4 * leaning
    positions = places @ unflipped
    folded = np.array([wrap_positions(p, c) for p, c in zip(positions, cells, strict=True)])
    found, in_one_basis, _ = unfold(folded, cells)
    assert in_one_basis == pytest.approx(unflipped)
    assert found == pytest.approx(np.broadcast_to(found[:1], found.shape), abs=1e-9)
    with pytest.raises(DataError, match=r"frame 50, .*no continuation"):
        unfold(positions, np.where(np.arange(100)[:, None, None] < 50, cells, 2 * cells))


def test_steps_of_half_a_cell_are_named_along_what_is_folded_only():
    paths = walk(step=0.3)
    paths[:, :6, 2] += 7.0 * np.arange(150)[:, None]  # fast, in the open direction
    cell = np.diag([9.0, 9, 0])
    folded = np.array([wrap_positions(p, cell, pbc=(1, 1, 0)) for p in paths])
    found = Trajectory.from_positions(NUMBERS, folded, cell, INTERVAL)
    assert found.positions - found.positions[0] == pytest.approx(paths - paths[0])
    with pytest.raises(DataError, match=r"cannot be unwrapped.*cell 9.00 Angstrom high"):
        Trajectory.from_positions(NUMBERS, walk(step=2.0) % 9.0, np.diag([9.0, 9, 0]), INTERVAL)


def test_frames_of_other_directions_are_named(tmp_path):
    frames = [Atoms("LiS", [[0, 0, k], [1, 1, 1]], cell=[9] * 3, pbc=True) for k in range(4)]
    frames[0].set_cell(None)
    frames[0].pbc = False
    write(tmp_path / "run.extxyz", frames)
    with pytest.raises(DataError, match=r"run.extxyz: Frame 1 is periodic .*frame 0"):
        read_trajectory(tmp_path / "run.extxyz", interval=1.0)
    for atoms in frames:
        atoms.set_cell([9, 9, 0])
        atoms.pbc = True
    write(tmp_path / "run.traj", frames)
    with pytest.raises(DataError, match=r"frame 0 is periodic .* no lattice vector c"):
        read_trajectory(tmp_path / "run.traj", interval=1.0)


# --- dumps -------------------------------------------------------------------------------------


def dump(
    path: Path,
    paths: np.ndarray,
    steps: list[int] | np.ndarray,
    columns: str = "xu yu zu",
    flags: str = "pp pp pp",
    header: str = "",
) -> Path:
    """As LAMMPS writes one: atoms in any order, the corner of a breathing box not at zero."""
    rng = np.random.default_rng(0)
    lines = []
    for step, positions in zip(steps, paths, strict=True):
        low, high = -1.0 - 0.01 * rng.random(), 8.0 + 0.01 * rng.random()
        scaled = positions / 9.0
        images = np.floor(scaled) * np.array(["p" in flag for flag in flags.split()])
        kinds = {"xu": scaled, "xs": scaled - images, "x": scaled - images, "xsu": scaled}
        chosen = kinds[columns.split()[0]]
        if columns.split()[0] in ("x", "xu"):
            chosen = low + chosen * (high - low)
        lines += [f"{header}ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n8"]
        lines += [f"ITEM: BOX BOUNDS {flags}", *[f"{low:.15g} {high:.15g}"] * 3]
        lines += [f"ITEM: ATOMS id type {columns}"]
        for atom in rng.permutation(8):
            words = [atom + 1, 1 if atom < 6 else 2, *map(repr, chosen[atom].tolist())]
            words += list(images[atom].astype(int)) if "ix" in columns else []
            lines.append(" ".join(map(str, words)))
    path.write_text("\n".join(lines) + "\n")
    return path


def read_dump(path: Path, **options) -> Trajectory:
    return read_trajectory(path, types=["Li", "S"], interval=options.pop("interval", INTERVAL))


@pytest.mark.parametrize("flags", ["pp pp pp", "pp pp ff"])
@pytest.mark.parametrize(
    "columns",
    ["x y z", "xs ys zs", "xu yu zu", "xsu ysu zsu", "x y z ix iy iz", "xs ys zs ix iy iz"],
)
def test_every_kind_of_position_of_a_dump_is_the_same_walk(tmp_path, columns, flags):
    paths = walk(step=0.3)
    found = read_dump(dump(tmp_path / "run.lammpstrj", paths, range(150), columns, flags))
    components = diffusion(found, "Li", window=(1, 5)).components
    assert components == pytest.approx(direct(paths), rel=2e-2)
    assert found.numbers.tolist() == NUMBERS


def test_a_dump_with_image_flags_needs_no_short_steps(tmp_path):
    """MDAnalysis #5138: flags that are not read leave an MSD that stops at the cell."""
    paths = walk(step=4.0)
    with pytest.raises(DataError, match="cannot be unwrapped"):
        read_dump(dump(tmp_path / "run.dump", paths, range(150), "x y z"))
    found = read_dump(dump(tmp_path / "run.dump", paths, range(150), "x y z ix iy iz"))
    components = diffusion(found, "Li", window=(1, 5)).components
    assert components == pytest.approx(direct(paths), rel=1e-2)


def test_a_gap_in_a_dump_is_left_out_and_said(tmp_path):
    paths = walk(step=0.3, n_frames=300)
    steps = np.delete(np.arange(300) * 50, np.s_[100:140])
    path = dump(tmp_path / "run.lammpstrj", np.delete(paths, np.s_[100:140], axis=0), steps)
    with pytest.warns(TrajectoryWarning, match="of 260 frames the 160 from timestep 7000 to 14950"):
        found = read_dump(path)
    components = diffusion(found, "Li", window=(1, 5)).components
    assert components == pytest.approx(direct(paths[140:]), rel=1e-2)


def test_the_dump_with_a_gap_of_the_cases():
    path = case("physics", "dump_gap.lammpstrj")
    with pytest.warns(TrajectoryWarning, match="between timestep 7900 and 16000"):
        trajectory = read_trajectory(path, types=["Li", "S"], interval=100.0, temperature=600.0)
    assert trajectory.n_frames == 161
    found = diffusion(trajectory, "Li")
    # By the TIMESTEPs, over all that is there: pairs of frames that are so many steps apart.
    frames = read_frames(path, types=["Li", "S"])
    steps = np.array([atoms.info["timestep"] for atoms in frames])
    paths = np.array([atoms.positions for atoms in frames])
    moved = paths[:, :4] - paths[:, 4:].mean(axis=1, keepdims=True)
    lags, msd = np.arange(10, 21), []
    for lag in lags:
        _, later, first = np.intersect1d(steps, steps + 100 * lag, return_indices=True)
        msd.append(((moved[later] - moved[first]) ** 2).sum(axis=2).mean())
    expected = 0.1 * np.polyfit(lags * 100.0, msd, 1)[0] / 6
    assert abs(found.coefficient - expected) < 1.5 * found.coefficient_error
    assert found.coefficient == pytest.approx(expected, rel=0.25)


@pytest.mark.parametrize("ending", ["dump", "extxyz"])
def test_frames_written_again_after_a_restart_count_once(tmp_path, ending):
    """Each frame in three twice; then a run that goes back twenty frames and on from there."""
    paths = walk(step=0.3)
    again = np.sort(np.append(np.arange(150), np.arange(0, 150, 3)))
    back = np.append(np.arange(100), np.arange(80, 150))
    for order in (again, back):
        if ending == "dump":
            path = dump(tmp_path / "run.dump", paths[order], order * 10)
        else:
            path = tmp_path / "run.extxyz"
            write(path, [Atoms(NUMBERS, paths[k], info={"step": k}) for k in order])
        with pytest.warns(TrajectoryWarning, match="written again after a restart"):
            found = (
                read_dump(path) if ending == "dump" else read_trajectory(path, interval=INTERVAL)
            )
        assert found.n_frames == 150
        components = diffusion(found, "Li", window=(1, 5)).components
        assert components == pytest.approx(direct(paths), rel=1e-2)


def test_files_that_do_not_say_their_time_show_a_repeat_by_itself(tmp_path):
    paths = walk(step=0.3)
    again = np.sort(np.append(np.arange(150), np.arange(0, 150, 3)))
    write(tmp_path / "run.extxyz", [Atoms(NUMBERS, paths[k]) for k in again])
    with pytest.warns(TrajectoryWarning, match="50 of 200 frames"):
        assert read_trajectory(tmp_path / "run.extxyz", interval=INTERVAL).n_frames == 150
    # Ions that wait on the sites of a lattice may all wait: such frames are frames.
    hops = np.cumsum(np.random.default_rng(1).random((150, 8, 1)) < 0.05, axis=0) * [3.0, 0, 0]
    write(tmp_path / "hops.extxyz", [Atoms(NUMBERS, p) for p in hops])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_trajectory(tmp_path / "hops.extxyz", interval=INTERVAL).n_frames == 150


def test_what_is_no_even_trajectory_is_named(tmp_path):
    paths = walk(step=0.3)
    with pytest.raises(DataError, match=r"1 to 64 apart in timestep.*even intervals"):
        read_dump(dump(tmp_path / "a.dump", paths[:8], 2 ** np.arange(8)))  # MDAnalysis #5028
    with pytest.raises(DataError, match=r"frame 75 begins again at timestep 0.*several runs"):
        read_dump(dump(tmp_path / "b.dump", paths, np.append(np.arange(75), np.arange(75))))


def test_a_time_that_is_in_the_file_is_the_time(tmp_path):
    frames = [Atoms(NUMBERS, p, info={"time_ps": 0.2 * k}) for k, p in enumerate(walk())]
    write(tmp_path / "run.extxyz", frames)
    assert read_trajectory(tmp_path / "run.extxyz").interval == pytest.approx(200.0)
    with pytest.raises(DataError, match=r"every 200 fs, and --interval says 100"):
        read_trajectory(tmp_path / "run.extxyz", interval=100.0)
    header = "ITEM: UNITS\nreal\nITEM: TIME\n{time}\n"
    path = dump(tmp_path / "run.dump", walk(), range(150), header="@")
    for k in range(150):
        path.write_text(path.read_text().replace("@", header.format(time=200.0 * k), 1))
    assert read_trajectory(path, types=["Li", "S"]).interval == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ATOMS\n8", "ATOMS\n100000000000000000", "100000000000000000 atoms, which no file holds"),
        ("ATOMS\n8", "ATOMS\n1e17", "'1e17', which is no number"),
        ("ATOMS\n8", "ATOMS\n100000", "of 100000 atoms; it is damaged"),
        ("ITEM: TIMESTEP", "ITEM: UNITS\nlj\nITEM: TIMESTEP", "units 'lj'; expected metal or real"),
        (" pp pp pp", "", "does not say which directions are periodic"),
        ("id type xu yu zu", "id type vx vy vz", "has no positions"),
        ("\n1 1 ", "\n1 3 ", "type 3, and --types names 2"),
        ("\n1 1 ", "\n9 1 ", "atoms of other ids"),
        ("\n1 1 ", "\n2 1 ", "same id"),
        ("\n1 1 ", "\n1 a ", "cannot be read"),
    ],
)
def test_damaged_and_hostile_dumps_are_refused_by_a_sentence(tmp_path, old, new, words):
    path = dump(tmp_path / "run.lammpstrj", walk(n_frames=4), range(4))
    first, second, rest = path.read_text().partition("ITEM: TIMESTEP\n1\n")
    damaged = second + rest.replace(old, new, 1) if "other ids" in words else ""
    path.write_text(first + damaged if damaged else (first + second + rest).replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        read_dump(path)


def test_a_dump_cut_short_lacks_its_last_frame(tmp_path):
    path = dump(tmp_path / "no-word-of-it.txt", walk(n_frames=9), range(9))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-3]))
    with pytest.warns(UserWarning, match="last frame is cut short"):
        assert read_dump(path).n_frames == 8
    with pytest.raises(DataError, match="--types Li P S"):  # not hydrogen and helium
        read_trajectory(path, interval=1.0)
    write(tmp_path / "run.xyz", [Atoms("Li"), Atoms("Li")])
    with pytest.raises(DataError, match="leave --types out"):
        read_trajectory(tmp_path / "run.xyz", interval=1.0, types=["Li"])
    with pytest.raises(DataError, match="'Lx' is no element"):
        read_trajectory(path, interval=1.0, types=["Lx", "S"])


# --- folders, names and Python -----------------------------------------------------------------


def test_a_file_named_as_ase_writes_an_index_is_that_file(tmp_path):
    write(tmp_path / "md@3.traj", [Atoms("He", [[0, 0, k]]) for k in range(5)])
    (tmp_path / "md").write_bytes((tmp_path / "md@3.traj").read_bytes())
    write(tmp_path / "md@3.traj@:", [Atoms("Ne", [[0, 0, k]]) for k in range(7)], format="traj")
    (tmp_path / "md@3.traj").write_bytes((tmp_path / "md@3.traj@:").read_bytes())
    assert read_trajectory(tmp_path / "md@3.traj", interval=1.0).numbers.tolist() == [10]


def test_what_is_skipped_is_no_part_of_the_temperature(tmp_path, monkeypatch, capsys):
    """Heated at the start: 100 K for the first 10 of 30 ps, then 50 K."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "md"
    folder.mkdir()
    words = {"timestep": 2.0, "trajectory_interval": 100, "temperature": 50.0}
    (folder / "settings.json").write_text(json.dumps({"settings": words}))
    rows = [f"{step},{2.0 * step},{100.0 if step < 5000 else 50.0}" for step in range(0, 15000, 50)]
    (folder / "md.csv").write_text("\n".join(["step,time_fs,temperature_k", *rows]) + "\n")
    with TrajectoryFile(folder / "trajectory.traj", "w") as file:
        for positions in walk(step=0.1):
            file.write(Atoms(NUMBERS, positions, cell=[20] * 3, pbc=True))
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["diffusion", "md", "--species", "Li", "--skip", "10"])
    assert result.load("diffusion").temperature == pytest.approx(50.0)
    assert read_trajectory("md").temperature == pytest.approx(200 / 3)
    assert read_trajectory("md").after(5).temperature == pytest.approx(60.0)
    with pytest.raises(SystemExit, match=r"^0$"):  # ps here as there
        main(["structure", "md", "--skip", "10"])
    assert result.load("structure").n_frames == 100
    with pytest.raises(SystemExit, match=r"^1$"):
        main(["structure", "md", "--skip", "40", "--output", "more"])
    assert "smaller --skip" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"numbers": [3, 16]}, r"shape \(4, 3, 3\) are no trajectory of 2 atoms"),
        ({"numbers": "LiSS"}, "no atomic numbers"),
        ({"positions": "here"}, "positions of the trajectory are no array of numbers"),
        ({"positions": np.zeros((1, 3, 3))}, "two frames or more"),
        ({"positions": np.full((4, 3, 3), np.nan)}, "positions that are not finite"),
        ({"cells": np.zeros((3, 3, 3))}, r"Cells of shape \(3, 3, 3\) do not fit 4 frames"),
        ({"interval": 0}, "interval is 0; it must be a number of fs above zero"),
        ({"interval": -1.0}, r"interval is -1\.0; it must"),
        ({"interval": np.nan}, "interval is not given"),
        ({"interval": None}, "interval is None; it must"),
        ({"temperature": 0.0}, r"temperature is 0\.0; it must"),
        ({"masses": [1.0]}, r"masses of the trajectory have shape \(1,\), expected \(3,\)"),
        ({"velocities": np.zeros((4, 2, 3))}, "velocities of the trajectory have shape"),
        ({"dipoles": np.zeros((3, 3))}, "dipoles of the trajectory have shape"),
    ],
)
def test_a_trajectory_of_parts_that_do_not_fit_is_refused(changes, words):
    parts = {"numbers": [3, 3, 16], "positions": np.zeros((4, 3, 3)), "cells": np.zeros((3, 3))}
    with pytest.raises(DataError, match=words):
        Trajectory(**{**parts, "interval": 1.0, **changes})


def test_a_trajectory_without_a_time_is_refused():
    with pytest.raises(DataError, match="interval is not given"):
        Trajectory([3], np.zeros((4, 1, 3)), np.zeros((3, 3)))
    with pytest.raises(PropertyError, match="window from 5 to 1 ps is none"):
        diffusion(Trajectory(NUMBERS, walk(), np.zeros((3, 3)), INTERVAL), "Li", window=(5, 1))
