"""ANI potentials: against the formulas written out, the published numbers, and damaged files."""

from __future__ import annotations

import bz2
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.units import Hartree

import ladera
from cases import shared
from ladera.errors import ModelFileError
from ladera.models.hdnnp import HDNNP
from ladera.potential import Committee

SYMBOLS = ("H", "C", "S", "F")  # ANI's order; F comes before S by its atomic number
SELF_ENERGIES = (-0.5, -38.0, -398.0, -99.8)
CUTOFFS = (5.2, 3.5)
ETAS, ZETA = (16.0, 8.0), 32.0
SHIFTS = (0.8, 1.9, 3.0, 4.1), (0.9, 2.2)
ANGLES = (0.4, 1.2, 2.0, 2.8)
N_INPUTS = 4 * 4 + 10 * 2 * 4
HIDDEN = (6, 5, 4)
ATOMS = Atoms(
    "CHFSH",
    [[0, 0, 0], [1.0, 0.3, 0.1], [-0.4, 1.2, 0.3], [-0.9, -1.0, 0.8], [0.2, -0.6, -1.0]],
)

Networks = dict[str, list[tuple[np.ndarray, np.ndarray]]]


def networks(seed: int) -> Networks:
    generator = np.random.default_rng(seed)
    return {
        symbol: [
            tuple(
                generator.normal(0, 0.5, shape).astype(np.float32)
                for shape in ((n_out, n_in), n_out)
            )
            for n_in, n_out in itertools.pairwise((N_INPUTS, *HIDDEN, 1))
        ]
        for symbol in SYMBOLS
    }


def write_networks(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for symbol, layers in networks(seed).items():
        name, text = f"ANN-{symbol}.nnf", f"inputsize={N_INPUTS};\natom_net {symbol} $\n"
        for l, (weights, biases) in enumerate(layers, start=1):
            weights.tofile(folder / f"{name}-l{l}.wparam")
            biases.tofile(folder / f"{name}-l{l}.bparam")
            text += (
                f"layer [\nnodes={len(biases)};\nactivation={9 if l < len(layers) else 6};\n"
                f"type=0;\nblocksize={weights.shape[1]};\nl2valu=-nan;\n"
                f"weights=FILE:{name}-l{l}.wparam[{weights.size}];\n"
                f"biases=FILE:{name}-l{l}.bparam[{biases.size}];\n]\n"
            )
        packed = bz2.compress(f"{text}\n $".encode())
        (folder / name).write_bytes(f"{len(packed)}=\n".encode() + packed)


def listed(values: tuple[Any, ...]) -> str:
    return "[" + ",".join(map(str, values)) + "]"


def write_parameters(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        *("TM = 1", f"Rcr = {CUTOFFS[0]}", f"Rca = {CUTOFFS[1]}", f"EtaR = [{ETAS[0]}]"),
        *(f"ShfR = {listed(SHIFTS[0])}", f"Zeta = [{ZETA}]", f"ShfZ = {listed(ANGLES)}"),
        *(f"EtaA = [{ETAS[1]}]", f"ShfA = {listed(SHIFTS[1])}", f"Atyp = {listed(SYMBOLS)}"),
    ]
    (folder / "rHCSF.params").write_text("\n".join(lines))
    energies = zip(SYMBOLS, SELF_ENERGIES, strict=True)
    rows = [f"{symbol},{i}={energy}" for i, (symbol, energy) in enumerate(energies)]
    (folder / "sae_linfit.dat").write_text("\n".join(rows) + "\n")


def ensemble(folder: Path) -> Path:
    """Two members and an .info file, as in the archive of the published ones."""
    write_parameters(folder / "ani-2x")
    for member in range(2):
        write_networks(folder / "ani-2x" / f"train{member}" / "networks", member)
    info = folder / "ani.info"
    info.write_text("ani-2x/rHCSF.params\nani-2x/sae_linfit.dat\nani-2x/train\n2\n")
    return info


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One network of each element, in a folder of NeuroChem."""
    write_parameters(tmp_path / "one")
    write_networks(tmp_path / "one", 0)
    return tmp_path / "one"


def written_out(atoms: Atoms, seed: int) -> float:
    """The energy by the formulas, eV: nothing here is Ladera's."""
    total, layers = 0.0, networks(seed)
    pairs = list(itertools.combinations_with_replacement(range(4), 2))
    kinds = [SYMBOLS.index(symbol) for symbol in atoms.symbols]

    def fade(r: float, cutoff: float) -> float:
        return float(0.5 * np.cos(np.pi * r / cutoff) + 0.5) if r < cutoff else 0.0

    for i, position in enumerate(atoms.positions):
        radial, angular = np.zeros((4, 4)), np.zeros((10, 2, 4))
        others = [j for j in range(len(atoms)) if j != i]
        vectors = {j: atoms.positions[j] - position for j in others}
        lengths = {j: float(np.linalg.norm(vectors[j])) for j in others}
        for j in others:
            terms = np.exp(-ETAS[0] * (lengths[j] - np.array(SHIFTS[0])) ** 2)
            radial[kinds[j]] += 0.25 * terms * fade(lengths[j], CUTOFFS[0])
        for j, k in itertools.combinations(others, 2):
            theta = np.arccos(0.95 * vectors[j] @ vectors[k] / (lengths[j] * lengths[k]))
            mean = (lengths[j] + lengths[k]) / 2
            turned = ((1 + np.cos(theta - np.array(ANGLES))) / 2) ** ZETA
            near = np.exp(-ETAS[1] * (mean - np.array(SHIFTS[1])) ** 2)
            both = fade(lengths[j], CUTOFFS[1]) * fade(lengths[k], CUTOFFS[1])
            pair = pairs.index(tuple(sorted((kinds[j], kinds[k]))))
            angular[pair] += 2 * both * np.outer(near, turned)
        x = np.concatenate([radial.ravel(), angular.ravel()])
        for weights, biases in layers[atoms.symbols[i]][:-1]:
            x = weights.astype(float) @ x + biases
            x = np.maximum(x, 0) + np.minimum(0, 0.1 * np.expm1(x / 0.1))
        weights, biases = layers[atoms.symbols[i]][-1]
        total += float((weights.astype(float) @ x + biases)[0]) + SELF_ENERGIES[kinds[i]]
    return total * Hartree


def energy(potential: ladera.Potential, atoms: Atoms) -> float:
    atoms = atoms.copy()
    atoms.calc = ladera.LaderaCalculator(potential)
    return float(atoms.get_potential_energy())


def test_a_folder_has_the_energies_of_the_formulas(folder: Path, tmp_path: Path) -> None:
    potential = ladera.load(folder)
    assert isinstance(potential, HDNNP)
    assert potential.dtype == torch.float32
    assert energy(potential, ATOMS) == pytest.approx(written_out(ATOMS, 0), abs=1e-6)
    assert potential.grade(ladera.Graph.from_atoms(ATOMS, potential.cutoff)) is None
    potential.save(tmp_path / "ani.ladera")
    stored = ladera.load(tmp_path / "ani.ladera", dtype="float64")
    assert energy(stored, ATOMS) == pytest.approx(written_out(ATOMS, 0), abs=1e-9)
    turned = ATOMS.copy()
    turned.calc = ladera.LaderaCalculator(stored)
    forces = turned.get_forces()
    for atom, axis in ((0, 0), (3, 1), (4, 2)):
        ends = []
        for step in (-1e-4, 1e-4):
            moved = ATOMS.copy()
            moved.positions[atom, axis] += step
            ends.append(energy(stored, moved))
        assert forces[atom, axis] == pytest.approx((ends[0] - ends[1]) / 2e-4, abs=1e-5)


def test_an_ensemble_is_a_committee(tmp_path: Path) -> None:
    info = ensemble(tmp_path)
    expected = [written_out(ATOMS, member) for member in range(2)]
    for path in (info, tmp_path / "ani-2x"):
        potential = ladera.load(path)
        assert isinstance(potential, Committee)
        found = [energy(member, ATOMS) for member in potential.members]
        assert found == pytest.approx(expected, abs=1e-6)
    member = ladera.load(_with_parameters(tmp_path / "ani-2x", "train1"))
    assert energy(member, ATOMS) == pytest.approx(expected[1], abs=1e-6)


def _with_parameters(folder: Path, member: str) -> Path:
    """A member's folder as it is published, with the parameters in it once more."""
    for path in (*folder.glob("*.params"), *folder.glob("*.dat")):
        shutil.copy(path, folder / member)
    return folder / member


def state_dict(old: bool, members: int) -> dict[str, torch.Tensor]:
    """Under the names of TorchANI 2.2, or of 2.7."""
    short = ("EtaR", "ShfR", "EtaA", "Zeta", "ShfA", "ShfZ")
    long = ("radial.eta", "radial.shifts", *(f"angular.{n}" for n in ("eta", "zeta", "shifts")))
    names = short if old else (*long, "angular.sections")
    values = (ETAS[:1], SHIFTS[0], ETAS[1:], (ZETA,), SHIFTS[1], ANGLES)
    before = "" if old else "potentials.nnp."
    found = {} if old else {"atomic_numbers": torch.tensor([1, 6, 16, 9])}
    found["energy_shifter.self_energies"] = torch.tensor(SELF_ENERGIES, dtype=torch.float64)
    for name, value in zip(names, values, strict=True):
        found[f"{before}aev_computer.{name}"] = torch.tensor(value).reshape(1, -1)
    for member, (symbol, l) in itertools.product(
        range(members), itertools.product(SYMBOLS, range(4))
    ):
        which = f"{member}." if members > 1 else ""
        layer = f"{which}{symbol}.{2 * l}"
        if not old:
            place = f"layers.{l}" if l < 3 else "final_layer"
            layer = f"{'members.' if which else ''}{which}atomics.{symbol}.{place}"
        for kind, array in zip(("weight", "bias"), networks(member)[symbol][l], strict=True):
            found[f"{before}neural_networks.{layer}.{kind}"] = torch.from_numpy(array)
    return found


@pytest.mark.parametrize(("old", "members"), [(True, 1), (True, 2), (False, 1), (False, 2)])
def test_state_dicts_of_torchani(old: bool, members: int, tmp_path: Path) -> None:
    tensors = state_dict(old, members)
    torch.save(tensors, tmp_path / "ani.pt")
    potential = ladera.load(tmp_path / "ani.pt")
    assert potential.cutoff == CUTOFFS[0]
    found = [energy(member, ATOMS) for member in potential.members or (potential,)]
    expected = [written_out(ATOMS, member) for member in range(members)]
    assert found == pytest.approx(expected, abs=1e-5)


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def _replace(name: str, before: str, after: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after))

    return change


def _relayered(before: str, after: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        packed = (folder / "ANN-F.nnf").read_bytes().partition(b"=\n")[2]
        text = bz2.decompress(packed).decode().replace(before, after)
        (folder / "ANN-F.nnf").write_bytes(b"1=\n" + bz2.compress(text.encode()))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_unlink("sae_linfit.dat"), "sae_linfit.dat cannot be read"),
        (_unlink("ANN-S.nnf-l2.wparam"), "ANN-S.nnf-l2.wparam cannot be read"),
        (_write("ANN-S.nnf-l2.bparam", b"1234"), "has 4 bytes, but ANN-S.nnf asks for 5 numbers"),
        (_write("ANN-C.nnf", b"100=\nBZh91AY"), "ANN-C.nnf is cut short"),
        (_write("ANN-C.nnf", b"100=\nnonsense"), "no description of layers packed by bzip2"),
        (_write("b.params", b""), r"has 2 files \*.params \(b.params, rHCSF.params\)"),
        (_write("ANN-F.nnf-l1.bparam", b"\xff" * 24), "of F has weights that are not finite"),
        (_replace("rHCSF.params", "Zeta", "Zett"), "does not give Zeta"),
        (_replace("rHCSF.params", "[32.0]", "[x]"), "Zeta is 'x', which is no number"),
        (_replace("rHCSF.params", "[32.0]", "[8,32]"), "Zeta has 2 values"),
        (_replace("rHCSF.params", "C,S", "C,Xq"), "which are not chemical symbols, each once"),
        (_replace("rHCSF.params", "0.9,2.2", "0.9"), "takes 96 inputs, but its symmetry functions"),
        (_replace("sae_linfit.dat", "H,0=", "H 0 "), "line 1: 'H 0 -0.5' is no self energy"),
        (_replace("sae_linfit.dat", "H,0", "He,0"), "H has no self energy"),
        (_relayered("activation=9", "activation=5"), "layer 1 has the activation number 5"),
        (_relayered("FILE:ANN", "FILE:../ANN"), "names no file of weights beside it"),
        (_relayered("nodes=6", "nodes=x"), "layer 1 does not give nodes and blocksize"),
        (_relayered("layer", "lair"), "ANN-F.nnf has no layers"),
    ],
)
def test_damaged_folders(damage: Callable[[Path], Any], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ModelFileError, match=message):
        ladera.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aev_computer.Zeta": torch.tensor([7.0])}, "does not say the activation"),
        ({"aev_computer.ShfA": torch.tensor([0.9])}, "are on no even grid"),
        ({"neural_networks.H.0.bias": None}, "neural_networks.H.0 has no biases"),
        ({"energy_shifter.self_energies": None}, "has no self_energies"),
        ({"energy_shifter.self_energies": torch.ones(3)}, "has 3 self energies for 4 elements"),
        ({"potentials.repulsion.k": torch.ones(3)}, "adds the potential 'repulsion'"),
        (
            {"neural_networks.S.4.weight": torch.ones(2, 2)},
            "which do not lead from one to the next",
        ),
    ],
)
def test_other_state_dicts(
    change: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    tensors = state_dict(True, 1) | change
    torch.save({name: v for name, v in tensors.items() if v is not None}, tmp_path / "ani.pt")
    with pytest.raises(ModelFileError, match=message):
        ladera.load(tmp_path / "ani.pt")


def test_an_info_file_without_its_folder(tmp_path: Path) -> None:
    info = ensemble(tmp_path)
    shutil.rmtree(tmp_path / "ani-2x")
    with pytest.raises(ModelFileError, match=r"names no folder with a \.params file"):
        ladera.load(info)


def test_the_published_network() -> None:
    """Energies of its README, Hartree, and largest force components, Hartree/Angstrom."""
    potential = ladera.load(shared("data/weights/ani2x_model0"))
    for name, expected, force in (
        ("H2O", -76.388267, 0.010),
        ("CH4", -40.499553, 0.0025),
        ("C6H6", -232.179387, 0.0057),
        ("CH3SH", -438.662176, 0.0029),
        ("CH3Cl", -500.076480, 0.0025),
    ):
        atoms = molecule(name)
        atoms.calc = ladera.LaderaCalculator(potential)
        assert atoms.get_potential_energy() / Hartree == pytest.approx(expected, abs=1e-6)
        assert np.abs(atoms.get_forces()).max() / Hartree == pytest.approx(force, rel=0.05)
