"""beta-hematin by machine-learned potentials, from a dimer to a report.

    python examples/beta_hematin/study.py [--output hematin] [--quick] [--cif MEASURED.cif]
                                          [--models nequix-mp-1 ...] [--only PIECE ...] [--estimate]

In pieces that are files: killed at any time, the same command goes on. --quick does what is quick,
small and without a network: its numbers mean nothing. docs/beta-hematin.md tells the rest.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ase.io
from ase import Atoms
from matplotlib.figure import Figure

import crystal
import dynamics
import figures
import ladera
import molecule
import plan
import potential
import samples
import spectra
import step_times
import stiffness
from ladera.potential import Potential
from ladera.properties import result
from pieces import Folder
from plan import OWN
from settings import FULL, QUICK, Settings

_GFN1: Final = {"method": "GFN1-xTB", "accuracy": 0.01, "verbosity": 0}


@dataclass(frozen=True)
class Study:
    """What was asked for, and how each piece is made of those before it."""

    models: tuple[str, ...]  # published names or files; the first one moves the crystal
    quick: bool
    cif: Path | None

    @property
    def settings(self) -> Settings:
        return QUICK if self.quick else FULL

    @property
    def isomers(self) -> tuple[str, ...]:
        """What the names of their structures begin with."""
        return ("measured",) if self.cif else ("a", "d")

    @property
    def candidates(self) -> list[str]:
        """Names of the structures that are relaxed: isomer and place in the search."""
        if self.cif:
            return ["measured"]
        return [f"{isomer}{n}" for isomer in self.isomers for n in range(self.settings.packings)]

    @property
    def crystals(self) -> list[tuple[str, str]]:
        """Isomer and model of each crystal at rest in its own cell."""
        return [(isomer, model) for model in (*self.models, OWN) for isomer in self.isomers]

    # --- potentials that are there --------------------------------------------------------------

    def universal(self, folder: Folder, model: str = "") -> Potential:
        """Who moves the crystal: a universal model with D3; of the quick form the springs."""
        if self.quick:
            return ladera.load("springs:Springs", options=self._springs(folder))
        return ladera.load(model or self.models[0], dispersion="pbe")

    def own(self, folder: Folder) -> Potential:
        """The crystal's own."""
        return ladera.load(folder.path / folder.record("own")["model"])

    def speaking(self, folder: Folder, model: str = OWN) -> Potential:
        """Who says what the crystal does. A model of the quick form knows of no minimum."""
        if self.quick or model != OWN:
            return self.universal(folder, model)
        return self.own(folder)

    def engine(self, folder: Folder, n_irons: int) -> dict[str, Any]:
        """Who labels structures with so many irons."""
        if self.quick and n_irons:
            options = self._springs(folder)
            return {"engine": "calculator", "calculator": "springs:Springs", "options": options}
        return potential.xtb(n_irons)

    def _springs(self, folder: Folder) -> dict[str, list[str]]:
        """Springs stand where the packings, or the measured crystal, have them."""
        files = [self.cif] if self.cif else [folder.path / f"packings-{i}.extxyz" for i in "ad"]
        return {"packings": [str(Path(file).resolve()) for file in files]}

    # --- the crystal ----------------------------------------------------------------------------

    def sampled(self, folder: Folder) -> dict[str, float]:
        """What a unit of work costs; of the quick form nobody asks."""
        if self.quick:
            return dict.fromkeys(samples.UNITS, 0.0)
        return samples.measured(self.universal(folder), self.settings.model, potential.xtb)

    def packed(self, isomer: str, folder: Folder) -> list[Atoms]:
        return crystal.packings(folder.atoms(f"isomer-{isomer}")[0], self.settings.search)

    def held(self, name: str, folder: Folder) -> list[Atoms]:
        """Relaxed in the cell it was found in."""
        start = (
            ase.io.read(self.cif)
            if self.cif
            else folder.atoms(f"packings-{name[0]}")[int(name[1:])]
        )
        model = self.universal(folder)
        return [self.relaxed(start, model, folder, f"held-{name}", fmax=0.02, cell=False)]

    def compared(self, folder: Folder) -> dict[str, Any]:
        """Energies, densities, bonds in the published cell."""
        return {name: crystal.measures(folder.atoms(f"held-{name}")[0]) for name in self.candidates}

    def chosen(self, folder: Folder, isomer: str = "") -> str:
        """The name of the candidate of the least energy, of all or of an isomer."""
        found = folder.record("candidates")
        names = [name for name in found if name.startswith(isomer)]
        return min(names, key=lambda name: found[name]["energy_per_dimer"])

    def free(self, isomer: str, model: str, folder: Folder) -> list[Atoms]:
        """The best of an isomer, relaxed with its cell.

        The crystal's own potential begins where it has learned, in the cell of the universal model.
        """
        held = folder.atoms(f"held-{self.chosen(folder, isomer)}")[0]
        start = self.best(folder, isomer) if model == OWN else held
        teller = self.speaking(folder, model)
        name = plan.free(isomer, model)
        return [self.relaxed(start, teller, folder, name, fmax=0.001, cell=True)]

    def best(self, folder: Folder, isomer: str = "") -> Atoms:
        """The best crystal with the cell that the first universal model gives it.

        In the published cell, where iron has lost its oxygen in the free one.
        """
        name = self.chosen(folder, isomer)
        free = folder.atoms(plan.free(self.isomer_of(name), self.models[0]))[0]
        if crystal.iron_oxygen(free) < crystal.LONGEST_BOND:
            return free
        return folder.atoms(f"held-{name}")[0]

    def isomer_of(self, name: str) -> str:
        """Of a candidate."""
        return name if self.cif else name[0]

    def relaxed(
        self, start: Atoms, model: Potential, folder: Folder, name: str, *, fmax: float, cell: bool
    ) -> Atoms:
        steps = self.settings.steps
        return crystal.relaxed(start, model, folder.path / name, cell=cell, fmax=fmax, steps=steps)

    # --- potentials to make ---------------------------------------------------------------------

    def molecules(self, name: str, folder: Folder) -> list[Atoms]:
        """Labels of molecules, shaken: they have the dipoles, and cells have none."""
        dimer = molecule.dimer()
        starts, n_irons = {
            "monomers": ([crystal.monomer(dimer)], 1),
            "pairs": ([crystal.acid_pair(dimer)], 0),  # whose hydrogen bonds no dimer alone has
            "dimers": (self.alone(folder), 2),
        }[name]
        number = getattr(self.settings, name) // len(starts)
        frames = [frame for start in starts for frame in potential.shaken(start, number)]
        file = folder.path / "labels" / f"{name}.extxyz"
        return potential.labelled(frames, file, self.engine(folder, n_irons))

    def alone(self, folder: Folder) -> list[Atoms]:
        """The dimers of the best crystals, in the vacuum."""
        if self.cif:
            return [molecule.dimer()]  # atoms of a file are of whole molecules or not
        return [crystal.alone(self.best(folder, isomer)) for isomer in self.isomers]

    def learned(self, folder: Folder) -> dict[str, Any]:
        """By the active loop on dimers and crystals of both isomers."""
        crystals = [self.best(folder, isomer) for isomer in self.isomers]
        # Springs and GFN1-xTB are two levels of theory: the quick form does not learn from pairs.
        names = ("monomers", "dimers") if self.quick else ("monomers", "pairs", "dimers")
        begin = [folder.path / "labels" / f"{name}.extxyz" for name in names]
        engine = self.engine(folder, 2)
        walker = engine if self.quick else self.models[0]
        place = folder.path / OWN
        return potential.learned(
            self.alone(folder) + crystals, begin, walker, engine, self.settings, place
        )

    def unseen(self, folder: Folder) -> list[Atoms]:
        """Labelled frames of the best crystal at 300 K, moved by the universal model."""
        frames = potential.walked(
            self.best(folder),
            self.universal(folder),
            folder.path / "walk",
            number=self.settings.unseen,
            kelvin=dynamics.KELVIN,
            every=5 if self.quick else 50,
        )
        file = folder.path / "labels" / "unseen.extxyz"
        return potential.labelled(frames, file, self.engine(folder, 2))

    def base(self, folder: Folder) -> str:
        """What is fine-tuned: the universal model; of the quick form the first one of the loop."""
        if self.quick:
            return str(folder.path / OWN / "round_1" / "model" / "model.ladera")
        return self.models[0]

    def tuned(self, folder: Folder) -> dict[str, Any]:
        files = sorted((folder.path / OWN).glob("round_*/train.extxyz"))
        replay = folder.path / f"held-{self.candidates[0]}.extxyz"
        epochs, place = self.settings.tuning, folder.path / "tuned"
        return potential.tuned(self.base(folder), files, replay, epochs, place)

    def judged(self, folder: Folder) -> dict[str, Any]:
        """Potentials on what none has seen."""
        frames = folder.atoms("unseen")
        tuned = ladera.load(folder.path / folder.record("tuned")["model"])
        return {
            "own": potential.errors(self.own(folder), frames),
            "tuned": potential.errors(tuned, frames),
            "universal": potential.errors(ladera.load(self.base(folder)), frames),
        }

    # --- what they say --------------------------------------------------------------------------

    def stiff(self, isomer: str, model: str, folder: Folder) -> dict[str, Any]:
        place = folder.path / plan.elastic(isomer, model)
        relaxed = folder.atoms(plan.free(isomer, model))[0]
        memory = plan.memory(folder, isomer, model)
        double = self.speaking(folder, model).double()
        step = None if self.quick else stiffness.STEP  # springs have no second derivatives
        return stiffness.constants(relaxed, double, place, memory, step)

    def elastic_figure(self, folder: Folder) -> Figure:
        names = [plan.elastic(isomer, model) for isomer, model in self.crystals]
        found = {name: result.load(folder.path / name) for name in names
                 if "skipped" not in folder.record(name)}  # fmt: skip
        return figures.elastic(
            {name.removeprefix("elastic-"): each for name, each in found.items()}
        )

    def biases(self, folder: Folder) -> dict[str, Any]:
        """Of the levels of theory, by small molecules in the gas."""
        engine = ladera.load("tblite.ase:TBLite", options=_GFN1)
        levels = {"GFN1-xTB": engine}
        if not self.quick:
            levels[Path(self.models[0]).stem] = ladera.load(self.models[0])
        return {
            name: spectra.bias(model, folder.path / "bias" / name, engine)
            for name, model in levels.items()
        }

    def dimer_light(self, folder: Folder) -> dict[str, Any]:
        """Of the dimer by itself, by the crystal's own potential."""
        start = molecule.dimer() if self.cif else crystal.alone(self.best(folder))
        (start,) = potential.shaken(start, 1)  # its centre of inversion may be that of a saddle
        speaking, name = self.speaking(folder), "infrared-dimer"
        atoms = self.relaxed(start, speaking, folder, name, fmax=0.001, cell=False)
        place = folder.path / name
        double = self.speaking(folder).double()
        return spectra.infrared(atoms, double, speaking, place, place / "evaluations")

    def crystal_light(self, folder: Folder) -> dict[str, Any]:
        """Of the crystal, by its own potential, in the cell that this gives it."""
        model, dipoles = self.speaking(folder), self.speaking(folder)
        return self.light(folder, OWN, model, dipoles, "infrared-crystal")

    def universal_light(self, folder: Folder) -> dict[str, Any]:
        """The same: modes of the universal model, dipoles of the crystal's own potential."""
        model, dipoles = self.universal(folder), self.speaking(folder)
        return self.light(folder, self.models[0], model, dipoles, "infrared-universal")

    def light(
        self, folder: Folder, cell: str, model: Potential, dipoles: Potential, name: str
    ) -> dict[str, Any]:
        """Of the best isomer in the cell that a model gives it."""
        memory = plan.memory(folder, self.isomer_of(self.chosen(folder)), cell)
        atoms = self.best_by(folder, cell)
        return spectra.infrared(atoms, model.double(), dipoles, folder.path / name, memory)

    def best_by(self, folder: Folder, model: str) -> Atoms:
        """The best isomer in the cell that a model gives it."""
        isomer = self.isomer_of(self.chosen(folder))
        return folder.atoms(plan.free(isomer, model))[0]

    def timed(self, folder: Folder) -> dict[str, list[Any]]:
        """Seconds of a step, from one cell to ten thousand atoms."""
        atoms, sizes = self.best(folder), self.settings.repeats
        found = {"Ladera, own MACE": step_times.of_model(atoms, self.own(folder), sizes)}
        if self.quick:
            return found
        universal = step_times.of_model(atoms, ladera.load(self.models[0]), sizes)
        found[f"Ladera, {Path(self.models[0]).stem}"] = universal
        found["GFN1-xTB"] = step_times.of_xtb(atoms, sizes, self.settings.patience)
        found["PBE/def2-SVP, first iteration"] = step_times.of_pyscf(
            crystal.monomer(molecule.dimer())
        )
        return found

    def moved(self, folder: Folder) -> dict[str, Any]:
        """Two cells at 300 K and no pressure."""
        start = self.best_by(folder, OWN).repeat((1, 1, 2))
        model, place = self.speaking(folder), folder.path / plan.DENSITY
        return dynamics.density(start, model, self.settings, place)

    def moved_on(self, folder: Folder) -> dict[str, Any]:
        last = ase.io.read(folder.path / plan.DENSITY / "final.extxyz")
        model, place = self.speaking(folder), folder.path / "spectrum"
        return dynamics.spectrum(last, model, model, self.settings, place)

    def infrared_figure(self, folder: Folder) -> Figure:
        shown = {
            "dimer, own potential": "infrared-dimer",
            "crystal, own potential": "infrared-crystal",
            "crystal, universal model with dipoles of the own one": "infrared-universal",
            "crystal, 300 K, own potential": "spectrum",
        }
        places = {name: value[0] for name, value in spectra.MARKS.items()}
        found = {title: result.load(folder.path / name) for title, name in shown.items()}
        return figures.infrared(found, places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("hematin"), help="folder of the study")
    parser.add_argument("--quick", action="store_true", help="small; its numbers mean nothing")
    parser.add_argument("--cif", type=Path, help="measured coordinates in the place of the search")
    parser.add_argument("--models", nargs="+", default=["nequix-mp-1"],
                        help="universal models that know iron: names or files")  # fmt: skip
    words = "make these alone of what is there to make, beside another process or by itself"
    parser.add_argument("--only", nargs="+", metavar="PIECE", help=words)
    words = "say what each piece will take, by timed samples, and end"
    parser.add_argument("--estimate", action="store_true", help=words)
    given = parser.parse_args()
    study = Study(tuple(given.models), given.quick, given.cif)
    pieces = list(plan.pieces(study))
    names = dict.fromkeys(piece.name for piece in pieces)  # a figure has that of its numbers
    for name in given.only or ():
        if name not in names:
            parser.error(f"--only {name} is no piece; there are {', '.join(names)}")
    given.output.mkdir(parents=True, exist_ok=True)
    folder = Folder(given.output)
    if given.only:
        folder.run([piece for piece in pieces if piece.name in given.only])
        return
    folder.run(pieces[:1])
    if not study.quick:
        print("\n".join(folder.estimate(pieces)), flush=True)
    if not given.estimate:
        folder.run(pieces[1:])


if __name__ == "__main__":
    main()
