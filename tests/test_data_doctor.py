"""The doctor: each finding on data that has the fault, silence on data that does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_frames import WATER, copper, copper_frame, dataset, water, water_frame
from ladera.data.doctor import Finding, Report, check
from ladera.data.formats import read
from ladera.data.frame import Frame
from ladera.errors import DataError
from ladera.units import ATOMIC, BOHR, GIGAPASCAL, HARTREE, KCAL_PER_MOL, METAL, RYDBERG

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = (
    *("3bpa", "acac", "ethanol_rmd17", "h2co_dipole", "mattersim_benchmarks"),
    *("mlearn", "rmd17", "water_pbe0ts"),
)


def examine(frames: list[Frame]) -> Report:
    return check(dataset(frames))


def found(frames: list[Frame], code: str) -> Finding:
    """The one finding of this code."""
    (finding,) = [f for f in examine(frames).findings if f.code == code]
    return finding


def changed(frames: list[Frame], index: int, **fields: object) -> list[Frame]:
    return [*frames[:index], frames[index].with_(**fields), *frames[index + 1 :]]


def nan_at(array: np.ndarray, *index: int) -> np.ndarray:
    array = array.copy()
    array[index] = np.nan
    return array


@pytest.mark.parametrize("frames", [water(), copper(), [*water(), *water(20, seed=5)]])
def test_good_data_have_no_findings(frames):
    assert examine(frames).findings == ()


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e5])
@pytest.mark.parametrize("scale", [1e-6, 0.3, 1.0, 3.0])
def test_sound_data_of_any_amplitude_have_no_errors(scale, shift):
    generator = np.random.default_rng(4)
    frames = [water_frame(generator.normal(scale=0.03 * scale, size=(3, 3))) for _ in range(60)]
    frames = [frame.with_(energy=frame.energy + shift) for frame in frames]
    assert examine(frames).errors == ()


@pytest.mark.parametrize(
    ("fields", "atom", "word"),
    [
        (lambda f: {"energy": float("nan")}, None, "energy"),
        (lambda f: {"energy": float("-inf")}, None, "energy"),
        (lambda f: {"forces": nan_at(f.forces, 2, 1)}, 2, "forces"),
        (lambda f: {"positions": nan_at(f.positions, 1, 0)}, 1, "positions"),
        (lambda f: {"stress": np.full((3, 3), np.nan)}, None, "stress"),
        (lambda f: {"dipole": np.array([0, np.inf, 0])}, None, "dipole"),
        (lambda f: {"charges": np.array([0, 0, np.nan])}, 2, "charges"),
        (lambda f: {"weight": -1.0}, None, "weight"),
    ],
)
def test_numbers_that_are_not_finite(fields, atom, word):
    frames = water()
    finding = found(changed(frames, 7, **fields(frames[7])), "not-finite")
    assert (finding.severity, finding.frame, finding.atom) == ("error", 7, atom)
    assert word in finding.message
    assert finding.frames == (7,)


def test_other_findings_keep_their_frame_numbers_behind_a_broken_frame():
    frames = changed(water(), 3, energy=float("nan"))
    frames = changed(frames, 20, positions=frames[19].positions, forces=frames[19].forces)
    frames = changed(frames, 20, energy=frames[19].energy)
    assert found(frames, "duplicate").frame == 20


def test_missing_labels():
    frames = changed(water(), 5, forces=None)
    finding = found(frames, "missing-label")
    assert (finding.severity, finding.frame, finding.frames) == ("warning", 5, (5,))
    none = [frame.with_(energy=None, forces=None) for frame in water()]
    assert found(none, "no-labels").severity == "error"
    dipoles = [frame.with_(dipole=np.ones(3)) for frame in none]
    assert found(dipoles, "missing-label").severity == "warning"
    no_energy = [frame.with_(energy=None) for frame in water()]
    assert found(no_energy, "missing-label").severity == "error"
    no_forces = [frame.with_(forces=None) for frame in water()]
    assert found(no_forces, "missing-label").severity == "warning"


def test_free_atoms_need_no_forces():
    atom = Frame(np.array([1]), np.zeros((1, 3)), np.zeros((3, 3)), np.zeros(3, bool), energy=-13.6)
    assert examine([*water(), atom]).findings == ()


def test_placeholders():
    frames = [frame.with_(forces=np.zeros((3, 3))) for frame in water()]
    assert found(frames, "zero-forces").severity == "warning"
    frames = [frame.with_(energy=0.0) for frame in frames]
    assert found(frames, "zero-energies").severity == "error"
    at_rest = water_frame(np.zeros((3, 3)))
    assert "zero-forces" not in codes([*water(), at_rest])


def codes(frames: list[Frame]) -> set[str]:
    return {finding.code for finding in examine(frames).findings}


def test_energy_outliers():
    frames = water()
    odd = changed(frames, 11, energy=frames[11].energy + 6.0)
    assert (found(odd, "energy-outlier").severity, found(odd, "energy-outlier").frame) == (
        "warning",
        11,
    )
    broken = changed(frames, 11, energy=frames[11].energy * HARTREE)
    assert found(broken, "energy-outlier").severity == "error"
    # A second phase is no outlier, nor is another composition.
    two_phases = [f.with_(energy=f.energy + 6.0 * (k % 3 == 0)) for k, f in enumerate(frames)]
    assert "energy-outlier" not in codes(two_phases)
    assert "energy-outlier" not in codes([*water(), *copper()])


def test_a_huge_force():
    frames = water()
    forces = frames[4].forces.copy()
    forces[1] += [500.0, 0, 0]
    forces[0] -= [500.0, 0, 0]
    finding = found(changed(frames, 4, forces=forces), "large-force")
    assert finding.frame == 4
    assert finding.atom in (0, 1)


def test_net_force():
    frames = water()
    shifted = frames[9].forces + np.array([0.2, 0.0, 0.0])
    finding = found(changed(frames, 9, forces=shifted), "net-force")
    assert (finding.severity, finding.frame) == ("warning", 9)
    assert "0.600 eV/Angstrom" in finding.message
    noise = [f.with_(forces=f.forces + 1e-3) for f in frames]
    assert "net-force" not in codes(noise)


def test_charges():
    frames = [
        frame.with_(charges=np.array([-0.8, 0.4, 0.4]), total_charge=0.0) for frame in water()
    ]
    assert examine(frames).findings == ()
    assert found(changed(frames, 2, total_charge=1.0), "charge-sum").frame == 2
    energies = [frame.with_(charges=np.array([-75.0, -0.5, -0.5])) for frame in frames]
    finding = found(energies, "impossible-charge")
    assert (finding.severity, finding.atom) == ("error", 0)


def test_close_atoms():
    squeezed = WATER.copy()
    squeezed[1] *= 0.5
    finding = found([*water(), water_frame(squeezed - WATER)], "close-atoms")
    assert (finding.severity, finding.frame) == ("warning", 60)
    squeezed[1] *= 0.2
    finding = found([*water(), water_frame(squeezed - WATER)], "overlap")
    assert (finding.severity, finding.frame, finding.atom) == ("error", 60, 0)


def test_close_atoms_through_the_boundary():
    frame = copper(1)[0]
    positions = frame.positions.copy()
    positions[5] = positions[0] + frame.cell[0] + [0.2, 0, 0]
    assert found([*copper(), frame.with_(positions=positions)], "overlap").frame == 20


def test_duplicates():
    frames = water()
    moved = frames[3].with_(positions=frames[3].positions + 5.0)
    finding = found([*frames, moved], "duplicate")
    assert (finding.severity, finding.frame) == ("warning", 60)
    assert "frame 60 is frame 3" in finding.message
    finding = found([*frames, moved.with_(energy=moved.energy + 0.1)], "contradiction")
    assert (finding.severity, finding.frame) == ("error", 60)
    ion = frames[3].with_(energy=frames[3].energy + 10.0, total_charge=1.0)
    assert not {"duplicate", "contradiction"} & codes([*frames, ion])
    nearly = frames[3].with_(positions=frames[3].positions + np.eye(3) * 0.001)
    assert not {"duplicate", "contradiction"} & codes([*frames, nearly])


def test_periodicity():
    finding = found([*water(), *copper()], "mixed-periodicity")
    assert finding.severity == "warning"
    assert "20 periodic" in finding.message
    assert "60 open" in finding.message
    flat = changed(copper(), 6, cell=np.diag([7.2, 7.2, 0.0]))
    assert (found(flat, "no-cell").severity, found(flat, "no-cell").frame) == ("error", 6)
    tiny = changed(copper(), 6, cell=np.eye(3) * 1e-3)
    assert found(tiny, "no-cell").frame == 6
    plane = changed(copper(), 6, cell=np.array([[7.2, 0, 0], [0, 7.2, 0], [7.2, 7.2, 0]]))
    assert found(plane, "no-cell").frame == 6
    remote = changed(water(), 6, positions=WATER + 1e9)
    assert found(remote, "far-away").frame == 6
    endless = changed(copper(), 6, cell=np.diag([1e12, 7.0, 7.0]))
    assert found(endless, "far-away").frame == 6


def test_rare_species():
    frames = [*water(), *copper(4)]
    finding = found(frames, "rare-species")
    assert finding.severity == "warning"
    assert "Cu (4)" in finding.message
    assert finding.frames == (60, 61, 62, 63)
    assert "rare-species" not in codes([*water(), *copper(10)])
    assert "rare-species" not in codes(water(3))


def scaled(frames: list[Frame], length: float, energy: float, force: float) -> list[Frame]:
    """The numbers of a file in other units: each factor is the unit in Angstrom and eV."""
    return [
        frame.with_(
            positions=frame.positions / length,
            cell=frame.cell / length,
            energy=frame.energy / energy,
            forces=frame.forces / force,
        )
        for frame in frames
    ]


@pytest.mark.parametrize("make", [water, copper])
@pytest.mark.parametrize(
    ("units", "code", "words"),
    [
        ((BOHR, HARTREE, HARTREE / BOHR), "length-unit", "look like Bohr"),
        ((1 / BOHR, 1, 1), "length-unit", "once too often"),
        ((1, HARTREE, HARTREE / BOHR), "force-unit", "Hartree"),
        ((1, HARTREE, HARTREE), "force-unit", "Hartree"),
        ((1, KCAL_PER_MOL, KCAL_PER_MOL), "force-unit", "kcal/mol"),
        ((1, HARTREE, 1), "force-energy-ratio", "energies in Hartree"),
        ((1, KCAL_PER_MOL, 1), "force-energy-ratio", "energies in kcal/mol"),
        ((1, 1, KCAL_PER_MOL), "force-energy-ratio", "forces in kcal/mol/Angstrom"),
        ((1, 1, HARTREE / BOHR), "force-energy-ratio", "forces in Hartree/Bohr"),
        ((1, 1, -1), "force-energy-ratio", "the sign"),
    ],
)
def test_wrong_units(make: Callable[..., list[Frame]], units, code, words):
    frames = make(60)
    if make is copper:  # vibrations in one cell, so that pairs differ by the atoms alone
        frames = vibrating_copper()
    finding = found(scaled(frames, *units), code)
    assert finding.severity == "error"
    assert words in finding.message


def vibrating_copper() -> list[Frame]:
    generator = np.random.default_rng(2)
    displacements = 0.03 * generator.normal(size=(60, 32, 3))
    return [copper_frame(np.zeros((3, 3)), displacement) for displacement in displacements]


def test_energies_per_atom():
    frames = [frame.with_(energy=frame.energy / 32) for frame in vibrating_copper()]
    assert "energies per atom" in found(frames, "force-energy-ratio").message


@pytest.mark.parametrize(("unit", "name"), [(HARTREE, "Hartree"), (KCAL_PER_MOL, "kcal/mol")])
def test_all_electron_energies(unit, name):
    frames = [frame.with_(energy=frame.energy - 2066.0) for frame in water()]  # -76.4 Hartree
    assert "energy-unit" not in codes(frames)
    wrong = [frame.with_(energy=frame.energy / unit) for frame in frames]
    finding = found(wrong, "energy-unit")
    assert finding.severity == "error"
    assert f"in {name}," in finding.message


def test_valence_energies_that_are_all_electron_ones_in_rydberg_by_chance():
    frames = [frame.with_(energy=frame.energy - 138.0) for frame in water()]  # -152 eV
    assert "energy-unit" not in codes(frames)  # their forces say that they are in eV
    silent = [frame.with_(forces=None) for frame in frames]
    doubt = found(silent, "energy-unit")
    assert doubt.severity == "warning"
    assert "could be" in doubt.message
    wrong = [frame.with_(energy=(frame.energy - 2066.0) / RYDBERG) for frame in water()]
    assert found(wrong, "energy-unit").severity == "error"


def test_forces_of_other_frames_do_not_belong():
    frames = water()
    shuffled = [f.with_(forces=frames[k - 1].forces) for k, f in enumerate(frames)]
    assert found(shuffled, "force-energy-mismatch").severity == "error"
    swapped = [f.with_(forces=f.forces[[1, 2, 0]]) for f in frames]
    assert codes(swapped) & {"force-energy-mismatch", "force-energy-ratio", "force-unit"}


@pytest.mark.parametrize(("n_frames", "severity"), [(8, "warning"), (30, "error")])
def test_energies_of_few_frames_that_do_not_follow_their_forces(n_frames, severity):
    """As the public files of a thesis: the work is of one sign, the energies hardly change."""
    shift = np.zeros((3, 3))
    shift[1, 0] = 0.25
    frames = [water_frame(step * shift) for step in np.linspace(0, 1, n_frames)]
    assert examine(frames).findings == ()
    generator = np.random.default_rng(6)
    mean = frames[0].energy
    lost = [f.with_(energy=mean + 0.02 * generator.normal()) for f in frames]
    finding = found(lost, "force-energy-mismatch")
    assert finding.severity == severity
    assert f"between {n_frames - 1} pairs" in finding.message
    assert "force-energy-mismatch" not in codes(lost[:7])  # of six pairs that may be chance


def test_one_wrong_energy_among_similar_frames():
    frames = water(200)
    wrong = changed(frames, 50, energy=frames[50].energy + 1.0)
    finding = found(wrong, "force-energy-outlier")
    assert finding.severity == "warning"
    assert 50 in finding.frames


def test_molecules_may_turn_and_drift():
    generator = np.random.default_rng(3)
    turned = []
    for frame in water():
        rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
        shift = 10 * generator.normal(size=3)
        turned.append(
            frame.with_(
                positions=frame.positions @ rotation + shift, forces=frame.forces @ rotation
            )
        )
    assert examine(turned).findings == ()
    opposite = [frame.with_(forces=-frame.forces) for frame in turned]
    assert "the sign" in found(opposite, "force-energy-ratio").message


def test_atoms_may_be_wrapped_into_the_cell():
    wrapped = [
        frame.with_(positions=(frame.positions @ np.linalg.inv(frame.cell) % 1.0) @ frame.cell)
        for frame in copper()
    ]
    assert examine(wrapped).findings == ()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (-1.0, "the sign of the stress"),
        (-10 / GIGAPASCAL, "kbar and positive in compression"),
        (1 / GIGAPASCAL, "a stress in GPa"),
    ],
)
def test_stress_of_the_wrong_sign_or_unit(factor, words):
    frames = [frame.with_(stress=factor * frame.stress) for frame in copper()]
    finding = found(frames, "stress-ratio")
    assert finding.severity == "error"
    assert words in finding.message


def test_an_empty_data_set():
    with pytest.raises(DataError, match="empty"):
        examine([])


def test_the_report_as_json():
    report = examine(changed(water(), 7, energy=float("nan")))
    stored = json.loads(json.dumps(report.to_json()))
    assert stored["n_frames"] == 60
    assert stored["n_errors"] == len(report.errors) == 1
    assert stored["findings"][0]["frame"] == 7
    assert report.findings == (*report.errors, *report.warnings, *report.notes)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_absurd_numbers_give_a_report(data):
    """Whatever the numbers, the doctor answers, and calls none of its own sums a finding."""
    frames = [*water(6), *copper(3)]
    for _ in range(data.draw(st.integers(1, 4))):
        index = data.draw(st.integers(0, len(frames) - 1))
        name = data.draw(
            st.sampled_from(["positions", "cell", "energy", "forces", "stress", "periodic"])
        )
        value = data.draw(st.floats())
        old = getattr(frames[index], name)
        if name == "periodic":
            new: object = np.array(data.draw(st.lists(st.booleans(), min_size=3, max_size=3)))
        elif old is None or name == "energy":
            new = value if name == "energy" else np.full((3, 3), value)
        else:
            new = old.copy()
            new.flat[data.draw(st.integers(0, new.size - 1))] = value
        frames[index] = frames[index].with_(**{name: new})
    report = examine(frames)
    for finding in report.findings:
        assert finding.frame is None or 0 <= finding.frame < len(frames)


def test_ten_thousand_frames_take_seconds():
    frames = water(400)
    many = dataset(frames)[np.arange(10_000) % 400]
    start = time.perf_counter()
    check(many)
    assert time.perf_counter() - start < 20


def real_files() -> list[Path]:
    return [path for name in REAL for path in sorted((SHARED / name).glob("*.extxyz*"))]


@pytest.mark.skipif(not real_files(), reason=f"needs the published data sets in {SHARED}")
def test_published_data_have_no_errors():
    for path in real_files():
        report = check(read(path)[:200])
        assert report.errors == (), path


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"needs the published data sets in {SHARED}")
def test_published_bohr_and_hartree_data():
    path = SHARED / "n2p2" / "H2O_train20" / "input.data"
    assert check(read(path, units=ATOMIC)).errors == ()
    wrong = {finding.code for finding in check(read(path, units=METAL)).errors}
    assert wrong == {"length-unit", "energy-unit"}
