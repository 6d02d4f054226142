"""What a fine-tuned model has forgotten: errors on frames of the base's kind, before and after."""

from __future__ import annotations

from typing import Any

from ladera.data.dataset import Dataset
from ladera.errors import DataError
from ladera.potential import Potential
from ladera.training.evaluation import evaluate_dataset
from ladera.training.finetune import base as bases

QUANTITIES = ("energy", "forces", "stress")


def measure(
    base: Potential, tuned: Potential, dataset: Dataset, n_trained: int, labels: str
) -> dict[str, Any]:
    """The errors of the base and of the tuned model on replay frames, for evaluation.json.

    Energies of the tuned model are taken with the reference energies of the base: that the new data
    have other ones is no forgetting. ``n_trained`` says how many of the frames it has seen.
    """
    if len(dataset) == 0:
        raise DataError("There are no replay frames to measure forgetting on.")
    before = evaluate_dataset(base, dataset).to_json()
    references = bases.reference_energies(tuned)
    if references:
        bases.set_reference_energies(tuned, bases.reference_energies(base))
    try:
        after = evaluate_dataset(tuned, dataset).to_json()
    finally:
        if references:
            bases.set_reference_energies(tuned, references)
    return {
        "n_frames": len(dataset),
        "n_trained_on": n_trained,
        "labels": labels,
        "units": before["units"],
        "before": {name: before[name] for name in QUANTITIES},
        "after": {name: after[name] for name in QUANTITIES},
    }
