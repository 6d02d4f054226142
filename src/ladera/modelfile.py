"""The ``.ladera`` model file: safetensors tensors and a JSON header. Loading it can run no code.

The header holds the format version, the model's configuration (from which it is rebuilt) and its
provenance: what data, code, seed and errors its parameters come from.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ladera.errors import ConfigError, LaderaError, ModelFileError, did_you_mean
from ladera.files import atomic_path

if TYPE_CHECKING:
    from ladera.potential import Potential, PotentialConfig

FORMAT_VERSION: Final = 2  # 2: committees

MODEL: Final = "model.ladera"  # what training calls it

# Where each architecture's configuration and model live; imported only when asked for.
ARCHITECTURES: Final = {
    "hdnnp": ("ladera.models.hdnnp", "HDNNPConfig", "HDNNP"),
    "hdnnp_4g": ("ladera.models.hdnnp_4g", "HDNNP4GConfig", "HDNNP4G"),
    "hdnnp_dipole": ("ladera.models.hdnnp.dipole", "HDNNPDipoleConfig", "HDNNPDipole"),
    "lennard_jones": ("ladera.models.lennard_jones", "LennardJonesConfig", "LennardJones"),
    "mace": ("ladera.models.mace", "MACEConfig", "MACE"),
}
# Not trained as such, but made of trained models.
_COMMITTEE: Final = ("ladera.models.committee", "CommitteeConfig", "build")


def config_class(architecture: str) -> type[PotentialConfig]:
    """Configuration class of an architecture; ConfigError for an unknown name."""
    module, name, _ = _entry(architecture)
    found: type[PotentialConfig] = getattr(importlib.import_module(module), name)
    return found


def build(config: PotentialConfig) -> Potential:
    """A new potential with the parameters its configuration (and torch's seed) give it."""
    module, _, name = _entry(config.architecture)
    potential: Potential = getattr(importlib.import_module(module), name)(config)
    return potential


def save(potential: Potential, path: str | os.PathLike[str]) -> None:
    """Write a potential to ``path`` in one step: the file is the old one or the whole new one."""
    _entry(potential.config.architecture)
    header = {
        "format_version": FORMAT_VERSION,
        "config": potential.config.model_dump(mode="json"),
        "provenance": potential.provenance,
    }
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in potential.state_dict().items()
    }
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={"ladera": json.dumps(header)})
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"The model could not be written to {path}: {error}.") from error


def load(
    path: str | os.PathLike[str], *, units: str | None = None, head: str | None = None
) -> Potential:
    """Read a potential, ready for inference, with its provenance.

    ``path`` is a ``.ladera`` file or the folder of a training run that holds one; or

    - a folder of n2p2 or RuNNer (``input.nn``, ``scaling.data``, ``weights.ZZZ.data``), whose
      ``units`` are "bohr-hartree" or "angstrom-ev"; they may be left out where comments of its
      ``input.nn`` state them, as in the folders that Ladera writes;
    - a file of mace-torch: a pickled ``.model``, of which nothing is run, or a state dict;
    - the name of a published model, such as "ethanol-mace", which comes with Ladera, or
      "mace-mp-small", which is downloaded once (see :mod:`ladera.interop.published`).

    ``head`` chooses the level of theory of a model with several.

    Raises ModelFileError for a file that is missing, cut short, not Ladera's, or newer than this
    version of Ladera, and ConfigError for a folder whose settings are not understood.
    """
    path = _in_run(Path(path))
    if path.is_dir():
        from ladera.interop import n2p2

        return n2p2.load(path, units)
    if units is not None:
        raise ConfigError(
            f"{path} is a model file, always in Angstrom and eV; give no units."
            if path.is_file()
            else f"There is no folder {path}; units are those of a folder of n2p2 or RuNNer."
        )
    foreign = _load_foreign(path, head)
    if foreign is not None:
        return foreign
    header, tensors = _read(path)
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


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON header of a model file: format_version, config, provenance.

    Of a file of mace-torch, what it would be in Ladera's.
    """
    path = _in_run(Path(path))
    foreign = _load_foreign(path, None) if path.is_file() else None
    if foreign is None:
        return _read(path)[0]
    return {
        "format_version": FORMAT_VERSION,
        "config": foreign.config.model_dump(mode="json"),
        "provenance": foreign.provenance,
    }


def _load_foreign(path: Path, head: str | None) -> Potential | None:
    """The potential of a file of another code, or of a published name; None for Ladera's own."""
    if not path.exists():
        from ladera.interop import published

        return published.load(str(path), head=head) if published.is_name(str(path)) else None
    if _is_checkpoint(path):
        from ladera.interop import mace_torch

        return mace_torch.load(path, head=head)
    return None


def _is_checkpoint(path: Path) -> bool:
    """Whether a file is of torch: by its ending, or a zip archive, or safetensors not Ladera's."""
    if path.suffix in (".model", ".pt", ".pth"):
        return True
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return "ladera" not in (file.metadata() or {})
        except (SafetensorError, OSError):
            return False
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _choose_head(path: Path, header: dict[str, Any], head: str) -> None:
    """Have the configuration of a model file predict with another head."""
    heads = header["config"].get("heads", ())
    if head not in heads:
        hint = did_you_mean(head, heads) if heads else "it has one for everything."
        raise ConfigError(f"{path} has no head '{head}'; {hint}")
    header["config"]["head"] = head


def _in_run(path: Path) -> Path:
    """The model file of a training run's folder; any other path as it is."""
    if (path / MODEL).is_file():
        return path / MODEL
    if (path / "split.json").is_file():
        raise ModelFileError(
            f"The training in {path} has not come to its end, where it writes {MODEL}; continue it "
            "with 'ladera train' and --resume."
        )
    return path


def _take_precision(potential: Potential, tensors: dict[str, torch.Tensor]) -> None:
    """Give a potential, and each member of a committee, the precision of its stored parameters."""
    members = list(getattr(potential, "members", ()))
    parts = [(f"members.{k}.", member) for k, member in enumerate(members)] or [("", potential)]
    for prefix, part in parts:
        names = [prefix + name for name, _ in part.named_parameters()]
        stored = next((tensors[name] for name in names if name in tensors), None)
        if stored is not None:
            part.to(stored.dtype)


def _entry(architecture: str) -> tuple[str, str, str]:
    if architecture == "committee":
        return _COMMITTEE
    if architecture not in ARCHITECTURES:
        hint = did_you_mean(str(architecture), ARCHITECTURES)
        raise ConfigError(f"There is no architecture '{architecture}'; {hint}")
    return ARCHITECTURES[architecture]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    if path.is_dir():
        raise ModelFileError(
            f"{path} is a folder; 'ladera import' makes a model file of one of n2p2 or RuNNer."
        )
    if not path.is_file():
        raise ModelFileError(f"There is no model file {path}; check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata["ladera"])
        version = int(header["format_version"])
    except KeyError as error:
        raise ModelFileError(f"{path} is a safetensors file but no Ladera model.") from error
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ModelFileError(
            f"{path} is no complete Ladera model file ({error}); copy or train it again."
        ) from error
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, this Ladera reads up to {FORMAT_VERSION}; "
            "upgrade Ladera."
        )
    return header, tensors
