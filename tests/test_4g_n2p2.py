"""4G potentials of n2p2: its energies, charges and forces, and what a broken folder is told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ladera
from ladera.codes.n2p2.settings import SettingsWarning
from ladera.data import formats
from ladera.data.frame import Frame
from ladera.errors import ConfigError, LaderaError, ModelFileError
from ladera.models.hdnnp_4g import HDNNP4G, HDNNP4GConfig
from ladera.models.hdnnp_4g.config import JacksonCatlow, KolafaPerram
from ladera.potential import Potential
from ladera.testing import check_file, predict
from ladera.units import ATOMIC, COULOMB

GOLDEN = Path(__file__).parent / "data" / "n2p2_4g"
SHARED = Path(__file__).parents[2] / "shared" / "data" / "n2p2"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"there is no parity data in {SHARED}"
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def frame_of(folder: Path) -> Frame:
    return formats.read(folder / "input.data", units=ATOMIC)[0]


@pytest.mark.parametrize("case", sorted(p.name for p in GOLDEN.glob("*") if p.is_dir()))
def test_every_keyword_against_n2p2(case: str) -> None:
    folder = GOLDEN / case
    potential = ladera.load(folder)
    prediction = predict(potential, frame_of(folder).to_atoms())
    rows = [line.split() for line in (folder / "expected.dat").read_text().splitlines()[1:]]
    atoms = np.array(rows[1:], dtype=float)
    assert prediction.energy.item() / ATOMIC.energy == pytest.approx(float(rows[0][0]), rel=1e-13)
    assert prediction.charges is not None
    np.testing.assert_allclose(prediction.charges, atoms[:, 0], rtol=0, atol=1e-12)
    forces = prediction.forces.numpy() / ATOMIC.force
    np.testing.assert_allclose(forces, atoms[:, 1:], rtol=0, atol=1e-11)
    check_file(potential, frame_of(folder).to_atoms())


def expected(folder: Path) -> tuple[dict[str, float], NDArray[np.float64]]:
    lines = (folder / "expected_total.dat").read_text().splitlines()
    totals = {name: float(value) for name, value in (line.split() for line in lines)}
    return totals, np.loadtxt(folder / "expected_atoms.dat")


def with_tight_sums(potential: Potential) -> Potential:
    """The same model with Ewald sums to all digits."""
    assert isinstance(potential, HDNNP4G)
    section = potential.config.electrostatics.model_copy(
        update={"ewald": JacksonCatlow(precision=1e-12)}
    )
    tight = ladera.build(potential.config.model_copy(update={"electrostatics": section}))
    tight.load_state_dict(potential.state_dict())
    return tight


@needs_shared
def test_periodic_water() -> None:
    folder = SHARED / "H2O_RPBE-D3_4G"
    potential = ladera.load(folder, units="bohr-hartree")
    atoms = frame_of(folder).to_atoms()
    prediction = predict(potential, atoms)
    totals, columns = expected(folder)
    energy = prediction.energy.item() / ATOMIC.energy
    assert energy == pytest.approx(totals["energy_total"], rel=1e-13)
    assert prediction.charges is not None
    np.testing.assert_allclose(prediction.charges, columns[:, 4], rtol=1e-11)
    forces = prediction.forces.numpy() / ATOMIC.force
    np.testing.assert_allclose(forces, columns[:, -3:], rtol=0, atol=1e-12)
    assert float(prediction.charges.sum()) == pytest.approx(0, abs=1e-12)
    # n2p2's truncation makes steps in the energy: finite differences need tighter sums. (Not of
    # atom 0: its neighbour 12.00002 Bohr away is where cosine screening has a kink in its slope.)
    tight = with_tight_sums(potential)
    start = predict(tight, atoms)
    forces = start.forces.numpy()
    for atom, axis in ((101, 0), (200, 2)):
        energies = []
        for step in (-2e-3, -1e-3, 1e-3, 2e-3):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            change = predict(tight, moved).atomic_energies - start.atomic_energies
            energies.append(float(change.sum()))
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / 12e-3
        assert forces[atom, axis] == pytest.approx(-slope, abs=1e-7)
    assert np.abs(forces / ATOMIC.force - columns[:, -3:]).max() < 1e-5  # ewald_prec


@needs_shared
def test_ewald_parameters_are_those_of_n2p2() -> None:
    folder = SHARED / "H2O_RPBE-D3_4G"
    potential = ladera.load(folder, units="bohr-hartree")
    assert isinstance(potential, HDNNP4G)
    graph = frame_of(folder).graph(potential.cutoff)
    (part,) = potential.electrostatics.parts(graph, potential.element_index(graph))
    lines = (folder / "ewald_parameters.txt").read_text().splitlines()
    real, wave, width = (float(line.split()[-1]) for line in lines)
    assert part.sums.real_cutoff / ATOMIC.length == pytest.approx(real, rel=1e-8)
    assert part.sums.reciprocal_cutoff * ATOMIC.length == pytest.approx(wave, rel=1e-8)
    assert part.sums.width / ATOMIC.length == pytest.approx(width, rel=1e-8)


@needs_shared
def test_carbon_chain() -> None:
    """n2p2 reads past the end of this folder's weight files and gets no short-range energy."""
    folder = SHARED / "Carbon_chain_4G"
    with pytest.warns(SettingsWarning, match="networks with 10 nodes"):
        potential = ladera.load(folder, units="bohr-hartree")
    frame = frame_of(folder)
    whole = predict(potential, frame.to_atoms())
    assert frame.energy is not None
    assert frame.forces is not None
    # The potential that was trained: the label to 1 mHa, as n2p2 has it with 10 nodes.
    assert whole.energy.item() == pytest.approx(frame.energy, abs=1e-3 * ATOMIC.energy)
    assert whole.energy.item() / ATOMIC.energy == pytest.approx(-381.61078713069378, rel=1e-13)
    assert np.sqrt(np.mean((whole.forces.numpy() - frame.forces) ** 2)) < 2e-3 * ATOMIC.force
    # Without its short-range networks, all numbers of n2p2.
    assert isinstance(potential, HDNNP4G)
    potential.energy_scale.zero_()
    bare = predict(potential, frame.to_atoms())
    totals, columns = expected(folder)
    assert bare.energy.item() / ATOMIC.energy == pytest.approx(totals["energy_total"], rel=1e-13)
    offsets = potential.reference_energies[potential.element_index(bare.graph)]
    electrostatic = float((bare.atomic_energies - offsets).sum()) / ATOMIC.energy
    assert electrostatic == pytest.approx(totals["energy_elec"], rel=1e-9)
    for prediction in (whole, bare):
        assert prediction.charges is not None
        np.testing.assert_allclose(prediction.charges, columns[:, 4], rtol=1e-10)
    forces = bare.forces.numpy() / ATOMIC.force
    np.testing.assert_allclose(forces, columns[:, -3:], rtol=0, atol=1e-13)


def test_keywords_become_a_configuration() -> None:
    config = ladera.load(GOLDEN / "fixed_cutoff").config
    assert isinstance(config, HDNNP4GConfig)
    section = config.electrostatics
    assert section.gaussian_widths["O"] == pytest.approx(1.25 * ATOMIC.length)
    assert COULOMB / section.permittivity == pytest.approx(ATOMIC.energy * ATOMIC.length / 0.7)
    assert isinstance(section.ewald, KolafaPerram)
    assert section.ewald.real_cutoff == pytest.approx(11.0 * ATOMIC.length)
    assert section.screening is None
    shape = config.electronegativity_network("H")
    assert shape.hidden_layers == (3,)
    assert shape.activations == ("softplus", "linear")
    screening = ladera.load(GOLDEN / "normalized").config.electrostatics.screening  # type: ignore[attr-defined]
    assert screening.shape == "poly2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "potential"
    shutil.copytree(GOLDEN / "cheapest_cutoff", copy)
    return copy


def edit(folder: Path, old: str, new: str) -> None:
    path = folder / "input.nn"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("hardness.008.data", None, "hardness.008.data cannot be read"),
        ("hardness.008.data", "1.0\n2.0\n", "hardness.008.data has 2 rows.*hardness of O"),
        ("hardness.001.data", "", "hardness.001.data has 0 rows.*hardness of H"),
        ("hardness.001.data", "-0.5\n", "hardness of H is -0.5; it cannot be negative"),
        ("hardness.001.data", "soft\n", "expected a number, found 'soft'"),
        ("weightse.001.data", None, "weightse.001.data cannot be read"),
        ("weightse.001.data", "0.1\n0.2\n", "weightse.001.data is too short: it has 2 values"),
        ("weights.008.data", "0.1\n" * 40, "weights.008.data is too short: it has 40 values"),
    ],
)
def test_broken_files(folder: Path, file: str, content: str | None, words: str) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(ModelFileError, match=words):
        ladera.load(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("fixed_gausswidth O 1.25\n", "", "no width of the charge of O"),
        ("fixed_gausswidth O 1.25", "fixed_gausswidth O -1", "'fixed_gausswidth' is -1"),
        ("four_pi_epsilon 0.7", "four_pi_epsilon 0", "'four_pi_epsilon' is 0"),
        ("ewald_prec 1.0e-5 0.8\n", "", "'ewald_prec' is missing"),
        ("ewald_prec 1.0e-5 0.8", "ewald_prec 1.0e-5", "has 1 numbers; expected 2 or 3"),
        ("ewald_prec 1.0e-5 0.8", "ewald_prec 1 2 3 4", "has 4 numbers; expected 2 or 3"),
        ("ewald_prec 1.0e-5 0.8", "ewald_prec 1e-5 -0.8", "maximum_charge: .*greater than 0"),
        ("error_method 1", "error_method 0", "has 2 numbers; expected 1"),
        ("error_method 1", "error_method 2", "no ewald_truncation_error_method 2"),
        ("error_method 1\newald_prec 1.0e-5 0.8", "error_method 0\newald_prec 1.5", "less than 1"),
        ("screen_electrostatics 1.0 6.0", "screen_electrostatics 1.0", "has 1 numbers; expected 2"),
        ("screen_electrostatics 1.0 6.0", "screen_electrostatics 6 1", "less than outer"),
        ("screen_electrostatics 1.0 6.0", "screen_electrostatics 1 6 p9", "no screening 'p9'"),
        ("global_nodes_electrostatic 3\n", "", "does not give the nodes.*element_nodes_electr"),
    ],
)
def test_impossible_settings(folder: Path, old: str, new: str, words: str) -> None:
    edit(folder, old, new)
    with pytest.raises(ConfigError, match=words) as caught:
        ladera.load(folder)
    assert "input.nn" in str(caught.value)


def test_weight_files_that_agree_on_other_nodes(folder: Path) -> None:
    before = predict(ladera.load(folder), frame_of(folder).to_atoms()).charges
    edit(folder, "global_nodes_electrostatic 3", "global_nodes_electrostatic 5")
    with pytest.warns(SettingsWarning, match="networks with 3 nodes"):
        potential = ladera.load(folder)
    after = predict(potential, frame_of(folder).to_atoms()).charges
    assert before is not None
    assert after is not None
    assert torch.equal(before, after)
    # One file cut short is no agreement.
    path = folder / "weightse.008.data"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ModelFileError, match=r"weightse\.001\.data is too short"):
        ladera.load(folder)


def test_a_function_given_twice_changes_nothing(folder: Path) -> None:
    """The weights of both are added, in both networks, and the charge stays the last input."""
    for name in ("weights", "weightse"):
        path = folder / f"{name}.001.data"
        values = np.loadtxt(path)
        nodes = 4 if name == "weights" else 3
        half = 0.5 * values[:nodes]  # of the first function of H
        np.savetxt(path, np.concatenate([half, half, values[nodes:]]))
    before = predict(ladera.load(GOLDEN / "cheapest_cutoff"), frame_of(folder).to_atoms())
    lines = (folder / "input.nn").read_text().splitlines()
    first = next(l for l in lines if l.startswith("symfunction_short H 2 H 0.05"))
    (folder / "input.nn").write_text("\n".join([*lines, first, ""]))
    rows = (folder / "scaling.data").read_text().splitlines()
    own = [row.split() for row in rows if row.startswith("1 ")]
    doubled = [own[0], *own]
    numbered = [" ".join(["1", str(k), *row[2:]]) for k, row in enumerate(doubled, start=1)]
    (folder / "scaling.data").write_text(
        "\n".join([*numbered, *(row for row in rows if row.startswith("2 ")), ""])
    )
    with pytest.warns(SettingsWarning, match="H has 1 symmetry functions twice"):
        after = predict(ladera.load(folder), frame_of(folder).to_atoms())
    assert after.energy.item() == pytest.approx(before.energy.item(), rel=1e-13)
    torch.testing.assert_close(after.charges, before.charges, rtol=0, atol=1e-12)


def test_a_4g_model_is_not_written_for_n2p2(tmp_path: Path) -> None:
    from ladera.codes import n2p2

    with pytest.raises(LaderaError, match="hdnnp_4g"):
        n2p2.export(ladera.load(GOLDEN / "cation"), tmp_path / "out")
