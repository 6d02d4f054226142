"""Make a .model of mace-torch from the model.json and model.safetensors of ``ladera export``.

    python to_model.py FOLDER NAME.model

It runs where mace-torch is installed, and needs nothing of Ladera. What it writes is what
``mace_run_train`` writes: MACECalculator, mace_create_lammps_model and openmm-ml take it.
"""

from __future__ import annotations

import json
import struct
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

_IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")
_TYPES = {"F64": "float64", "F32": "float32", "I64": "int64", "I32": "int32"}


def make(folder: Path) -> Any:
    """The model of mace-torch that the two files in a folder describe.

    Raises ValueError for a file that does not determine all parameters of the model.
    """
    import numpy as np
    import torch

    modules = import_module("mace.modules")
    o3 = modules.models.o3  # of e3nn 0.4, which a newer torch loads only after mace
    settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    tensors = _tensors(folder / "model.safetensors")
    kind = getattr(modules, settings.pop("model"))
    for name in _IRREPS:
        if settings.get(name) is not None:
            settings[name] = o3.Irreps(settings[name])
    for name, known in (
        ("interaction_cls_first", modules.interaction_classes),
        ("interaction_cls", modules.interaction_classes),
        ("readout_cls", modules.readout_classes),
        ("gate", modules.gate_dict),
    ):
        if name in settings:
            settings[name] = known[settings[name]]
    settings["atomic_energies"] = np.array(settings["atomic_energies"])
    before = torch.get_default_dtype()
    torch.set_default_dtype(tensors["node_embedding.linear.weight"].dtype)
    try:
        model = kind(**settings)
    finally:
        torch.set_default_dtype(before)
    missing, unknown = model.load_state_dict(tensors, strict=False)
    missing = sorted(set(missing) & {name for name, _ in model.named_parameters()})
    if missing or unknown:
        raise ValueError(f"{folder} and mace-torch differ: {', '.join([*missing, *unknown][:3])}")
    return model


def _tensors(path: Path) -> dict[str, Any]:
    """The tensors in a file of safetensors, which mace-torch itself does not need."""
    import torch

    data = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header, start = json.loads(data[8 : 8 + length]), 8 + length
    header.pop("__metadata__", None)
    found = {}
    for name, about in header.items():
        first, last = about["data_offsets"]
        dtype = getattr(torch, _TYPES[about["dtype"]])
        part = data[start + first : start + last]
        flat = torch.frombuffer(part, dtype=dtype) if part else torch.empty(0, dtype=dtype)
        found[name] = flat.reshape(about["shape"])
    return found


def main() -> None:
    """Of the command line."""
    import torch

    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder, place = sys.argv[1:]
    torch.save(make(Path(folder)), place)
    sys.stdout.write(f"Wrote {place}.\n")


if __name__ == "__main__":
    main()
