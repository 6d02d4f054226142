"""The thesis's control.in and .smf files: what they mean, what is refused, what is written."""

from __future__ import annotations

import copy
import importlib.util
import re
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ladera
from ladera import cli
from ladera.data.dataset import Dataset
from ladera.data.formats import input_data
from ladera.data.frame import Frame
from ladera.errors import ConfigError, DataError, LaderaError
from ladera.jobs.control_in import (
    ControlTraining,
    ControlWarning,
    molecular_dynamics,
    read_simulation,
    read_training,
    smf,
    training,
)
from ladera.kernels.symmetry_functions.functions import GaussianFunction
from ladera.models.hdnnp import HDNNP
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.potential import evaluate
from ladera.table_files import column
from ladera.training.run_folder import read_log
from ladera.units import ANGSTROM_HARTREE, BOHR, HARTREE

ROOT = Path(__file__).parents[1]

CONTROL = """\
# a comment
mode                   training
cut_function_type      2
angular_sf             wide     # another
atomic_data_path       input.data
length_unit            Ang
number_of_atom_types   2
model_path             none
neurons_per_layer      [5, 4, 1]
activation_function    hyperbolic_tangent
weight_initialization  glorot_normal
bias_initialization    zeros
random_seed            3
optimization_method    Adagrad
learning_rate          0.01
loss_function          mse
number_of_epochs       2
minibatch_size         10
validation_fraction    0.25

atom_type_1     Ne  10   20.18   Ne.smf
atom_type_2     Ar  18   39.95   Ar.smf
"""
FUNCTIONS = """\
# CentralAtom is the i-atom
# CentralAtom {}

# Type G2
# j-atom eta     Rs        Rc
Ne  0.05  0.0  6.00
Ar  0.10  0.5  6.00

# Type G3
# j-k-atoms    eta     lambda   zeta    Rc
Ne Ne 0.0   1.0 1.0 6.0
Ne Ar 0.01 -1.0 2.0 6.0
"""
SIMULATION = """\
mode                   simulation
cut_function_type      2
angular_sf             wide
atomic_data_path       input.data
length_unit            Ang
number_of_atom_types   2
model_path             run/model.ladera
neurons_per_layer      [5, 4, 1]
activation_function    hyperbolic_tangent
iterations             3
timestep               0.5 fs
atom_type_1     Ne  10   20.25  Ne.smf
atom_type_2     Ar  18   39.95   Ar.smf
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Structures this small gain nothing from threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def frames(n_frames: int = 8) -> Dataset:
    """Open clusters of neon and argon with the labels of a Lennard-Jones potential."""
    truth = ladera.build(
        LennardJonesConfig(
            species=("Ne", "Ar"),
            cutoff=6.0,
            epsilon={"Ne": 0.003, "Ar": 0.0104},
            sigma={"Ne": 2.8, "Ar": 3.4},
        )
    )
    lattice = 3.8 * np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    found = []
    for seed in range(n_frames):
        rng = np.random.default_rng(seed)
        frame = Frame(
            numbers=np.array([10] * (3 + seed % 2) + [18] * (5 - seed % 2)),
            positions=lattice + 0.1 * rng.standard_normal((8, 3)),
            cell=np.zeros((3, 3)),
            periodic=np.zeros(3, dtype=bool),
        )
        with torch.no_grad():
            labels = evaluate(truth, frame.graph(6.0))
        found.append(frame.with_(energy=float(labels.energy[0]), forces=labels.forces.numpy()))
    return Dataset.from_frames(found)


@pytest.fixture(scope="session")
def labelled() -> Dataset:
    return frames()


@pytest.fixture
def folder(tmp_path: Path, labelled: Dataset) -> Path:
    """A folder with everything for a training."""
    input_data.write(labelled, tmp_path / "input.data", ANGSTROM_HARTREE)
    (tmp_path / "control.in").write_text(CONTROL)
    for symbol in ("Ne", "Ar"):
        (tmp_path / f"{symbol}.smf").write_text(FUNCTIONS.format(symbol))
    return tmp_path


def edit(folder: Path, old: str, new: str, name: str = "control.in") -> Path:
    """Change a file (every occurrence); it must have what is to be changed."""
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return folder / "control.in"


# --- meaning -----------------------------------------------------------------------------------


def test_keys_become_a_configuration(folder: Path) -> None:
    config = read_training(folder / "control.in").config
    assert config.data.files == (str(folder / "input.data"),)
    assert config.data.units == "angstrom-hartree"
    assert config.data.atom_columns == "energy charge"
    assert config.data.split.model_dump() == {"method": "first", "train": 6, "validation": 2}
    model = config.model
    assert model.species == ("Ne", "Ar")
    assert model.cutoff == 6.0
    assert model.cutoff_function == "tanh3"
    assert model.hidden_layers == (5, 4)
    assert model.activation == "tanh_scaled"
    assert model.scaling == "scale_center"
    assert model.symmetry_functions[3] == GaussianFunction(
        kind="wide",
        center="Ne",
        neighbors=("Ne", "Ar"),
        eta=0.01,
        lambda_=-1.0,
        zeta=2.0,
        cutoff=6.0,
    )
    assert (config.optimizer.name, config.optimizer.learning_rate) == ("adagrad", 0.01)
    assert config.schedule.name == "constant"
    assert (config.epochs, config.batch_size, config.seed) == (2, 6, 3)
    assert (config.loss.function, config.loss.forces) == ("mse", 0.0)


@pytest.mark.parametrize(
    ("old", "new", "key", "value"),
    [
        ("cut_function_type      2", "cut_function_type 1", "cutoff_function", "cosine"),
        ("hyperbolic_tangent", "sigmoid", "activation", "logistic"),
        ("hyperbolic_tangent", "identity", "activation", "linear"),
        ("hyperbolic_tangent", "rectilinear", "activation", "leaky_relu"),
        (
            "hyperbolic_tangent",
            "hyperbolic_tangent_with_linear_twist",
            "activation",
            "tanh_weak_twist",
        ),
        ("[5, 4, 1]", "7 1", "hidden_layers", (7,)),
        ("[5, 4, 1]", "[7,6,5,1]", "hidden_layers", (7, 6, 5)),
    ],
)
def test_other_values_of_the_model(
    folder: Path, old: str, new: str, key: str, value: object
) -> None:
    config = read_training(edit(folder, old, new)).config
    assert getattr(config.model, key) == value


def test_narrow_functions(folder: Path) -> None:
    functions = read_training(edit(folder, "wide ", "narrow ")).config.model.symmetry_functions
    assert [f.kind for f in functions[:4]] == ["radial", "radial", "narrow", "narrow"]


def test_lengths_in_bohr(folder: Path) -> None:
    job = read_training(edit(folder, "Ang", "Bohr"))
    function = job.config.model.symmetry_functions[1]
    assert job.config.data.units == "bohr-hartree"
    assert function.cutoff == pytest.approx(6 * BOHR)
    assert function.shift == pytest.approx(0.5 * BOHR)
    assert function.eta == pytest.approx(0.1 / BOHR**2)


def test_what_is_not_honoured_is_named(folder: Path) -> None:
    edit(folder, "glorot_normal", "random_uniform")
    control = edit(folder, "mode ", "decay_value 0.1\nmode ")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_training(control)
    text = " ".join(str(w.message) for w in caught)
    assert all(w.category is ControlWarning for w in caught)
    for key in ("weight_initialization random_uniform", "decay_value"):
        assert f"{key} " in text


@pytest.mark.parametrize(
    ("text", "femtoseconds"),
    [("0.5 fs", 0.5), ("0.5fs", 0.5), ("1e-3 ps", 1.0), ("500 as", 0.5), ("20 au", 0.4837768652)],
)
def test_timestep_with_its_unit(folder: Path, text: str, femtoseconds: float) -> None:
    (folder / "model.ladera").touch()
    control = folder / "md.in"
    control.write_text(SIMULATION.replace("0.5 fs", text).replace("run/", ""))
    job = read_simulation(control)
    assert job.settings.timestep == pytest.approx(femtoseconds)
    assert (job.settings.ensemble, job.settings.n_steps) == ("nve", 3)
    assert set(job.atoms.get_masses()) == {20.25, 39.95}


# --- .smf --------------------------------------------------------------------------------------


def functions(draw: st.DrawFn) -> list[GaussianFunction]:
    positive = st.floats(0.001, 20, allow_nan=False)
    found = []
    for angular in draw(st.lists(st.booleans(), min_size=1, max_size=6)):
        neighbors = draw(st.lists(st.sampled_from(("H", "O")), min_size=1 + angular, max_size=2))
        extra = (
            {"lambda_": draw(st.sampled_from((-1.0, 1.0))), "zeta": draw(st.floats(1, 64))}
            if angular
            else {}
        )
        found.append(
            GaussianFunction(
                kind="narrow" if angular else "radial",
                center="O",
                neighbors=tuple(neighbors[: 1 + angular]),
                eta=draw(positive),
                shift=draw(st.floats(0, 5)),
                cutoff=draw(positive),
                **extra,
            )
        )
    return list(dict.fromkeys(found))


@given(st.composite(functions)(), st.sampled_from((1.0, BOHR)))
def test_smf_round_trip(
    tmp_path_factory: pytest.TempPathFactory, written: list[GaussianFunction], length: float
) -> None:
    path = tmp_path_factory.mktemp("smf") / "O.smf"
    smf.write(path, written, length)
    back = smf.read(path, "O", ("H", "O"), "narrow", length)
    expected = sorted(written, key=lambda f: f.angular)
    assert [(f.kind, f.neighbors) for f in back] == [(f.kind, f.neighbors) for f in expected]
    for one, other in zip(back, expected, strict=True):
        for name in ("eta", "shift", "cutoff"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-12)
        assert (one.lambda_, one.zeta) == (other.lambda_, other.zeta)


@pytest.mark.parametrize(
    "text",
    [
        "H 0.1 0.0 6.0\nO-H 0.0 1.0 2.0 6.0",
        "CentralAtom O\nType G2\nneighbour eta Rs Rc\nH 0.1 0.0 6.0\n\n#Type G3\nO H 0 1 2 6 # x",
        "#CentralAtom O\n# Type G2 \n H\t0.1 0.0 6.0\r\n# Type G3\nH  O 0.0 1.0 2.0 6.0 0.0",
    ],
)
def test_smf_may_be_written_in_many_ways(tmp_path: Path, text: str) -> None:
    path = tmp_path / "O.smf"
    path.write_text(text)
    found = smf.read(path, "O", ("H", "O"), "wide", 1.0)
    assert [(f.kind, f.neighbors, f.cutoff) for f in found] == [
        ("radial", ("H",), 6.0),
        ("wide", ("H", "O"), 6.0),
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Ne  0.05  0.0  6.00", "Ne  0.05  6.00", r"line 6: 'Ne 0.05 6.00' has 3 columns"),
        ("Ne  0.05  0.0  6.00", "Ne  x  0.0  6.00", r"line 6: 'x' is no number"),
        ("Ne  0.05  0.0  6.00", "Na  0.05  0.0  6.00", r"line 6: 'Na' is no atom type.*Ar, Ne"),
        ("Ne  0.05  0.0  6.00", "Ne  -1  0.0  6.00", r"line 6: impossible function \(eta"),
        ("Ne Ne 0.0   1.0 1.0 6.0", "Ne Ne 0.0 6.0", r"line 11: .* 4 columns, expected a G3 line"),
        ("Ne Ne 0.0   1.0 1.0 6.0", "Ne Ne 0.0 1.0 0.5 6.0", r"line 11: .*zeta = 0.5 is below 1"),
        ("# CentralAtom Ne", "# CentralAtom Ar", r"line 2: .* central atom Ar, but .* to Ne"),
        ("# Type G3", "# Type G5", r"line 9: 'Type G5' is no block"),
        ("Ar  0.10  0.5", "Ne  0.05  0.0", r"line 7: repeats the function of line 6"),
        (FUNCTIONS.format("Ne"), "# nothing\n", r"Ne\.smf holds no symmetry functions"),
    ],
)
def test_malformed_smf(folder: Path, old: str, new: str, expected: str) -> None:
    control = edit(folder, old, new, "Ne.smf")
    with pytest.raises(ConfigError, match=expected) as caught:
        read_training(control)
    assert "Ne.smf" in str(caught.value)


def test_smf_has_no_place_for_other_functions(tmp_path: Path) -> None:
    weighted = GaussianFunction(kind="weighted_radial", center="O", eta=1.0, cutoff=5.0)
    with pytest.raises(ConfigError, match="weighted_radial"):
        smf.write(tmp_path / "O.smf", [weighted], 1.0)


# --- bad input ---------------------------------------------------------------------------------


# The defaults of tf.keras.optimizers, as its documentation gives them.
KERAS = {
    "Adagrad": {"initial_accumulator": 0.1, "epsilon": 1e-7},
    "SGD": {"momentum": 0.0},
    "Momentum": {"momentum": 0.9},
    "RMSprop": {"alpha": 0.9, "momentum": 0.0, "epsilon": 1e-7},
    "Adam": {"betas": (0.9, 0.999), "epsilon": 1e-7},
    "AdamW": {"betas": (0.9, 0.999), "epsilon": 1e-7, "weight_decay": 0.004},
}


@pytest.mark.parametrize("method", KERAS)
def test_optimizers_are_those_of_keras(folder: Path, method: str) -> None:
    optimizer = read_training(edit(folder, "Adagrad", method)).config.optimizer
    assert {name: getattr(optimizer, name) for name in KERAS[method]} == KERAS[method]
    assert optimizer.learning_rate == 0.01
    if method not in ("SGD", "Momentum"):
        control = edit(folder, "mode ", "epsilon 1e-5\nmode ")
        assert read_training(control).config.optimizer.epsilon == 1e-5


def test_a_training_is_that_of_keras(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's loss and Keras's Adagrad, written out by hand, from the same first weights."""
    started: list[HDNNP] = []
    scale = ControlTraining._scale

    def keep(job, potential, prepared, batches) -> None:
        scale(job, potential, prepared, batches)
        started.append(copy.deepcopy(potential))

    monkeypatch.setattr(ControlTraining, "_scale", keep)
    edit(folder, "hyperbolic_tangent", "hyperbolic_tangent_with_linear_twist")
    edit(folder, "mode ", "clipvalue 0.5\nmode ")
    trained = training(
        folder / "control.in",
        folder / "run",
        overrides=["epochs=6"],
    )
    model, dataset = started[0], list(input_data.read(folder / "input.data", ANGSTROM_HARTREE))
    energies = np.array([dataset[k].energy for k in range(8)])
    graphs = [dataset[k].graph(model.cutoff) for k in range(6)]
    offset = [float(model.reference_energies[model.element_index(g)].sum()) for g in graphs]
    offset = torch.tensor(offset) + 8 * model.energy_shift
    targets = (torch.tensor(energies[:6]) - offset) / (energies.max() - energies.min())
    inputs = []
    for graph in graphs:
        G, index = model.symmetry_functions(graph), model.element_index(graph)
        low, high, mean = model.minimum[index], model.maximum[index], model.mean[index]
        span = torch.where(high > low, high - low, torch.ones_like(low))
        inputs.append(((G - mean) / span, index))
    layers = [[(lay.weight, lay.bias) for lay in net.layers()] for net in model.atomic_networks()]
    parameters = [p.requires_grad_() for net in layers for layer in net for p in layer]
    sums = [torch.full_like(p, 0.1) for p in parameters]

    def network(x: torch.Tensor, layers: list) -> torch.Tensor:
        for weight, bias in layers[:-1]:
            z = x @ weight.T + bias
            x = 1.7159 * torch.tanh(2 * z / 3) + 0.001 * z
        return x @ layers[-1][0].T + layers[-1][1]

    losses = []
    for _ in range(6):
        totals = [
            sum(network(x[index == e, : len(layers[e][0][0].T)], layers[e]).sum() for e in range(2))
            for x, index in inputs
        ]
        loss = (torch.stack(totals) - targets).square().mean()
        losses.append(loss.item())
        with torch.no_grad():
            slopes = torch.autograd.grad(loss, parameters)
            for p, total, slope in zip(parameters, sums, slopes, strict=True):
                slope = slope.clamp(-0.5, 0.5)
                total += slope**2
                p -= 0.01 * slope / (total.sqrt() + 1e-7)
    log = column(read_log(folder / "run"), "train_loss")
    assert log == pytest.approx(losses, rel=1e-6)
    assert losses[-1] < losses[0]
    assert type(trained) is HDNNP


@pytest.mark.parametrize("optimizer", ["adagrad", "kalman"])
def test_a_training_on_energies_keeps_what_its_networks_see(
    folder: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Symmetry functions once, no edges, no forces: the same networks as with all that."""
    words = {"overrides": [f"optimizer.name={optimizer}", "batch_size=3", "epochs=3"]}
    kept = training(folder / "control.in", folder / "kept", **words)
    log = read_log(folder / "kept")
    assert np.isnan(column(log, "validation_force_rmse_mev_per_angstrom")).all()
    assert '"forces"' in (folder / "kept/evaluation.json").read_text()
    monkeypatch.setattr(HDNNP, "reduced", ladera.Potential.reduced)
    whole = training(folder / "control.in", folder / "whole", **words)
    for name, values in kept.state_dict().items():
        assert torch.equal(values, whole.state_dict()[name]), name


def test_a_script_for_the_thesis_program_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``training("control.in", True)``, where True asks for function.data."""
    monkeypatch.chdir(folder)
    training("control.in", True)
    assert {"function.data", "loss.out", "model.ladera"} <= {
        p.name for p in Path("outputs").iterdir()
    }


def test_a_reduced_graph_gives_energies_alone(folder: Path, labelled: Dataset) -> None:
    model = training(folder / "control.in", folder / "run")
    graph = labelled[0].graph(model.cutoff)
    reduced = model.reduced(graph)
    assert reduced.n_edges == 0
    with torch.no_grad():
        energies = evaluate(model, reduced, gradients=False).energy, evaluate(model, graph).energy
        assert torch.allclose(*energies, rtol=1e-12)
        with pytest.raises(ValueError, match="no edges"):
            evaluate(model, reduced)


def test_another_optimizer_leaves_those_of_keras_behind(folder: Path) -> None:
    for name in ("kalman", "adam", "adagrad"):
        job = read_training(folder / "control.in", [f"optimizer.name={name}"])
        assert job.config.optimizer.name == name
    with pytest.raises(ConfigError, match="Nadam is one of Keras's that Ladera does not have"):
        read_training(edit(folder, "Adagrad", "Nadam"))


def test_a_mass_that_is_not_its_elements_is_named(folder: Path) -> None:
    control = edit(folder, "39.95", "40.95")
    with pytest.warns(ControlWarning, match=r"atom_type_2 gives Ar the mass 40\.95.*has 39\.948"):
        read_training(control)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("input.data", "other.data", r"line 5: atomic_data_path names other.data, but there is no"),
        ("Ne.smf", "Na.smf", r"line 21: atom_type_1 names Na.smf, but there is no .*Na.smf"),
        ("types   2", "types 3", r"number_of_atom_types is 3, but the atom_type lines are 1, 2"),
        ("types   2", "types 3000000000", r"types is '3000000000', expected .* to 1000000000"),
        ("types   2", "types 300000000", r"types is 300000000, but the atom_type lines are 1, 2"),
        ("atom_type_2", "atom_type_02", r"'atom_type_02' is not a key"),
        ("[5, 4, 1]", f"[{'9' * 5000}, 1]", r"9999 at most"),
        ("atom_type_2", "atom_type_3", r"the atom_type lines are 1, 3; expected .* atom_type_2"),
        ("minibatch_size", "minibatchsize", r"'minibatchsize' is not.*did you mean 'minibatch_siz"),
        ("random_seed            3", "mode training", r"'mode' stands on line 2 already"),
        ("Ne  10   20.18", "Ne  10", r"atom_type_1 Ne 10 Ne.smf' has 3 words .* 'atom_type_1 H 1"),
        ("Ne  10   20.18", "Ne  11   20.18", r"gives Ne the atomic number 11; it is 10"),
        ("Ne  10   20.18", "Nn  10   20.18", r"'Nn', which is no element; did you mean"),
        ("Ne  10   20.18", "Ne  10   heavy", r"the mass 'heavy', expected amu above zero"),
        ("atom_type_2     Ar  18", "atom_type_2 Ne 10", r"Ne has two atom_type lines"),
        ("cut_function_type      2", "cut_function_type 3", r"cut_function_type is '3'; choose"),
        ("wide ", "wode ", r"angular_sf is 'wode'; did you mean 'wide'"),
        ("Ang\n", "feet\n", r"length_unit is 'feet'"),
        (
            "[5, 4, 1]",
            "[5, 4]",
            r"neurons_per_layer is '\[5, 4\]', expected .* such as \[15, 15, 1",
        ),
        ("hyperbolic_tangent", "hyperbolic", r"did you mean 'hyperbolic_tangent'"),
        ("Adagrad", "Adagad", r"optimization_method is 'Adagad'; did you mean 'Adagrad'"),
        ("learning_rate          0.01", "learning_rate fast", r"learning_rate is 'fast'"),
        ("number_of_epochs       2", "number_of_epochs 0", r"expected a whole number from 1 up"),
        ("validation_fraction    0.25", "validation_fraction 1", r"from 0 to 0.999"),
        (
            "loss_function          mse",
            "",
            r"the key 'loss_function' is missing; .*'loss_function m",
        ),
        ("loss_function          mse", "loss_function", r"'loss_function' has no value"),
        ("training\n", "simulation\n", r"mode is simulation; run 'ladera md"),
        ("random_seed            3", "timestep 5", r"line 13: 'timestep 5' has no unit"),
        (CONTROL, "# nothing", r"holds no keys"),
    ],
)
def test_bad_control_file(folder: Path, old: str, new: str, expected: str) -> None:
    control = edit(folder, old, new)
    with pytest.raises(ConfigError, match=expected) as caught:
        read_training(control)
    assert str(caught.value).startswith(str(control))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0.5 fs", "5", r"line 11: 'timestep 5' has no unit.*'timestep 0.5 fs'"),
        ("0.5 fs", "5 hours", r"timestep has the unit 'hours'; choose one of: as, au, fs, ps, s"),
        ("0.5 fs", "soon", r"timestep is 'soon', expected a time such as 'timestep 0.5 fs'"),
        ("0.5 fs", "-1 fs", r"timestep is '-1 fs'; it must be above zero"),
        ("0.5 fs", "", r"'timestep' has no value; write for example 'timestep 0.5 fs'"),
        ("run/model.ladera", "none", r"model_path is none; train first"),
        ("run/model.ladera", "no.ladera", r"model_path names no.ladera, but there is no"),
        ("run/model.ladera", "old.h5", r"old.h5, a model of Keras"),
        ("iterations             3", "iterations 2.5", r"iterations is '2.5', expected a whole"),
        ("simulation", "training", r"mode is training; run 'ladera train"),
    ],
)
def test_bad_simulation(folder: Path, old: str, new: str, expected: str) -> None:
    (folder / "old.h5").touch()
    (folder / "run").mkdir()
    (folder / "run/model.ladera").touch()
    (folder / "control.in").write_text(SIMULATION)
    with pytest.raises(ConfigError, match=expected):
        read_simulation(edit(folder, old, new))


def test_an_atom_type_that_the_data_have_and_the_control_file_has_not(folder: Path) -> None:
    edit(folder, "number_of_atom_types   2", "number_of_atom_types 1")
    edit(folder, "atom_type_2     Ar  18   39.95   Ar.smf\n", "")
    (folder / "Ne.smf").write_text("Ne 0.1 0.0 6.0\n")
    with pytest.raises(ConfigError, match="The frames contain Ar, but the model is for Ne"):
        training(folder / "control.in", folder / "run")
    (folder / "model.ladera").touch()
    text = SIMULATION.replace("types   2", "types 1").replace("run/", "")
    (folder / "md.in").write_text(re.sub("atom_type_2.*\n", "", text))
    with pytest.raises(DataError, match=r"contains Ar, but .* has no atom_type line"):
        read_simulation(folder / "md.in")


@given(st.text(st.sampled_from("atom_type 12\n#[],.ABab\t-e"), max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    control = tmp_path_factory.mktemp("any") / "control.in"
    control.write_text(text)
    with pytest.raises(LaderaError):
        read_training(control)


# --- runs --------------------------------------------------------------------------------------


def command(*words: object) -> int:
    """Run a command line; its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in words])
    return int(end.value.code or 0)


@pytest.mark.filterwarnings("ignore::ladera.simulation.preparation.SimulationWarning")
def test_train_and_simulate(folder: Path, labelled: Dataset) -> None:
    """Both commands, and every file of the thesis beside those of Ladera."""
    run, md = folder / "run", folder / "md"
    assert command("train", folder / "control.in", "--output", run) == 0
    assert ladera.load(run / "model.ladera").symbols == ("Ne", "Ar")
    assert len((run / "loss.out").read_text().splitlines()) == 2
    assert len((run / "val_loss.out").read_text().splitlines()) == 2
    lines = (run / "function.data").read_text().splitlines()
    assert len(lines) == len(labelled) * (1 + 8 + 1)
    assert (lines[0].split(), len(lines[1].split())) == (["8"], 1 + 4)
    energy = float(lines[9].split()[1]) * 8 * HARTREE
    assert energy == pytest.approx(labelled[0].energy, abs=1e-6)
    assert {path.name for path in run.glob("weights.*")} == {"weights.010.data", "weights.018.data"}
    assert (run / "config.yaml").exists()

    (folder / "control.in").write_text(SIMULATION)
    assert command("md", folder / "control.in", "--output", md) == 0
    lines = (md / "traj.data").read_text().splitlines()
    assert len(lines) == 3 * (1 + 8)
    assert (lines[0], lines[9], lines[18]) == ("1", "2", "3")
    index, *position = lines[26].split("\t")
    final = molecular_dynamics(folder / "control.in", folder / "again")
    assert index == "7"
    assert np.allclose([float(word) for word in position], final.positions[7], atol=1e-9)


def test_a_run_may_be_changed_and_continued(folder: Path) -> None:
    training(folder / "control.in", folder / "run", overrides=["epochs=3", "loss.forces=1"])
    assert len((folder / "run/loss.out").read_text().splitlines()) == 3
    training(
        folder / "control.in",
        folder / "run",
        overrides=["epochs=3", "loss.forces=1"],
        resume=True,
    )
    with pytest.raises(ConfigError, match="already holds a run"):
        training(folder / "control.in", folder / "run")


@pytest.mark.filterwarnings("ignore::ladera.simulation.preparation.SimulationWarning")
def test_a_control_file_that_describes_another_model(folder: Path) -> None:
    training(folder / "control.in", folder / "run")
    (folder / "control.in").write_text(SIMULATION.replace("[5, 4, 1]", "[9, 1]"))
    with pytest.warns(ControlWarning, match="do not agree on the model's hidden_layers"):
        molecular_dynamics(folder / "control.in", folder / "md")


def test_command_line_refuses_more_than_a_control_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "control.in").write_text(SIMULATION)
    assert command("md", folder / "control.in", "--time", "1") == 1
    assert "leave the other files and settings out" in capsys.readouterr().err
    assert command("train", folder / "missing.in") == 1
    assert "There is no control file" in capsys.readouterr().err


def test_the_example_has_the_functions_of_the_table() -> None:
    spec = importlib.util.spec_from_file_location("table", ROOT / "scripts/thesis_table.py")
    assert spec
    assert spec.loader
    table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(table)
    for symbol in table.ELEMENTS:
        assert [len(table.functions(symbol, size)) for size in table.SETS] == [36, 54, 78]
        path = ROOT / f"examples/thesis/{symbol}.smf"
        assert list(smf.read(path, symbol, table.ELEMENTS, "wide", 1.0)) == table.functions(
            symbol, 78
        )


def test_the_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/thesis.md, in the folder of the example, with few epochs."""
    shutil.copytree(ROOT / "examples/thesis", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/thesis.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\$ (ladera (?:data|train|md|report) .*)$", page, re.MULTILINE)
    assert {line.split()[1] for line in commands} >= {"data", "train", "md"}
    for line in commands:
        words = line.split()[1:]
        epochs = 20 if "better" in words else 2  # the better one is what the dynamics follows
        short = ["--set", f"epochs={epochs}"] if words[0] == "train" else []
        assert command(*words, *short) == 0, line
