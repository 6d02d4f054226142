"""Folders of NeuroChem, in which the published ANI potentials are.

    rHCNO-5.2R_16-3.5A_a4-8.params    KEY = NUMBER, or KEY = [NUMBER,NUMBER,...]; Atyp = [H,C,N,O]
    sae_linfit.dat                    H,0=-0.600952980000 on each line, Hartree
    ANN-H.nnf, or networks/ANN-H.nnf  a text of layers, packed by bzip2 behind "1118="
    ANN-H.nnf-l1.wparam, .bparam      weights (out, in) and biases, float32 in the order of memory

An ensemble has the first two beside the folders train0, train1, ... of its members. A text
``ani-2x_8x.info`` names, one on a line, the first two, the beginning of the folders' names, and
how many there are.
"""

from __future__ import annotations

import bz2
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from ase.data import atomic_numbers

from ladera.arrays import Reals
from ladera.codes.ani.contents import Contents, Environment, Layer
from ladera.errors import ModelFileError

_SELF_ENERGIES: Final = "sae_linfit.dat"
_KEYS: Final = ("Rcr", "Rca", "EtaR", "ShfR", "EtaA", "Zeta", "ShfA", "ShfZ")
_LISTS: Final = ("ShfR", "ShfA", "ShfZ")
_CELU, _LINEAR = "9", "6"  # the numbers of activations
_LONGEST: Final = 1_000_000  # bytes of an unpacked text of layers; those published have 1,100


def reads(path: Path) -> bool:
    """Whether a path is a folder with a ``.params`` file, or the ``.info`` file of an ensemble."""
    if path.is_dir():
        return any(path.glob("*.params"))
    return path.suffix == ".info" and path.is_file()


def read(path: Path) -> Contents:
    """What a folder, or that of an ``.info`` file, says; ModelFileError for what is wrong."""
    folder = path if path.is_dir() else _folder_of(path)
    parameters = _only(folder, "*.params")
    environment, symbols = _read_parameters(parameters)
    folders = sorted(folder.glob("train[0-9]*"), key=lambda each: int(each.name[5:] or 0))
    return Contents(
        path=path,
        written_by="NeuroChem",
        symbols=symbols,
        environment=environment,
        self_energies=_read_self_energies(folder / _SELF_ENERGIES),
        members=tuple(_read_member(member, symbols) for member in folders or [folder]),
    )


def _folder_of(path: Path) -> Path:
    """The folder that an ``.info`` file names, beside which it lies."""
    words = _text(path).split()
    folder = path.parent / Path(words[0]).parent if words else path
    if len(words) < 4 or not reads(folder):
        raise ModelFileError(
            f"{path} names no folder with a .params file; expected 'FOLDER/NAME.params' in its "
            "first line, and that folder beside it."
        )
    return folder


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        raise ModelFileError(
            f"{folder} has {len(found)} files {pattern} ({names}); an ANI potential has one."
        )
    return found[0]


def _read_parameters(path: Path) -> tuple[Environment, tuple[str, ...]]:
    """The symmetry functions' parameters, and the elements in the order of the inputs."""
    said: dict[str, list[str]] = {}
    for line in _text(path).splitlines():
        key, _, value = line.partition("=")
        said[key.strip()] = [word.strip() for word in value.strip().strip("[]").split(",")]
    missing = [key for key in (*_KEYS, "Atyp") if not said.get(key, [""])[0]]
    if missing:
        raise ModelFileError(f"{path} does not give {missing[0]}; copy the file again.")
    values = {key: [_number(path, key, word) for word in said[key]] for key in _KEYS}
    for key in _KEYS:
        if key not in _LISTS and len(values[key]) > 1:
            raise ModelFileError(
                f"{path}: {key} has {len(values[key])} values; Ladera reads potentials with one."
            )
    symbols = tuple(said["Atyp"])
    unknown = [symbol for symbol in symbols if symbol not in atomic_numbers]
    if unknown or len(set(symbols)) < len(symbols):
        raise ModelFileError(
            f"{path}: Atyp is [{', '.join(symbols)}], which are not chemical symbols, each once."
        )
    environment = Environment(
        radial_cutoff=values["Rcr"][0],
        angular_cutoff=values["Rca"][0],
        radial_eta=values["EtaR"][0],
        radial_shifts=tuple(values["ShfR"]),
        angular_eta=values["EtaA"][0],
        zeta=values["Zeta"][0],
        angular_shifts=tuple(values["ShfA"]),
        angles=tuple(values["ShfZ"]),
    )
    return environment, symbols


def _read_self_energies(path: Path) -> Mapping[str, float]:
    """Hartree."""
    energies = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        found = re.fullmatch(r"\s*([A-Z][a-z]?)\s*,\s*\d+\s*=\s*(\S+)\s*", line)
        if not found:
            raise ModelFileError(
                f"{path}, line {number}: '{line.strip()}' is no self energy such as 'H,0=-0.6'."
            )
        energies[found[1]] = _number(path, found[1], found[2])
    return energies


def _read_member(folder: Path, symbols: tuple[str, ...]) -> Mapping[str, tuple[Layer, ...]]:
    inner = folder / "networks" if (folder / "networks").is_dir() else folder
    return {symbol: _read_network(inner / f"ANN-{symbol}.nnf") for symbol in symbols}


def _read_network(path: Path) -> tuple[Layer, ...]:
    """The layers of a ``.nnf`` file and the files beside it."""
    blocks = re.findall(r"layer\s*\[(.*?)\n\s*\]", _unpacked(path), re.DOTALL)
    layers = []
    for number, block in enumerate(blocks, start=1):
        said = dict(re.findall(r"(\w+)=([^;]*);", block))
        wanted = _LINEAR if number == len(blocks) else _CELU
        if said.get("activation") != wanted:
            kind = "linear" if wanted == _LINEAR else "CELU"
            raise ModelFileError(
                f"{path}: layer {number} has the activation number {said.get('activation')}, "
                f"where Ladera reads {wanted} ({kind}), as the published potentials have it."
            )
        layers.append(_read_layer(path, number, said))
    if not layers:
        raise ModelFileError(f"{path} has no layers; copy the file again.")
    return tuple(layers)


def _read_layer(path: Path, number: int, said: Mapping[str, str]) -> Layer:
    sizes = [said.get(key, "") for key in ("nodes", "blocksize")]
    if not all(size.strip().isdecimal() for size in sizes):
        raise ModelFileError(f"{path}: layer {number} does not give nodes and blocksize.")
    n_out, n_in = map(int, sizes)
    return Layer(
        _numbers(path, said.get("weights", ""), n_out * n_in).reshape(n_out, n_in),
        _numbers(path, said.get("biases", ""), n_out),
    )


def _numbers(path: Path, said: str, count: int) -> Reals:
    """The float32 numbers of a file that ``FILE:ANN-H.nnf-l1.wparam[161280]`` names."""
    found = re.fullmatch(r"FILE:([\w.+-]+)\[(\d+)\]", said.strip())
    if not found:
        raise ModelFileError(f"{path}: '{said}' names no file of weights beside it.")
    beside = path.parent / found[1]
    data = _bytes(beside)
    if len(data) != 4 * count:
        raise ModelFileError(
            f"{beside} has {len(data):,} bytes, but {path.name} asks for {count:,} numbers of 4; "
            "copy the file again."
        )
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _unpacked(path: Path) -> str:
    _, found, packed = _bytes(path).partition(b"=\n")
    try:
        unpacked = bz2.BZ2Decompressor().decompress(packed, max_length=_LONGEST)
    except (OSError, ValueError) as error:
        raise ModelFileError(
            f"{path} is no description of layers packed by bzip2; copy the file again."
        ) from error
    if not found or not unpacked or len(unpacked) == _LONGEST:
        raise ModelFileError(f"{path} is cut short, or no description of layers; copy it again.")
    return unpacked.decode("latin1")


def _number(path: Path, key: str, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ModelFileError(f"{path}: {key} is '{word}', which is no number.")
    return value


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", errors="replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}).") from error
