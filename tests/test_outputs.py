"""Outputs of electronic-structure programs, as they are met: whole, cut short, several in one."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from ladera.data.formats import DataWarning, LabelKeys, read
from ladera.errors import DataError
from ladera.units import BOHR, GIGAPASCAL, HARTREE, RYDBERG
from output_files import (
    END,
    GAUSSIAN,
    HEAD,
    NEWER,
    ORCA,
    ORCA_POINT,
    POINT,
    archive,
    calculation,
    outcar,
    positions,
    pw,
    step,
    vasprun,
)


def silently(path: Path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return read(path, **options)


def heard(path: Path, **options) -> tuple[list, str]:
    """The frames, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frames = list(read(path, **options))
    return frames, "\n".join(str(each.message) for each in caught)


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# --- CP2K --------------------------------------------------------------------------------------


def test_a_single_point_of_cp2k(tmp_path):
    text = HEAD.format(kind="ENERGY_FORCE", more="") + step(-17.2)
    (frame,) = silently(put(tmp_path / "run.out", text))
    assert frame.energy == pytest.approx(-17.2 * HARTREE, abs=1e-9)
    np.testing.assert_allclose(frame.forces[:, 2], [0.01 * HARTREE / BOHR, -0.01 * HARTREE / BOHR])
    np.testing.assert_allclose(frame.stress[0, :2] / GIGAPASCAL, [-1, -0.2])
    np.testing.assert_allclose(np.diag(frame.cell), [5.0001, 6, 7])
    assert frame.numbers.tolist() == [8, 1]
    assert frame.total_charge == -1
    newer = HEAD.format(kind="ENERGY_FORCE", more="") + NEWER
    (other,) = silently(put(tmp_path / "newer", newer))
    np.testing.assert_allclose(other.forces, frame.forces)
    assert other.energy == pytest.approx(frame.energy)


def test_molecular_dynamics_of_cp2k_takes_positions_from_beside(tmp_path):
    energies = [-17.2, -17.1, -17.0000000005, -16.9]
    text = HEAD.format(kind="MD", more="") + "".join(
        step(energy, "not" if k == 1 else "converged", -0.01 * (k + 1))
        for k, energy in enumerate(energies)
    )
    path = put(tmp_path / "md.log", text)
    with pytest.raises(DataError, match=r"log of a MD run .* put wat-pos-1\.xyz .*beside it"):
        read(path)
    # Every second frame only, the name of a kind for an element, and one of another run.
    put(tmp_path / "wat-pos-1.xyz", positions([energies[0], energies[2], -3.0]))
    frames, said = heard(path)
    assert "1 steps of wat-pos-1.xyz were left out" in said
    assert [frame.energy / HARTREE for frame in frames] == pytest.approx([-17.2, -17.0])
    assert frames[1].positions[1, 2] == pytest.approx(1.1)
    assert frames[1].forces[1, 2] == pytest.approx(-0.03 * HARTREE / BOHR)
    put(tmp_path / "wat-pos-1.xyz", positions(energies))
    frames, said = heard(path)
    assert len(frames) == 3
    assert "1 of 4 steps was not reached (first: step 1)" in said


def test_cells_of_cp2k_that_change(tmp_path):
    text = HEAD.format(kind="MD", more="MD_PAR| Ensemble type  NPT_I") + step(-17.2) + step(-17.1)
    path = put(tmp_path / "md.log", text)
    put(tmp_path / "wat-pos-1.xyz", positions([-17.2, -17.1]))
    with pytest.raises(DataError, match=r"cell of this run changes, and is written to wat-1\.cell"):
        read(path)
    cell = "# Step\n 0 0.0 5 0 0 0 6 0 0 0 7 210\n 1 0.5 5.5 0 0 0 6 0 0 0 7 231\n"
    put(tmp_path / "wat-1.cell", cell)
    assert [frame.cell[0, 0] for frame in silently(path)] == [5, 5.5]
    for damaged in (cell + "2 cut", cell.replace(" 1 0.5", " inf 0.5")):
        put(tmp_path / "wat-1.cell", damaged)
        with pytest.raises(DataError, match=r"wat-1\.cell is no list of cells"):
            read(path)
    put(tmp_path / "wat-1.cell", cell)
    put(tmp_path / "wat-pos-1.xyz", re.sub(r"(?m)^ *([OH]) .*$", r"\1", positions([-17.2])))
    with pytest.raises(DataError, match=r"wat-pos-1\.xyz.*a symbol and three numbers"):
        read(path)


# --- VASP --------------------------------------------------------------------------------------


def test_the_energy_of_vasp_is_the_free_energy(tmp_path):
    """Its forces are the derivatives of that; the number at zero broadening is asked for."""
    path = put(tmp_path / "vasprun.xml", vasprun(calculation(-7.0), calculation(-6.5)))
    with pytest.warns(DataWarning, match=r"at zero broadening, 0.25 eV away.* So in 2 frames"):
        frames = read(path)
    assert [frame.energy for frame in frames] == [-7.0, -6.5]
    np.testing.assert_allclose(np.diag(frames[0].stress) / GIGAPASCAL, [-1, -2, -3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zero = read(path, keys=LabelKeys(energy="energy"))
        assert read(path, keys=LabelKeys(energy="free_energy"))[0].energy == -7.0
    assert [frame.energy for frame in zero] == [-6.75, -6.25]


def test_electronic_steps_of_vasp_are_held_against_the_first_limit(tmp_path):
    """A vasprun.xml has a second NELM, that of the linear response, which is 1."""
    path = put(tmp_path / "vasprun.xml", vasprun(calculation(-7.0), calculation(-6.5)))
    assert len(silently(path)) == 2
    put(path, vasprun(calculation(-7.0, 5), calculation(-6.5), nelm=5))
    (frame,), said = heard(path)
    assert "1 of 2 frames was not reached (first: frame 0)" in said
    assert frame.source.endswith("frame 1")


def test_runs_of_vasp_by_any_name_and_one_behind_the_other(tmp_path):
    one, other = vasprun(calculation(-7.0)), vasprun(calculation(-6.0))
    frames = silently(put(tmp_path / "run_3.xml.relax", one + other))
    assert [frame.energy for frame in frames] == [-7.0, -6.0]
    cut = one.replace("</modeling>\n", "") + calculation(-5.0)[:300]
    assert [frame.energy for frame in silently(put(tmp_path / "cut.xml", cut))] == [-7.0]


# --- Quantum ESPRESSO, Gaussian, ORCA ----------------------------------------------------------


def test_a_run_of_pw_up_to_where_it_failed_or_broke_off(tmp_path):
    whole = pw(-100.0, -100.1, -100.2)
    path = put(tmp_path / "pw.out", whole + "   JOB DONE.\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames = read(path)
    assert [f.energy / RYDBERG for f in frames] == pytest.approx([-100.0, -100.1, -100.2])
    assert frames[2].positions[1, 2] == pytest.approx(2.2)
    np.testing.assert_allclose(frames[0].forces[0, 0], 0.01 * RYDBERG / BOHR)
    put(path, whole[:-60])
    frames, said = heard(path)
    assert len(frames) == 2
    assert "breaks off before its end; its last step was left out" in said
    failed = whole.replace(
        "!    total energy              =    -100.20", " convergence NOT achieved"
    )
    frames, said = heard(put(path, failed))
    assert len(frames) == 2
    assert "convergence NOT achieved000000 Ry': the self-consistency was not reached" in said
    put(path, pw(-100.0).replace("!    total", "     convergence NOT achieved\n total"))
    with pytest.raises(DataError, match=r"Quantum ESPRESSO .* nothing of it is a label"):
        read(path)
    two = pw(-100.0, -100.1) + "   JOB DONE.\n" + pw(-90.0) + "   JOB DONE.\n"
    assert len(silently(put(path, two))) == 3


def test_a_log_of_gaussian_with_several_jobs(tmp_path):
    first = GAUSSIAN + POINT.format(z=0.8, energy=-1.1) + POINT.format(z=0.75, energy=-1.12)
    first += archive("RB3LYP", HF=-1.12) + END
    frequencies = POINT.format(z=0.75, energy=-1.12) + archive("RB3LYP", HF=-1.12) + END
    linked = GAUSSIAN + POINT.format(z=0.9, energy=-1.05) + archive("RB3LYP", HF=-1.05) + END
    path = put(tmp_path / "h2.log", first + frequencies + linked)
    frames = silently(path)
    assert [f.energy / HARTREE for f in frames] == pytest.approx([-1.1, -1.12, -1.05])
    assert [frame.total_charge for frame in frames] == [1, 1, 1]
    np.testing.assert_allclose(frames[0].forces[1, 2], 0.02 * HARTREE / BOHR)
    put(path, first.partition(" 1\\1")[0][:-200])
    (frame,), said = heard(path)
    assert "breaks off" in said
    assert frame.energy == pytest.approx(-1.1 * HARTREE)


@pytest.mark.parametrize("level", ["RMP3-FC", "RCCSD-FC", "RB3LYP TD-FC"])
def test_energies_of_another_method_are_no_labels(tmp_path, level):
    point = GAUSSIAN + POINT.format(z=0.8, energy=-1.1)
    text = point + archive(level, HF=-1.1, MP2=-1.2, MP3=-1.25, CCSD=-1.3) + END
    with pytest.raises(DataError, match=f"at the level {level}, whose energies cannot be told"):
        read(put(tmp_path / "h2.log", text))


def test_an_optimisation_of_orca_that_stopped(tmp_path):
    text = ORCA + " ORCA SCF GRADIENT CALCULATION\n" + ORCA_POINT.format(z=1.0, energy=-75.0)
    text += " ORCA GEOMETRY RELAXATION STEP\n" + ORCA_POINT.format(z=0.98, energy=-75.1)
    path = put(tmp_path / "a.out", text + "****ORCA TERMINATED NORMALLY****\n")
    frames = silently(path)
    assert [f.energy / HARTREE for f in frames] == pytest.approx([-75.0, -75.1])
    np.testing.assert_allclose(frames[1].forces[1, 2], -0.03 * HARTREE / BOHR)
    assert frames[0].total_charge == -2
    failed = text + "  SCF NOT CONVERGED AFTER 125 CYCLES\n"
    frames, said = heard(put(path, failed))
    assert len(frames) == 1
    assert "SCF NOT CONVERGED AFTER 125 CYCLES" in said
    jobs = text.replace("ORCA GEOMETRY RELAXATION STEP", "JOB NUMBER 2")
    with pytest.raises(DataError, match="2 geometries, which cannot be told apart"):
        read(put(path, jobs + "****ORCA TERMINATED NORMALLY****\n"))


def test_a_file_that_is_only_named_like_an_output(tmp_path):
    path = put(tmp_path / "bands.out", "0.0 1.0 2.0\n")
    with pytest.raises(DataError, match="could not be read as data; it is damaged or"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (" CELL| Vector c", " CELL| Vektor c", "does not say the three vectors of its cell"),
        ("     5.000     0.000     0.000   |a|", "  5.000   |a|", "'CELL. Vector a.* cannot be"),
        ("1 O      8 ", "1 Ox     8 ", "cannot be read; it is cut short"),
        ("COORDINATES IN ANGSTROM", "COORDINATES", "does not say the coordinates of its atoms"),
        ("0.00000000     0.00000000     0.01000000", "0.00000000     0.01000000", "cannot be read"),
        ("tensor [GPa]", "tensor [a]", "cannot be read"),
    ],
)
def test_a_damaged_output_of_cp2k(tmp_path, old, new, said):
    text = HEAD.format(kind="ENERGY_FORCE", more="") + step(-17.2)
    assert old in text
    with pytest.raises(DataError, match=said):
        read(put(tmp_path / "run.out", text.replace(old, new, 1)))


def test_a_limit_of_electronic_steps_that_is_no_number(tmp_path):
    text = outcar(-7.0, -6.5)
    assert len(silently(put(tmp_path / "OUTCAR", text))) == 2
    assert len(silently(put(tmp_path / "OUTCAR", text.replace("60;", "9" * 5000 + ";")))) == 2
