"""Networks with charge equilibration: the contract, training, charges in ASE, what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.verlet import VelocityVerlet
from ase.units import fs
from pydantic import ValidationError

import ladera
from conftest import SPECIES, lennard_jones, mixed_functions, water_like
from ladera import Graph
from ladera.data.frame import Frame
from ladera.errors import DataError
from ladera.models.hdnnp.config import Scaling
from ladera.models.hdnnp_4g import HDNNP4G, ElectrostaticsConfig, HDNNP4GConfig
from ladera.models.hdnnp_4g.config import JacksonCatlow, KolafaPerram, ScreeningConfig
from ladera.potential import TrainingStatistics, differentiate, evaluate
from ladera.quantities import CHARGES
from ladera.testing import check_contract, check_forces, check_isolated_atom, predict

TIGHT = JacksonCatlow(precision=1e-14)
SETTINGS = {
    "plain": ElectrostaticsConfig(hidden_layers=(5,), ewald=TIGHT),
    "screened": ElectrostaticsConfig(
        hidden_layers={"H": (5,), "O": (4, 3)},
        activation="softplus",
        ewald=TIGHT,
        screening=ScreeningConfig(inner=1.0, outer=3.3),
        gaussian_widths={"H": 0.4},
        permittivity=1.3,
    ),
    "at_a_cutoff": ElectrostaticsConfig(
        hidden_layers=(5,),
        ewald=KolafaPerram(precision=1e-12, real_cutoff=9.0),
        screening=ScreeningConfig(inner=0.5, outer=4.0, shape="poly3"),
    ),
}
ION = water_like(7, 4.0, False, 1)
ION.info["total_charge"] = 1.0
STRUCTURES = {
    "molecule": water_like(7, 4.0, False, 1),
    "ion": ION,
    "crystal": water_like(9, 5.5, True, 2),
    "cell_smaller_than_cutoff": water_like(3, 2.6, True, 3),
    "own_images": Atoms("OH", [[0.3, 0.1, 0.2], [1.2, 0.8, 0.9]], cell=[2.4, 2.7, 3.1], pbc=True),
}


def model(
    electrostatics: ElectrostaticsConfig = SETTINGS["plain"], scaling: Scaling = "scale_center"
) -> HDNNP4G:
    torch.manual_seed(3)
    config = HDNNP4GConfig(
        species=SPECIES,
        cutoff=4.5,
        symmetry_functions=mixed_functions(4.5),
        cutoff_function="tanh3",
        hidden_layers=(6, 5),
        scaling=scaling,
        electrostatics=electrostatics,
    )
    potential = ladera.build(config)
    assert isinstance(potential, HDNNP4G)
    graphs = [Graph.from_atoms(water_like(12, 6.0, True, s), config.cutoff) for s in range(4)]
    statistics = TrainingStatistics({"H": -13.6, "O": -2041.8}, energy_shift=-1.5, force_scale=0.7)
    potential.fit_statistics(graphs, statistics)
    potential.electronegativity_scale.fill_(8.0)
    return potential.eval()


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Systems this small gain nothing from a second thread, and lose much on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=list(SETTINGS))
def potential(request: pytest.FixtureRequest) -> HDNNP4G:
    return model(SETTINGS[request.param])


@pytest.mark.parametrize("name", STRUCTURES)
def test_contract(potential: HDNNP4G, name: str) -> None:
    check_contract(potential, STRUCTURES[name])


def test_principal_components_keep_the_contract() -> None:
    check_contract(model(scaling="principal"), STRUCTURES["crystal"])


@pytest.mark.parametrize("symbol", SPECIES)
def test_isolated_atom(potential: HDNNP4G, symbol: str) -> None:
    check_isolated_atom(potential, symbol)


def test_charges_are_those_of_the_lowest_energy(potential: HDNNP4G) -> None:
    """No other charges of the same sum have a lower chi.q + q.K q / 2."""
    from ladera.kernels.electrostatics import reference

    graph = Graph.from_atoms(ION, potential.cutoff)
    index = potential.element_index(graph)
    with torch.no_grad():
        charges = evaluate(potential, graph).charges
        inputs = potential.input_scaling().inputs(potential.symmetry_functions(graph), index)
        chi = potential._outputs(potential.electronegativities, inputs, index) * 8.0
        (part,) = potential.electrostatics.parts(graph, index)
        widths = torch.from_numpy(potential.electrostatics.widths)[index]
        A, _ = reference.matrices(part.positions, part.cell, widths, part.sums, None)
        K = potential.electrostatics.constant * A + torch.diag(potential.hardness[index])
    assert charges is not None
    assert float(charges.sum()) == pytest.approx(1.0, abs=1e-12)
    assert float(charges.abs().max()) > 0.1
    slope = chi + K @ charges
    torch.testing.assert_close(slope, slope.mean().expand(len(slope)), rtol=0, atol=1e-11)
    assert bool((torch.linalg.eigvalsh(K) > 0).all())


def test_charges_know_atoms_beyond_every_cutoff() -> None:
    """Two fragments out of sight of each other: each one's charges depend on the other."""
    potential = model()
    pair = Atoms("OHHO", [[0, 0, 0], [1, 0, 0], [30, 0, 0], [31, 0, 0.3]])
    flipped = Atoms("OHHO", [[0, 0, 0], [1, 0, 0], [30, 0, 0], [31, 0, 0.8]])
    one, two = predict(potential, pair), predict(potential, flipped)
    assert one.charges is not None
    assert two.charges is not None
    assert one.graph.n_edges == 4
    assert abs(float(one.charges[0] - two.charges[0])) > 1e-6
    check_forces(potential, pair)


def test_parameter_gradients_of_forces(potential: HDNNP4G) -> None:
    graph = Graph.from_atoms(STRUCTURES["cell_smaller_than_cutoff"], potential.cutoff)

    def loss() -> torch.Tensor:
        prediction = evaluate(potential, graph)
        forces, virial = prediction.forces.pow(2).sum(), prediction.virial.pow(2).sum()
        assert prediction.charges is not None
        return prediction.energy.sum() + forces + virial + prediction.charges.pow(2).sum()

    parameters = list(potential.parameters())
    for parameter, gradient in zip(
        parameters, torch.autograd.grad(loss(), parameters), strict=True
    ):
        flat, place = parameter.detach().view(-1), int(gradient.abs().argmax())
        step, values = 1e-5 * max(1.0, abs(float(flat[place]))), []
        for sign in (1, -1):
            flat[place] += sign * step
            values.append(loss().item())
            flat[place] -= sign * step
        expected = (values[0] - values[1]) / (2 * step)
        assert float(gradient.view(-1)[place]) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_a_batch_of_open_and_periodic_structures() -> None:
    potential = model()
    graphs = [Graph.from_atoms(atoms, potential.cutoff) for atoms in STRUCTURES.values()]
    with torch.no_grad():
        batch = evaluate(potential, Graph.batch(graphs))
        single = [evaluate(potential, graph) for graph in graphs]
    for name in ("energy", "charges", "forces", "virial"):
        expected = torch.cat([getattr(prediction, name) for prediction in single])
        torch.testing.assert_close(getattr(batch, name), expected, rtol=1e-10, atol=1e-10)
    automatic = differentiate(potential, Graph.batch(graphs))
    torch.testing.assert_close(automatic.virial.detach(), batch.virial, rtol=1e-9, atol=1e-9)


def test_committee_of_models_with_and_without_charges() -> None:
    atoms = STRUCTURES["cell_smaller_than_cutoff"]
    one, two, short = model(), model(SETTINGS["screened"]), lennard_jones()
    charged = ladera.Committee([one, two])
    assert CHARGES in charged.gives
    mean = predict(charged, atoms)
    assert mean.charges is not None
    expected = [predict(member, atoms) for member in (one, two)]
    charges = [p.charges for p in expected if p.charges is not None]
    torch.testing.assert_close(mean.charges, torch.stack(charges).mean(0))
    torch.testing.assert_close(mean.virial, (expected[0].virial + expected[1].virial) / 2)
    check_forces(charged, STRUCTURES["ion"])
    mixed = ladera.Committee([one, short])
    assert CHARGES not in mixed.gives
    assert predict(mixed, atoms).charges is None
    check_forces(mixed, atoms)


def test_calculator_has_charges_and_a_dipole() -> None:
    potential = model()
    atoms = STRUCTURES["molecule"].copy()
    atoms.calc = potential.calculator()
    energy, charges = atoms.get_potential_energy(), atoms.get_charges()
    assert charges.sum() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(atoms.get_dipole_moment(), charges @ atoms.positions)
    forces = predict(potential, atoms).forces.numpy()
    np.testing.assert_allclose(atoms.get_forces(), forces, atol=1e-12)
    atoms.info["total_charge"] = 1.0
    assert atoms.get_charges().sum() == pytest.approx(1.0)
    assert atoms.get_potential_energy() != pytest.approx(energy, abs=0.1)
    del atoms.info["total_charge"]
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-14)
    periodic = STRUCTURES["crystal"].copy()
    periodic.calc = potential.calculator()
    assert periodic.get_stress().shape == (6,)
    with pytest.raises(PropertyNotImplementedError, match="periodic"):
        periodic.get_dipole_moment()


def test_a_model_without_charges_has_none() -> None:
    atoms = STRUCTURES["molecule"].copy()
    atoms.calc = lennard_jones().calculator()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_charges()
    with pytest.raises(DataError, match="no charges"):
        _ = predict(lennard_jones(), atoms).dipole


def test_total_charge_of_a_frame_reaches_the_graph() -> None:
    frame = Frame(
        ION.numbers, ION.positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), total_charge=1.0
    )
    graph = frame.graph(4.5)
    assert graph.total_charge.tolist() == [1.0]
    assert Graph.batch([graph, graph]).total_charge.tolist() == [1.0, 1.0]
    assert Graph.from_atoms(frame.to_atoms(), 4.5).total_charge.tolist() == [1.0]


def test_energy_is_conserved_in_molecular_dynamics() -> None:
    atoms = STRUCTURES["molecule"].copy()
    atoms.calc = model(SETTINGS["screened"]).calculator()
    generator = np.random.default_rng(1)
    atoms.set_momenta(generator.normal(scale=0.3, size=(len(atoms), 3)))
    start = atoms.get_total_energy()
    kinetic = atoms.get_kinetic_energy()
    VelocityVerlet(atoms, timestep=0.1 * fs).run(100)
    assert abs(atoms.get_kinetic_energy() - kinetic) > 1e-3
    assert atoms.get_total_energy() == pytest.approx(start, abs=2e-5)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("OH", [[0, 0, 0], [1, 0, 0]], cell=[4, 4, 4], pbc=True), "total charge of 1 e"),
        (Atoms("OH", [[0, 0, 0], [1, 0, 0]], cell=[4, 4, 4], pbc=(1, 1, 0)), "2 of three"),
        (Atoms("OHH", [[0, 0, 0], [1, 0, 0], [1, 0, 0]]), "Atoms 1 and 2 are in one place"),
    ],
)
def test_structures_that_have_no_energy(atoms: Atoms, words: str) -> None:
    atoms.info["total_charge"] = 1.0
    potential = model()
    with pytest.raises(DataError, match=words):
        predict(potential, atoms)
    with pytest.raises(DataError, match=words):
        evaluate(potential, Graph.from_atoms(atoms, potential.cutoff))


def test_a_total_charge_that_is_no_number() -> None:
    atoms = Atoms("O")
    atoms.info["total_charge"] = "neutral"
    with pytest.raises(DataError, match="'neutral'; it must be a number"):
        predict(model(), atoms)


def test_broken_parameters_are_noticed() -> None:
    potential = model()
    with torch.no_grad():
        potential.root_hardness.fill_(float("nan"))
    with pytest.raises(DataError, match="charges of structure 0 are not finite"):
        predict(potential, STRUCTURES["molecule"])
    with pytest.raises(DataError, match="charges of structure 0 are not finite"):
        evaluate(potential, Graph.from_atoms(STRUCTURES["molecule"], potential.cutoff))


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"gaussian_widths": {"C": 0.7}}, "entry for C"),
        ({"hidden_layers": {"H": [3]}}, "electronegativity networks.*no entry for O"),
        ({"screening": {"inner": 3.0, "outer": 2.0}}, "less than outer"),
        ({"ewald": {"truncation": "jackson_catlow", "precision": 2.0}}, "less than 1"),
        ({"permitivity": 2.0}, "permitivity"),
    ],
)
def test_impossible_configurations(section: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        HDNNP4GConfig.model_validate(
            {"species": ["H", "O"], "cutoff": 4.0, "electrostatics": section}
        )


def test_a_cutoff_and_nothing_else() -> None:
    potential = ladera.build(HDNNP4GConfig(species=SPECIES, cutoff=4.0, size="small"))
    assert isinstance(potential, HDNNP4G)
    assert potential.electrostatics.widths.tolist() == pytest.approx([0.31, 0.66])
    assert np.isfinite(predict(potential, STRUCTURES["crystal"]).energy.item())
