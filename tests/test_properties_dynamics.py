"""Structure and spectra: an ideal gas, a crystal, oscillators, and argon as Rahman knew it."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.io import write

from argon import argon, one_thread  # noqa: F401
from ladera.cli import main
from ladera.errors import PropertyError
from ladera.properties import result
from ladera.properties.diffusion import diffusion
from ladera.properties.distributions import structure
from ladera.properties.experiment import MeasuredSpectrum
from ladera.properties.spectrum import LIGHT, spectrum
from ladera.properties.trajectory import Trajectory, read_frames, read_trajectory
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.preparation import SimulationWarning
from ladera.simulation.settings import MDSettings
from ladera.units import BOLTZMANN, FEMTOSECOND


def ideal_gas(n_frames: int = 60) -> list[Atoms]:
    rng = np.random.default_rng(0)
    cell = np.diag([12.0, 14.0, 13.0])
    return [
        Atoms("H40O20", rng.random((60, 3)) @ cell, cell=cell, pbc=True) for _ in range(n_frames)
    ]


def test_an_ideal_gas_is_even_within_its_error_bars():
    found = structure(ideal_gas())
    assert found.pairs == ("H-H", "H-O", "O-O")
    far = found.distances > 2
    off = (found.radial[:, far] - 1) / found.radial_error[:, far]
    # Five blocks make Student's t with four degrees of freedom: 63 % within one error.
    assert 0.55 < np.mean(np.abs(off) < 1) < 0.71
    assert found.radial[:, far].mean(axis=1) == pytest.approx(1, abs=0.01)
    density = 20 / (12 * 14 * 13)
    end = found.distances[-1] + 0.025
    assert found.integral[1, -1] == pytest.approx(density * 4 / 3 * np.pi * end**3, rel=0.01)
    assert found.structure_factor[10:].mean() == pytest.approx(1, abs=0.02)


def test_a_crystal_has_its_shells_angles_and_reflections():
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2)
    frames = []
    for seed in range(20):
        atoms = crystal.copy()
        atoms.rattle(0.08, seed=seed)
        atoms.positions += 7.3 * seed  # wrapped or not is all the same
        frames.append(atoms)
    found = structure(frames)
    first = found.pairs.index("Cl-Na") if "Cl-Na" in found.pairs else found.pairs.index("Na-Cl")
    assert found.peak[first] == pytest.approx(2.82, abs=0.03)
    assert found.coordination[first] == pytest.approx(6, abs=1e-9)
    same = found.pairs.index("Na-Na")
    assert found.peak[same] == pytest.approx(5.64 / np.sqrt(2), abs=0.03)
    assert found.coordination[same] == pytest.approx(12, abs=1e-9)
    curve = found.angular[found.triplets.index("Cl-Na-Cl")]
    assert (curve * 2).sum() == pytest.approx(1)
    right = np.abs(found.angles - 90) < 10
    assert curve[right].sum() * 2 == pytest.approx(12 / 15, abs=0.02)  # the others are straight
    bright = np.argmin(np.abs(found.wavevectors - 4 * np.pi / 5.64))  # the (200) reflection
    assert found.structure_factor[bright] > 5
    assert found.structure_factor[found.wavevectors < 1.9].max() < 1  # (111) nearly cancels


def test_bad_structures_are_named():
    frames = ideal_gas(12)
    with pytest.raises(PropertyError, match="too few for averages"):
        structure(frames[:4])
    with pytest.raises(PropertyError, match="Frame 3 has other atoms"):
        structure([*frames[:3], frames[3][::-1], *frames[4:]])
    open_frames = [Atoms("H2", [[0, 0, 0], [0, 0, 1]]) for _ in range(12)]
    with pytest.raises(PropertyError, match="periodic "):
        structure(open_frames)


@pytest.mark.parametrize("cell", ["cubic", "primitive", "skewed", "left-handed"])
def test_a_curve_is_that_of_a_large_crystal_or_refused(cell):
    """Of copper to 4.5 Angstrom, in cells of every kind; none of them in one that is too small."""
    large = {
        "cubic": bulk("Cu", cubic=True) * 3,
        "primitive": bulk("Cu") * 4,
        "skewed": bulk("Cu") * 4,
        "left-handed": bulk("Cu", cubic=True) * 3,
    }[cell]
    if cell == "skewed":
        large.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-3, 1, 1]]) @ large.cell.array)
    if cell == "left-handed":
        large.set_cell(large.cell.array[[1, 0, 2]])

    def moving(crystal: Atoms) -> list[Atoms]:
        frames = [crystal.copy() for _ in range(20)]
        for seed, atoms in enumerate(frames):
            atoms.rattle(0.06, seed=seed)
        return frames

    found = structure(moving(large), farthest=4.5)
    # Twelve neighbours at a / sqrt(2), Gaussian of width 0.06 sqrt(2) and a bin of 0.05 Angstrom.
    width = np.sqrt(2 * 0.06**2 + 0.05**2 / 12)
    density = (len(large) - 1) / large.cell.volume
    exact = 12 / (4 * np.pi * 2.5527**2 * density * width * np.sqrt(2 * np.pi))
    assert found.height[0] == pytest.approx(exact, rel=0.05)
    assert found.coordination[0] == pytest.approx(12)
    assert found.table().rows[0][4] == "12.00"  # in every block, which is no error of nothing
    for small in (bulk("Cu", cubic=True), bulk("Cu") * 2):
        with pytest.raises(PropertyError, match=r"half its shortest vector.*larger cell"):
            structure(moving(small), farthest=4.5)
    with pytest.raises(PropertyError, match="one atom"):
        structure(moving(bulk("Cu")), farthest=4.5)
    with pytest.raises(PropertyError, match="not possible in this cell"):
        structure(moving(large), farthest=1e5)


def test_frames_that_remember_each_other_have_no_error_bars():
    """A gas that hardly moves between frames: its blocks scatter less than it does from others."""
    rng = np.random.default_rng(0)
    for step, known in ((0.05, False), (3.0, True)):
        walk = rng.random((1, 60, 3)) * 12 + rng.normal(0, step, (100, 60, 3)).cumsum(axis=0)
        frames = [Atoms("H40O20", p, cell=[12] * 3, pbc=True) for p in walk]
        found = structure(frames)
        assert np.isfinite(found.radial_error).all() == known
        assert ("run longer" in found.table().foot[-1]) != known
        found.plot()
    still = structure([frames[0]] * 20)
    assert np.isnan(still.radial_error).all()


WAVENUMBERS = (600.0, 1500.0, 3000.0)


def oscillators(
    n_frames: int, interval: float, temperature: float, velocities: bool = True
) -> Trajectory:
    """Pairs of atoms that vibrate as springs do, all modes with the energy k T.

    Charges of +-0.4 e; the pairs are far apart, and their centres stay where they are.
    """
    numbers = np.array([1, 8] * 3)
    masses = np.array([1.008, 15.999] * 3)
    reduced = 1.008 * 15.999 / (1.008 + 15.999)
    t = interval * np.arange(n_frames)
    amplitude = np.sqrt(2 * BOLTZMANN * temperature / reduced) * FEMTOSECOND  # Angstrom/fs
    positions, speeds = np.zeros((n_frames, 6, 3)), np.zeros((n_frames, 6, 3))
    for k, wavenumber in enumerate(WAVENUMBERS):
        omega = 2 * np.pi * LIGHT * wavenumber
        x = amplitude / omega * np.sin(omega * t + k)
        v = amplitude * np.cos(omega * t + k)
        for atom, share in ((2 * k, reduced / 1.008), (2 * k + 1, -reduced / 15.999)):
            positions[:, atom, k] = share * x
            positions[:, atom, (k + 1) % 3] = 10.0 * atom
            speeds[:, atom, k] = share * v
    return Trajectory(
        numbers,
        positions,
        np.zeros((n_frames, 3, 3)),
        interval,
        temperature,
        masses=masses,
        velocities=speeds if velocities else None,
        dipoles=0.4 * (positions[:, ::2] - positions[:, 1::2]).sum(axis=1),
    )


@pytest.mark.parametrize("velocities", [True, False])
def test_harmonic_oscillators_have_their_lines_modes_and_intensities(velocities):
    found = spectrum(oscillators(12000, 2.0, 300.0, velocities), resolution=15.0)
    assert found.peaks == pytest.approx(WAVENUMBERS, abs=1.0)
    # Three modes share all 18 degrees of freedom that equal parts of the energy stand for.
    assert found.modes == pytest.approx([6, 6, 6], rel=0.01)
    reduced = 1.008 * 15.999 / (1.008 + 15.999)
    exact = 974.8644 * 0.4**2 / reduced  # N_A / (12 epsilon_0 c^2) of e^2/amu in km/mol
    assert found.intensities == pytest.approx([exact] * 3, rel=0.01)
    hydrogen = found.states_by_species[0].sum() / found.states.sum()
    assert hydrogen == pytest.approx(reduced / 1.008, rel=1e-3)
    k = np.argmax(found.states)
    half = found.wavenumbers[(found.states > found.states[k] / 2) & (found.wavenumbers > 2500)]
    assert np.ptp(half) == pytest.approx(15, abs=5)


@pytest.mark.parametrize("dipoles", [True, False])
def test_a_measured_spectrum_is_laid_over_and_matched(dipoles):
    waves = np.arange(400.0, 4000.0, 2.0)
    peaks = {610.0: 1.0, 1480.0: 0.7, 2200.0: 0.5}
    curve = sum(h * np.exp(-(((waves - p) / 12) ** 2)) for p, h in peaks.items())
    trajectory = oscillators(6000, 2.0, 300.0)
    if not dipoles:
        trajectory = replace(trajectory, dipoles=None)
    measured = MeasuredSpectrum(waves, curve, "here.jdx")
    found = spectrum(trajectory, resolution=15.0, measured=measured)
    assert found.observed[:2] == pytest.approx([610, 1480], abs=2)
    assert np.isnan(found.observed[2])
    assert found.shifts[:2] == pytest.approx([-10, 20], abs=3)
    assert found.unmatched == pytest.approx([2200], abs=2)
    peaks, summary = found.tables()
    facts = {row[0]: row[1] for row in summary.rows}
    assert facts["measured"] == "here.jdx"
    assert facts["measured peaks that match nothing, cm⁻¹"] == "2200"
    assert peaks.rows[0][0] == "600"
    assert peaks.rows[0][-2] == "610"
    panel = found.plot().axes[1 if dipoles else 0]
    assert "measured, to the same height" in panel.get_legend_handles_labels()[1]


def test_trajectories_that_show_no_spectrum_are_named():
    with pytest.raises(PropertyError, match=r"too short for a resolution of 10.*--resolution"):
        spectrum(oscillators(1000, 2.0, 300.0))
    nearly = oscillators(3900, 2.0, 300.0)
    with pytest.raises(PropertyError, match=r"--resolution 11\.$"):  # and not 10 once more
        spectrum(nearly)
    assert spectrum(nearly, resolution=11).resolution == 11
    with pytest.raises(PropertyError, match=r"nothing above 1668 cm.*--trajectory-interval 4"):
        spectrum(oscillators(4000, 10.0, 300.0))


def test_argon_near_its_triple_point_is_as_rahman_found_it(tmp_path):
    """A. Rahman, Phys. Rev. 136, A405 (1964): 94.4 K, 1.374 g/cm^3, epsilon/k 120 K, sigma 3.4 A.

    He found the first peak of g(r) at 3.7 Angstrom and D = 2.43e-5 cm^2/s with 864 atoms. Of 108
    atoms D is lower by 2.837 k T / (6 pi eta) (1/L - 1/L_864) = 0.23e-5, with the viscosity of
    argon there, 0.23 mPa s (Yeh and Hummer, J. Phys. Chem. B 108, 15873 (2004)).
    """
    side = (4 / (1.374 / 39.948 * 0.602214)) ** (1 / 3)
    atoms = bulk("Ar", "fcc", a=side, cubic=True) * (3, 3, 3)
    model = argon(120 * BOLTZMANN, 3.4, 2.5 * 3.4)
    nvt = {"ensemble": "nvt-bussi", "temperature": 94.4, "initial_velocities": "structure"}
    nve = {"ensemble": "nve", "timestep": 10.0, "steps": 2000, "trajectory_interval": 10}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SimulationWarning)  # Rahman's step is ten femtoseconds
        melt = MDSettings(
            ensemble="nvt-bussi", temperature=250.0, temperature_end=94.4, timestep=5.0, steps=300
        )
        atoms = run_md(atoms, model, melt, tmp_path / "melt")
        atoms = run_md(atoms, model, MDSettings(**nvt, timestep=5.0, steps=400), tmp_path / "rest")
        settings = MDSettings(**nve, initial_velocities="structure")
        run_md(atoms, model, settings, tmp_path / "md")
    found = structure(read_frames(tmp_path / "md"))
    assert found.peak[0] == pytest.approx(3.68, abs=0.04)
    assert found.height[0] == pytest.approx(2.9, abs=0.25)
    assert found.coordination[0] == pytest.approx(12.5, abs=0.7)
    moving = read_trajectory(tmp_path / "md")
    moved = diffusion(moving, "Ar", window=(1.0, 6.0))
    slow = 2.837 * units._k * moving.temperature / (6 * np.pi * 0.23e-3)
    correction = slow * (1 / (3 * side) - 1 / (6 * side)) * 1e10 * 1e4  # cm^2/s
    # Rahman's own temperature: D goes with exp(-E/kT), E = 2.5 kJ/mol.
    factor = np.exp(-300 * (1 / 94.4 - 1 / moving.temperature))
    assert (moved.coefficient + correction) * factor == pytest.approx(2.43e-5, rel=0.2)
    spectra = spectrum(moving, resolution=6.0)
    # A liquid: modes at zero, and nothing beyond 120 cm^-1.
    assert spectra.states[0] > 0.5 * spectra.states.max()
    assert spectra.states[spectra.wavenumbers > 120].max() < 0.05 * spectra.states.max()


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("gas.extxyz", ideal_gas(20))
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["structure", "gas.extxyz", "--skip", "5", "--interval", "1000"])
    said = capsys.readouterr().out
    assert "H-O" in said
    assert "O-H" in said
    loaded = result.load("structure")
    assert loaded.n_frames == 15
    with pytest.raises(SystemExit, match=r"^1$"):  # a time, of a file that does not say any
        main(["structure", "gas.extxyz", "--skip", "5", "--output", "more"])
    assert "--interval" in capsys.readouterr().err
    frames = [
        Atoms("HF", p, velocities=v / FEMTOSECOND)
        for p, v in zip(
            oscillators(3000, 2.0, 300.0).positions[:, 4:],
            oscillators(3000, 2.0, 300.0).velocities[:, 4:],
            strict=True,
        )
    ]
    write("run.traj", frames)
    (tmp_path / "measured.csv").write_text("2950,1\n1200,0.4\n")
    options = ["--interval", "2", "--resolution", "25", "--experiment", "measured.csv"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["spectrum", "run.traj", *options])
    said = capsys.readouterr().out
    assert "velocities" in said
    assert "measured.csv" in said
    assert result.load("spectrum").unmatched == pytest.approx([1200])
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["report", "spectrum", "--output", "page.html"])
    assert "modes per cm" in (tmp_path / "page.html").read_text()
    with pytest.raises(SystemExit, match=r"^1$"):
        main(["spectrum", "run.traj", "--output", "other"])
    assert "--interval" in capsys.readouterr().err
