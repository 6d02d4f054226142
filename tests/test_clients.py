"""Other people's programs that drive an ASE calculator, on Ladera's, unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

import ladera
from argon import argon, one_thread  # noqa: F401
from ladera.units import GIGAPASCAL

# What they warn of among themselves is no matter of Ladera's.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    return bulk("Ar", "fcc", a=5.382989, cubic=True)  # at rest


def test_matcalc(crystal: Atoms) -> None:
    """Relaxation, equation of state, elasticity, phonons, MD: and the numbers are Ladera's own."""
    matcalc = pytest.importorskip("matcalc", reason="matcalc is not installed (docs/clients.md)")
    model = argon(epsilon=0.1)
    calculator = model.calculator()
    relaxed = matcalc.RelaxCalc(calculator, fmax=1e-4).calc(bulk("Ar", "fcc", a=5.3, cubic=True))
    assert relaxed["a"] == pytest.approx(5.382989, abs=1e-3)
    structure = relaxed["final_structure"]
    own = ladera.elasticity(crystal, model)
    found = matcalc.ElasticityCalc(calculator, relax_structure=False, fmax=1e-3).calc(structure)
    bulk_modulus = float(found["bulk_modulus_vrh"]) / GIGAPASCAL
    assert bulk_modulus == pytest.approx(float(own.bulk_modulus[-1]), rel=0.05)
    found = matcalc.EOSCalc(calculator, relax_structure=False).calc(structure)
    assert found["bulk_modulus_bm"] == pytest.approx(float(own.bulk_modulus[-1]), rel=0.08)
    twice = ((2, 0, 0), (0, 2, 0), (0, 0, 2))
    settings = {"relax_structure": False, "supercell_matrix": twice, "t_max": 300, "fmax": 1e-3}
    heat = matcalc.PhononCalc(calculator, **settings).calc(structure)["thermal_properties"]
    assert 95 < heat["heat_capacity"][-1] < 99.8  # J/K/mol of four atoms: nearly 12 k / 2
    run = matcalc.MDCalc(calculator, ensemble="nvt", temperature=50, steps=5, relax_structure=False)
    assert np.isfinite(run.calc(crystal)["potential_energy"])


def test_sella() -> None:
    """The saddle point between two conformers of ethanol, in internal coordinates."""
    sella = pytest.importorskip("sella", reason="sella is not installed (docs/clients.md)")
    atoms = molecule("CH3CH2OH")
    atoms.calc = ladera.load("ethanol-mace").calculator()
    oxygen = int(np.flatnonzero(atoms.numbers == 8)[0])
    away = atoms.get_distances(oxygen, range(len(atoms)))
    hydrogen = min(np.flatnonzero(atoms.numbers == 1), key=lambda k: away[k])
    near, far = sorted(np.flatnonzero(atoms.numbers == 6), key=lambda k: away[k])
    atoms.set_dihedral(hydrogen, oxygen, near, far, 115, indices=[hydrogen])
    search = sella.Sella(atoms, order=1, internal=True, logfile=None)
    assert search.run(fmax=0.02, steps=60)
    frequencies = ladera.vibrations(atoms).frequencies
    assert frequencies[0] < -200 < 0 < frequencies[1]  # cm^-1; one way down


def test_janus_core(crystal: Atoms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("janus_core", reason="janus-core is not installed (docs/clients.md)")
    from janus_core.calculations.eos import EoS
    from janus_core.calculations.geom_opt import GeomOpt

    monkeypatch.chdir(tmp_path)
    model = argon(epsilon=0.1)
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.calc = model.calculator()
    GeomOpt(struct=atoms, fmax=1e-3, track_carbon=False, write_results=False).run()
    assert atoms.cell.lengths() == pytest.approx([5.382989] * 3, abs=1e-3)
    quiet = {"minimize": False, "write_results": False, "write_structures": False}
    found = EoS(struct=atoms, track_carbon=False, **quiet).run()
    own = ladera.equation_of_state(crystal, model)
    assert found["bulk_modulus"] == pytest.approx(float(own.bulk_modulus[-1]), rel=0.05)


def test_quacc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("quacc", reason="quacc is not installed (docs/clients.md)")
    monkeypatch.setenv("QUACC_RESULTS_DIR", str(tmp_path))
    from quacc.runners.ase import Runner

    monkeypatch.chdir(tmp_path)
    runner = Runner(bulk("Ar", "fcc", a=5.3), argon(epsilon=0.1).calculator())
    cell = runner.run_opt(fmax=1e-2, relax_cell=True).atoms.atoms.cell  # of a cell filter
    assert cell.cellpar()[0] == pytest.approx(5.382989 / np.sqrt(2), abs=2e-3)
