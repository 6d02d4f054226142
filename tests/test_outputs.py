"""Outputs of electronic-structure programs, as they are met: whole, cut short, several in one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from ladera.data.formats import DataWarning, LabelKeys, read
from ladera.errors import DataError
from ladera.units import BOHR, GIGAPASCAL, HARTREE, RYDBERG


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

HEAD = """\
  **** **** ******  **  PROGRAM STARTED AT               2026-01-01 00:00:00.000
 CP2K| version string:                                       CP2K version 2025.1
 GLOBAL| Project name                                                       wat
 GLOBAL| Run type                                                  {kind}
 CELL| Vector a [angstrom]:       5.000     0.000     0.000   |a| =     5.000100
 CELL| Vector b [angstrom]:       0.000     6.000     0.000   |b| =     6.000000
 CELL| Vector c [angstrom]:       0.000     0.000     7.000   |c| =     7.000000
 DFT| Charge                                                                  -1
 {more}
 MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM

    Atom Kind Element         X             Y             Z       Z(eff)     Mass

       1    1 O      8     0.000000      0.000000      0.000000   6.0000  15.9994
       2    2 H      1     0.000000      0.000000      1.000000   1.0000   1.0079

"""
STEP = """\
 *** SCF run {how} in    12 steps ***
 ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]:               {energy:.15f}

 ATOMIC FORCES in [a.u.]

 # Atom   Kind   Element          X              Y              Z
      1      1      O           0.00000000     0.00000000     0.01000000
      2      2      H           0.00000000     0.00000000    {force:.8f}
 SUM OF ATOMIC FORCES           0.00000000     0.00000000     0.00000000     0.0

 STRESS| Analytical stress tensor [GPa]
 STRESS|                        x                   y                   z
 STRESS|      x        1.00000000000E+00   2.00000000000E-01   0.00000000000E+00
 STRESS|      y        2.00000000000E-01   2.00000000000E+00   0.00000000000E+00
 STRESS|      z        0.00000000000E+00   0.00000000000E+00   3.00000000000E+00

 STRESS| Eigenvectors and eigenvalues of the analytical stress tensor [GPa]
 STRESS|                        1                   2                   3
 STRESS|      x        9.99999999999E-01   0.00000000000E+00   0.00000000000E+00
"""
NEWER = """\
 ENERGY| Total FORCE_EVAL ( QS ) energy [hartree]             -17.200000000000003
 FORCES| Atomic forces [hartree/bohr]
 FORCES| Atom     x               y               z              |f|
 FORCES|    1  0.00000000E+00  0.00000000E+00  1.00000000E-02  1.00000000E-02
 FORCES|    2  0.00000000E+00  0.00000000E+00 -1.00000000E-02  1.00000000E-02
"""


def step(energy: float, how: str = "converged", force: float = -0.01) -> str:
    said = "*** WARNING in qs_scf.F :: SCF run NOT converged ***\n" if how != "converged" else ""
    return said + STEP.format(how=how, energy=energy, force=force)


def positions(energies, start: int = 0, shift: float = 0.1) -> str:
    return "".join(
        f"2\n i = {k + start}, time = 0.0, E = {energy:.10f}\n"
        f"O 0 0 0\nHw 0 0 {1 + shift * (k + start)}\n"
        for k, energy in enumerate(energies)
    )


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
    put(tmp_path / "wat-1.cell", cell + "2 cut")
    with pytest.raises(DataError, match=r"wat-1\.cell is no list of cells"):
        read(path)


# --- VASP --------------------------------------------------------------------------------------


def vasprun(*steps: str, nelm: int = 60) -> str:
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <kpoints><varray name="kpointlist"><v>0 0 0</v></varray>
  <varray name="weights"><v>1</v></varray></kpoints>
 <parameters><separator name="electronic">
  <i type="int" name="NELM">    {nelm}</i>
 </separator>
 <separator name="linear response parameters">
  <i type="int" name="NELM">     1</i>
 </separator></parameters>
 <atominfo><array name="atoms"><set>
  <rc><c>Cu</c><c>1</c></rc><rc><c>Cu</c><c>1</c></rc></set></array></atominfo>
 <structure name="initialpos">{STRUCTURE}</structure>
{"".join(steps)}</modeling>
"""


STRUCTURE = """<crystal><varray name="basis">
 <v>4 0 0</v><v>0 4 0</v><v>0 0 4</v></varray></crystal>
 <varray name="positions"><v>0 0 0</v><v>0.5 0.5 0.5</v></varray>"""


def calculation(energy: float, loops: int = 3) -> str:
    numbers = f"""<energy><i name="e_fr_energy">{energy}</i>
 <i name="e_wo_entrp">{energy}</i><i name="e_0_energy">{energy + 0.25}</i></energy>"""
    return f""" <calculation>
{f"  <scstep>{chr(10)}{numbers}</scstep>{chr(10)}" * loops}
 <structure>{STRUCTURE}</structure>
 <varray name="forces"><v>0.1 0 0</v><v>-0.1 0 0</v></varray>
 <varray name="stress"><v>10 0 0</v><v>0 20 0</v><v>0 0 30</v></varray>
 {numbers}
 </calculation>
"""


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

PW = """\
     Program PWSCF v.7.2 starts on  1Jan2026
     bravais-lattice index     =            0
     lattice parameter (alat)  =       {alat:.4f}  a.u.
     celldm(1)=   {alat:.6f}  celldm(2)=   0.000000  celldm(3)=   0.000000
     number of atoms/cell      =            2
     number of atomic types    =            1
     crystal axes: (cart. coord. in units of alat)
               a(1) = (   1.000000   0.000000   0.000000 )
               a(2) = (   0.000000   1.000000   0.000000 )
               a(3) = (   0.000000   0.000000   1.000000 )

   site n.     atom                  positions (alat units)
         1           Cu  tau(   1) = (   0.0000000   0.0000000   0.0000000  )
         2           Cu  tau(   2) = (   0.5000000   0.5000000   0.5000000  )

"""
PW_STEP = """\
     End of self-consistent calculation
      k = 0.0000 0.0000 0.0000 (   100 PWs)   bands (ev):

!    total energy              =    {energy:.8f} Ry

     Forces acting on atoms (cartesian axes, Ry/au):

     atom    1 type  1   force =     0.01000000    0.00000000    0.00000000
     atom    2 type  1   force =    -0.01000000    0.00000000    0.00000000

"""
PW_NEXT = """\
ATOMIC_POSITIONS (angstrom)
Cu            0.0000000000        0.0000000000        0.0000000000
Cu            2.0000000000        2.0000000000        {z:.10f}

"""


def pw(*energies: float) -> str:
    steps = [PW_STEP.format(energy=energy) for energy in energies]
    text = PW.format(alat=4 / BOHR) + steps[0]
    return text + "".join(PW_NEXT.format(z=2 + k / 10) + s for k, s in enumerate(steps[1:], 1))


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


GAUSSIAN = """\
 Entering Gaussian System, Link 0=g16
 Charge =  1 Multiplicity = 2
"""
POINT = """\
                          Input orientation:
 ---------------------------------------------------------------------
 Center     Atomic      Atomic             Coordinates (Angstroms)
 Number     Number       Type             X           Y           Z
 ---------------------------------------------------------------------
      1          1           0        0.000000    0.000000    0.000000
      2          1           0        0.000000    0.000000    {z:.6f}
 ---------------------------------------------------------------------
 SCF Done:  E(RB3LYP) =  {energy:.9f}     A.U. after    8 cycles
 -------------------------------------------------------------------
 Center     Atomic                   Forces (Hartrees/Bohr)
 Number     Number              X              Y              Z
 -------------------------------------------------------------------
      1        1           0.000000000    0.000000000   -0.020000000
      2        1           0.000000000    0.000000000    0.020000000
 -------------------------------------------------------------------
"""
END = " Normal termination of Gaussian 16 at Thu Jan  1 00:00:00 2026.\n"


def archive(level: str, **energies: float) -> str:
    listed = "".join(f"\\{name}={energy:.7f}" for name, energy in energies.items())
    text = f"1\\1\\GINC-HOST\\Force\\{level}\\STO-3G\\H2\\ME\\01-Jan-2026\\0\\\\x\\\\Version=G16"
    text += listed + "\\RMSD=1.0e-09\\@"
    return "".join(f" {text[k : k + 70]}\n" for k in range(0, len(text), 70))


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


ORCA = """\
                                 * O   R   C   A *
 Total Charge           Charge          ....   -2
"""
ORCA_POINT = """\
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  O      0.000000    0.000000    0.000000
  H      0.000000    0.000000    {z:.6f}

Number of atoms                             ...      2
FINAL SINGLE POINT ENERGY       {energy:.12f}

------------------
CARTESIAN GRADIENT
------------------

   1   O   :    0.000000000    0.000000000   -0.030000000
   2   H   :    0.000000000    0.000000000    0.030000000

"""


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
