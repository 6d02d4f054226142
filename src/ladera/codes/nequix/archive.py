"""What an ``.nqx`` file holds: one line of JSON, then arrays of numpy one after another.

What stands behind the arrays that a model needs is not looked at: some files repeat their settings
there.
"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError

from ladera.arrays import Reals
from ladera.errors import ModelFileError, first_problem

_ARRAY: Final = b"\x93NUMPY"
_LONGEST_LINE: Final = 1 << 20  # bytes of the settings, at most
_TORCH: Final = b"PK\x03\x04"


class Settings(BaseModel):
    """The keys of the first line that decide what the model is."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    atomic_numbers: list[PositiveInt]
    hidden_irreps: str
    lmax: int
    n_layers: PositiveInt
    cutoff: PositiveFloat
    radial_basis_size: PositiveInt
    radial_mlp_size: PositiveInt
    radial_mlp_layers: PositiveInt
    radial_polynomial_p: PositiveFloat
    index_weights: bool = False
    layer_norm: bool = False
    shift: float
    scale: float
    avg_n_neighbors: PositiveFloat


class Archive:
    """A file that is read array by array."""

    def __init__(self, path: Path) -> None:
        """Read the settings; ModelFileError for what is no such file, naming the key."""
        self.path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
        line, newline, arrays = content.partition(b"\n")
        if newline and arrays.startswith(_TORCH):
            raise ModelFileError(
                f"{path} is the form of a Nequix model for torch; give the .nqx file of the model."
            )
        if line.startswith(b"{") and not newline:
            raise ModelFileError(
                f"{path} is a Nequix model that was cut short within its first line, the settings; "
                "fetch it anew."
            )
        self.settings = _settings(path, line)
        self._arrays, self._read = io.BytesIO(arrays), 0

    def array(self, name: str, *shape: int) -> Reals:
        """The next array, which must have this shape; ModelFileError, with its name, if not."""
        self._read += 1
        where = f"{self.path}: array {self._read}, {name},"
        try:
            found = np.lib.format.read_array(self._arrays, allow_pickle=False)
        except (ValueError, EOFError, SyntaxError, MemoryError, OverflowError) as error:
            raise ModelFileError(
                f"{where} is missing or damaged; the file has been cut short: fetch it anew."
            ) from error
        if found.shape != shape or found.dtype.kind != "f":
            kind = "" if found.dtype.kind == "f" else f" of type {found.dtype}"
            raise ModelFileError(
                f"{where} has the shape {found.shape}{kind}, and by the settings in the first line "
                f"it is {shape}; the file is damaged."
            )
        if not np.isfinite(found).all():
            raise ModelFileError(f"{where} has entries that are no numbers; the file is damaged.")
        return found


def reads(path: Path) -> bool:
    """Whether a path is a file of JSON in one line and then arrays, or is called ``.nqx``."""
    try:
        with path.open("rb") as file:
            line = file.readline(_LONGEST_LINE)
            behind = file.read(len(_ARRAY))
    except OSError:
        return False
    is_nequix = line.startswith(b"{") and b'"hidden_irreps"' in line
    return path.suffix == ".nqx" or (is_nequix and behind.startswith((_ARRAY, _TORCH)))


def _settings(path: Path, line: bytes) -> Settings:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{path} does not begin with a line of JSON, as .nqx files do; the file is damaged."
        ) from error
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        key, problem = first_problem(error)
        raise ModelFileError(
            f"{path}: '{key}' in its first line is not that of a Nequix model: {problem}."
        ) from None


def channels(archive: Archive) -> tuple[int, ...]:
    """Channels of the features of degree l = 0, 1, ...; ModelFileError for other irreps."""
    text = archive.settings.hidden_irreps
    terms = re.findall(r"(\d+)x(\d+)([eo])", text)
    natural = [(str(l), "eo"[l % 2]) for l in range(len(terms))]
    if not terms or [(l, parity) for _, l, parity in terms] != natural:
        raise ModelFileError(
            f"{archive.path}: 'hidden_irreps' in its first line is '{text}'; Ladera reads those "
            "that have each l = 0, 1, ... once, of the parity of l, such as 64x0e + 32x1o."
        )
    return tuple(int(count) for count, _, _ in terms)
