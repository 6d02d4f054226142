"""Signatures of what is no model: structures, labels, outputs, results, runs, settings."""

from __future__ import annotations

import re
from typing import Final

from ladera.recognition.kinds import (
    FileKind,
    Match,
    Role,
    archives,
    begins,
    either,
    holds,
    magic,
    says,
)
from ladera.recognition.look import Look

_LABELS: Final = "'ladera data info {path}' says what is in it"
_TRAJECTORY: Final = (
    "'ladera structure {path}', 'ladera diffusion {path}' and 'ladera data info {path}' evaluate it"
)
_ARRAYS: Final = (
    "'ladera data info {path} --units UNITS' reads it, if its arrays are structures (docs: Data)"
)
_RUN_IT: Final = "'ladera train {path} --check' checks it, 'ladera train {path}' runs it"
_PART: Final = "name its folder, which holds the model"
_CONVERT: Final = "convert it to extended XYZ with the program that it is from"


def _data(name: str, matches: Match, advice: str = _LABELS) -> FileKind:
    return FileKind(name, "data", matches, advice)


def _unread(name: str, matches: Match, advice: str = _CONVERT) -> FileKind:
    return FileKind(name, "data", matches, advice, is_read=False)


def _own(role: Role, name: str, matches: Match, advice: str) -> FileKind:
    return FileKind(name, role, matches, advice)


def _is_xyz(look: Look) -> bool:
    """A number of atoms, a line of any kind, then an element and three coordinates."""
    lines = look.text.split("\n")
    if len(lines) < 3 or not re.fullmatch(r"\s*\d+\s*", lines[0]):
        return False
    return (
        bool(re.match(r"\s*[A-Z][a-z]?\w*\s+[-+.\d]\S*\s+[-+.\d]\S*", lines[2]))
        or lines[0].strip() == "0"
    )


def _is_poscar(look: Look) -> bool:
    """A comment, a factor, three vectors of a cell."""
    lines = look.text.split("\n", 6)[1:5]
    numbers = [line.split() for line in lines]
    if len(lines) < 4 or [len(words) for words in numbers][1:] != [3, 3, 3]:
        return False
    return all(_is_number(word) for words in numbers for word in words[:3]) and len(numbers[0]) in (
        1,
        3,
    )


def _is_configuration(section: str) -> Match:
    """YAML from its first line on, with this section and one for the data."""
    yaml = says(rf"^{section}:", r"^data:")
    return lambda look: (
        yaml(look)
        and all(
            re.match(r"[\w-]+:|#|[-}\])]|\s", line) for line in look.text.split("\n")[:20] if line
        )
    )


def _is_number(word: str) -> bool:
    return bool(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eEdD][-+]?\d+)?", word))


def _of_ladera(look: Look) -> bool:
    return look.head.startswith(b"\x89HDF") and b"ladera" in look.head + look.tail


FILES: Final = (
    # Results and settings of Ladera.
    _own(
        "result",
        "a result of Ladera",
        says(r"\A\s*\{", r'^\s*"kind":', r'"provenance":'),
        "'ladera cite' of its folder says what it stands on; 'ladera report' makes pages of runs",
    ),
    _own(
        "settings",
        "a record of how a run of Ladera was made",
        says(r"\A\s*\{", r'"command":', r'"versions":'),
        "'ladera report' of its folder shows the run, 'ladera cite' says what it stands on",
    ),
    # Binary files.
    _data("a data set of Ladera (HDF5)", _of_ladera),
    _data(
        "arrays in HDF5",
        magic(b"\x89HDF\r\n\x1a\n"),
        _ARRAYS,
    ),
    _data("a trajectory or structures of ASE", magic(b"- of Ulm"), _TRAJECTORY),
    _data(
        "arrays of numpy (.npz)",
        archives(r"\.npy$"),
        _ARRAYS,
    ),
    _data("a database (SQLite), such as of ASE", magic(b"SQLite format 3")),
    _unread("a trajectory in the DCD format", lambda look: look.head[4:8] == b"CORD"),
    _unread(
        "a trajectory of GROMACS (XTC or TRR)", magic(b"\x00\x00\x07\xcb", b"\x00\x00\x07\xc9")
    ),
    _unread("a trajectory in NetCDF", magic(b"CDF\x01", b"CDF\x02", b"CDF\x05")),
    _unread("a database in the LMDB format", lambda look: look.head[16:20] == b"\xde\xc0\xef\xbe"),
    # Outputs of programs.
    _data("an output of CP2K", says(r"CP2K\| version string|\*\*\* +PROGRAM STARTED AT")),
    _data("a vasprun.xml of VASP", says(r"^\s*<modeling>")),
    _data("an OUTCAR of VASP", says(r"\A vasp\.\d")),
    _data("an output of Quantum ESPRESSO (pw.x)", says(r"Program PWSCF")),
    _data("an output of FHI-aims", says(r"Invoking FHI-aims")),
    _data("a log of Gaussian", says(r"Entering Gaussian System")),
    _data("an output of ORCA", says(r"\* O   R   C   A \*")),
    _unread(
        "a ML_AB of VASP (training data of its force fields)",
        says(r"\A\s*1\.0 Version", r"The number of configurations"),
    ),
    # Structures and labels as text.
    _data(
        "structures of RuNNer or n2p2 (input.data)",
        says(r"\A(\s*#.*\n|\s*\n)*\s*begin\s*\n"),
        "'ladera data info {path} --units UNITS' says what is in it",
    ),
    _data("structures of MLIP (.cfg)", begins("BEGIN_CFG")),
    _data("a dump of LAMMPS", begins("ITEM: (TIMESTEP|UNITS|TIME)"), _TRAJECTORY),
    _data("a data file of LAMMPS", says(r"^\s*\d+ +atoms\s*$", r"^\s*\d+ +atom types")),
    _data("extended XYZ", says(r"\A\s*\d+\s*\n.*(Lattice|Properties)=")),
    _data("an XYZ file", _is_xyz),
    _data("a CIF", says(r"^data_\S*", r"^\s*(loop_|_cell_length_a|_symmetry|_space_group)")),
    _data("a PDB file", says(r"^(ATOM  |HETATM|CRYST1)")),
    _data("an XSF file", says(r"^\s*(ATOMS|CRYSTAL|PRIMVEC|MOLECULE|SLAB|POLYMER)\s*$")),
    _data(
        "a geometry of FHI-aims", says(r"^\s*(atom|atom_frac)\s+\S+\s+\S+\s+\S+\s+[A-Z][a-z]?\s*$")
    ),
    _data("a POSCAR or CONTCAR of VASP", _is_poscar),
    # Settings.
    _own(
        "settings",
        "a training configuration",
        _is_configuration("model"),
        _RUN_IT,
    ),
    _own(
        "settings",
        "a fine-tuning configuration",
        _is_configuration("finetune"),
        _RUN_IT,
    ),
    _own(
        "settings",
        "an input.nn of n2p2 or RuNNer",
        says(r"^\s*symfunction_short\s|^\s*global_hidden_layers_short\s"),
        "name its folder, which holds the model or is trained",
    ),
    _own(
        "settings",
        "a part of a model of n2p2 (scaling or weights)",
        says(r"^# (Symmetry function scaling data|Neural network connection values)"),
        _PART,
    ),
    _own(
        "settings",
        "a control.in",
        says(r"^\s*mode\s", r"^\s*atom_type_1\s"),
        "'ladera train {path}' runs it",
    ),
)

FOLDERS: Final = (
    _own(
        "model",
        "a finished training of Ladera",
        holds("model.ladera"),
        "it stands wherever a model does",
    ),
    _own(
        "run",
        "a training of Ladera that has not ended",
        holds("split.json"),
        "continue it with 'ladera train' and --resume",
    ),
    _own(
        "run",
        "a run of 'ladera md'",
        holds("settings.json", "trajectory.traj"),
        "'ladera report {path}' shows it; 'ladera structure' and 'ladera diffusion' evaluate it",
    ),
    _own(
        "result",
        "a result of Ladera",
        either(holds("result.json"), holds("evaluation.json")),
        "'ladera report {path}' shows it, 'ladera cite {path}' says what it stands on",
    ),
    _unread(
        "training data of DeePMD-kit (npy or raw)",
        holds("type.raw"),
        "convert it to extended XYZ with dpdata",
    ),
)
