"""Small outputs of electronic-structure programs, as the programs lay them out, for tests."""

from __future__ import annotations

from ladera.units import BOHR

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


OUTCAR = """\
 vasp.6.4.2 20Jul23 (build) complex
 POTCAR:    PAW_PBE Cu 22Jun2005
 POTCAR:    PAW_PBE Cu 22Jun2005
   k-points   NKPTS =      1   k-points in BZ   NKDIM =      1   number of bands  NBANDS=   2
   ions per type =               2
   ISPIN  =      1    spin polarized calculation?
   NELM   =     60;   NELMIN=  2; NELMDL= -5     # of ELM steps
 k-points in reciprocal lattice and weights: Gamma
   0.00000000  0.00000000  0.00000000       1.000

"""
OUTCAR_STEP = """\
--------------------------------------- Iteration      {number}(   8)  -----------------
------------------------ aborting loop because EDIFF is reached ------------------------
 E-fermi :   4.2000     XC(G=0):  -9.0000     alpha+bet : -7.0000
  in kB      10.00000    20.00000    30.00000     1.00000     2.00000     3.00000
      direct lattice vectors                 reciprocal lattice vectors
     4.000000000  0.000000000  0.000000000     0.250000000  0.000000000  0.000000000
     0.000000000  4.000000000  0.000000000     0.000000000  0.250000000  0.000000000
     0.000000000  0.000000000  4.000000000     0.000000000  0.000000000  0.250000000

 POSITION                                       TOTAL-FORCE (eV/Angst)
 -----------------------------------------------------------------------------------
      0.00000      0.00000      0.00000         0.100000      0.000000      0.000000
      2.00000      2.00000      2.00000        -0.100000      0.000000      0.000000
 -----------------------------------------------------------------------------------
  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)
  ---------------------------------------------------
  free  energy   TOTEN  =       {energy:.8f} eV

  energy  without entropy=       {energy:.8f}  energy(sigma->0) =       {energy:.8f}
"""


def outcar(*energies: float) -> str:
    steps = [OUTCAR_STEP.format(number=k, energy=energy) for k, energy in enumerate(energies, 1)]
    return OUTCAR + "".join(steps)


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


# --- FHI-aims, GPAW ----------------------------------------------------------------------------

AIMS = """\
          Invoking FHI-aims ...
  | Number of atoms                   :        2
  | Number of spin channels           :        1
  Charge =   0.000000E+00: Neutral system requested explicitly.
  Input geometry:
  | Unit cell:
  |        5.00000000        0.00000000        0.00000000
  |        0.00000000        5.00000000        0.00000000
  |        0.00000000        0.00000000        5.00000000
  | Atomic structure:
  |       Atom                x [A]            y [A]            z [A]
  |    1: Species O             0.00000000        0.00000000        0.00000000
  |    2: Species H             0.00000000        0.00000000        0.96000000
  The structure contains        2 atoms,  and a total of          9.000 electrons.
  | Number of k-points             :         1
  | Number of Kohn-Sham states (occupied + empty):        6
          Begin self-consistency loop: Initialization.
          Begin self-consistency iteration #    1
Convergence:    q app. |  density  | eigen (eV) | Etot (eV) | forces (eV/A)
"""
AIMS_STEP = """\
  Self-consistency cycle converged.
  | Number of self-consistency cycles          :          10
  | Chemical potential (Fermi level)           :        -4.500000 eV
  | Total energy uncorrected      :         {energy:.12E} eV
  | Total energy corrected        :         {energy:.12E} eV
  | Electronic free energy        :         {energy:.12E} eV
  Total atomic forces (unitary forces cleaned) [eV/Ang]:
  |    1          0.000000000000000E+00          0.000000000000000E+00          0.1000000000000E+00
  |    2          0.000000000000000E+00          0.000000000000000E+00         -0.1000000000000E+00

  Atomic structure (and velocities) as used in the preceding time step:
                         x [A]             y [A]             z [A]
            atom         0.00000000        0.00000000        0.00000000  O
            atom         0.00000000        0.00000000        {z:.8f}  H
  Next atomic structure:

"""
AIMS_NEXT = "          Begin self-consistency loop: Re-initialization.\n"


def aims(*energies: float) -> str:
    steps = [AIMS_STEP.format(energy=e, z=0.96 + 0.01 * k) for k, e in enumerate(energies)]
    return AIMS + "\n" + AIMS_NEXT.join(steps) + "          Have a nice day.\n"


GPAW = """\
  ___ ___ ___ _ _ _
 |   |   |_  | | | |
 | | | | | . | | | |
 |__ |  _|___|_____|  25.1.0
 |___|_|

Total Charge: 0.000000
Positions:
   0 H      3.000000    3.000000    3.700000    ( 0.0000,  0.0000,  0.0000)
   1 H      3.000000    3.000000    3.000000    ( 0.0000,  0.0000,  0.0000)

Unit cell:
           periodic     x           y           z      points  spacing
  1. axis:    no     6.000000    0.000000    0.000000    28     0.2143
  2. axis:    no     0.000000    6.000000    0.000000    28     0.2143
  3. axis:    no     0.000000    0.000000    6.700000    32     0.2105

Dipole moment: (0.000000, 0.000000, 0.010000) |e|*Ang

Energy contributions relative to reference atoms: (reference = -24.980324)

Kinetic:         +7.060775
Potential:      -13.768082
--------------------------
Free energy:     -6.707307
Extrapolated:    -6.707307

Fermi level: -6.86043

 Band  Eigenvalues  Occupancy
    0    -10.37562    2.00000
    1      1.24497    0.00000

Forces in eV/Ang:
  0 H     0.00000    0.00000    0.44504
  1 H     0.00000    0.00000   -0.44504

"""
