"""Damage files of every kind that Ladera reads: each must be read or refused by a sentence.

    python scripts/fuzz.py [--mutants 100000] [--seed 0] [--reader NAME ...]

A mutant is a sound file with bits flipped, cut short, words replaced by hostile ones (nan, 1e999,
5,000 digits, nothing ...), lines repeated or gone, or a value of its JSON replaced by one of
another kind. A reader that raises anything but a LaderaError, or takes longer than 20 seconds, is
at fault: faults are counted by exception and line of code, and the first of each kind is kept in
``fuzz-faults/``. The tests run a short form of this.
"""

from __future__ import annotations

import argparse
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
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from ase.build import bulk, molecule
from ase.io import write as write_atoms
from ase.io.trajectory import Trajectory

import ladera
from ladera.data import formats
from ladera.data.splits import Split, random_split
from ladera.errors import LaderaError
from ladera.graph import Graph
from ladera.jobs.control_in import control_file
from ladera.properties.experiment import read_spectrum
from ladera.properties.trajectory import read_frames, read_trajectory
from ladera.report.report import write_report
from ladera.simulation import restart
from ladera.simulation.run_folder import SimulationRun
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
        ("poscar", "POSCAR", lambda p: write_atoms(p, salt, "vasp"), read_frames),
        ("cif", "a.cif", lambda p: write_atoms(p, salt), read_frames),
        ("traj", "a.traj", _write_trajectory, read_trajectory),
        ("dump", "a.lammpstrj", _write_dump, lambda p: read_frames(p, types=("O", "H"))),
        ("yaml", "a.yaml", lambda p: shutil.copy(TRAINED / "config.yaml", p), config_file.load),
        ("control.in", "control.in", lambda p: p.write_text(CONTROL), control_file.read),
        ("csv spectrum", "a.csv", lambda p: p.write_text(SPECTRUM), read_spectrum),
        ("jcamp", "a.jdx", lambda p: p.write_text(JCAMP), read_spectrum),
        ("jcamp packed", "a.dx", lambda p: p.write_text(PACKED), read_spectrum),
        ("split", "split.json", random_split(argon, 0.2).save, lambda p: Split.load(p, argon)),
        ("torch archive", "a.pt", _write_torch, ladera.load),
        ("state dict", "a.safetensors", _write_safetensors, ladera.load),
    ]
    found = []
    for name, file, write, read in made:
        path = folder / name.replace(" ", "-") / file
        path.parent.mkdir()
        write(path)
        found.append(Reader(name, path, read))
    return [
        *found,
        Reader("model", TRAINED / "model.ladera", _load_and_use),
        Reader("checkpoint", STOPPED / "checkpoint.safetensors", checkpoint.load),
        Reader("resumed training", STOPPED, _resume),
        Reader("restart", SIMULATED / "restart.npz", restart.load),
        Reader("n2p2", DATA / "n2p2_4g" / "cation", ladera.load),
        Reader("training", TRAINED, TrainingRun.read),
        Reader("simulation", SIMULATED, _read_simulation),
        Reader("report of a training", TRAINED, write_report),
        Reader("report of a simulation", SIMULATED, write_report),
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


def _write_torch(path: Path) -> None:
    torch.save({"layer.weight": torch.ones(2, 3), "epoch": 3, "names": ["H", "O"]}, path)


def _write_safetensors(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"layer.weight": torch.ones(2, 3)}, path, metadata={"format": "pt"})


CONTROL = """task_type simulation
number_of_atom_types 2
atom_type_1 O
atom_type_2 H
potential_file model.ladera
structure_file water.xyz
md_steps 100
md_dt 0.5
temperature 300.0
thermostat berendsen
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


# --- the run -----------------------------------------------------------------------------------


class TooSlowError(Exception):
    """A reader took too long."""


def _alarm(*_: Any) -> None:
    raise TooSlowError


def fault(reader: Reader, path: Path) -> str:
    """What is wrong with how a reader took a file: exception and place; nothing if all is well."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(path)
    except LaderaError as error:
        return "" if str(error).strip() else "an empty sentence"
    except Exception as error:
        calls = traceback.extract_tb(error.__traceback__)
        ours = [call for call in calls if f"{os.sep}ladera{os.sep}" in call.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return f"{type(error).__name__} at {where}: {str(error)[:80]}"
    finally:
        signal.alarm(0)
    return ""


def run(reader: Reader, count: int, seed: int, work: Path) -> Counter[str]:
    """Faults by kind; the first file of each kind is kept in ``work/faults``."""
    chance = random.Random(f"{seed} {reader.name}")
    kinds: Counter[str] = Counter()
    source = reader.source
    files = [source] if source.is_file() else sorted(p for p in source.iterdir() if p.is_file())
    for _ in range(count):
        victim = chance.choice(files)
        folder = work / "mutant"
        shutil.rmtree(folder, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, folder)
        folder.mkdir(exist_ok=True)
        (folder / victim.name).write_bytes(mutant(victim.read_bytes(), chance))
        kind = fault(reader, folder / source.name if source.is_file() else folder)
        if kind:
            kind = re.sub(r"[0-9]{3,}(?! *:)", "N", kind)
            if kind not in kinds:
                name = f"{reader.name.replace(' ', '-')}-{len(kinds)}"
                shutil.copytree(folder, work / "faults" / name)
            kinds[kind] += 1
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
