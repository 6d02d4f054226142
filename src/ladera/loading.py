"""From a path or a name to a potential, whoever wrote it.

Each reader says which paths are its own, and reads them; :func:`load` asks one after the other. A
package of :mod:`ladera.codes` is a reader; one more is one more name in :data:`CODES`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from pydantic import ValidationError

from ladera import modelfile
from ladera.errors import ConfigError, LaderaError, ModelFileError, did_you_mean
from ladera.identity import hash_of_model
from ladera.models.registry import build, config_class
from ladera.potential import Committee, Potential
from ladera.provenance import came_from


class Reader(NamedTuple):
    """What one code writes."""

    reads: Callable[[Path], bool]  # whether a path is its own; looks at little of it
    load: Callable[[Path, str | None, str | None], Potential]  # of the path, with units and head


def load(
    path: str | os.PathLike[str],
    *,
    units: str | None = None,
    head: str | None = None,
    dispersion: str | None = None,
    zbl: bool = False,
) -> Potential:
    """Read a potential, ready for inference, with its provenance.

    ``path`` is a ``.ladera`` file or the folder of a training run that holds one; or

    - a folder of n2p2 or RuNNer (``input.nn``, ``scaling.data``, ``weights.ZZZ.data``), whose
      ``units`` are "bohr-hartree" or "angstrom-ev"; they may be left out where comments of its
      ``input.nn`` state them, as in the folders that Ladera writes;
    - a file of mace-torch: a pickled ``.model``, of which nothing is run, or a state dict;
    - the name of a published model, such as "ethanol-mace", which comes with Ladera, or
      "mace-mp-small", which is downloaded once (see :mod:`ladera.codes.published`).

    ``head`` chooses the level of theory of a model with several. ``dispersion`` adds D3 of a
    functional, such as "pbe" or "pbe:zero", and ``zbl`` the repulsion of nuclei at distances that
    are shorter than bonds; see :func:`ladera.models.corrected.corrected`.

    Raises ModelFileError for a file that is missing, cut short, of no code that Ladera reads, or
    newer than this version of Ladera, and ConfigError for a folder whose settings are not
    understood.
    """
    path = modelfile.in_run(Path(path))
    if units is not None and not path.is_dir():
        raise ConfigError(
            f"{path} is a model file, always in Angstrom and eV; give no units."
            if path.is_file()
            else f"There is no folder {path}; units are those of a folder of n2p2 or RuNNer."
        )
    potential = _reader_of(path).load(path, units, head)
    if path.exists():  # a published name ends here a second time, with its file
        came_from(hash_of_model(potential), path)
    return _corrected(potential, dispersion, zbl)


def _corrected(potential: Potential, dispersion: str | None, zbl: bool) -> Potential:
    """With what is asked for added."""
    if dispersion is None and not zbl:
        return potential
    from ladera.models.corrected import corrected

    return corrected(potential, dispersion, zbl)


def load_committee(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
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
    members = [load(path) for path in paths]
    potential = members[0] if len(members) == 1 else Committee(members)
    return _corrected(potential, dispersion, zbl)


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON header of a model file: format_version, config, provenance.

    Of a file of another code, what it would be in Ladera's.
    """
    path = modelfile.in_run(Path(path))
    return modelfile.read(path)[0] if modelfile.is_model(path) else modelfile.header_of(load(path))


# --- Ladera's own files ------------------------------------------------------------------------


def _load_ladera(path: Path, units: str | None, head: str | None) -> Potential:
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
        potential.load_state_dict(tensors)
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
        hint = did_you_mean(head, heads) if heads else "it has one for everything."
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


def _load_published(path: Path, units: str | None, head: str | None) -> Potential:
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


def _of_code(name: str) -> Reader:
    """The reader of a package of :mod:`ladera.codes`."""

    def reads(path: Path) -> bool:
        return bool(import_module(f"ladera.codes.{name}").reads(path))

    def load_with(path: Path, units: str | None, head: str | None) -> Potential:
        potential: Potential = import_module(f"ladera.codes.{name}").load(path, units, head)
        return potential

    return Reader(reads, load_with)


CODES: Final = ("n2p2", "mace_torch")  # in the order in which they are asked
READERS: Final = (
    Reader(modelfile.is_model, _load_ladera),
    Reader(_is_name, _load_published),
    *map(_of_code, CODES),
)


def _reader_of(path: Path) -> Reader:
    for reader in READERS:
        if reader.reads(path):
            return reader
    if not path.exists():
        raise ModelFileError(f"There is no model file {path}; check the path.")
    if path.suffix in (".model", ".pt", ".pth") or zipfile.is_zipfile(path):
        from ladera.codes.torch_archive import kind_of, read_archive

        raise ModelFileError(
            f"{path} holds {kind_of(read_archive(path).root)}, which is no model of a code that "
            "Ladera reads: of torch's files it reads those of mace-torch."
        )
    return READERS[0]  # which says what is wrong with the file
