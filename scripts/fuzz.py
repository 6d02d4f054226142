"""Damage files of every kind that Ladera reads: each must be read or refused by a sentence.

    python scripts/fuzz.py [--mutants 100000] [--seed 0] [--reader NAME ...]

A mutant is a sound file with bits flipped, cut short, words replaced by hostile ones (nan, 1e999,
5,000 digits, nothing ...), lines repeated or gone, or a value of its JSON replaced by one of
another kind; what is packed (zip, gzip, HDF5) is also damaged inside and packed again, so that no
checksum stands before the reader. Each reader must take its sound file. One that raises anything
but a LaderaError, or takes longer than 20 seconds of the processor, is at fault: faults are counted
by exception and line of code, and the first of each kind is kept in ``fuzz-faults/``. The tests run
a short form of this.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
from sound_files import Reader, readers

from ladera.errors import LaderaError

SECONDS = 20
MEMORY = 2**32  # bytes
HANGS = "a loop within a library in C"
WORDS = (
    *("", "nan", "-inf", "1e999", "-1", "0", "0.5", "9" * 20, "9" * 5000, "1,5", "x", "\0", "[]"),
    *("{}", "null", "true", '"', "*", "1e17", "0x10", "3000000000", "\u00e9", "Xx", "D", "H", "#"),
)
VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**30, 0.5, "x", "", [], [None], [[]], {}, {"a": 1})


# --- damage ------------------------------------------------------------------------------------


def mutant(data: bytes, chance: random.Random) -> bytes:
    """A damaged copy."""
    ways: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _repeat, _word, _word]
    if data[:1] in (b"{", b"[") or data[8:9] == b"{":
        ways += [_json, _json, _json]
    for start, inside in PACKED_KINDS.items():
        ways += [inside] * 4 * data.startswith(start)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = chance.choice(ways)(data, chance)
    return data


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 20))):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.choice((1, 8, 100, len(data))) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    place = chance.randrange(len(lines))
    lines[place : place + 1] = [lines[chance.randrange(len(lines))]] * chance.choice((0, 1, 2, 3))
    return b"\n".join(lines)


def _word(data: bytes, chance: random.Random) -> bytes:
    words = list(re.finditer(rb"[^\s,;:=\"{}\[\]]+", data[:20_000]))
    if not words:
        return data
    start, end = chance.choice(words).span()
    return data[:start] + chance.choice(WORDS).encode() + data[end:]


def _json(data: bytes, chance: random.Random) -> bytes:
    """Another value somewhere in JSON, also in the header of a safetensors file."""
    try:
        if data[:1] in (b"{", b"["):
            return json.dumps(_changed(json.loads(data), chance)).encode()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        inner = header.get("__metadata__", {})
        if inner and chance.random() < 0.8:  # JSON within JSON
            name = chance.choice(list(inner))
            inner[name] = json.dumps(_changed(json.loads(inner[name]), chance))
        else:
            header = _changed(header, chance)
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data[8 + length :]
    except (ValueError, AttributeError, TypeError, struct.error):
        return _flip(data, chance)


def _changed(value: Any, chance: random.Random) -> Any:
    """A JSON value with a part replaced, or a key gone."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if chance.random() < 0.1:
            del value[key]
        else:
            value[key] = _changed(value[key], chance)
        return value
    return chance.choice(VALUES)


def _zip(data: bytes, chance: random.Random) -> bytes:
    """A member of an archive damaged, of NumPy's also the JSON that is stored as an array."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # damaged already
        return _flip(data, chance)
    if not members:
        return data
    name = chance.choice(list(members))
    members[name] = _array(members[name], chance)
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w") as archive:
        warnings.simplefilter("ignore")
        for each, content in members.items():
            archive.writestr(each, content)
    return packed.getvalue()


def _array(data: bytes, chance: random.Random) -> bytes:
    if not data.startswith(b"\x93NUMPY") or chance.random() < 0.3:
        return mutant(data, chance)
    try:
        array = np.load(io.BytesIO(data))
        if array.dtype.kind == "U" and not array.ndim:
            array = np.array(json.dumps(_changed(json.loads(str(array)), chance)))
        else:
            array = chance.choice(REPLACEMENTS)(array)
    except Exception:  # damaged already
        return _flip(data, chance)
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=False)
    return packed.getvalue()


def _gzip(data: bytes, chance: random.Random) -> bytes:
    try:
        return gzip.compress(mutant(gzip.decompress(data), chance))
    except (OSError, EOFError, ValueError, zlib.error):
        return _flip(data, chance)


def _hdf5(data: bytes, chance: random.Random) -> bytes:
    """A data set or an attribute of another shape or type, or gone."""
    packed = io.BytesIO(data)
    try:
        with h5py.File(packed, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            name = chance.choice([*names, ""])
            at = file[name] if name else file
            if at.attrs and chance.random() < 0.5:
                key = chance.choice(list(at.attrs))
                at.attrs[key] = chance.choice((-1, 10**18, "x", 0.5, [1, 2], float("nan")))
            elif isinstance(at, h5py.Dataset):
                array = at[()]
                del file[name]
                if chance.random() < 0.8:
                    file[name] = chance.choice(REPLACEMENTS)(np.asarray(array))
            elif name:
                del file[name]
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError):
        return _flip(data, chance)  # it was damaged before, beyond what the library reads
    return packed.getvalue()


REPLACEMENTS: tuple[Callable[[Any], Any], ...] = (
    lambda array: np.float64(0.5),
    lambda array: np.int64(-1),
    lambda array: array[:0] if array.ndim else array,
    lambda array: array[:-1] if array.ndim else array,
    lambda array: array[None],
    lambda array: array.reshape(-1),
    lambda array: np.zeros(array.shape, bool),
    lambda array: np.full(array.shape, -3),
    lambda array: np.full(array.shape, 10**12),
    lambda array: np.full(array.shape, np.nan),
    lambda array: np.full(array.shape, 1e300),
    lambda array: np.full(array.shape, 1j),
    lambda array: np.full(array.shape, b"xyz"),
)
PACKED_KINDS = {b"PK": _zip, b"\x1f\x8b": _gzip, b"\x89HDF": _hdf5}


# --- the run -----------------------------------------------------------------------------------


class TooSlowError(BaseException):  # which no reader takes for a fault of its file
    """A reader took more than SECONDS of the processor."""


def _alarm(*_: Any) -> None:
    raise TooSlowError


def fault(reader: Reader, path: Path) -> str:
    """What is wrong with how a reader took a file: exception and place; nothing if all is well."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        reader.read(path)
    except TooSlowError:
        return f"more than {SECONDS} seconds"
    except LaderaError as error:
        return "" if str(error).strip() else "an empty sentence"
    except Exception as error:
        calls = traceback.extract_tb(error.__traceback__)
        ours = [call for call in calls if f"{os.sep}ladera{os.sep}" in call.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:80]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""


def fault_in_c(reader: Reader, path: Path) -> str:
    """The same from a child, which the alarm kills wherever it is."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        os.write(writing, fault(reader, path).encode()[:4096])
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return HANGS if number == signal.SIGPROF else f"killed by signal {number}"
    return said


@contextmanager
def limited() -> Iterator[None]:
    """A time limit that Python keeps, and MEMORY more than the process has now."""
    alarm = signal.signal(signal.SIGPROF, _alarm)
    before = resource.getrlimit(resource.RLIMIT_AS)
    has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (has + MEMORY, before[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGPROF, alarm)


def run(reader: Reader, count: int, seed: int, work: Path) -> Counter[str]:
    """Faults by kind; the first file of each kind is kept in ``work/faults``."""
    chance = random.Random(f"{seed} {reader.name}")
    kinds: Counter[str] = Counter()
    source = reader.source
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.is_file())
    folder = work / "mutant"
    entry = folder / (source.name if source.is_file() else reader.entry)

    def lay() -> None:
        """The sound files."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lay()
        reader.read(entry)  # what is sound is taken; it also compiles what the reader needs
    examine = fault_in_c if reader.in_c else fault
    with limited():
        for _ in range(count):
            victim = chance.choice(files)
            lay()
            (folder / victim.name).write_bytes(mutant(victim.read_bytes(), chance))
            kind = re.sub(r"[0-9]{3,}(?! *:)", "N", examine(reader, entry))
            if kind and kind not in kinds:
                name = f"{reader.name.replace(' ', '-')}-{len(kinds)}"
                shutil.copytree(folder, work / "faults" / name)
            kinds[kind] += bool(kind)
        gc.collect()  # ASE leaves damaged files open, which Python tells when it finds them
    return +kinds


def main() -> None:
    """Damage, read, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*", default=[])
    options = parser.parse_args()
    total, hangs, done, start = 0, 0, 0, Path.cwd()
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        known = readers(work)
        chosen = [each for each in known if not options.reader or each.name in options.reader]
        for reader in chosen:
            count = -(-options.mutants // len(chosen))
            kinds = run(reader, count, options.seed, work)
            done += count
            hangs += kinds[HANGS]
            total += kinds.total() - kinds[HANGS]
            print(f"{reader.name}: {count} mutants, {kinds.total()} faults", flush=True)
            for kind, number in kinds.most_common():
                print(f"    {number} x {kind}", flush=True)
        os.chdir(start)
        if total + hangs:
            shutil.copytree(work / "faults", "fuzz-faults", dirs_exist_ok=True)
    print(f"{done} mutants, {total} faults; besides, {hangs} x {HANGS}")
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
