"""Outputs of electronic-structure programs: what of them is a label, and what is none.

ASE reads the structures and labels of most. What it would take wrongly is put right before it sees
the file, on a copy: steps that did not converge or were cut short, energies of another method,
predictions of a machine-learned force field among the calculations, runs one behind the other.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import ase.io
import numpy as np
from ase import Atoms

from ladera.data.counts import require_counts
from ladera.data.formats import convergence, cp2k
from ladera.data.formats.labels import DataWarning
from ladera.data.text import LineReader, head
from ladera.errors import DataError, reason_of
from ladera.units import HARTREE

_MARKS: Final = ("begins", "step", "ends", "gives_up")


@dataclass(frozen=True)
class Program:
    """How an output is known, and patterns of the lines where something begins or ends."""

    name: str
    begins: str  # pattern of a line among the first
    step: str = ""  # pattern of the line with which the next step begins
    ends: str = ""  # pattern of a line that only a complete output has; empty: it does not matter
    gives_up: str = ""  # pattern of the line that says that self-consistency was not reached
    charge: str = ""  # pattern of the total charge


PROGRAMS: Final = {
    "cp2k": Program("an output of CP2K", r"CP2K\| version string|\*\*\* +PROGRAM STARTED AT"),
    "vasp-xml": Program("a vasprun.xml of VASP", r"^\s*<modeling>"),
    "vasp-out": Program("an OUTCAR of VASP", r"^ vasp\.\d"),
    "espresso-out": Program(
        "an output of Quantum ESPRESSO (pw.x)",
        r"Program PWSCF",
        r"^ATOMIC_POSITIONS|Program PWSCF",
        r"JOB DONE",
        r"convergence NOT achieved",
    ),
    "aims-output": Program(
        "an output of FHI-aims",
        r"Invoking FHI-aims",
        r"Begin self-consistency loop",
        r"Have a nice day",
        r"Self-consistency cycle not converged",
        r"^ +charge +(-?\d+\.?\d*)",
    ),
    "gaussian-out": Program(
        "a log of Gaussian",
        r"Entering Gaussian System",
        r"^ *(Input|Standard|Z-Matrix) orientation:",
        r"Normal termination of Gaussian",
        r"Convergence (failure|criterion not met)|SCF has not converged",
        r"^ *Charge = +(-?\d+) Multiplicity",
    ),
    "orca-output": Program(
        "an output of ORCA",
        r"\* O   R   C   A \*",
        r"^CARTESIAN COORDINATES \(ANGSTROEM\)",
        r"ORCA TERMINATED NORMALLY",
        r"SCF NOT CONVERGED|not fully converged",
        r"^ *Total Charge +Charge +\.+ +(-?\d+)",
    ),
    "gpaw-out": Program("a log of GPAW", r"___ ___ ___ _ _ _", gives_up="Did not converge"),
    "nwchem-out": Program("an output of NWChem", r"Northwest Computational Chemistry Package",
                          gives_up="Calculation failed to converge"),
    "castep-castep": Program("an output of CASTEP", r"CCC +AA +SSS",
                             gives_up="SCF cycles performed but system has not reached"),
    "gamess-us-out": Program("an output of GAMESS", r"GAMESS VERSION",
                             gives_up="SCF IS UNCONVERGED"),
    "qchem-out": Program("an output of Q-Chem", r"Welcome to Q-Chem",
                         gives_up="SCF failed to converge"),
    "abinit-out": Program("an output of ABINIT", r"\.Version .* of ABINIT",
                          gives_up="was not enough SCF cycles to converge"),
    "siesta-out": Program("an output of SIESTA", r"SIESTA", gives_up="SCF_NOT_CONV"),
}  # fmt: skip
TOLD: Final = (
    "cp2k", "vasp-xml", "vasp-out", "espresso-out", "aims-output", "gaussian-out", "orca-output",
)  # fmt: skip
_SAME: Final = 1e-6  # eV and Angstrom
# A step of the machine-learned force field of VASP has no energy of a calculation.
_OF_FORCE_FIELD: Final = re.compile(r"\bML FREE ENERGIE|\(ML\)|\bML (TOTEN|FORCE|energy)")
_BANDS: Final = re.compile(r"End of (band structure|self-consistent) calculation")
_ARCHIVES: Final = (" 1\\1\\", " 1|1|")
_ARCHIVED: Final = re.compile(r"\\([A-Z][\w()+-]*)=(-?\d+\.\d+)(?=[\\@])")
_NO_ENERGY_OF_ITS_OWN: Final = re.compile(r"CI|TD|CC|QCI|BD|EOM|CAS|MP[3-5]")


def kind(path: Path) -> str | None:
    """The format of an output of a program by what it says first, whatever its name; or None."""
    lines = head(path)
    for format_ in TOLD:
        pattern = re.compile(PROGRAMS[format_].begins)
        if any(pattern.search(line) for line in lines):
            return format_
    return None


def read(path: Path, format_: str, wanted: Sequence[str]) -> Iterator[tuple[int, Atoms]]:
    """The steps of an output with their numbers, those that have all labels that are ``wanted``.

    Steps that did not converge, that the file breaks off in, or that lack a label which others
    have, are left out with a warning. Raises DataError where none is left and for what cannot be
    read.
    """
    require_counts(path, format_)
    steps, remarks = cp2k.read(path) if format_ == "cp2k" else _read_by_ase(path, format_)
    bad = convergence.unconverged(path, format_)
    if bad:
        remarks.append(
            f"the electronic self-consistency of {len(bad)} of {len(steps)} frames was not reached "
            f"(first: frame {min(bad)}); their energies and forces are no labels and were left out"
        )
    found = {k: _results(atoms) for k, atoms in enumerate(steps) if k not in bad}
    needed = {name for results in found.values() for name in wanted if name in results}
    needed |= {"energy"} & set(wanted)
    lacking = [k for k, results in found.items() if not needed <= results.keys()]
    if lacking:
        remarks.append(
            f"{len(lacking)} frames (first: frame {lacking[0]}) lack the "
            f"{' or '.join(sorted(needed))} of the others and were left out"
        )
    good = [k for k in found if k not in lacking]
    if not good:
        why = "; ".join(remarks) or "it has no step with a structure and an energy"
        raise DataError(
            f"{path} is {PROGRAMS[format_].name}, and nothing of it is a label: {why}. Repeat or "
            "finish the calculation, or leave the file out."
        )
    for remark in remarks:
        warnings.warn(f"{path}: {remark}.", DataWarning, stacklevel=2)
    yield from ((k, steps[k]) for k in good)


def _results(atoms: Atoms) -> Mapping[str, Any]:
    results = {} if atoms.calc is None else atoms.calc.results
    return {name: value for name, value in results.items() if value is not None}


# --- a copy that ASE reads rightly ---------------------------------------------------------------


class _Part:
    """One run of a program, copied as far as it is whole."""

    def __init__(self, path: Path, format_: str) -> None:
        self.path, self._format = path, format_
        self._file = path.open("w", encoding="utf-8")
        self.begun = self.complete = False
        self.steps = int(format_ == "espresso-out")  # whose first step is in its head
        self._last_step = 0  # where it begins, in bytes
        self.charge = 0.0
        self.archive = ""  # Gaussian's summary of the run, in one line

    def add(self, line: str, what: str | None) -> None:
        """Copy a line, which begins or ends something or not."""
        self.begun |= what == "begins"
        self.complete |= what == "ends"
        if what == "step":
            self.steps, self._last_step = self.steps + 1, self._file.tell()
        if self._format == "gaussian-out" and (self.archive or line.startswith(_ARCHIVES)):
            self.archive += line[1:].rstrip("\n").replace("|", "\\")
        self._file.write(_mended(line, self._format))

    def close(self, whole: bool) -> bool:
        """End the copy, without its last step if that is not ``whole``; whether any is left."""
        if not whole:
            self._file.truncate(self._last_step)
            self.steps -= 1
        self._file.close()
        return whole or self.steps > 0


def _mended(line: str, format_: str) -> str:
    """A line, without what ASE would take for something else."""
    if format_ == "vasp-out":
        if "ML" in line and _OF_FORCE_FIELD.search(line):
            return "\n"
        return re.sub(r"( eV)?\s+w/o vdW =\s*\S+( eV)?", "", line) if "w/o vdW =" in line else line
    if format_ == "vasp-xml":
        return "" if line.startswith("<?xml") else line
    return _BANDS.sub("End of a calculation", line) if format_ == "espresso-out" else line


def _parts(path: Path, format_: str, folder: Path, remarks: list[str]) -> list[_Part]:
    """Copies of the runs that a file holds one behind the other, without steps that are no use."""
    program = PROGRAMS[format_]
    patterns = {name: getattr(program, name) for name in _MARKS}
    marks = re.compile("|".join(f"(?P<{name}>{text})" for name, text in patterns.items() if text))
    parts: list[_Part] = []
    part, failed = None, False
    with LineReader(path) as reader:
        for line in reader:
            if not line.endswith("\n"):
                break  # within a number, perhaps
            match = marks.search(line)
            what = match.lastgroup if match else None
            if part is not None and part.begun and what == "begins":
                _end(part, parts, program, remarks)
                part = None
            if part is None:
                if parts and what != "begins" and (failed or what != "step"):
                    continue  # between two runs, or behind a failure
                part, failed = _Part(folder / f"{len(parts)}.txt", format_), False
                parts.append(part)
            part.add(line, what)
            if program.charge and (found := re.search(program.charge, line)):
                part.charge = float(found[1])
            if what == "gives_up":
                words = line.strip(" *>\n")[:60].strip()
                remarks.append(
                    f"line {reader.number}, '{words}': the self-consistency was not reached; the "
                    "run was read up to there"
                )
                failed = True
                if not part.close(whole=False):
                    parts.pop()
                part = None
            elif what == "ends" and format_ == "gaussian-out":
                _end(part, parts, program, remarks)
                part = None
    if part is not None:
        _end(part, parts, program, remarks)
    return parts


def _end(part: _Part, parts: list[_Part], program: Program, remarks: list[str]) -> None:
    """Close a run; of one that breaks off its last step is not used."""
    whole = part.complete or not program.ends or part.steps < 2
    part.close(whole)
    if not whole:
        remarks.append("the run breaks off before its end; its last step was left out")
    if not part.steps and program.step:
        parts.remove(part)


def _same(one: Atoms, other: Atoms) -> bool:
    """Whether two steps are one, printed twice."""
    energies = [_results(atoms).get("energy", np.nan) for atoms in (one, other)]
    return bool(
        np.array_equal(one.numbers, other.numbers)
        and np.abs(one.positions - other.positions).max() < _SAME
        and abs(energies[0] - energies[1]) < _SAME
    )


def _require_energy_of_method(atoms: Atoms, archive: str, path: Path) -> None:
    """Refuse a log of Gaussian whose energies are those of another method than asked for.

    Of methods beyond Hartree-Fock it prints the energies of all that they build on.
    """
    words, values = archive.split("\\"), dict(_ARCHIVED.findall(archive))
    energy = _results(atoms).get("energy")
    if len(words) < 5 or not values or energy is None:
        return
    level = words[4]
    method = re.sub(r"^(RO|R|U)(?=[A-Z])", "", level.split("-")[0]).removesuffix(" TD")
    own = values.get(method)
    if own is None and not _NO_ENERGY_OF_ITS_OWN.search(level):
        return
    if own is None or abs(float(own) * HARTREE - energy) > 1e-4:
        raise DataError(
            f"{path} is a log of Gaussian at the level {level}, whose energies cannot be told from "
            f"those of the methods that it builds on (found: {energy / HARTREE:.7f} Hartree); "
            "write its energies into an extended XYZ file yourself."
        )


def _read_by_ase(path: Path, format_: str) -> tuple[list[Atoms], list[str]]:
    images: list[Atoms] = []
    remarks: list[str] = []
    with TemporaryDirectory() as folder:
        for part in _parts(path, format_, Path(folder), remarks):
            found = _images(part, path, format_)
            if part.charge:
                for atoms in found:
                    atoms.info["total_charge"] = part.charge
            if format_ == "gaussian-out" and found:
                _require_energy_of_method(found[-1], part.archive, path)
                if images and _same(images[-1], found[0]):  # the frequencies of what was optimised
                    del found[0]
            if format_ == "orca-output" and len(found) != part.steps:
                raise DataError(
                    f"{path} is an output of ORCA over {part.steps} geometries, which cannot be "
                    "told apart (several jobs, or numerical frequencies); give one output for each."
                )
            images += found
    return images, remarks


def _images(part: _Part, path: Path, format_: str) -> list[Atoms]:
    options = {"non_convergence_ok": True} if format_ == "aims-output" else {}
    try:
        with _quiet():
            found = ase.io.read(part.path, ":", format_, do_not_split_by_at_sign=True, **options)
    except Exception as error:  # a reader of ASE can raise anything on a file it does not expect
        hint = "it is cut short, or of an unknown version"
        if "positions" in str(error):
            hint = "it prints no positions (NWRITE = 0): read the vasprun.xml of the same run"
        raise DataError(
            f"{path} is {PROGRAMS[format_].name} that cannot be read{reason_of(error)}; {hint}."
        ) from error
    return [found] if isinstance(found, Atoms) else list(found)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what ASE prints, logs and warns of: what matters of it is checked here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
