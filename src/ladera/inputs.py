"""What a path given for a model, a structure or data is, by a look at its first bytes.

Light, so that a path with a typo, a folder, or a model and a structure in each other's place are
named before anything heavy is imported; who reads the files asks the same questions again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from ladera.errors import ConfigError, DataError, LaderaError, ModelFileError
from ladera.files import closest
from ladera.recognition import foreign, recognise

Kind = Literal["missing", "folder", "model", "structure", "text", "empty", "other"]

_STRUCTURES: Final = (
    *(".xyz", ".extxyz", ".cif", ".vasp", ".poscar", ".contcar", ".pdb", ".gen", ".traj", ".xsf"),
    *(".cube", ".mol", ".sdf", ".mol2", ".res", ".cell", ".lammpstrj", ".dump", ".cfg", ".db"),
    *(".data", ".h5", ".hdf5"),
)
_MODELS: Final = (".ladera", ".model", ".pt", ".pth", ".ckpt", ".zip", ".safetensors", ".nqx", "")
_NAMES: Final = ("POSCAR", "CONTCAR", "XDATCAR", "OUTCAR", "geometry.in", "input.data")
_COMPRESSED: Final = (".gz", ".bz2", ".xz")
_TRAJECTORY: Final = b"- of Ulm"  # how the binary trajectories of simulations begin
_ARCHIVES: Final = (".model", ".pt", ".pth")  # also of one that is cut short
MODELS: Final = (
    "a model file of Ladera or of a code that it reads, the folder of a training, of n2p2, "
    "ANI or aenet, or the name of a published model"
)


def kind_of(path: Path) -> Kind:
    """What stands at a path, by its first bytes and by its name."""
    kind = recognise(path)
    if path.is_dir():
        training = any((path / name).exists() for name in ("split.json", "checkpoint.safetensors"))
        return "model" if training or (kind and kind.role == "model") else "folder"
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        head = file.read(512)
    plain = path.with_suffix("") if path.suffix.lower() in _COMPRESSED else path
    archive = head.startswith(b"PK") and path.suffix in _ARCHIVES
    if archive or (kind is not None and kind.role == "model"):
        return "model"
    structure = plain.suffix.lower() in _STRUCTURES or plain.name.startswith(_NAMES)
    if plain != path or head.startswith(_TRAJECTORY):
        return "structure" if structure or head.startswith(_TRAJECTORY) else "other"
    if not head:
        return "empty"
    if b"\0" in head:
        return "structure" if structure else "other"
    first_line = head.split(b"\n", 1)[0].strip()
    if plain.suffix.lower() in (".xyz", ".extxyz"):
        return "structure" if first_line.isdigit() else "text"
    return "structure" if structure or (first_line.isdigit() and b"\n" in head) else "text"


def is_model(path: Path) -> bool:
    """Whether it is a model file, the folder of one, or the name of a model or a calculator."""
    kind = kind_of(path)
    return kind == "model" or (kind == "missing" and (_is_calculator(path) or _is_known(str(path))))


def require_model(path: Path) -> None:
    """Raise ModelFileError for what is no model: nothing, an empty folder, a structure, a text.

    And for a model of a code that Ladera does not read, with what to do with it.
    """
    if sentence := foreign(path):
        raise ModelFileError(sentence)
    match kind_of(path):
        case "missing" if not _is_known(str(path)):
            raise ModelFileError(f"There is no model file {path}; {closest(path)}")
        case "folder":
            raise ModelFileError(
                f"{path} is a folder without a model: expected model.ladera of a training, "
                "input.nn of n2p2, a .params file of ANI or networks of aenet in it; check the "
                "path."
            )
        case "text" | "other" if kind := recognise(path):
            raise ModelFileError(
                f"{path} is {kind.name}, where a model is expected; give {MODELS}."
            )
        case "structure":
            raise ModelFileError(
                f"{path} holds structures, where a model is expected; give {MODELS}."
            )
        case "empty":
            raise ModelFileError(f"{path} is empty, where a model is expected; give {MODELS}.")
        case "text":
            raise ModelFileError(f"{path} is a text and no model; give {MODELS}.")
        case "other" if path.suffix.lower() not in _MODELS:
            raise ModelFileError(f"{path} is no model but another kind of file; give {MODELS}.")


def require_known(path: Path) -> None:
    """Raise ModelFileError for what is no model that Ladera reads, nor anything else it knows."""
    if path.is_file() and path.stat().st_size and kind_of(path) in ("text", "other", "structure"):
        raise ModelFileError(
            f"{path} is of no format that is known here; check that it is whole, or try "
            f"'ladera data info {path}', which knows more formats of data."
        )
    if not _is_calculator(path):
        require_model(path)


def require_structure(path: Path, what: str = "structure") -> None:
    """Raise DataError for what holds no structure: nothing, a folder, a model."""
    match kind_of(path):
        case "missing":
            raise DataError(f"There is no {what} file {path}; {closest(path)}")
        case "folder":
            inside = [each.name for each in sorted(path.iterdir()) if kind_of(each) == "structure"]
            none = "" if inside else f" without {what} files in it"
            such = f", such as {path / inside[-1]}" if inside else ""
            raise DataError(f"{path} is a folder{none}; give a {what} file{such}.")
        case "model":
            known = "extended XYZ" if what == "data" else "extended XYZ, CIF or POSCAR"
            raise DataError(
                f"{path} is a model, where a {what} file is expected; give one such as {known}."
            )
        case "empty":
            raise DataError(f"{path} is empty, where a {what} file is expected; check the file.")


def require_trajectory(path: Path) -> None:
    """Raise DataError for what is no trajectory, nor the folder of a run with one."""
    if path.is_dir():
        if not (path / "trajectory.traj").is_file():
            raise DataError(
                f"{path} is a folder without the trajectory.traj of a run of `ladera md`; give "
                "such a folder, or a trajectory file."
            )
    else:
        require_structure(path, "trajectory")


def require_config(path: Path) -> None:
    """Raise ConfigError for what is no training configuration: nothing, a model, structures."""
    kind = kind_of(path)
    wrong = {"structure": "holds structures", "empty": "is empty", "other": "is no text"}
    if kind == "model" and not path.is_dir():
        wrong["model"] = "is a model"
    if kind in wrong:
        raise ConfigError(
            f"{path} {wrong[kind]}, where a training configuration is expected; give a YAML file, "
            "as `ladera template` prints one, a control.in, or a folder of n2p2."
        )
    if kind == "missing":
        hint, control = closest(path), path.suffix == ".in"
        if not hint.endswith("?") and not control:
            name = path if path.suffix in (".yaml", ".yml") else "config.yaml"
            hint = f"`ladera template > {name}` makes one."
        raise ConfigError(
            f"There is no {'control' if control else 'configuration'} file {path}; {hint}"
        )
    if kind == "folder":
        raise ConfigError(
            f"{path} is a folder without input.nn, so it is no training of n2p2; give such a "
            "folder, or a YAML file."
        )


def require(
    models: Sequence[Path],
    structures: Sequence[Path],
    command: str,
    what: str = "structure",
    in_order: bool = True,
) -> None:
    """Raise for the first of some models or structures that is none, also for those swapped.

    ``in_order`` are those that no flag names.
    """
    given = models
    models = [path for path in models if not _is_calculator(path)]
    wrong = [path for path in models if kind_of(path) in ("structure", "text")]
    swapped = [path for path in structures if kind_of(path) == "model"]
    for path in (*models, *swapped):
        if sentence := foreign(path):
            raise ModelFileError(sentence)
    if wrong and swapped and kind_of(wrong[0]) == "structure":
        raise LaderaError(
            f"{wrong[0]} holds structures and {swapped[0]} is a model, each in the other's place; "
            + _right_order(command, [*map(Path, models), *structures], in_order)
        )
    two = bool(wrong) and what == "structure" and len(structures) == 1
    if two and wrong[-1] == given[-1] != given[0] and kind_of(wrong[-1]) == "structure":
        first, second = wrong[-1], structures[-1]
        remedy = "give one at a time" if kind_of(second) != "missing" else f"take {second} out"
        raise LaderaError(
            f"{command} takes one structure, and {first} and {second} come after the model; "
            f"{remedy}."
        )
    twice = next((path for path in models if list(models).count(path) > 1), None)
    for path in models:
        require_model(path)
    if twice is not None:
        raise LaderaError(
            f"The model {twice} is given twice; a committee is of models that differ, so give each "
            "once."
        )
    if models and models != given and command != "ladera committee":
        raise LaderaError(
            f"{models[0]} is a model, and --calculator {given[0]} stands in the place "
            "of one; leave one of them out."
        )
    for path in structures:
        require_structure(path, what)


def _right_order(command: str, paths: Sequence[Path], in_order: bool) -> str:
    """How to write a command line whose models and structures were swapped."""
    if not in_order:
        return "exchange them."
    models = [path for path in paths if kind_of(path) == "model"]
    words = " ".join(map(str, (*models, *(path for path in paths if path not in models))))
    return f"the model comes first: {command} {words}."


def _is_known(word: str) -> bool:
    """Whether it is the name of a published model; ModelFileError for one that is nearly that."""
    from ladera.codes import published

    return published.is_name(word) and bool(published.find(word))


def _is_calculator(path: Path) -> bool:
    """Whether it names a calculator of another library, MODULE:NAME."""
    return ":" in path.name and not path.exists()
