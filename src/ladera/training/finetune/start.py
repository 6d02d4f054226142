"""What a training run does differently when it goes on from a base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ladera.arrays import Integers
from ladera.data.dataset import Dataset
from ladera.errors import ConfigError
from ladera.models import registry
from ladera.potential import Potential
from ladera.training import heads
from ladera.training.finetune import adapters, forgetting, reference
from ladera.training.finetune import base as bases
from ladera.training.finetune.addition import Added, enlarged
from ladera.training.finetune.config import Frozen, LowRankAdaptation, Method, MultiHeadReplay
from ladera.training.finetune.replay import Replay, prepare_replay
from ladera.training.loss import require_learnable

if TYPE_CHECKING:
    from ladera.training.batches import Batches
    from ladera.training.config import TrainingConfig
    from ladera.training.finetune.reference import References
    from ladera.training.prepared import Prepared


class FromBase:
    """From the base to the potential that is trained, and from that to the result.

    The training frames set the reference energies (see :mod:`ladera.training.finetune.reference`).
    """

    def __init__(self, section: Method) -> None:
        self._section, self._base = section, bases.load(section.base)
        self._added = Added()
        self._replay: Replay | None = None
        self._references: References | None = None  # of a model that has such energies
        self._trainable = 0

    def complete(self, config: TrainingConfig, dataset: Dataset, train: Integers) -> TrainingConfig:
        """With the model and, if it asks for that, the precision of the base.

        The base learns to know the elements that it lacks, and gives dipoles if the loss has any.
        """
        self._base, self._added = enlarged(self._base, config, dataset[train])
        base = self._base
        if config.model not in (None, base.config):
            raise ConfigError(
                f"The section 'model' is not that of the base {self._section.base}; leave it out."
            )
        heads.require_one(dataset)
        changes: dict[str, object] = {"model": base.config}
        if config.precision == "base":
            changes["precision"] = str(base.dtype).removeprefix("torch.")
        return config.model_copy(update=changes)

    def prepare(self, prepared: Prepared) -> Prepared:
        """With the frames that are replayed behind the others."""
        section, dataset = self._section.replay, prepared.dataset
        if section is None:
            return prepared
        self._replay = prepare_replay(self._section, section, self._base, dataset[prepared.train])
        frames = self._replay.frames[self._replay.chosen]
        if not len(frames):
            return prepared
        return replace(
            prepared,
            dataset=Dataset.from_frames(chain(dataset, frames)),
            weights=np.append(prepared.weights, section.weight * frames.column("weight")),
            heads=self._heads(len(dataset), len(frames)),
            n_replayed=len(frames),
        )

    def _heads(self, new: int, replayed: int) -> Integers | None:
        """A head behind the base's for so many new frames; the base's own for replayed ones."""
        names = self._base.heads
        if not names:
            return None  # no head can be added, which :meth:`potential` refuses
        old = names.index(heads.predicts(self._base.config))
        return np.repeat(np.array([len(names), old], dtype=np.int64), [new, replayed])

    def check(self, prepared: Prepared) -> None:
        """See :class:`ladera.training.start.Start`."""
        self._tuned(prepared)

    def potential(self, prepared: Prepared, batches: Batches, resumed: bool) -> Potential:
        """A copy of the base, as the method has it; see :class:`ladera.training.start.Start`."""
        return self._tuned(prepared)

    def _tuned(self, prepared: Prepared) -> Potential:
        self._references = self._new_references(prepared)
        potential = self._copy()
        if self._references is not None and self._references.method != "base":
            bases.set_reference_energies(potential, self._references.new)
        match self._section:
            case Frozen(trainable=()) if self._added:
                self._trainable = adapters.freeze_but(potential, self._added.masks)
            case Frozen(trainable=names):
                self._trainable = adapters.freeze(potential, names or _last_layers(potential))
            case LowRankAdaptation(rank=rank):
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(0)
                    added = self._added.parameters
                    self._trainable = adapters.add_low_rank(potential, rank, added)
            case _:
                self._trainable = adapters.count(potential)
        require_learnable(potential, prepared.config, prepared.dataset)
        return potential

    def settle(self, trained: Potential) -> None:
        """Merge corrections of low rank into the parameters."""
        adapters.merge(trained)

    def result(self, trained: Potential) -> dict[str, Any]:
        """Parameters, reference energies and forgetting."""
        forgotten = None
        if self._replay is not None and self._section.replay is not None:
            frames, labels = self._replay.judged, self._section.replay.labels
            n_trained = len(self._replay.chosen) if frames is self._replay.frames else 0
            two = isinstance(self._section, MultiHeadReplay)
            head = heads.predicts(self._base.config) if two else None
            forgotten = forgetting.measure(self._base, trained, frames, n_trained, labels, head)
        return {
            "base": self._section.base,
            "method": self._section.method,
            "added": self._added.to_json(),
            "n_parameters": sum(p.numel() for p in self._base.parameters()),
            "n_trainable": self._trainable,
            "reference_energies": self._references and self._references.to_json(),
            "forgetting": forgotten,
        }

    def _new_references(self, prepared: Prepared) -> References | None:
        base, frames = self._base, _of_elements(prepared.reference_frames, self._base.symbols)
        old, wish = bases.reference_energies(base), prepared.config.reference_energies
        if not old or not (frames.has("energy").any() or self._added.elements):
            return None
        new = tuple(self._added.elements)
        given = wish if isinstance(wish, Mapping) else {}
        if new:
            found = {symbol: given[symbol] for symbol in new if symbol in given}
            rest = tuple(symbol for symbol in new if symbol not in given)
            found |= reference.of_new(frames, bases.energies(base, frames), old, rest)
            bases.set_reference_energies(base, found)
            old |= found
        predicted = bases.energies(base, frames)
        return reference.estimate(wish, frames, predicted, old, new, self._keeps_the_rest)

    @property
    def _keeps_the_rest(self) -> bool:
        """Whether only what was added may change, so that energies of old elements stay."""
        return isinstance(self._section, Frozen) and bool(
            self._added and not self._section.trainable
        )

    def _copy(self) -> Potential:
        """The base once more, with a new head where the method has one."""
        if isinstance(self._section, MultiHeadReplay):
            return self._base.with_head(self._section.head)
        potential = registry.build(self._base.config).to(self._base.dtype)
        potential.load_state_dict(self._base.state_dict())
        return potential


def _of_elements(dataset: Dataset, symbols: Sequence[str]) -> Dataset:
    """The frames without atoms of other elements."""
    others = [k for k, symbol in enumerate(dataset.symbols) if symbol not in symbols]
    return dataset[dataset.compositions[:, others].sum(1) == 0] if others else dataset


def _last_layers(potential: Potential) -> tuple[str, ...]:
    """What a fine-tuning changes first, as the architecture says."""
    layers = potential.last_layers()
    if not layers:
        raise ConfigError(
            f"finetune.trainable: say which parameters of the {potential.config.architecture} "
            "model may change."
        )
    return layers
