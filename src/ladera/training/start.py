"""Where a training begins: with new parameters, or with those of a base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import torch

from ladera.data.graphs import GraphStore
from ladera.errors import ConfigError
from ladera.labelling.heads import names
from ladera.models import registry
from ladera.training import config_file
from ladera.training import heads as head_names
from ladera.training.batches import Batches
from ladera.training.loss import require_learnable

if TYPE_CHECKING:
    from ladera.arrays import Integers
    from ladera.data.dataset import Dataset
    from ladera.potential import Potential
    from ladera.training.config import TrainingConfig
    from ladera.training.prepared import Prepared


class Start(Protocol):
    """What the parameters come from decides on more than the parameters."""

    def complete(self, config: TrainingConfig, dataset: Dataset, train: Integers) -> TrainingConfig:
        """The configuration with the model that it leaves out, for training frames of a data set.

        Raises ConfigError for frames it does not fit.
        """

    def prepare(self, prepared: Prepared) -> Prepared:
        """The same, with the heads of the frames, more frames, and what they decide of the model.

        Raises ConfigError for a configuration that does not go with the frames.
        """

    def check(self, prepared: Prepared) -> None:
        """Raise what :meth:`potential` would, without looking at the neighbours of the frames."""

    def potential(self, prepared: Prepared, batches: Batches, resumed: bool) -> Potential:
        """The potential before the first step, with what may change marked.

        The parameters of a run that is resumed come from its checkpoint. Raises ConfigError for a
        configuration that does not go with the model.
        """

    def settle(self, trained: Potential) -> None:
        """Make the best potential a plain one again, if it was another in the training."""

    def result(self, trained: Potential) -> Mapping[str, Any] | None:
        """What evaluation.json says besides the errors, under ``finetune``."""


class FromScratch:
    """New parameters from the seed, and constants from the training frames."""

    def complete(self, config: TrainingConfig, dataset: Dataset, train: Integers) -> TrainingConfig:
        """With the elements and heads of the frames.

        Checked again: some keys have a value for each.
        """
        model, choices = config.model, {}
        if model is None:
            raise ConfigError("The configuration has neither a model nor the base of one.")
        if model.head_names and "heads" not in model.model_fields_set:
            choices = {"heads": names(dataset) or model.head_names}
        if not model.species:
            choices["species"] = dataset[train].symbols
        if not choices:
            return config
        values = config_file.as_json(config)
        # What was not given is left to the model, which may ask the training frames.
        values["model"] = model.model_dump(mode="json", exclude_unset=True) | choices
        return config_file.parse(values, f"The configuration, for {', '.join(dataset.symbols)}")

    def prepare(self, prepared: Prepared) -> Prepared:
        """With the heads of the frames, and what the model leaves to them decided."""
        config, model = prepared.config, prepared.model
        heads = head_names.of_frames(model, prepared.dataset, prepared.train)
        if heads is not None and config.committee is not None:
            raise ConfigError(
                "committee: its members have one head, and the frames have several; train on those "
                "of one, or set data.keys.head: null to make no difference between them."
            )
        graphs = GraphStore(prepared.dataset[prepared.train], model.cutoff, memory=0)
        whole = config.model_copy(update={"model": model.for_training(graphs)})
        return replace(prepared, config=whole, heads=heads)

    def check(self, prepared: Prepared) -> None:
        """See :class:`Start`."""
        prepared.statistics()
        self._new(prepared)

    def _new(self, prepared: Prepared) -> Potential:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(prepared.config.seed)
            potential = registry.build(prepared.model)
        require_learnable(potential, prepared.config, prepared.dataset)
        return potential

    def potential(self, prepared: Prepared, batches: Batches, resumed: bool) -> Potential:
        """A new potential; see :class:`Start`."""
        potential = self._new(prepared)
        if not resumed:
            _require_neighbors(prepared, batches)
            graphs = (batches.graphs[int(k)] for k in prepared.train)
            potential.fit_statistics(graphs, prepared.statistics())
        return potential

    def settle(self, trained: Potential) -> None:
        """Nothing to do."""

    def result(self, trained: Potential) -> None:
        """Nothing to say."""


def _require_neighbors(prepared: Prepared, batches: Batches) -> None:
    """ConfigError when no atom of a training frame is within the cutoff of another.

    A potential then has the same energy everywhere, and its training ends without a word.
    """
    if any(batches.graphs[int(k)].n_edges for k in prepared.train):
        return
    cutoff = prepared.model.cutoff
    raise ConfigError(
        f"model.cutoff is {cutoff:g} Angstrom, and no atom of the training frames has another one "
        "that near, so that there is nothing to learn; raise it, or say in which units the "
        "positions are with data.units."
    )
