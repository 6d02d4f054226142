"""What a training run does differently when it goes on from a base."""

from __future__ import annotations

from typing import Any

import torch

from ladera.errors import ConfigError
from ladera.models import registry
from ladera.potential import Potential
from ladera.training import heads
from ladera.training.finetune import adapters, forgetting, reference
from ladera.training.finetune import base as bases
from ladera.training.finetune.config import Frozen, LowRankAdaptation, MultiHeadReplay
from ladera.training.prepared import Prepared


class Finetuning:
    """From the base to the potential that is trained, and from that to the result.

    The training frames set the reference energies (see :mod:`ladera.training.finetune.reference`).
    Raises ConfigError for a configuration that does not go with the base.
    """

    def __init__(self, prepared: Prepared) -> None:
        config = prepared.config
        if config.finetune is None or prepared.base is None:
            raise ConfigError("This configuration has no section 'finetune'.")
        self._section, self._replay, self._base = config.finetune, prepared.replay, prepared.base
        frames, old = prepared.reference_frames, bases.reference_energies(self._base)
        self._references = (
            reference.estimate(
                config.reference_energies, frames, bases.energies(self._base, frames), old
            )
            if old
            else None
        )
        self._trainable = 0

    def potential(self) -> Potential:
        """The potential before the first step, with what may change marked."""
        section, potential = self._section, self._new_potential()
        if self._references is not None and self._references.method != "base":
            bases.set_reference_energies(potential, self._references.new)
        if isinstance(section, Frozen):
            adapters.freeze(potential, section.trainable or _last_layers(potential))
        elif isinstance(section, LowRankAdaptation):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                adapters.add_low_rank(potential, section.rank)
        self._trainable = adapters.count(potential)
        return potential

    def _new_potential(self) -> Potential:
        """A copy of the base, with a new head where the method has one."""
        if isinstance(self._section, MultiHeadReplay):
            return self._base.with_head(self._section.head).train().requires_grad_(True)
        potential = registry.build(self._base.config).to(self._base.dtype)
        potential.load_state_dict(self._base.state_dict())
        return potential

    def result(self, tuned: Potential) -> dict[str, Any]:
        """What evaluation.json says besides: parameters, reference energies and forgetting."""
        result: dict[str, Any] = {
            "base": self._section.base,
            "method": self._section.method,
            "n_parameters": sum(p.numel() for p in self._base.parameters()),
            "n_trainable": self._trainable,
            "reference_energies": self._references and self._references.to_json(),
            "forgetting": None,
        }
        if self._replay is not None and self._section.replay is not None:
            frames, labels = self._replay.judged, self._section.replay.labels
            n_trained = len(self._replay.chosen) if frames is self._replay.frames else 0
            two = isinstance(self._section, MultiHeadReplay)
            head = heads.predicts(self._base.config) if two else None
            with heads.predicting(tuned, head):
                result["forgetting"] = forgetting.measure(
                    self._base, tuned, frames, n_trained, labels
                )
        return result


def _last_layers(potential: Potential) -> tuple[str, ...]:
    """What a fine-tuning changes first, as the architecture says."""
    layers = potential.last_layers()
    if not layers:
        raise ConfigError(
            f"finetune.trainable: say which parameters of the {potential.config.architecture} "
            "model may change."
        )
    return layers
