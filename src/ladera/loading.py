"""From a path or a name to a potential, whoever wrote it.

Each reader says which paths are its own, and reads them; :func:`load` asks one after the other. A
package of :mod:`ladera.codes` is a reader; one more is one more name in :data:`CODES`.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import torch
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from pydantic import ValidationError

from ladera import modelfile
from ladera.arguments import checked
from ladera.codes import calculators
from ladera.data.frame import Frame
from ladera.errors import (
    ArgumentError,
    ConfigError,
    LaderaError,
    ModelFileError,
    did_you_mean,
    told,
)
from ladera.graph import Graph
from ladera.identity import hash_of_model
from ladera.inputs import require_model
from ladera.models.corrected import corrected
from ladera.models.registry import build, config_class
from ladera.potential import Committee, LaderaCalculator, Potential
from ladera.potential.placement import placed
from ladera.provenance import came_from

log = logging.getLogger(__name__)
# What :func:`as_potential` takes.
ModelLike: TypeAlias = Potential | BaseCalculator | str | os.PathLike[str] | Sequence["ModelLike"]


class Reader(NamedTuple):
    """What one code writes."""

    reads: Callable[[Path], bool]  # whether a path is its own; looks at little of it
    load: Callable[..., Potential]  # of the path, with those of its options that are given
    options: tuple[str, ...] = ()  # of load: "units", "head", "types"


@checked
def load(
    path: str | os.PathLike[str],
    *,
    units: str | None = None,
    head: str | None = None,
    types: Sequence[str] = (),
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    options: Mapping[str, Any] | None = None,
    dispersion: str | None = None,
    zbl: bool = False,
) -> Potential:
    """Read a potential, ready for inference, with its provenance.

    ``path`` is a ``.ladera`` file or the folder of a training run that holds one; or

    - a folder of n2p2 or RuNNer (``input.nn``, ``scaling.data``, ``weights.ZZZ.data``), whose
      ``units`` are "bohr-hartree" or "angstrom-ev"; they may be left out where comments of its
      ``input.nn`` state them, as in the folders that Ladera writes;
    - a folder of NeuroChem with an ANI potential (``*.params``), one network or an ensemble in
      ``train0``, ``train1``, ..., or a state dict of TorchANI;
    - a folder of aenet's network files, one for each element, binary or text, or one of them;
    - an ``.amp`` file of Amp, of which nothing is run;
    - a file of mace-torch: a pickled ``.model``, of which nothing is run, or a state dict;
    - an ``.nqx`` file of Nequix;
    - an ``.mtp`` file of MLIP, whose ``types`` are the elements of its types 0, 1, 2..., such as
      ("Li", "P", "S"); they may be left out of files that Ladera wrote, which name them;
    - the name of a published model, such as "ethanol-mace", which comes with Ladera, or
      "mace-mp-small", which is downloaded once (see :mod:`ladera.codes.published`);
    - the name of an ASE calculator as MODULE:NAME, such as "ase.calculators.emt:EMT", which is
      made with the keywords ``options`` (see :mod:`ladera.codes.calculators`).

    ``head`` chooses the level of theory of a model with several. ``device`` ("cpu", "cuda",
    "cuda:1") and ``dtype`` ("float32", "float64") are where and in which precision it computes;
    left out, the CPU and the precision of the file. ``dispersion`` adds D3 of a functional, such as
    "pbe" or "pbe:zero", and ``zbl`` the repulsion of nuclei that are closer than in bonds; see
    :func:`ladera.models.corrected.corrected`.

    Raises ModelFileError for a file that is missing, cut short, of no code that Ladera reads, or
    newer than this version of Ladera, and ConfigError for a folder whose settings are not
    understood and for a device that is not there.
    """
    path = modelfile.in_run(Path(path))
    if calculators.reads(path):
        for name, value in {"units": units, "head": head, "types": types}.items():
            if value:
                raise ConfigError(f"{path} is an ASE calculator, which takes no {name}.")
        return corrected(placed(calculators.load(path, options), device, dtype), dispersion, zbl)
    if options is not None:
        raise ConfigError(
            f"{path} is a model, which takes no options; they are of ASE calculators."
        )
    said = {"units": units, "head": head, "types": tuple(types)}
    potential = _read(path, {name: value for name, value in said.items() if value})
    log.debug("Read %s: %s for %s.", path, potential.config.architecture, potential.symbols)
    if path.exists():  # a published name ends here a second time, with its file
        came_from(hash_of_model(potential), path)
    return corrected(placed(potential, device, dtype), dispersion, zbl)


def _read(path: Path, said: Mapping[str, Any]) -> Potential:
    """What its reader makes of a path and of what was said; ConfigError for what is no use."""
    if "units" in said and not path.is_dir():
        raise ConfigError(
            _NEEDLESS["units"].format(path=path)
            if path.is_file()
            else f"There is no folder {path}; units are those of a folder of n2p2 or RuNNer."
        )
    reader = _reader_of(path)
    for name, value in said.items():
        if name not in reader.options:
            raise ConfigError(_NEEDLESS[name].format(path=path, value=value))
    return reader.load(path, **said)


# What is said where an option is given that a file or folder has no use for.
_NEEDLESS: Final = {
    "units": "{path} is a model file, always in Angstrom and eV; give no units.",
    "head": "{path} has no head '{value}'; it has one for everything; leave the head out.",
    "types": "{path} names its elements itself; give no types.",
}


def load_committee(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    options: Mapping[str, Any] | None = None,
    dispersion: str | None = None,
    zbl: bool = False,
) -> Potential:
    """The potential of one model file, or the committee of several; ``dispersion`` as in load.

    Raises what :func:`load` raises, and ConfigError for no file and for members with different
    species.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    if not paths:
        raise ConfigError("No model file was given; name at least one.")
    members = [load(path, device=device, dtype=dtype, options=options) for path in paths]
    potential = members[0] if len(members) == 1 else Committee(members)
    return corrected(potential, dispersion, zbl)


def as_potential(
    model: ModelLike,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
) -> Potential:
    """The potential that somebody means by a model.

    A potential, Ladera's calculator of one, any other ASE calculator, what :func:`load` takes, or
    a sequence of these, which makes a committee. Raises what :func:`load` raises, and ConfigError
    for what is none of these.
    """
    if isinstance(model, LaderaCalculator):
        model = model.potential
    if isinstance(model, Potential):
        same = device is None and dtype is None
        return model if same else placed(deepcopy(model), device, dtype)  # it is somebody's
    if isinstance(model, (str, os.PathLike)):
        return load(model, device=device, dtype=dtype)
    if isinstance(model, Sequence):
        if not model:
            raise ConfigError("There is no model in an empty sequence; give one or more.")
        members = [as_potential(member, device=device, dtype=dtype) for member in model]
        return members[0] if len(members) == 1 else Committee(members)
    if hasattr(model, "get_property"):
        return placed(calculators.of_calculator(model), device, dtype)
    if isinstance(model, (Atoms, Frame, Graph)):
        raise ArgumentError(
            f"The model is {told(model)}, a structure; have model and structure been swapped?"
        )
    raise ArgumentError(
        f"The model is {told(model)}; give a potential, the path or name of one, an ASE "
        "calculator, or several of these."
    )


@dataclass(frozen=True)
class ModelSource:
    """A model by its name, with how it is loaded: what another process needs for the same one."""

    paths: tuple[str, ...]
    device: str | None = None
    dtype: str | None = None
    options: Mapping[str, Any] | None = None
    dispersion: str | None = None
    zbl: bool = False

    @classmethod
    def of(cls, model: ModelSource | str | os.PathLike[str] | Sequence[Any]) -> ModelSource:
        """The source of what is named by a path, or by several, which make a committee."""
        if isinstance(model, ModelSource):
            return model
        paths = [model] if isinstance(model, (str, os.PathLike)) else model
        if not isinstance(paths, Sequence) or not all(
            isinstance(path, (str, os.PathLike)) for path in paths
        ):
            raise ConfigError(
                "Runs in processes of their own load the model themselves, so it must be a path "
                f"or a name, or several of a committee, not {type(model).__name__}; save it first."
            )
        return cls(tuple(map(os.fspath, paths)))

    def load(self) -> Potential:
        """The potential, as :func:`load_committee` has it."""
        how = {name: value for name, value in vars(self).items() if name != "paths"}
        return load_committee(self.paths, **how)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON header of a model file: format_version, config, provenance.

    Of a file of another code, what it would be in Ladera's.
    """
    path = modelfile.in_run(Path(path))
    return modelfile.read(path)[0] if modelfile.is_model(path) else modelfile.header_of(load(path))


# --- Ladera's own files ------------------------------------------------------------------------


def _load_ladera(path: Path, head: str | None = None) -> Potential:
    header, tensors = modelfile.read(path)
    if head is not None:
        _choose_head(path, header, head)
    try:
        config = config_class(header["config"]["architecture"]).model_validate(header["config"])
        potential = build(config)
    except (ValidationError, LaderaError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{path}: the configuration in its header is broken: {error}"
        ) from error
    _take_precision(potential, tensors)
    try:
        potential.load_stored_tensors(tensors)
    except RuntimeError as error:
        raise ModelFileError(
            f"{path}: its tensors do not fit its configuration ({error}); the file is damaged."
        ) from error
    potential.provenance = header.get("provenance", {})
    return potential.eval()


def _choose_head(path: Path, header: dict[str, Any], head: str) -> None:
    """Have the configuration of a model file predict with another head."""
    heads = header["config"].get("heads", ())
    if head not in heads:
        one = "it has one for everything; leave the head out."
        hint = did_you_mean(head, heads) if heads else one
        raise ConfigError(f"{path} has no head '{head}'; {hint}")
    header["config"]["head"] = head


def _take_precision(potential: Potential, tensors: dict[str, torch.Tensor]) -> None:
    """Give each model that a potential is made of the precision of its stored parameters."""
    for prefix, part in potential.named_modules():
        inside = any(isinstance(m, Potential) for m in part.modules() if m is not part)
        if not isinstance(part, Potential) or inside:
            continue
        names = [f"{prefix}.{name}" if prefix else name for name, _ in part.named_parameters()]
        stored = next((tensors[name] for name in names if name in tensors), None)
        if stored is not None:
            part.to(stored.dtype)


# --- other codes: their packages are imported when Ladera's reader has passed --------------------


def _is_name(path: Path) -> bool:
    from ladera.codes import published

    return not path.exists() and published.is_name(str(path))


def _load_published(path: Path, head: str | None = None) -> Potential:
    return load_published(str(path), head=head)


def load_published(
    name: str, *, head: str | None = None, folder: str | os.PathLike[str] | None = None
) -> Potential:
    """The published model of a name; Ladera's own, or downloaded once, with a DownloadNotice.

    ``head`` names one of the levels of theory that a model with several has; ``folder`` is where
    models are kept, see :func:`ladera.codes.published.store.folder_of_models`.
    """
    from ladera.codes import published

    model = published.find(name)
    potential = load(published.fetch(model, folder), head=head)
    origin = {"url": model.url} if model.url else {}
    if model.dispersion:
        origin["dispersion"] = model.dispersion
    potential.provenance |= {"published_as": model.name, "licence": model.licence} | origin
    return potential


def _of_code(name: str, options: tuple[str, ...]) -> Reader:
    """The reader of a package of :mod:`ladera.codes`."""

    def reads(path: Path) -> bool:
        return bool(import_module(f"ladera.codes.{name}").reads(path))

    def load_with(path: Path, **said: Any) -> Potential:
        potential: Potential = import_module(f"ladera.codes.{name}").load(path, **said)
        return potential

    return Reader(reads, load_with, options)


# What is asked of each code, in the order in which they are asked whether a path is theirs.
CODES: Final = {
    "ani": (),
    "aenet": (),
    "amp": (),
    "n2p2": ("units",),
    "mtp": ("types",),
    "nequix": (),
    "sevennet": ("head",),
    "mace_torch": ("head",),
}
READERS: Final = (
    Reader(modelfile.is_model, _load_ladera, ("head",)),
    Reader(_is_name, _load_published, ("head",)),
    *(_of_code(name, options) for name, options in CODES.items()),
)


def _reader_of(path: Path) -> Reader:
    for reader in READERS:
        if reader.reads(path):
            return reader
    require_model(path)
    if path.suffix in (".model", ".pt", ".pth") or zipfile.is_zipfile(path):
        from ladera.codes.torch_archive import kind_of, read_archive

        raise ModelFileError(
            f"{path} holds {kind_of(read_archive(path).root)}, which is no model of a code that "
            "Ladera reads."
        )
    return READERS[0]  # which says what is wrong with the file
