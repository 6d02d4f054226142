"""Reading what ``torch.save`` wrote, without running any of it.

A checkpoint of torch is a zip archive: ``data.pkl``, a pickle of the objects, and ``data/KEY``, the
numbers of each tensor. A pickle is a small program that may import and call anything. Here it may
not: the names it imports are looked up in a table of a few harmless functions of this file, and
every other one becomes a class of :class:`Foreign`, which keeps what it was given and does nothing.
So neither torch's modules nor those of any package have to be there, and no code of a file, or
chosen by a file, is ever run.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ladera.errors import ModelFileError

_ZIP: Final = b"PK\x03\x04"
# How the pickle begins that torch wrote before version 1.6: its magic number.
_BEFORE_1_6: Final = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_DTYPES: Final = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class Foreign:
    """An object of a class that is not known here: what it was made from, and nothing else.

    ``path`` is the full name of its class or function, ``arguments`` what that was called with,
    ``state`` what its ``__setstate__`` would have received, ``contents`` what it holds if it is a
    kind of list or (pairs of key and value) of dictionary.
    """

    path: str = ""
    arguments: tuple[Any, ...]
    state: Any
    contents: list[Any]

    def __new__(cls, *arguments: Any, **keywords: Any) -> Foreign:
        instance = object.__new__(cls)
        instance.arguments = (*arguments, *keywords.items())
        instance.state, instance.contents = None, []
        return instance

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Nothing: pickle calls it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, value: Any) -> None:
        """What pickle calls for an element of a list."""
        self.contents.append(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.contents.append((key, value))


# Tuples, and below things with a __setstate__ that refuses: the BUILD instruction of a pickle sets
# attributes of whatever it meets.
class _Storage(NamedTuple):
    """The numbers that one or more tensors are made of."""

    dtype: torch.dtype
    key: str
    size: int


class _View(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Archive:
    """The objects of a checkpoint, and its tensors, read when asked for."""

    def __init__(self, path: Path, root: Any, storages: Mapping[str, bytes]) -> None:
        self.path, self.root, self._storages = path, root, storages

    def tensor(self, view: Any) -> Tensor:
        """The tensor that the pickle describes, with its own dtype; ModelFileError for none."""
        if not isinstance(view, _View):
            raise ModelFileError(
                f"{self.path}: a tensor was expected, but it holds {kind_of(view)}."
            )
        storage, width = view.storage, view.storage.dtype.itemsize
        data = self._storages.get(storage.key)
        if data is None or len(data) < storage.size * width:
            raise ModelFileError(
                f"{self.path}: the numbers of a tensor (data/{storage.key}) are missing or cut "
                "short; copy the file again."
            )
        if 0 in view.shape:
            return torch.empty(view.shape, dtype=storage.dtype)
        last = view.offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
        if (
            min(view.offset, *view.shape, *view.strides, 0) < 0
            or max(last + 1, math.prod(view.shape)) > storage.size
        ):
            raise ModelFileError(f"{self.path}: a tensor reaches beyond its own numbers.")
        flat = torch.frombuffer(bytearray(data), dtype=storage.dtype, count=storage.size)
        return flat.as_strided(view.shape, view.strides, view.offset).clone()


def is_tensor(value: Any) -> bool:
    """Whether an object of an archive is a tensor."""
    return isinstance(value, _View)


def kind_of(value: Any) -> str:
    """What an object of an archive is, for messages."""
    return value.path if isinstance(value, Foreign) else f"a {type(value).__name__}"


def read_archive(path: str | os.PathLike[str]) -> Archive:
    """The objects of a file that ``torch.save`` wrote.

    Raises ModelFileError for a file that is missing, cut short, or of another kind: in the formats
    from before torch 1.6, or a TorchScript program.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(1024)
    except OSError as error:
        raise ModelFileError(
            f"{path} cannot be read ({error.strerror}); check the path."
        ) from error
    if start[:4] != _ZIP:
        raise ModelFileError(f"{path} {_what_else(path, start)}")
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except ModelFileError:
        raise
    except Exception as error:
        # A damaged archive fails in many ways: wrong sizes, names, methods, passwords.
        raise ModelFileError(
            f"{path} is no complete checkpoint of torch ({error}); copy it again."
        ) from error


def pickle_of(path: Path) -> bytes:
    """The pickle of a checkpoint of torch, as it is; nothing for any other file.

    The names of classes and tensors stand in it in plain text: enough to see whose file it is.
    Torch compresses nothing, and what is compressed is not read: it may unpack to any size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.partition("/")[2] == "data.pkl")
            stored = archive.getinfo(name).compress_type == zipfile.ZIP_STORED
            return archive.read(name) if stored else b""
    except Exception:  # whatever is wrong with the file, reading it says
        return b""


def _what_else(path: Path, start: bytes) -> str:
    """End of the sentence about a file that is no zip archive."""
    old = "; save it again with torch 1.6 or newer: torch.save(torch.load(PATH), PATH)."
    if start.startswith(_BEFORE_1_6) or _BEFORE_1_6 in start[:32]:
        return "is in the format that torch had before version 1.6" + old
    if start[257:262] == b"ustar" or start[:100].rstrip(b"\0") in (b"sys_info", b"./sys_info"):
        return "is in the tar format that torch had before version 0.4" + old
    if path.stat().st_size == 0:
        return "is empty; copy it again."
    return "is no checkpoint of torch (it is not a zip archive); check the path."


def _read(path: Path, archive: zipfile.ZipFile) -> Archive:
    members = {name.partition("/")[2]: name for name in archive.namelist()}
    if "constants.pkl" in members or any(name.startswith("code/") for name in members):
        raise ModelFileError(
            f"{path} is a TorchScript program (a compiled model), which only torch can run; give "
            "the .model file that it was compiled from."
        )
    if "data.pkl" not in members:
        raise ModelFileError(f"{path} is a zip archive without data.pkl: no checkpoint of torch.")
    if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
        raise ModelFileError(
            f"{path} is a compressed archive, which torch does not write; save it again with torch."
        )
    if sum(each.file_size for each in archive.infolist()) > path.stat().st_size:
        raise ModelFileError(f"{path} claims to hold more than its own size; copy it again.")
    if "byteorder" in members and archive.read(members["byteorder"]) != b"little":
        raise ModelFileError(f"{path} was written on a big-endian machine; save it on another one.")
    with archive.open(members["data.pkl"]) as file:
        try:
            root = _Unpickler(file).load()
        except Exception as error:
            # A damaged pickle may fail in any way that a wrong program can.
            raise ModelFileError(
                f"{path}: its data.pkl is damaged or no checkpoint of torch "
                f"({type(error).__name__}: {error})."
            ) from error
    storages = {
        short.removeprefix("data/"): archive.read(name)
        for short, name in members.items()
        if short.startswith("data/")
    }
    return Archive(path, root, storages)


class _Unpickler(pickle.Unpickler):
    """A pickle machine that knows a handful of names, none of which can do harm."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._foreign: dict[str, type[Foreign]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """The function of this file for a name of a pickle; a kind of Foreign for the rest."""
        known = _KNOWN.get((module, name))
        if known is not None:
            return known
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        path = f"{module}.{name}"
        if path not in self._foreign:
            self._foreign[path] = type("Foreign", (Foreign,), {"path": path})
        return self._foreign[path]

    def persistent_load(self, pid: Any) -> _Storage:
        """The record of a storage: ('storage', dtype, key, location, number of elements)."""
        kind, dtype, key, _, size = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"unknown storage {pid!r}")
        return _Storage(dtype, str(key), int(size))


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
    """``torch._utils._rebuild_tensor_v2``; the rest is requires_grad, hooks and metadata."""
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without storage")
    if len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor whose shape and strides differ in length")
    return _View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    """``torch._utils._rebuild_parameter``: a parameter is its tensor."""
    return data


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """``_codecs.encode``, as Python 2 protocols write bytes: latin1 and nothing else."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes that are not written as latin1")
    return text.encode("latin1")


def _scalar(dtype: Any, data: Any) -> float | int | bool:
    """``numpy.core.multiarray.scalar``: one number, of a numpy.dtype that is a Foreign here."""
    number: float | int | bool = _array(dtype, data)[0].item()
    return number


def numbers(value: Foreign) -> Any:
    """The numbers of a numpy array, as lists; None for anything else."""
    if not value.path.endswith("multiarray._reconstruct"):
        return None
    try:
        _, shape, dtype, in_columns, data = value.state
        return _array(dtype, data).reshape(shape, order="F" if in_columns else "C").tolist()
    except (TypeError, ValueError, pickle.UnpicklingError):
        return None


def _array(dtype: Any, data: Any) -> NDArray[Any]:
    """Numbers of a numpy.dtype, which is a Foreign here."""
    code = dtype.arguments[0] if isinstance(dtype, Foreign) and dtype.arguments else None
    if code not in ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"):
        raise pickle.UnpicklingError(f"numbers of the unknown type {code!r}")
    return np.frombuffer(data, dtype="<" + code)


def _reconstructor(cls: Any, *_: Any) -> Foreign:
    """``copyreg._reconstructor``: an empty object of a class."""
    if not (isinstance(cls, type) and issubclass(cls, Foreign)):
        raise pickle.UnpicklingError("an object of no class")
    return cls()


class _Function:
    """One of the functions above, that a pickle can call and cannot change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a state for a function")


class _Dict(dict[Any, Any]):
    """``collections.OrderedDict``; its attributes (torch's _metadata) are of no use here."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Nothing."""


_KNOWN: Final[Mapping[tuple[str, str], Callable[..., Any]]] = {
    ("collections", "OrderedDict"): _Dict,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
    ("_codecs", "encode"): _Function(_encode),
    ("copyreg", "_reconstructor"): _Function(_reconstructor),
    ("copy_reg", "_reconstructor"): _Function(_reconstructor),
    ("numpy.core.multiarray", "scalar"): _Function(_scalar),
    ("numpy._core.multiarray", "scalar"): _Function(_scalar),
    ("torch._utils", "_rebuild_tensor"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): _Function(_rebuild_parameter),
}
