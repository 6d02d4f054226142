"""A small sound file of every kind that Ladera reads, and what reads it, for scripts/fuzz.py."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ase.db
import h5py
import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write as write_atoms
from ase.io.trajectory import Trajectory
from markupsafe import Markup
from safetensors.torch import load_file
from sound_texts import CONTROL, FUNCTIONS, INPUT_NN, JCAMP, PACKED, SPECTRUM, TRANSMITTANCE, XSF

import ladera
from ladera import citing, labelling
from ladera.codes import mace_torch, mtp
from ladera.data import doctor, formats
from ladera.data.label_keys import LabelKeys
from ladera.data.splits import Split, random_split
from ladera.graph import Graph
from ladera.jobs import control_in, n2p2
from ladera.lock import locked
from ladera.models.lennard_jones import LennardJones, LennardJonesConfig
from ladera.models.mace import MACE, MACEConfig
from ladera.models.mtp import MTP, MTPConfig
from ladera.potential import LaderaCalculator
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.experiment import read_spectrum
from ladera.properties.memory import RememberingCalculator
from ladera.properties.phonons import phonons
from ladera.properties.trajectory import read_frames, read_trajectory
from ladera.report.report import write_report
from ladera.simulation import restart
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.run_folder import SimulationRun
from ladera.simulation.settings import MDSettings
from ladera.simulation.structures import read_structure
from ladera.training import checkpoint, config_file
from ladera.training.evaluation import evaluate_dataset
from ladera.training.run_folder import TrainingRun
from ladera.training.trainer import train
from ladera.units import ATOMIC

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import output_files as outputs

DATA = Path(outputs.__file__).parent / "data"
TRAINED, STOPPED = (DATA / "training_0_1" / f"gradients-{kind}" for kind in ("whole", "stopped"))
SIMULATED = DATA / "runs_format_1" / "npt"

Read = Callable[[Path], Any]
Made = tuple[str, str, Callable[[Path], Any], Read]  # name, file, what writes it, what reads it


@dataclass(frozen=True)
class Reader:
    """A sound file (or a folder of which one file is damaged at a time), and what reads it."""

    name: str
    source: Path
    read: Read
    entry: str = ""  # what of the folder is given to ``read``

    @property
    def in_c(self) -> bool:
        """Whether a library in C reads it, which no signal of Python's can stop."""
        return self.source.suffix in (".h5", ".hdf5")


def readers(folder: Path) -> list[Reader]:
    """All of them, their files written to a folder, which becomes the working directory."""
    shutil.copy(DATA / "training_0_1" / "argon.extxyz", folder)
    os.chdir(folder)  # where the configuration of the stopped run looks for it
    found = []
    for name, file, write, read in (*_data(), *_outputs(), *_arrays(), *_others(), *_runs()):
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
        Reader("born charges", DATA / "nacl" / "BORN", _polar),
        Reader("training", TRAINED, TrainingRun.read),
        Reader("simulation", SIMULATED, _read_simulation),
        Reader("works to cite", TRAINED, lambda p: citing.works(str(p))),
        Reader("works of a simulation", SIMULATED, lambda p: citing.works(str(p))),
        Reader("report of a training", TRAINED, _report),
        Reader("report of a fine-tuning", DATA / "training_0_1" / "finetune-whole", _report),
        Reader("report of an old simulation", SIMULATED, _report),
    ]


# --- structures with labels --------------------------------------------------------------------


def _data() -> Iterator[Made]:
    """Ladera's own formats, what predicts and checks them, and those of ASE."""
    argon = formats.read("argon.extxyz")[:2]
    some = formats.read("argon.extxyz")
    salt = bulk("NaCl", "rocksalt", 5.6)
    write, read = formats.write, formats.read
    yield "extxyz", "a.extxyz", lambda p: write(argon, p), read
    yield "gzip", "a.extxyz.gz", lambda p: write(argon, p), read
    yield "hdf5", "a.h5", lambda p: write(argon, p), read
    yield "input.data", "a.data", lambda p: write(argon, p, units=ATOMIC), _input_data
    yield "cfg of mlip", "a.cfg", lambda p: write(argon, p), read
    yield "checked data", "a.extxyz", lambda p: write(some[:4], p), lambda p: doctor.check(read(p))
    yield "evaluated data", "a.extxyz", lambda p: write(argon, p), _evaluate
    yield "predicted frames", "a.extxyz", lambda p: write(argon, p), _predict
    yield "split", "split.json", random_split(some, 0.2).save, lambda p: Split.load(p, some)
    yield "ase database", "a.db", lambda p: _write_rows(p, argon), read
    yield "ase json", "a.json", lambda p: _write_rows(p, argon), read
    if importlib.util.find_spec("ase_db_backends"):
        yield "aselmdb", "a.aselmdb", lambda p: _write_rows(p, argon), read
    yield "xsf", "a.xsf", lambda p: p.write_text(XSF), read
    yield "poscar", "POSCAR", lambda p: write_atoms(p, salt, "vasp"), read_frames
    yield "cif", "a.cif", lambda p: write_atoms(p, salt), read_structure
    yield "xyz structure", "a.xyz", lambda p: write_atoms(p, salt, "extxyz"), read_structure
    yield "pdb structure", "a.pdb", lambda p: write_atoms(p, molecule("CH3CH2OH")), read_structure
    yield "traj", "a.traj", _write_trajectory, lambda p: read_trajectory(p, interval=1.0)
    yield "dump", "a.lammpstrj", _write_dump, lambda p: read_frames(p, types=("O", "H"))
    yield "labelled dump", "a.dump", _write_dump, _labelled_dump


def _outputs() -> Iterator[Made]:
    """Of electronic-structure programs."""

    def text(*parts: str) -> Callable[[Path], Any]:
        return lambda path: path.write_text("".join(parts))

    point = outputs.GAUSSIAN + outputs.POINT.format(z=0.8, energy=-1.1)
    orca = outputs.ORCA + " ORCA SCF GRADIENT CALCULATION\n"
    orca += outputs.ORCA_POINT.format(z=1.0, energy=-75.0)
    for name, file, write in (
        ("cp2k", "run.out", text(outputs.HEAD.format(kind="ENERGY", more=""), outputs.step(-17.2))),
        ("newer cp2k", "run.out", text(outputs.HEAD.format(kind="ENERGY", more=""), outputs.NEWER)),
        ("cp2k dynamics", "md.log", _write_cp2k),
        ("vasprun", "vasprun.xml", text(outputs.vasprun(*map(outputs.calculation, (-7.0, -6.5))))),
        ("outcar", "OUTCAR", text(outputs.outcar(-7.0, -6.5))),
        ("quantum espresso", "pw.out", text(outputs.pw(-100.0, -100.1), "   JOB DONE.\n")),
        ("gaussian", "h2.log", text(point, outputs.archive("RB3LYP", HF=-1.1), outputs.END)),
        ("orca", "a.out", text(orca, "****ORCA TERMINATED NORMALLY****\n")),
        ("fhi-aims", "aims.out", text(outputs.aims(-2000.0, -2000.5))),
        ("gpaw", "gpaw.txt", text(outputs.GPAW)),
    ):
        yield name, file, write, formats.read


def _arrays() -> Iterator[Made]:
    """Data sets of others in named arrays."""
    positions = np.random.default_rng(0).normal(size=(4, 3, 3))
    energies, forces = np.array([-1.0, -2.0, -3.0, -4.0]), 0.1 * positions
    water = np.array([8, 1, 1])

    def read(path: Path) -> Any:
        return formats.read(path, units="bohr-hartree")

    def md17(path: Path) -> None:
        np.savez(path, R=positions, z=water, E=energies[:, None], F=forces, theory="PBE")

    def spice(path: Path) -> None:
        with h5py.File(path, "w") as file:
            group = file.create_group("water")
            group["conformations"], group["atomic_numbers"] = positions, water
            group["dft_total_energy"], group["dft_total_gradient"] = energies, forces
            group["subset"] = [b"ions"]

    def ani(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.attrs["format"], file.attrs["version"] = "ani", 2
            for name, count in (("s01/a", 2), ("s02/b", 4)):
                group = file.create_group(name)
                group["coordinates"], group["species"] = positions[:count], [b"O", b"H", b"H"]
                group["energies"], group["forces"] = energies[:count], forces[:count]

    yield "npz", "water.npz", md17, read
    yield "spice", "spice.hdf5", spice, read
    yield "ani", "ani.h5", ani, read


def _others() -> Iterator[Made]:
    """Configurations, spectra, models of other codes."""
    yield "yaml", "a.yaml", lambda p: shutil.copy(TRAINED / "config.yaml", p), config_file.load
    yield "control.in", "control.in", _write_control, control_in.read_training
    yield "n2p2 training", "nnp", _write_n2p2, n2p2.read_training
    yield "csv spectrum", "a.csv", lambda p: p.write_text(SPECTRUM), read_spectrum
    yield "csv transmittance", "b.csv", lambda p: p.write_text(TRANSMITTANCE), read_spectrum
    yield "jcamp", "a.jdx", lambda p: p.write_text(JCAMP), read_spectrum
    yield "jcamp packed", "a.dx", lambda p: p.write_text(PACKED), read_spectrum
    yield "torch archive", "model.pt", _write_torch, ladera.load
    yield "mtp", "a.mtp", lambda p: mtp.export(_moments(), p), ladera.load
    yield "state dict", "model.safetensors", _write_state_dict, ladera.load


def _runs() -> Iterator[Made]:
    """Folders of runs and results."""
    yield "resumed simulation", "run", _simulate, _resume_simulation
    yield "remembered evaluations", "run", _remember, _remember
    yield "lock", "run", _write_lock, _lock
    yield "report of a run", "run", _simulate, _report
    yield "report of a relaxation", "run", lambda p: relax(_argon(), _pairs(), folder=p), _report
    yield "result", "run", lambda p: _equation().save(p), _report
    yield "works of a result", "run", lambda p: _equation().save(p), lambda p: citing.works(str(p))


# --- what writes and reads them ----------------------------------------------------------------


def _labelled_dump(path: Path) -> Any:
    return formats.read(path, types=("O", "H"), keys=LabelKeys(energy=None, forces=None))


def _evaluate(path: Path) -> Any:
    return evaluate_dataset(_pairs(), formats.read(path)).to_json()


def _predict(path: Path) -> Any:
    found = labelling.predict(_pairs(), path)
    found.save(path.with_name("labelled.extxyz"))
    return found.absent()


def _polar(path: Path) -> Any:
    """Phonons with the Born charges of a file; of pair forces, which is not what is read here."""
    settings = LennardJonesConfig(
        species=("Na", "Cl"),
        cutoff=4.0,
        epsilon={"Na": 0.01, "Cl": 0.01},
        sigma={"Na": 2.4, "Cl": 2.4},
    )
    salt = bulk("NaCl", "rocksalt", 5.6)
    salt.calc = LaderaCalculator(LennardJones(settings).requires_grad_(False))
    return phonons(salt, supercell=(1, 1, 1), born=path)


def _remember(folder: Path) -> Any:
    """A property that goes on where it was."""
    atoms = _argon()
    with patch("ladera.properties.memory.WORTH_KEEPING", 0.0):
        atoms.calc = RememberingCalculator(_pairs(), folder)
        return atoms.get_forces()


def _write_lock(folder: Path) -> None:
    folder.mkdir()
    before = {"pid": 1, "host": platform.node(), "machine": "", "since": "2026-01-01"}
    (folder / "running.lock").write_text(json.dumps(before))  # it has started anew since


def _lock(folder: Path) -> None:
    with locked(folder):
        pass


def _write_rows(path: Path, data: Any) -> None:
    with ase.db.connect(path) as database:
        for frame in data:
            database.write(frame.to_atoms(), note="argon", data={"more": [1.0, 2.0]})
    Path(f"{path}.lock").unlink(missing_ok=True)
    Path(f"{path}-lock").unlink(missing_ok=True)


def _write_cp2k(path: Path) -> None:
    energies = [-17.2, -17.1, -17.0]
    head = outputs.HEAD.format(kind="MD", more="MD_PAR| Ensemble type  NPT_I")
    path.write_text(head + "".join(map(outputs.step, energies)))
    (path.parent / "wat-pos-1.xyz").write_text(outputs.positions(energies))
    cells = "".join(f" {k} {k / 2} 5 0 0 0 6 0 0 0 7 210\n" for k in range(3))
    (path.parent / "wat-1.cell").write_text(f"# Step\n{cells}")


def _write_n2p2(folder: Path) -> None:
    folder.mkdir()
    (folder / "input.nn").write_text(INPUT_NN)
    formats.write(formats.read("argon.extxyz")[:6], folder / "input.data", units=ATOMIC)


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
    state, *_ = mace_torch.export(_mace(), path.parent)
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
