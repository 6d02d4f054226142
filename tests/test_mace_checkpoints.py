"""Checkpoints of mace-torch are read without running what is in them."""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from ladera.codes.mace_torch.checkpoint import read_checkpoint
from ladera.codes.mace_torch.modules import Module
from ladera.codes.torch_archive import Foreign, read_archive
from ladera.errors import LaderaError, ModelFileError

SHARED = Path(__file__).parents[2] / "shared" / "data"
PARITY = SHARED / "mace_parity"
needs_shared = pytest.mark.skipif(
    not PARITY.is_dir(), reason="needs ../shared/data/mace_parity, which is not in the repository"
)


def archive(path: Path, pickled: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A checkpoint of torch with this data.pkl."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        for key, data in (storages or {}).items():
            file.writestr(f"archive/data/{key}", data)
    return path


# --- hostile pickles ---------------------------------------------------------------------------


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


class State:
    """Pickles as an object of a class that receives a state."""

    def __init__(self, made: Any, state: Any) -> None:
        self.parts = made, state

    def __reduce__(self) -> Any:
        made, state = self.parts
        return made, (), state


class Trap:
    """A class of the attacked machine whose methods do something when pickle calls them."""

    log: Path

    def __new__(cls, *arguments: Any) -> Trap:
        if arguments:
            Path(arguments[0]).touch()
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        Path(state).touch()

    def append(self, value: Any) -> None:
        Path(value).touch()


HOSTILE: dict[str, Callable[[str], Any]] = {
    "os.system": lambda m: Call(os.system, f"touch '{m}'"),
    "eval": lambda m: Call(eval, f"open({m!r}, 'w').close()"),
    "exec": lambda m: Call(exec, f"open({m!r}, 'w').close()"),
    "nested": lambda m: OrderedDict(weight=[(Call(dict, [("a", Call(os.mkdir, m))]),)]),
    "key": lambda m: {Call(os.mkdir, m): 1},
    "getattr": lambda m: Call(Call(getattr, Call(__import__, "os"), "mkdir"), m),
    "map": lambda m: Call(set, Call(map, os.mkdir, [m])),
    "setstate": lambda m: State(Trap, m),
    "new": lambda m: Call(Trap, m),
    "torch.load": lambda m: Call(torch.hub.load_state_dict_from_url, m),
}


def _dumps(value: Any, protocol: int) -> bytes:
    class Pickler(pickle.Pickler):
        def reducer_override(self, obj: Any) -> Any:
            # A function that a call returns, called in turn.
            if isinstance(obj, Call) and isinstance(obj.call[0], Call):
                return functools.reduce, (apply, [obj.call[0], obj.call[1]])
            return NotImplemented

    stream = io.BytesIO()
    Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def apply(function: Any, arguments: Any) -> Any:
    return function(*arguments)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_runs_nothing(tmp_path: Path, name: str, protocol: int) -> None:
    marker = tmp_path / "ran"
    pickled = _dumps(HOSTILE[name](str(marker)), protocol)
    if name != "torch.load":  # that it is hostile: pickle itself runs it
        pickle.loads(pickled)
        assert marker.exists()
        marker.rmdir() if marker.is_dir() else marker.unlink()
    path = archive(tmp_path / "x.model", pickled)
    with pytest.raises(ModelFileError, match=r"x\.model"):
        read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"(S'touch %s'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'touch %s'\no.",  # OBJ
        b'cbuiltins\nexec\n(S\'open("%s","w")\'\ntR.',
        b"c_codecs\nencode\n}S'__code__'\nS'%s'\ns\x86b.",  # BUILD on a function that is known
        b"ccollections\nOrderedDict\n)R}S'items'\ncos\nsystem\nsb.",
        b"ccollections\nOrderedDict\n}S'items'\nS'%s'\nsb.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(NI0\n(t(ttR.",
        b"(S'storage'\ncos\nsystem\nS'touch %s'\nS'cpu'\nI1\ntQ.",  # a storage of another type
        b"I1\nQ.",
        b"r\xff\xff\xff\xff.",  # a memo of 4 billion entries
        b"\x80\x02K\x01.",
        b"",
    ],
)
def test_a_hostile_program_runs_nothing(tmp_path: Path, program: bytes) -> None:
    marker = tmp_path / "ran"
    text = program.replace(b"%s", str(marker).encode())
    path = archive(tmp_path / "x.model", text)
    with pytest.raises(ModelFileError, match=r"x\.model"):
        read_checkpoint(path)
    assert not marker.exists()


def test_the_known_functions_stay_as_they_are(tmp_path: Path) -> None:
    """A pickle cannot give them other defaults for the next file."""
    program = b"c_codecs\nencode\n(N}S'__defaults__'\n)stb."
    with pytest.raises(ModelFileError):
        read_archive(archive(tmp_path / "x.model", program))
    good = archive(tmp_path / "y.model", b"c_codecs\nencode\n(Vab\nS'latin1'\ntR.")
    assert read_archive(good).root == b"ab"


def test_unknown_classes_are_kept_and_inert(tmp_path: Path) -> None:
    root = read_archive(
        archive(tmp_path / "x.model", _dumps([Call(os.getcwd), State(Trap, {"a": 1})], 2))
    ).root
    call, trap = root
    assert isinstance(call, Foreign)
    assert call.path.endswith("getcwd")
    assert call.arguments == ()
    assert isinstance(trap, Foreign)
    assert not isinstance(trap, Trap)
    assert trap.state == {"a": 1}


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((3,), (1,), 2), ((4,), (1,), 1), ((2,), (-1,), 1), ((2,), (1,), -1), ((9, 9), (0, 0), 0)],
)
def test_a_tensor_stays_within_its_numbers(
    tmp_path: Path, shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"I%d\n" % value for value in values) + b"t"

    program = (
        b"ctorch._utils\n_rebuild_tensor_v2\n((S'storage'\nctorch\nDoubleStorage\nS'0'\nS'cpu'\nI4"
        b"\ntQ" + b"I%d\n" % offset + numbers(shape) + numbers(strides) + b"I00\nNtR."
    )
    found = read_archive(archive(tmp_path / "x.model", program, {"0": bytes(32)}))
    with pytest.raises(ModelFileError, match="beyond its own numbers"):
        found.tensor(found.root)
    cut = read_archive(archive(tmp_path / "y.model", program, {"0": bytes(31)}))
    with pytest.raises(ModelFileError, match="cut"):
        cut.tensor(cut.root)


# --- files that are no checkpoints -------------------------------------------------------------


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_other_formats_are_named(tmp_path: Path) -> None:
    state = {"a": torch.ones(3)}
    legacy = tmp_path / "legacy.model"
    torch.save(state, legacy, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelFileError, match=r"before version 1\.6"):
        read_checkpoint(legacy)
    tar = _written(tmp_path / "tar.model", bytes(257) + b"ustar" + bytes(250))
    with pytest.raises(ModelFileError, match="tar format"):
        read_checkpoint(tar)
    with pytest.raises(ModelFileError, match="is empty"):
        read_checkpoint(_written(tmp_path / "empty.model", b""))
    with pytest.raises(ModelFileError, match="no checkpoint of torch"):
        read_checkpoint(_written(tmp_path / "page.model", b"<html>not found</html>"))
    with pytest.raises(ModelFileError, match="check the path"):
        read_checkpoint(tmp_path / "missing.model")


def test_other_zip_files_are_named(tmp_path: Path) -> None:
    for name, member, match in (
        ("script", "x/constants.pkl", "TorchScript"),
        ("script2", "x/code/__torch__/a.py", "TorchScript"),
        ("zip", "x/readme", "without data.pkl"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr(member, b"")
        with pytest.raises(ModelFileError, match=match):
            read_checkpoint(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "big", "w") as file:
        file.writestr("x/data.pkl", b"N.")
        file.writestr("x/byteorder", b"big")
    with pytest.raises(ModelFileError, match="big-endian"):
        read_checkpoint(tmp_path / "big")
    with zipfile.ZipFile(tmp_path / "deflated", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", b"N.")
    with pytest.raises(ModelFileError, match="compressed"):
        read_checkpoint(tmp_path / "deflated")


def test_an_archive_that_holds_the_same_bytes_many_times(tmp_path: Path) -> None:
    """A few kilobytes that would fill the memory: every entry points to the first one's data."""
    path = tmp_path / "bomb.model"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", b"N." + bytes(4000))
        for k in range(9):
            info = zipfile.ZipInfo(f"x/data/{k}")
            copied = file.infolist()[0]
            info.header_offset, info.CRC = copied.header_offset, copied.CRC
            info.file_size = info.compress_size = copied.file_size
            file.filelist.append(info)
    with pytest.raises(ModelFileError, match=r"bomb\.model"):
        read_checkpoint(path)


def test_what_is_no_mace_is_named(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 3), tmp_path / "x.model")
    with pytest.raises(ModelFileError, match=r"torch.nn.modules.linear.Linear"):
        read_checkpoint(tmp_path / "x.model")
    torch.save({"a": torch.ones(2)}, tmp_path / "y.pt")
    with pytest.raises(ModelFileError, match="atomic_numbers"):
        read_checkpoint(tmp_path / "y.pt")
    torch.save({"atomic_numbers": torch.tensor([1, 8])}, tmp_path / "z.pt")
    with pytest.raises(ModelFileError, match="not those of a MACE"):
        read_checkpoint(tmp_path / "z.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelFileError, match="neither a model nor a state dict"):
        read_checkpoint(tmp_path / "list.pt")


@pytest.fixture(scope="module")
def foreign_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module of a package that is not installed, saved whole."""
    package = types.ModuleType("vanished_package")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.ModuleList([torch.nn.Linear(3, 2)])
            self.register_buffer("kept", torch.arange(6, dtype=torch.float32).reshape(2, 3).T)
            self.register_buffer("passing", torch.ones(2), persistent=False)
            self.register_buffer("empty", torch.ones(0))
            self.neighbors = 12.5
            self.scalar, self.box = np.float32(2.5), np.array([[1.0, 2.0], [3.0, 4.0]]).T

    Net.__module__, Net.__qualname__ = "vanished_package", "Net"
    package.Net = Net  # type: ignore[attr-defined]
    sys.modules["vanished_package"] = package
    path = tmp_path_factory.mktemp("foreign") / "net.model"
    try:
        torch.manual_seed(0)
        net = Net()
        torch.save(net, path)
        torch.save(net.state_dict(), path.with_suffix(".pt"))
    finally:
        del sys.modules["vanished_package"]
    return path


def test_a_module_gives_its_state_dict_and_attributes(foreign_model: Path) -> None:
    found = read_archive(foreign_model)
    module = Module(found, found.root)
    expected = torch.load(foreign_model.with_suffix(".pt"), weights_only=True)
    assert set(module.tensors()) == set(expected) - {"empty"}
    for name, tensor in module.tensors().items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])
    assert module.kind == "Net"
    assert module.attribute("neighbors") == 12.5
    assert module.attribute("scalar") == 2.5
    assert module.attribute("box") == [[1.0, 3.0], [2.0, 4.0]]
    assert module.child("inner.0") is not None
    assert module.child("inner.1") is None
    assert [child.kind for child in module.children("inner")] == ["Linear"]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_read(
    foreign_model: Path, tmp_path: Path, data: st.DataObject
) -> None:
    whole = bytearray(foreign_model.read_bytes())
    if data.draw(st.booleans(), "truncate"):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path = _written(tmp_path / "damaged.model", bytes(whole))
    with pytest.raises(LaderaError, match=r"damaged\.model"):
        read_checkpoint(path)


@needs_shared
def test_tensors_of_a_pickled_model_are_those_of_its_safetensors() -> None:
    expected = load_file(PARITY / "m1_L0_residual.safetensors")
    pickled = read_checkpoint(PARITY / "m1_L0_residual.model")
    stored = read_checkpoint(PARITY / "m1_L0_residual.safetensors")
    assert set(pickled.tensors) == set(expected)
    for name, tensor in pickled.tensors.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name])
    one, other = pickled.settings.model_dump(), stored.settings.model_dump()
    one["avg_num_neighbors"] = one["avg_num_neighbors"][0]
    assert one == other


@needs_shared
def test_a_model_of_2022_with_its_old_attributes() -> None:
    found = read_checkpoint(SHARED / "weights" / "mace_spice" / "MACE_SPICE.model").settings
    assert found.atomic_numbers == (1, 3, 6, 7, 8, 9, 11, 12, 15, 16, 17, 19, 20, 35, 53)
    assert found.r_max == 4.5
    assert found.neighbors[0] == pytest.approx(15.58685, abs=1e-5)
    assert found.interaction_cls_first == "RealAgnosticInteractionBlock"
