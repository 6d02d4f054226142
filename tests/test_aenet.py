"""Networks of aenet: numbers that aenet 2.0.4 computed from the same files, and damaged files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

import ladera
from ladera.errors import ModelFileError
from ladera.models.hdnnp import HDNNP

SYMBOLS = ("Ti", "O")  # in the order of aenet's types
ATOMIC = {"Ti": -1600.5, "O": -432.1}
SCALE, SHIFT = 0.4, -3.2
CRYSTAL = Atoms(
    "TiO2TiO2",
    [
        *([0.1, 0.0, 0.0], [1.9, 0.2, 0.1], [0.1, 1.8, 0.4]),
        *([2.1, 2.2, 1.6], [0.4, 2.0, 2.4], [2.2, 0.1, 2.0]),
    ],
    cell=[[4.1, 0, 0], [0.3, 4.4, 0], [0, 0.2, 3.8]],
    pbc=True,
)
CHEBYSHEV = (4.0, 3, 3.0, 2)  # cutoff and highest order of distances, and of angles
# Kind, numbers of the neighbours, and parameters as in aenet: not in the order of its inputs.
BEHLER = (
    (4, (2, 1), (3.5, -1.0, 2.0, 0.05)),
    (2, (2, 0), (4.0, 1.8, 2.0, 0.0)),
    (5, (1, 1), (3.5, 1.0, 4.0, 0.01)),
    (1, (1, 0), (3.0, 0.0, 0.0, 0.0)),
    (5, (2, 2), (3.5, 1.0, 1.0, 0.0)),
    (2, (1, 0), (4.0, 2.5, 1.0, 0.0)),
    (4, (2, 2), (3.5, 1.0, 3.0, 0.02)),
)
# Energy and forces of the crystal, printed by predict.x, eV and eV/Angstrom.
GOLDEN = {
    "chebyshev": (
        -4932.76987163,
        [
            *([0.199224, 0.874873, -0.253384], [-1.413648, 3.773124, -0.917966]),
            *([-1.583461, -3.395266, 1.495551], [-1.155055, 0.895038, -0.443094]),
            *([2.869283, -4.585651, -0.577440], [1.083657, 2.437882, 0.696333]),
        ],
    ),
    "behler2011": (
        -4944.35406919,
        [
            *([0.090060, -0.280028, 0.165753], [-0.082037, 0.055160, -0.033724]),
            *([0.099914, 0.071076, -0.051754], [0.068111, 0.110379, -0.031489]),
            *([-0.104833, 0.071565, -0.083107], [-0.071215, -0.028152, 0.034322]),
        ],
    ),
}


def values(symbol: str, descriptor: str) -> list[tuple[str, Any]]:
    """What a file holds, in its order: form (i, f, l, pairs, or the length of words) and values."""
    n = 14 if descriptor == "chebyshev" else len(BEHLER)
    generator = np.random.default_rng(sum(map(ord, symbol + descriptor)))
    sizes = (n, 4, 3, 1)
    weights = [generator.normal(0, 0.6, (i + 1) * o) for i, o in pairwise(sizes)]
    ends = np.cumsum([0, *(len(w) for w in weights)])
    nodes = np.cumsum([0, *(size + 1 for size in sizes[:-1])])
    if descriptor == "chebyshev":
        kinds, pairs = [0] * n, [(0, 0)] * n
        parameters = [CHEBYSHEV, *[(0.0,) * 4] * (n - 1)]
    else:
        kinds, pairs, parameters = (list(column) for column in zip(*BEHLER, strict=True))
    mean = generator.normal(1, 0.4, n)
    variance = generator.uniform(0.2, 2.0, n)
    variance[2] = 0.0  # a function that did not vary
    network = [("i", [4]), ("i", [n]), ("i", [ends[-1]]), ("i", [n + 11]), ("i", sizes)]
    network += [("i", [4, 1, 0]), ("i", ends), ("i", nodes), ("f", np.concatenate(weights))]
    setup: list[tuple[str, Any]] = [("1024", ["a descriptor"]), ("2", [symbol]), ("i", [2])]
    setup += [("2", SYMBOLS), ("f", [0.75]), ("f", [4.0]), ("100", [descriptor]), ("i", [n])]
    setup += [("i", [4]), ("i", kinds), ("f", np.ravel(parameters)), ("pairs", pairs), ("i", [100])]
    setup += [("f", mean - 3), ("f", mean + 3), ("f", mean), ("f", variance + mean**2)]
    training = [("1024", ["a.train"]), ("l", [1]), ("f", [SCALE]), ("f", [SHIFT]), ("i", [2])]
    training += [("2", SYMBOLS), ("f", [ATOMIC[s] for s in SYMBOLS]), ("i", [600]), ("i", [100])]
    return [*network, *setup, *training, ("f", [-9.0, -1.0, -5.0])]


def write_binary(path: Path, contents: Sequence[tuple[str, Any]], order: str = "<") -> Path:
    with path.open("wb") as file:
        for form, given in contents:
            if form in ("i", "l", "pairs"):
                record = np.ravel(given).astype(f"{order}i4").tobytes()
            elif form == "f":
                record = np.asarray(given).astype(f"{order}f8").tobytes()
            else:
                record = "".join(word.ljust(int(form)) for word in given).encode()
            mark = np.array([len(record)], dtype=f"{order}i4").tobytes()
            file.write(mark + record + mark)
    return path


def write_text(path: Path, contents: Sequence[tuple[str, Any]]) -> Path:
    lines = []
    for form, given in contents:
        if form == "l":
            lines.append(" T" if given[0] else " F")
        elif form in ("i", "f", "pairs"):
            words = [f"{x:24.17E}" if form == "f" else f"{x:17d}" for x in np.ravel(given)]
            lines += [" ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
        else:
            lines += given
    path.write_text("\n".join(lines) + "\n")
    return path


def write_potential(
    folder: Path, descriptor: str, write: Callable[..., Path] = write_binary
) -> Path:
    folder.mkdir(exist_ok=True)
    for symbol in SYMBOLS:
        write(folder / f"{symbol}.4t-3t.nn", values(symbol, descriptor))
    return folder


def calculated(path: Path) -> tuple[HDNNP, float, np.ndarray]:
    potential = ladera.load(path)
    assert isinstance(potential, HDNNP)
    atoms = CRYSTAL.copy()
    atoms.calc = ladera.LaderaCalculator(potential)
    return potential, atoms.get_potential_energy(), atoms.get_forces()


@pytest.mark.parametrize("descriptor", GOLDEN)
@pytest.mark.parametrize("write", [write_binary, write_text])
def test_energies_and_forces_are_those_of_aenet(
    descriptor: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_potential(tmp_path / "one", descriptor, write)
    potential, energy, forces = calculated(folder)
    expected, expected_forces = GOLDEN[descriptor]
    assert energy == pytest.approx(expected, abs=2e-8)
    np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=6e-7)
    assert potential.symbols == ("O", "Ti")
    assert float(potential.reference_energies[1]) == ATOMIC["Ti"]
    assert potential.knows_ranges
    _, energy, _ = calculated(folder / "Ti.4t-3t.nn")
    assert energy == pytest.approx(expected, abs=2e-8)


def changed(contents: list[tuple[str, Any]], form: str, before: Any, after: Any) -> None:
    """Put another value where a list of values stands for the first time."""
    place = next(i for i, (f, given) in enumerate(contents) if f == form and list(given) == before)
    contents[place] = (form, after)


def test_networks_that_scale_otherwise(tmp_path: Path) -> None:
    """Twice the energies of oxygen's network, and 1 eV more for each oxygen."""
    folder = write_potential(tmp_path / "one", "chebyshev")
    before = ladera.load(folder)
    contents = values("O", "chebyshev")
    changed(contents, "f", [SCALE], [SCALE / 2])
    changed(contents, "f", [SHIFT], [SHIFT + 1.0])
    write_binary(folder / "O.4t-3t.nn", contents)
    after = ladera.load(folder)
    graph = ladera.Graph.from_atoms(CRYSTAL, before.cutoff)
    one, other = (model.atomic_energies(graph).detach().numpy() for model in (before, after))
    network = one[1] - ATOMIC["O"] - SHIFT
    assert other[1] == pytest.approx(ATOMIC["O"] + SHIFT + 1 + 2 * network, abs=1e-9)
    assert other[0] == pytest.approx(one[0], abs=1e-12)


@pytest.mark.parametrize(
    ("form", "before", "after", "message"),
    [
        ("100", ["chebyshev"], ["soap"], "the descriptor 'soap'; Ladera reads Chebyshev"),
        ("2", ["Ti"], ["Q"], "'Q' is not a chemical symbol"),
        ("i", [4, 1, 0], [4, 7, 0], "activation numbers 4, 7, 0; aenet has 0 to 4"),
        ("f", [SCALE], [-1.0], "energies' scale is -1"),
        ("f", [SHIFT], [np.nan], "numbers that are not finite"),
        ("i", [14, 4, 3, 1], [14, 4, 3, 2], "do not fit each other"),
        ("i", [2], [0], "counts 0 of something"),
    ],
)
def test_contents_that_make_no_sense(
    form: str, before: list[Any], after: list[Any], message: str, tmp_path: Path
) -> None:
    folder = write_potential(tmp_path / "one", "chebyshev")
    contents = values("Ti", "chebyshev")
    changed(contents, form, before, after)
    write_binary(folder / "Ti.4t-3t.nn", contents)
    with pytest.raises(ModelFileError, match=message):
        ladera.load(folder)


def test_angles_beyond_the_distances_are_refused(tmp_path: Path) -> None:
    folder = write_potential(tmp_path / "one", "chebyshev")
    contents = values("Ti", "chebyshev")
    changed(
        contents,
        "f",
        [*CHEBYSHEV, *[0.0] * 52],
        [3.0, 3, 4.0, 2, *[0.0] * 52],
    )
    write_binary(folder / "Ti.4t-3t.nn", contents)
    with pytest.raises(ModelFileError, match="takes the weights of the wrong neighbours"):
        ladera.load(folder)


def test_a_function_that_ladera_has_not(tmp_path: Path) -> None:
    folder = write_potential(tmp_path / "one", "behler2011")
    contents = values("Ti", "behler2011")
    kinds = [kind for kind, _, _ in BEHLER]
    changed(contents, "i", kinds, [3 if kind == 1 else kind for kind in kinds])
    write_binary(folder / "Ti.4t-3t.nn", contents)
    with pytest.raises(ModelFileError, match=r"has a function G3 of the elements \[1, 0\]"):
        ladera.load(folder)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    folder = write_potential(tmp_path / "one", "chebyshev")
    file = folder / "O.4t-3t.nn"
    whole = file.read_bytes()
    file.write_bytes(whole[:-500])
    with pytest.raises(ModelFileError, match=r"O\.4t-3t\.nn is cut short"):
        ladera.load(folder)
    file.write_bytes(whole[:24] + b"\x07" + whole[25:])
    with pytest.raises(ModelFileError, match="of another version of aenet than 2"):
        ladera.load(folder)
    write_binary(file, values("O", "chebyshev"), ">")
    with pytest.raises(ModelFileError, match=r"of the other byte order \(big endian\)"):
        ladera.load(folder)
    write_text(file, values("O", "chebyshev")[:-12])
    with pytest.raises(ModelFileError, match="is cut short"):
        ladera.load(folder)
    file.unlink()
    with pytest.raises(
        ModelFileError, match=r"has neighbours O, whose network is not there; put O"
    ):
        ladera.load(folder)


def test_numbers_as_fortran_writes_them(tmp_path: Path) -> None:
    """1.0-300, 1.0D+00: what its formats make of exponents of three digits, and of others."""
    folder = write_potential(tmp_path / "one", "chebyshev", write_text)
    expected = ladera.load(folder)
    file = folder / "O.4t-3t.nn"
    whole = file.read_text()
    written = f"{SHIFT:24.17E}"
    assert written in whole
    file.write_text(whole.replace(written, written.replace("E", "D")))
    assert float(ladera.load(folder).energy_shift) == float(expected.energy_shift)
    first = f"{values('O', 'chebyshev')[8][1][0]:24.17E}"
    file.write_text(whole.replace(first, "  -0.10000000000000000-299"))
    weights = ladera.load(folder).atomic_networks()[0].layers()[0].weight
    assert bool((weights.detach() == -1e-300).any())


def test_a_folder_with_two_potentials(tmp_path: Path) -> None:
    folder = write_potential(tmp_path / "one", "chebyshev")
    for symbol in SYMBOLS:
        shutil.copy(folder / f"{symbol}.4t-3t.nn", folder / f"{symbol}.4t-3t.nn-00100")
    with pytest.raises(ModelFileError, match=r"several potentials \(X.4t-3t.nn, X.4t-3t.nn-00100"):
        ladera.load(folder)
    assert ladera.load(folder / "O.4t-3t.nn-00100").symbols == ("O", "Ti")
