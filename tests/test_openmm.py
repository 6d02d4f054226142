"""Models in OpenMM: the calculator's forces, and systems that a force field has a part in."""

from __future__ import annotations

import pickle
import re
from io import StringIO

import numpy as np
import pytest
from ase.build import molecule

import ladera
from argon import argon, crystal
from ladera.errors import ArgumentError, ConfigError, DataError
from ladera.structure import StructureWarning

openmm = pytest.importorskip("openmm", reason="OpenMM is not installed (ladera[openmm])")
app, unit = pytest.importorskip("openmm.app"), pytest.importorskip("openmm.unit")
import ladera.openmm as engine  # noqa: E402
from ladera.engines.openmm.force import KJ_PER_MOL  # noqa: E402

# A force field of ethanol, such as people write: charges, sizes, and some bonded terms.
ETHANOL = """<ForceField>
 <AtomTypes>
  <Type name="e-CT" class="eCT" element="C" mass="12.011"/>
  <Type name="e-HC" class="eHC" element="H" mass="1.008"/>
  <Type name="e-OH" class="eOH" element="O" mass="15.999"/>
  <Type name="e-HO" class="eHO" element="H" mass="1.008"/>
 </AtomTypes>
 <Residues>
  <Residue name="EOH">
   <Atom name="C0" type="e-CT" charge="0.145"/> <Atom name="O1" type="e-OH" charge="-0.683"/>
   <Atom name="C2" type="e-CT" charge="-0.18"/> <Atom name="H3" type="e-HO" charge="0.418"/>
   <Atom name="H4" type="e-HC" charge="0.06"/> <Atom name="H5" type="e-HC" charge="0.06"/>
   <Atom name="H6" type="e-HC" charge="0.06"/> <Atom name="H7" type="e-HC" charge="0.06"/>
   <Atom name="H8" type="e-HC" charge="0.06"/>
   <Bond atomName1="C0" atomName2="O1"/> <Bond atomName1="C0" atomName2="C2"/>
   <Bond atomName1="O1" atomName2="H3"/> <Bond atomName1="C0" atomName2="H4"/>
   <Bond atomName1="C0" atomName2="H5"/> <Bond atomName1="C2" atomName2="H6"/>
   <Bond atomName1="C2" atomName2="H7"/> <Bond atomName1="C2" atomName2="H8"/>
  </Residue>
 </Residues>
 <HarmonicBondForce>
  <Bond class1="eCT" class2="eCT" length="0.1529" k="224262.4"/>
  <Bond class1="eCT" class2="eHC" length="0.109" k="284512.0"/>
  <Bond class1="eCT" class2="eOH" length="0.141" k="267776.0"/>
  <Bond class1="eOH" class2="eHO" length="0.0945" k="462750.4"/>
 </HarmonicBondForce>
 <HarmonicAngleForce>
  <Angle class1="eHC" class2="eCT" class3="eHC" angle="1.8815" k="276.144"/>
 </HarmonicAngleForce>
 <PeriodicTorsionForce>
  <Proper class1="" class2="eCT" class3="eCT" class4="" periodicity1="3" phase1="0" k1="0.6"/>
 </PeriodicTorsionForce>
 <NonbondedForce coulomb14scale="0.833333" lj14scale="0.5">
  <UseAttributeFromResidue name="charge"/>
  <Atom class="eCT" sigma="0.35" epsilon="0.276144"/>
  <Atom class="eHC" sigma="0.25" epsilon="0.12552"/>
  <Atom class="eOH" sigma="0.312" epsilon="0.71128"/>
  <Atom class="eHO" sigma="0.1" epsilon="0.0"/>
 </NonbondedForce>
</ForceField>
"""
BONDS = [(0, 1), (1, 2), (2, 3), (1, 4), (1, 5), (0, 6), (0, 7), (0, 8)]
REGION = range(9)
KJ_PER_NM = KJ_PER_MOL / 10  # eV/Angstrom


@pytest.fixture(scope="module")
def hdnnp():
    return ladera.load("ethanol-hdnnp")


def ethanol(seed: int = 1):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.04, seed=seed)
    return atoms


def ethanol_topology():
    topology = app.Topology()
    residue = topology.addResidue("EOH", topology.addChain())
    for k, symbol in enumerate(ethanol().symbols):
        topology.addAtom(f"{symbol}{k}", app.Element.getBySymbol(symbol), residue)
    atoms = list(topology.atoms())
    for one, two in BONDS:
        topology.addBond(atoms[one], atoms[two])
    return topology


@pytest.fixture(scope="module")
def solution():
    """Ethanol in water: force field, topology, positions."""
    field = app.ForceField(StringIO(ETHANOL), "tip3p.xml")
    modeller = app.Modeller(ethanol_topology(), ethanol().positions / 10 * unit.nanometer)
    box = openmm.Vec3(1.9, 1.9, 1.9) * unit.nanometer
    modeller.addSolvent(field, model="tip3p", boxSize=box)
    return field, modeller.topology, modeller.positions


def context(system, positions, platform: str = "Reference", step: float = 0.0005):
    integrator = openmm.VerletIntegrator(step)
    made = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform))
    made.setPositions(positions)
    return made


def answer(system, positions, platform: str = "Reference"):
    """Energy in eV and forces in eV/Angstrom."""
    state = context(system, positions, platform).getState(getEnergy=True, getForces=True)
    energy = state.getPotentialEnergy()._value * KJ_PER_MOL
    return energy, state.getForces(asNumpy=True)._value * KJ_PER_NM


def of_model(model, atoms):
    """The same by the calculator."""
    atoms.calc = model.calculator()
    return atoms.get_potential_energy(), atoms.get_forces()


def agree(found, expected) -> None:
    largest = np.abs(expected).max()
    assert np.abs(found - expected).max() <= 1e-10 * largest


@pytest.mark.parametrize("platform", ["Reference", "CPU"])
@pytest.mark.parametrize("cell", [None, [[4.2, 0.3, 0.2], [1.5, 5, 0.1], [2.9, -2.2, 4.5]]])
def test_it_has_the_forces_of_the_calculator(hdnnp, cell, platform):
    """Also in a skewed cell that is smaller than the cutoff, with atoms in any of its images."""
    atoms = ethanol()
    turn = np.eye(3)
    if cell is not None:
        atoms.set_cell(cell)
        atoms.pbc = True
        turn = atoms.cell.standard_form()[1]
    topology, positions = engine.topology_of(atoms)
    system = engine.system_of(topology, engine.force(hdnnp, topology))
    if cell is not None:
        positions[3] += topology.getPeriodicBoxVectors()[1] * 2
    energy, forces = answer(system, positions, platform)
    expected, expected_forces = of_model(hdnnp, atoms)
    assert energy == pytest.approx(expected, rel=1e-12)
    agree(forces, expected_forces @ turn.T)


def test_boxes_are_in_the_form_that_openmm_wants_and_the_same_crystal():
    atoms = crystal(1)
    atoms.set_cell(np.array([[0, 1, 1], [1, 0, 1], [5, 5, 0]]) @ atoms.cell.array, scale_atoms=True)
    topology, positions = engine.topology_of(atoms)
    force = engine.force(argon(), topology)
    a, b, c = (np.array(v) for v in topology.getPeriodicBoxVectors().value_in_unit(unit.nanometer))
    assert a[1] == a[2] == b[2] == 0
    assert max(abs(b[0]), abs(c[0])) <= a[0] / 2 + 1e-12
    assert abs(c[1]) <= b[1] / 2 + 1e-12
    energy, _ = answer(engine.system_of(topology, force), positions)
    atoms.calc = argon().calculator()
    assert energy == pytest.approx(atoms.get_potential_energy(), rel=1e-10)


def test_a_part_of_the_atoms_in_an_order_of_ones_own(hdnnp):
    order = np.array([5, 0, 1, 8, 7, 6, 2, 4, 3])
    atoms = ethanol()
    two = atoms + molecule("H2O")
    topology, positions = engine.topology_of(two)
    found = answer(engine.system_of(topology, engine.force(hdnnp, topology, order)), positions)
    expected, expected_forces = of_model(hdnnp, atoms)
    assert found[0] == pytest.approx(expected, rel=1e-12)
    agree(found[1][:9], expected_forces)
    assert not found[1][9:].any()


def test_energy_is_conserved_and_checkpoints_go_on(hdnnp):
    topology, positions = engine.topology_of(ethanol())
    made = context(
        engine.system_of(topology, engine.force(hdnnp, topology)), positions, step=0.00025
    )
    made.setVelocitiesToTemperature(300, 7)

    def total():
        state = made.getState(getEnergy=True)
        return (state.getPotentialEnergy() + state.getKineticEnergy())._value * KJ_PER_MOL

    integrator = made.getIntegrator()
    integrator.step(100)
    energies = []
    for _ in range(8):
        integrator.step(50)
        energies.append(total())
    assert np.ptp(energies) < 4e-3  # eV, of 0.3
    before = made.createCheckpoint()
    integrator.step(5)
    after = made.getState(getPositions=True).getPositions(asNumpy=True)._value
    made.loadCheckpoint(before)
    integrator.step(5)
    again = made.getState(getPositions=True).getPositions(asNumpy=True)._value
    np.testing.assert_array_equal(again, after)


def test_a_system_with_its_model_can_be_written_and_read(hdnnp):
    topology, positions = engine.topology_of(ethanol())
    system = engine.system_of(topology, engine.force(hdnnp, topology))
    expected, _ = answer(system, positions)
    again = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))
    assert answer(again, positions)[0] == expected
    assert answer(pickle.loads(pickle.dumps(system)), positions)[0] == expected


def test_a_barostat_changes_the_volume_and_moves_atoms_of_a_model_one_by_one():
    atoms = crystal(2)
    topology, positions = engine.topology_of(atoms)
    system = engine.system_of(topology, engine.force(argon(), topology))
    barostat = openmm.MonteCarloBarostat(5000, 60, 2)
    barostat.setRandomNumberSeed(4)
    system.addForce(barostat)
    made = context(system, positions, step=0.002)
    assert len(made.getMolecules()) == len(atoms)
    made.setVelocitiesToTemperature(60, 3)
    made.getIntegrator().step(150)
    state = made.getState(getEnergy=True, getPositions=True)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value * 10
    assert np.linalg.det(box) < 0.97 * atoms.get_volume()
    squeezed = atoms.copy()
    squeezed.set_cell(box)
    squeezed.positions = state.getPositions(asNumpy=True)._value * 10
    squeezed.calc = argon().calculator()
    energy = state.getPotentialEnergy()._value * KJ_PER_MOL
    assert energy == pytest.approx(squeezed.get_potential_energy(), rel=1e-10)


# --- mixed systems -------------------------------------------------------------------------------


def test_a_mixed_system_has_the_model_inside_and_the_force_field_elsewhere(hdnnp, solution):
    """E = E_model(region) + E_field(all) - E_field(region): exactly, where nothing is cut off."""
    field, topology, positions = solution
    whole = field.createSystem(topology, constraints=None, rigidWater=False)
    inside = field.createSystem(ethanol_topology(), constraints=None)
    mixed = engine.mixed_system(hdnnp, topology, whole, REGION)
    found, forces = answer(mixed, positions)
    all_energy, all_forces = answer(whole, positions)
    own, own_forces = answer(inside, positions[:9])
    atoms = ethanol()
    atoms.positions = np.array(positions[:9].value_in_unit(unit.angstrom))
    model, model_forces = of_model(hdnnp, atoms)
    assert found == pytest.approx(all_energy - own + model, rel=1e-10)
    expected = all_forces.copy()
    expected[:9] += model_forces - own_forces
    agree(forces, expected)


def test_a_mixed_system_in_a_box_runs_with_rigid_water_at_constant_pressure(hdnnp, solution):
    field, topology, positions = solution
    system = field.createSystem(
        topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=0.9 * unit.nanometer,
        constraints=app.HBonds,
    )
    before = system.getNumConstraints()
    mixed = engine.mixed_system(hdnnp, topology, system, REGION)
    assert system.getNumConstraints() == before
    assert mixed.getNumConstraints() == before - 6  # those of the six bonds to hydrogen
    mixed.addForce(openmm.MonteCarloBarostat(1, 300, 5))
    made = context(mixed, positions, "CPU")
    assert tuple(REGION) in {tuple(sorted(each)) for each in made.getMolecules()}
    openmm.LocalEnergyMinimizer.minimize(made, 50, 10)
    made.setVelocitiesToTemperature(300, 1)
    made.getIntegrator().step(20)
    state = made.getState(getEnergy=True)
    assert np.isfinite(state.getPotentialEnergy()._value)


def test_pairs_of_the_region_are_left_out_of_ewald_sums(hdnnp, solution):
    """What is taken away is q q / r of each pair inside, and the bonded terms."""
    field, topology, positions = solution
    asked = {"nonbondedMethod": app.PME, "nonbondedCutoff": 0.9 * unit.nanometer}
    system = field.createSystem(topology, constraints=None, ewaldErrorTolerance=1e-6, **asked)
    mixed = engine.mixed_system(hdnnp, topology, system, REGION)
    inside = field.createSystem(ethanol_topology(), constraints=None)
    own, _ = answer(inside, positions[:9])
    atoms = ethanol()
    atoms.positions = np.array(positions[:9].value_in_unit(unit.angstrom))
    found, _ = answer(mixed, positions)
    expected = answer(system, positions)[0] - own + of_model(hdnnp, atoms)[0]
    assert found == pytest.approx(expected, abs=1e-4)


# --- what is refused -----------------------------------------------------------------------------


def refused(sentence: str, call, kind=DataError) -> None:
    with pytest.raises(kind, match=re.escape(sentence)):
        call()


def test_atoms_that_make_no_sense(hdnnp):
    topology, _ = engine.topology_of(ethanol())
    salt, _ = engine.topology_of(molecule("NaCl"))
    refused("Atom 0 is Na, which this model does not know", lambda: engine.force(hdnnp, salt))
    refused("atoms is empty", lambda: engine.force(hdnnp, topology, []))
    refused("atoms has 9, and the topology", lambda: engine.force(hdnnp, topology, [9]))
    refused("atoms has 2 twice", lambda: engine.force(hdnnp, topology, [1, 2, 2]))
    refused(
        "the first 1.5; give a sequence",
        lambda: engine.force(hdnnp, topology, [1.5]),
        ArgumentError,
    )
    refused("has no head 'pbe'", lambda: engine.force(hdnnp, topology, head="pbe"), ConfigError)
    site = app.Topology()
    site.addAtom("M", None, site.addResidue("HOH", site.addChain()))
    refused("Particle 0 (M of residue HOH) has no element", lambda: engine.force(hdnnp, site))
    film = crystal(1)
    film.pbc = (True, True, False)
    refused("is periodic along a and b alone", lambda: engine.topology_of(film))
    with pytest.warns(StructureWarning, match=r"total charge of \+1 e"):
        engine.force(hdnnp, topology, total_charge=1)


def test_positions_that_are_no_numbers(hdnnp):
    topology, positions = engine.topology_of(ethanol())
    made = context(engine.system_of(topology, engine.force(hdnnp, topology)), positions)
    broken = np.array(positions.value_in_unit(unit.nanometer))
    broken[2, 1] = np.nan
    made.setPositions(broken)
    sentence = "Atom 2 has the position"
    refused(sentence, lambda: made.getState(getForces=True), openmm.OpenMMException)


def test_regions_that_cannot_be_cut_out(hdnnp, solution):
    field, topology, _ = solution
    system = field.createSystem(topology, constraints=None)

    def mix(atoms=REGION, system=system, topology=topology, model=hdnnp):
        return engine.mixed_system(model, topology, system, atoms)

    refused("Atom 0 (C0 of EOH) is in the region and atom 6 (H6 of EOH)", lambda: mix([0, 1, 2]))
    refused("The system has 9 particles", lambda: mix(system=engine.system_of(ethanol_topology())))
    born = openmm.GBSAOBCForce()
    for _ in topology.atoms():
        born.addParticle(0.1, 0.15, 0.8)
    boxed = field.createSystem(topology, nonbondedMethod=app.PME, nonbondedCutoff=0.9)
    far = argon()
    far.hops = None  # as a model with charges says
    refused("reaches atoms at any distance", lambda: mix(system=boxed, model=far))
    implicit = field.createSystem(topology, constraints=None)
    implicit.addForce(born)
    refused("The system has a GBSAOBCForce", lambda: mix(system=implicit))


def test_a_box_in_which_the_region_would_see_itself(hdnnp):
    topology, positions = engine.topology_of(ethanol())
    topology.setUnitCellDimensions(openmm.Vec3(0.85, 0.85, 0.85) * unit.nanometer)
    system = engine.system_of(topology)
    plain = openmm.NonbondedForce()
    plain.setNonbondedMethod(plain.CutoffPeriodic)
    plain.setCutoffDistance(0.4)
    for _ in topology.atoms():
        plain.addParticle(0, 0.3, 0.1)
    system.addForce(plain)
    mixed = engine.mixed_system(hdnnp, topology, system, REGION)
    sentence = "The box is 8.5 Angstrom high, and a region of a model with a cutoff of"
    refused(sentence, lambda: answer(mixed, positions), openmm.OpenMMException)


def test_openmm_ml_finds_it(hdnnp, solution):
    openmmml = pytest.importorskip("openmmml", reason="OpenMM-ML is not installed")
    from ladera.engines.openmm_ml import LaderaPotentialFactory

    openmmml.MLPotential.registerImplFactory("ladera", LaderaPotentialFactory())
    field, topology, positions = solution
    system = field.createSystem(topology, constraints=None)
    potential = openmmml.MLPotential("ladera", model=hdnnp)
    theirs = potential.createMixedSystem(topology, system, REGION)
    ours = engine.mixed_system(hdnnp, topology, system, REGION)
    assert answer(theirs, positions)[0] == pytest.approx(answer(ours, positions)[0], rel=1e-10)
    alone, places = engine.topology_of(ethanol())
    energy, _ = answer(potential.createSystem(alone), places)
    assert energy == pytest.approx(of_model(hdnnp, ethanol())[0], rel=1e-12)
    with pytest.raises(ArgumentError, match="did you mean 'head'"):
        openmmml.MLPotential("ladera", model=hdnnp, haed="pbe")
