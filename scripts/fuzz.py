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
import shutil
import signal
import struct
import sys
import traceback
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write as write_atoms
from ase.io.trajectory import Trajectory
from markupsafe import Markup
from safetensors.torch import load_file

import ladera
from ladera.codes import mace_torch, mtp
from ladera.data import formats
from ladera.data.splits import Split, random_split
from ladera.errors import LaderaError
from ladera.graph import Graph
from ladera.jobs import control_in
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.models.mace import MACE, MACEConfig
from ladera.models.mtp import MTP, MTPConfig
from ladera.potential import LaderaCalculator
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.experiment import read_spectrum
from ladera.properties.trajectory import read_frames, read_trajectory
from ladera.report.report import write_report
from ladera.simulation import restart
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.run_folder import SimulationRun
from ladera.simulation.settings import MDSettings
from ladera.training import checkpoint, config_file
from ladera.training.run_folder import TrainingRun
from ladera.training.trainer import train
from ladera.units import ATOMIC

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
TRAINED, STOPPED = (DATA / "training_0_1" / f"gradients-{kind}" for kind in ("whole", "stopped"))
SIMULATED = DATA / "runs_format_1" / "npt"
SECONDS = 20
WORDS = (
    *("", "nan", "-inf", "1e999", "-1", "0", "0.5", "9" * 20, "9" * 5000, "1,5", "x", "\0", "[]"),
    *("{}", "null", "true", '"', "*", "1e17", "0x10", "3000000000", "\u00e9", "Xx", "D", "H", "#"),
)
VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**30, 0.5, "x", "", [], [None], [[]], {}, {"a": 1})


@dataclass(frozen=True)
class Reader:
    """A sound file (or a folder of which one file is damaged at a time), and what reads it."""

    name: str
    source: Path
    read: Callable[[Path], Any]
    entry: str = ""  # what of the folder is given to ``read``


# --- sound files -------------------------------------------------------------------------------


def readers(folder: Path) -> list[Reader]:
    """All of them, their files written to a folder, which becomes the working directory."""
    shutil.copy(DATA / "training_0_1" / "argon.extxyz", folder)
    os.chdir(folder)  # where the configuration of the stopped run looks for it
    argon = formats.read("argon.extxyz")
    salt = bulk("NaCl", "rocksalt", 5.6)
    made: list[tuple[str, str, Callable[[Path], Any], Callable[[Path], Any]]] = [
        ("extxyz", "a.extxyz", lambda p: formats.write(argon[:2], p), formats.read),
        ("gzip", "a.extxyz.gz", lambda p: formats.write(argon[:2], p), formats.read),
        ("hdf5", "a.h5", lambda p: formats.write(argon[:2], p), formats.read),
        ("input.data", "a.data", lambda p: formats.write(argon[:2], p, units=ATOMIC), _input_data),
        ("cfg of MLIP", "a.cfg", lambda p: formats.write(argon[:2], p), formats.read),
        ("poscar", "POSCAR", lambda p: write_atoms(p, salt, "vasp"), read_frames),
        ("cif", "a.cif", lambda p: write_atoms(p, salt), read_frames),
        ("traj", "a.traj", _write_trajectory, lambda p: read_trajectory(p, interval=1.0)),
        ("dump", "a.lammpstrj", _write_dump, lambda p: read_frames(p, types=("O", "H"))),
        ("yaml", "a.yaml", lambda p: shutil.copy(TRAINED / "config.yaml", p), config_file.load),
        ("control.in", "control.in", _write_control, control_in.read_training),
        ("csv spectrum", "a.csv", lambda p: p.write_text(SPECTRUM), read_spectrum),
        ("jcamp", "a.jdx", lambda p: p.write_text(JCAMP), read_spectrum),
        ("jcamp packed", "a.dx", lambda p: p.write_text(PACKED), read_spectrum),
        ("split", "split.json", random_split(argon, 0.2).save, lambda p: Split.load(p, argon)),
        ("torch archive", "model.pt", _write_torch, ladera.load),
        ("mtp", "a.mtp", lambda p: mtp.export(_moments(), p), ladera.load),
        ("state dict", "model.safetensors", _write_state_dict, ladera.load),
        ("resumed simulation", "run", _simulate, _resume_simulation),
        ("report of a run", "run", _simulate, _report),
        ("report of a relaxation", "run", lambda p: relax(_argon(), _pairs(), folder=p), _report),
        ("result", "run", lambda p: _equation().save(p), _report),
    ]
    found = []
    for name, file, write, read in made:
        path = folder / name.replace(" ", "-") / file
        path.parent.mkdir()
        write(path)
        alone = path.is_dir() or len(list(path.parent.iterdir())) == 1
        found.append(
            Reader(name, path, read) if alone else Reader(name, path.parent, read, entry=file)
        )
    return [
        *found,
        Reader("model", TRAINED / "model.ladera", _load_and_use),
        Reader("checkpoint", STOPPED / "checkpoint.safetensors", checkpoint.load),
        Reader("resumed training", STOPPED, _resume),
        Reader("restart", SIMULATED / "restart.npz", restart.load),
        Reader("n2p2", DATA / "n2p2_4g" / "cation", ladera.load),
        Reader("training", TRAINED, TrainingRun.read),
        Reader("simulation", SIMULATED, _read_simulation),
        Reader("report of a training", TRAINED, _report),
        Reader("report of a fine-tuning", DATA / "training_0_1" / "finetune-whole", _report),
        Reader("report of an old simulation", SIMULATED, _report),
    ]


def _resume(folder: Path) -> Any:
    """Go on with a training of a few steps; its data lie where the process is."""
    return train(config_file.load(folder / "config.yaml"), folder, resume=True)


def _load_and_use(path: Path) -> Any:
    model = ladera.load(path)
    return ladera.evaluate(model, Graph.from_atoms(bulk("Ar", "fcc", 5.3), model.cutoff)).forces


def _input_data(path: Path) -> Any:
    return formats.read(path, units=ATOMIC)


def _read_simulation(folder: Path) -> Any:
    run = SimulationRun.read(folder)
    return run.n_atoms, run.timestep, run.frame_interval, run.frames(np.arange(run.n_frames)[:2])


def _write_trajectory(path: Path) -> None:
    with Trajectory(path, "w") as file:
        for k in range(3):
            atoms = molecule("H2O")
            atoms.positions += 0.01 * k
            file.write(atoms)


def _write_dump(path: Path) -> None:
    atoms = "1 1 0.0 0.0 0.0\n2 2 0.96 0 0\n3 2 -0.24 0.93 0\n"
    path.write_text(
        "".join(
            f"ITEM: TIMESTEP\n{10 * k}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n"
            f"0 9\n0 9\n0 9\nITEM: ATOMS id type x y z\n{atoms}"
            for k in range(3)
        )
    )


def _mace() -> MACE:
    torch.manual_seed(1)
    settings = MACEConfig(
        species=("H", "O"), cutoff=4.0, channels=2, max_l=1, correlation=2, radial_layers=(4,)
    )
    return MACE(settings)


def _moments() -> MTP:
    return MTP(MTPConfig(species=("H", "O"), cutoff=4.0, level=6, radial_basis_size=4))


def _write_state_dict(path: Path) -> None:
    mace_torch.export(_mace(), path.parent)


def _write_torch(path: Path) -> None:
    state, _ = mace_torch.export(_mace(), path.parent)
    torch.save({"model": load_file(state), "epoch": 3, "names": ["H", "O"]}, path)
    state.unlink()


def _write_control(path: Path) -> None:
    path.write_text(CONTROL)
    (path.parent / "Ar.smf").write_text(FUNCTIONS)
    argon = formats.read("argon.extxyz")
    formats.write(argon[:6], path.parent / "input.data", units=ATOMIC)


def _argon() -> Atoms:
    atoms = bulk("Ar", "fcc", a=5.3, cubic=True)
    atoms.rattle(0.05, seed=1)
    return atoms


def _pairs() -> LennardJones:
    settings = LennardJonesConfig(
        species=("Ar",), cutoff=6.5, epsilon={"Ar": 0.0104}, sigma={"Ar": 3.4}
    )
    return LennardJones(settings).requires_grad_(False)


def _simulate(folder: Path, steps: int = 4, resume: bool = False) -> Any:
    every = {"log_interval": 1, "trajectory_interval": 1, "restart_interval": 2}
    settings = MDSettings(ensemble="nvt-nose-hoover", temperature=30.0, steps=steps, **every)
    return run_md(_argon(), _pairs(), settings, folder, resume=resume)


def _resume_simulation(folder: Path) -> Any:
    return _simulate(folder, 6, resume=True)


def _equation() -> Any:
    atoms = relax(bulk("Ar", "fcc", a=5.3), _pairs(), cell=True).atoms
    atoms.calc = LaderaCalculator(_pairs())
    return equation_of_state(atoms, points=7)


def _report(folder: Path) -> Path:
    """The page, but for the SVG of its figures, which takes most of the time and reads nothing."""
    with patch("ladera.report.report.to_svg", lambda *_: Markup("")):
        return write_report(folder)


CONTROL = """mode training
cut_function_type 2
angular_sf wide
atomic_data_path input.data
length_unit au
number_of_atom_types 1
model_path none
neurons_per_layer [5, 4, 1]
activation_function hyperbolic_tangent
weight_initialization glorot_normal
bias_initialization zeros
random_seed 3
optimization_method Adagrad
learning_rate 0.01
loss_function mse
number_of_epochs 2
minibatch_size 10
validation_fraction 0.25
atom_type_1 Ar 18 39.95 Ar.smf
"""
FUNCTIONS = """# CentralAtom is the i-atom
# CentralAtom Ar

# Type G2
# j-atom eta     Rs        Rc
Ar  0.05  0.0  12.00
Ar  0.10  0.5  12.00

# Type G3
# j-k-atoms    eta     lambda   zeta    Rc
Ar Ar 0.01 -1.0 2.0 12.0
"""
SPECTRUM = "cm-1,A\n" + "".join(f"{400 + 10 * k},{k % 7 / 10}\n" for k in range(60))
JCAMP = (
    "##TITLE=ethanol\n##JCAMP-DX=4.24\n##DATA TYPE=INFRARED SPECTRUM\n##XUNITS=1/CM\n"
    "##YUNITS=ABSORBANCE\n##FIRSTX=400\n##LASTX=404\n##DELTAX=1\n##XFACTOR=1\n##YFACTOR=0.01\n"
    "##NPOINTS=5\n##XYDATA=(X++(Y..Y))\n400 1 2 3\n403 4 5\n##END=\n"
)
PACKED = JCAMP.replace("400 1 2 3\n403 4 5\n", "400A1JJT\n403D0J\n")


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
    except (ValueError, SyntaxError, EOFError, TypeError, OSError, MemoryError):
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
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return _flip(data, chance)
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


class TooSlowError(Exception):
    """A reader took more than SECONDS of the processor."""


def _alarm(*_: Any) -> None:
    raise TooSlowError


def fault(reader: Reader, path: Path) -> str:
    """What is wrong with how a reader took a file: exception and place; nothing if all is well."""
    signal.signal(signal.SIGPROF, _alarm)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        reader.read(path)
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
        for file in [source] if source.is_file() else files:
            shutil.copy(file, folder)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lay()
        reader.read(entry)  # what is sound is taken; it also compiles what the reader needs
        for _ in range(count):
            victim = chance.choice(files)
            lay()
            (folder / victim.name).write_bytes(mutant(victim.read_bytes(), chance))
            kind = fault(reader, entry)
            if kind:
                kind = re.sub(r"[0-9]{3,}(?! *:)", "N", kind)
                if kind not in kinds:
                    name = f"{reader.name.replace(' ', '-')}-{len(kinds)}"
                    shutil.copytree(folder, work / "faults" / name)
                kinds[kind] += 1
        gc.collect()  # ASE leaves damaged files open, which Python tells when it finds them
    return kinds


def main() -> None:
    """Damage, read, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", nargs="*", default=[])
    options = parser.parse_args()
    total, start = 0, Path.cwd()
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        known = readers(work)
        chosen = [each for each in known if not options.reader or each.name in options.reader]
        for reader in chosen:
            count = -(-options.mutants // len(chosen))
            kinds = run(reader, count, options.seed, work)
            total += kinds.total()
            print(f"{reader.name}: {count} mutants, {kinds.total()} faults", flush=True)
            for kind, number in kinds.most_common():
                print(f"    {number} x {kind}", flush=True)
        os.chdir(start)
        if total:
            shutil.copytree(work / "faults", "fuzz-faults", dirs_exist_ok=True)
    print(f"{options.mutants} mutants, {total} faults")
    sys.exit(1 if total else 0)


if __name__ == "__main__":
    main()
