"""What a base is given before it is fine-tuned: elements that it has not met, and dipoles.

A new element begins as the known one that, put in its place, gives the best forces on the new
frames (the best energies, where they have none). With `mace-spice` for a base and some 35 frames of
small molecules labelled by GFN2-xTB, 25 epochs (of Fe 20) led to errors of the test forces of

    new element    by the frames    mean of all elements    nearest in the periodic table
    Si             H     268        304                     C     340
    Zn             H     180        216                     C     246
    Fe             Li    345        408                     Ca    395        meV/Angstrom
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from ase.data import atomic_numbers
from torch import Tensor

from ladera.data.dataset import Dataset
from ladera.potential import Potential
from ladera.quantities import DIPOLE, ENERGY, FORCES
from ladera.training.evaluation import evaluate_dataset
from ladera.training.finetune import reference

if TYPE_CHECKING:
    from ladera.training.config import TrainingConfig

# How much of the data a new element is compared with known ones on.
_FRAMES: Final = 12
_ATOMS: Final = 300


@dataclass(frozen=True, eq=False)
class Added:
    """What is new in a base, and which of its numbers that are."""

    elements: Mapping[str, str] = field(default_factory=dict)  # each with what it begins as
    dipole: bool = False
    # Of each parameter that has grown or is new, where it is new; bool, of its shape.
    masks: Mapping[str, Tensor] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.elements) or self.dipole

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that are new as a whole."""
        return tuple(name for name, mask in self.masks.items() if bool(mask.all()))

    def to_json(self) -> dict[str, Any]:
        """What evaluation.json says of it."""
        outputs = ["dipole"] if self.dipole else []
        return {"elements": dict(self.elements), "outputs": outputs}


def enlarged(base: Potential, config: TrainingConfig, frames: Dataset) -> tuple[Potential, Added]:
    """The base for all elements of some frames, and with dipoles if the loss has any.

    What it says of structures of its own elements stays the same. Raises ConfigError for a base
    that cannot be given them.
    """
    new = [symbol for symbol in frames.symbols if symbol not in base.symbols]
    losses = config.loss, config.loss_of(config.epochs)
    dipole = DIPOLE not in base.gives and any(loss.dipole > 0 for loss in losses)
    larger, begins = base, dict.fromkeys(new, base.symbols[0])
    if new:
        base.with_elements(begins)  # raises what there is to raise before anything is computed
        begins = relatives(base, frames, new)
        larger = base.with_elements(begins)
    if dipole:
        charges = config.finetune is None or config.finetune.charges
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            larger = larger.with_dipole(charges)
    return larger, Added(begins, dipole, _masks(base, larger))


def relatives(base: Potential, frames: Dataset, new: Sequence[str]) -> dict[str, str]:
    """As which of its elements the base is best with each new one, (new: known).

    One after the other, each on some of the frames that have it; those that are not yet decided
    are taken for the same.
    """
    found: dict[str, str] = {}
    for symbol in new:
        some = _some(frames, symbol)
        errors = {
            known: _error(base, some, dict.fromkeys(new, known) | found) for known in base.symbols
        }
        found[symbol] = min(errors, key=errors.__getitem__)
    return found


def _some(frames: Dataset, symbol: str) -> Dataset:
    """A few frames with an element, evenly among all that have it."""
    having = np.flatnonzero(frames.compositions[:, frames.symbols.index(symbol)])
    atoms = float(frames.atom_counts[having].mean())
    number = int(min(_FRAMES, max(1, _ATOMS // atoms), len(having)))
    some: Dataset = frames[having[np.linspace(0, len(having) - 1, number).astype(np.int64)]]
    return some


def _error(base: Potential, frames: Dataset, taken_for: Mapping[str, str]) -> float:
    """Of forces, or else of energies, of the base with elements in the place of others."""
    of_number = np.arange(len(atomic_numbers))
    for symbol, known in taken_for.items():
        of_number[atomic_numbers[symbol]] = atomic_numbers[known]
    replaced = [frame.with_(numbers=of_number[frame.numbers]) for frame in frames]
    found = evaluate_dataset(base, Dataset.from_frames(replaced))
    labelled = np.repeat(frames.has("forces"), frames.atom_counts)
    residual = (found[FORCES] - frames.column("forces"))[labelled]
    if not labelled.any():
        unknown = {s: 0.0 for s in frames.symbols if s in taken_for}
        fitted = reference.fit(frames, found[ENERGY], unknown)
        of_atoms = frames.compositions @ [fitted.get(symbol, 0.0) for symbol in frames.symbols]
        residual = (found[ENERGY] + of_atoms - frames.column("energy")) / frames.atom_counts
    error = float(np.mean(residual**2))
    return error if np.isfinite(error) else math.inf


def _masks(base: Potential, larger: Potential) -> dict[str, Tensor]:
    before = dict(base.named_parameters())
    fresh = torch.tensor([symbol not in base.symbols for symbol in larger.symbols])
    masks: dict[str, Tensor] = {}
    for name, parameter in larger.named_parameters():
        mask = torch.full(parameter.shape, name not in before)
        if name in before and before[name].shape != parameter.shape:
            for axis, size in enumerate(before[name].shape):
                if size != parameter.shape[axis]:
                    mask |= fresh.reshape(-1, *(1,) * (parameter.ndim - axis - 1))
        if bool(mask.any()):
            masks[name] = mask.to(parameter.device)
    return masks
