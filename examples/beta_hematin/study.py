"""beta-hematin by machine-learned potentials, from a dimer to a report.

    python examples/beta_hematin/study.py [--output hematin] [--quick] [--cif MEASURED.cif]
                                          [--models nequix-mp-1 sevennet-0] [--until PIECE]

In pieces that are files: killed at any time, the same command goes on. --quick does what is quick,
small and without a network: its numbers mean nothing. docs/beta-hematin.md tells the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import ase.io
import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

import crystal
import ladera
import molecule
import potential
import report
import spectra
import step_times
from ladera.potential import Potential
from pieces import Folder, Piece

_SEED: Final = "labels-monomer"
_NO_MINIMUM: Final = "the quick form has no minimum to compute them at"
_BEST: Final = 2  # packings of each isomer to be relaxed


@dataclass(frozen=True)
class Study:
    """What was asked for, and how each piece is made of those before it."""

    models: tuple[str, ...]  # published names or files; of the first come structures
    quick: bool
    cif: Path | None

    def pieces(self) -> Iterator[Piece]:
        """In the order in which they are made."""
        if self.quick:
            yield Piece(f"{_SEED}.extxyz", self.monomers)
            yield Piece("own.json", self.taught)
        if self.cif is None:
            yield Piece("isomer-a.extxyz", lambda folder: [molecule.dimer()])
            yield Piece("isomer-d.extxyz", lambda folder: [molecule.dimer("d")])
            for isomer in "ad":
                yield Piece(f"packings-{isomer}.extxyz", partial(self.packed, isomer))
        for name in self.candidates:
            yield Piece(f"held-{name}.extxyz", partial(self.held, name))
            yield Piece(f"free-{name}.extxyz", partial(self.free, name))
        yield Piece("candidates.json", self.compared)
        for model, isomer in product(self.models, self.isomers):
            file = f"elastic-{isomer}-{Path(model).stem}.json"
            yield Piece(file, partial(self.stiff, isomer, model))
        if not self.quick:
            yield Piece(f"{_SEED}.extxyz", self.monomers)
            yield Piece("own.json", self.learned)
            yield Piece("unseen.extxyz", self.unseen)
            yield Piece("tuned.json", self.tuned)
            yield Piece("errors.json", self.judged)
        yield Piece("infrared.json", self.vibrating)
        yield Piece("times.json", self.timed)
        yield Piece("times.png", lambda folder: step_times.figure(folder.record("times")))
        yield Piece("dynamics.json", self.moved)
        yield Piece("report.md", partial(report.text, candidates=self.candidates))

    @property
    def candidates(self) -> list[str]:
        """Names of the structures that are relaxed: isomer and place in the search."""
        if self.cif:
            return ["measured"]
        number = 1 if self.quick else _BEST
        return [f"{isomer}{n}" for isomer in self.isomers for n in range(number)]

    @property
    def isomers(self) -> tuple[str, ...]:
        """What the names of their structures begin with."""
        return ("measured",) if self.cif else ("a", "d")

    # --- the crystal ---------------------------------------------------------------------------

    def packed(self, isomer: str, folder: Folder) -> list[Atoms]:
        return crystal.packings(folder.atoms(f"isomer-{isomer}")[0], quick=self.quick)

    def held(self, name: str, folder: Folder) -> list[Atoms]:
        """Relaxed in the cell it was found in."""
        start = (
            ase.io.read(self.cif)
            if self.cif
            else folder.atoms(f"packings-{name[0]}")[int(name[1:])]
        )
        return [self.relaxed(start, folder, f"held-{name}", fmax=0.02, cell=False)]

    def free(self, name: str, folder: Folder) -> list[Atoms]:
        """Relaxed with its cell, to 0.05 GPa: a tenth of that force leaves so little stress."""
        start = folder.atoms(f"held-{name}")[0]
        return [self.relaxed(start, folder, f"free-{name}", fmax=0.003, cell=True)]

    def relaxed(self, start: Atoms, folder: Folder, name: str, *, fmax: float, cell: bool) -> Atoms:
        return crystal.relaxed(
            start,
            self.model(folder),
            folder.path / name,
            cell=cell,
            fmax=fmax,
            steps=3 if self.quick else 1500,
        )

    def compared(self, folder: Folder) -> dict[str, Any]:
        """Energies, cells, densities; and the energy of each isomer's dimer by itself."""
        return {
            name: {
                "held": crystal.measures(folder.atoms(f"held-{name}")[0]),
                "free": crystal.measures(folder.atoms(f"free-{name}")[0]),
            }
            for name in self.candidates
        }

    def best(self, folder: Folder, isomer: str = "") -> Atoms:
        """The crystal of the least energy in the published cell, of all or of an isomer.

        With the cell that the model gives it, unless iron has lost its oxygen there.
        """
        found = folder.record("candidates")
        names = [name for name in found if name.startswith(isomer)]
        name = min(names, key=lambda name: found[name]["held"]["energy_per_dimer"])
        kind = "free" if found[name]["free"]["bound"] else "held"
        return folder.atoms(f"{kind}-{name}")[0]

    def stiff(self, isomer: str, model: str, folder: Folder) -> dict[str, Any]:
        """Elastic constants by one model, its own minimum being found first."""
        if self.quick:
            return {"skipped": _NO_MINIMUM}
        place = folder.path / f"elastic-{isomer}-{Path(model).stem}"
        universal = ladera.load(model, dispersion="pbe")
        atoms = crystal.relaxed(
            self.best(folder, isomer), universal, place, cell=True, fmax=0.002, steps=1500
        )
        if not crystal.measures(atoms)["bound"]:
            return {"skipped": "iron loses its oxygen where the cell is free"}
        atoms.calc = universal.calculator()
        found = ladera.elasticity(atoms)
        figure: Figure = found.plot()
        figure.savefig(place / "young.png", dpi=200)
        return {
            "stiffness": found.stiffness.tolist(),
            "eigenvalues": found.eigenvalues.tolist(),
            "bulk_modulus": found.bulk_modulus.tolist(),
            "shear_modulus": found.shear_modulus.tolist(),
            "error": found.strain_error,
            "stable": found.stable,
            "cell": atoms.cell.cellpar().tolist(),
        }

    # --- potentials ----------------------------------------------------------------------------

    def model(self, folder: Folder) -> Potential:
        """Who relaxes: the first universal model with D3, in the quick form the small one."""
        if self.quick:
            return self.own(folder)
        return ladera.load(self.models[0], dispersion="pbe")

    def own(self, folder: Folder) -> Potential:
        return ladera.load(folder.path / folder.record("own")["model"])

    def monomers(self, folder: Folder) -> list[Atoms]:
        """Labels of the half dimer, shaken."""
        number = 6 if self.quick else 40
        frames = potential.shaken(crystal.monomer(molecule.dimer()), number)
        return potential.labelled(frames, folder.path / "labels" / "monomer.extxyz")

    def taught(self, folder: Folder) -> dict[str, Any]:
        file = folder.path / f"{_SEED}.extxyz"
        return potential.trained(file, folder.path / "own", potential.SMALL, epochs=2)

    def learned(self, folder: Folder) -> dict[str, Any]:
        """By the active loop on dimers and crystals of both isomers."""
        crystals = [self.best(folder, isomer) for isomer in self.isomers]
        dimers = [crystal.alone(atoms) for atoms in crystals] if self.cif is None else []
        begin = folder.path / f"{_SEED}.extxyz"
        return potential.learned(dimers + crystals, begin, self.models[0], folder.path / "own")

    def unseen(self, folder: Folder) -> list[Atoms]:
        """Labelled frames of the best crystal at 300 K, moved by the universal model."""
        frames = potential.walked(
            self.best(folder), self.model(folder), folder.path / "walk", number=20, kelvin=300.0
        )
        return potential.labelled(frames, folder.path / "labels" / "unseen.extxyz")

    def tuned(self, folder: Folder) -> dict[str, Any]:
        files = sorted((folder.path / "own").glob("round_*/train.extxyz"))
        replay = folder.path / f"free-{self.candidates[0]}.extxyz"
        return potential.tuned(self.models[0], files, replay, folder.path / "tuned")

    def judged(self, folder: Folder) -> dict[str, Any]:
        """Both potentials on what neither has seen."""
        frames = folder.atoms("unseen")
        tuned = ladera.load(folder.path / folder.record("tuned")["model"])
        return {
            "own": potential.errors(self.own(folder), frames),
            "tuned": potential.errors(tuned, frames),
            "universal": potential.errors(ladera.load(self.models[0]), frames),
        }

    # --- what they say -------------------------------------------------------------------------

    def vibrating(self, folder: Folder) -> dict[str, Any]:
        """The dimer's own infrared spectrum, beside the marks."""
        if self.quick:
            return {"skipped": _NO_MINIMUM}
        return spectra.infrared(molecule.dimer(), self.own(folder), folder.path / "infrared")

    def timed(self, folder: Folder) -> dict[str, list[Any]]:
        """Seconds of a step, from one cell to ten thousand atoms."""
        atoms = self.best(folder)
        repeats = step_times.REPEATS[:2] if self.quick else step_times.REPEATS
        found = {"Ladera, MACE": step_times.of_model(atoms, self.own(folder), repeats)}
        if self.quick:
            return found
        universal = ladera.load(self.models[0])
        found[f"Ladera, {Path(self.models[0]).stem}"] = step_times.of_model(
            atoms, universal, repeats
        )
        found["GFN1-xTB"] = step_times.of_xtb(atoms, repeats)
        found["PBE/def2-SVP, half a dimer"] = step_times.of_pyscf(crystal.monomer(molecule.dimer()))
        return found

    def moved(self, folder: Folder) -> dict[str, Any]:
        """100 ps of two cells (296 atoms) at 300 K and no pressure."""
        place = folder.path / "dynamics"
        ladera.run_md(
            self.best(folder).repeat((1, 1, 2)),
            self.own(folder),
            folder=place,
            resume=(place / "restart.npz").exists(),
            ensemble="npt",
            temperature=300.0,
            timestep=0.5,
            steps=4 if self.quick else 200_000,
            stop_grade=0.0 if self.quick else 10.0,  # the quick form's potential is always lost
            log_interval=2 if self.quick else 200,
            trajectory_interval=2 if self.quick else 200,
        )
        frames = ase.io.read(place / "trajectory.traj", index=":")
        late = frames[len(frames) // 5 :]
        mass = late[0].get_masses().sum()
        densities = [mass / atoms.cell.volume * crystal.GRAMS_PER_CM3 for atoms in late]
        return {"frames": len(late), "density": float(np.mean(densities)),
                "density_deviation": float(np.std(densities))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("hematin"), help="folder of the study")
    parser.add_argument("--quick", action="store_true", help="small; its numbers mean nothing")
    parser.add_argument("--cif", type=Path, help="measured coordinates in the place of the search")
    parser.add_argument("--models", nargs="+", default=["nequix-mp-1", "sevennet-0"],
                        help="universal models that know iron: names or files")  # fmt: skip
    parser.add_argument("--until", help="stop after this piece")
    given = parser.parse_args()
    study = Study(tuple(given.models), given.quick, given.cif)
    pieces = list(study.pieces())
    names = [piece.name for piece in pieces]
    if given.until is not None:
        if given.until not in names:
            parser.error(f"--until {given.until} is no piece; there are {', '.join(names)}")
        pieces = pieces[: names.index(given.until) + 1]
    given.output.mkdir(parents=True, exist_ok=True)
    Folder(given.output).run(pieces)


if __name__ == "__main__":
    main()
