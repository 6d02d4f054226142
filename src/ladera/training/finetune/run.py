"""What a training run does differently when it goes on from a base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ladera.errors import ConfigError
from ladera.models.hdnnp.network import AtomicNetwork
from ladera.models.mace import MACEConfig
from ladera.potential import Potential
from ladera.training import heads
from ladera.training.finetune import adapters, forgetting, reference
from ladera.training.finetune import base as bases
from ladera.training.finetune.config import Frozen, LowRankAdaptation, MultiHeadReplay
from ladera.training.finetune.heads import add_head

if TYPE_CHECKING:
    from ladera.training.preparation import Prepared


class Finetuning:
    """From the base to the potential that is trained, and from that to the result.

    The training frames set the reference energies (see :mod:`ladera.training.finetune.reference`).
    Raises ConfigError for a configuration that does not go with the base.
    """

    def __init__(self, prepared: Prepared) -> None:
        config = prepared.config
        if config.finetune is None:
            raise ConfigError("This configuration has no section 'finetune'.")
        self.section, self.replay = config.finetune, prepared.replay
        self.base = bases.load(self.section.base)
        if config.model != self.base.config:
            raise ConfigError(
                f"The section 'model' is not that of the base {self.section.base}; leave it out."
            )
        known, own = prepared.known, bases.reference_energies(self.base)
        self.references = (
            reference.estimate(
                config.reference_energies, known, bases.energies(self.base, known), own
            )
            if own
            else None
        )
        self._trainable = 0

    def potential(self) -> Potential:
        """The potential before the first step, with what may change marked."""
        section = self.section
        potential = bases.load(section.base).train().requires_grad_(True)
        if isinstance(section, MultiHeadReplay):
            potential = add_head(potential, section.head)
        if self.references is not None and self.references.method != "base":
            bases.set_reference_energies(potential, self.references.new)
        if isinstance(section, Frozen):
            adapters.freeze(potential, section.trainable or _last_parts(potential))
        elif isinstance(section, LowRankAdaptation):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                adapters.add_low_rank(potential, section.rank)
        self._trainable = adapters.count(potential)
        return potential

    def result(self, tuned: Potential) -> dict[str, Any]:
        """What evaluation.json says besides: parameters, reference energies and forgetting."""
        n_parameters = sum(p.numel() for p in self.base.parameters())
        found: dict[str, Any] = {
            "base": self.section.base,
            "method": self.section.method,
            "n_parameters": n_parameters,
            "n_trainable": self._trainable,
            "reference_energies": self.references and self.references.to_json(),
            "forgetting": None,
        }
        if self.replay is not None and self.section.replay is not None:
            frames, labels = self.replay.judged, self.section.replay.labels
            n_trained = len(self.replay.chosen) if frames is self.replay.frames else 0
            two = isinstance(self.section, MultiHeadReplay)
            head = heads.predicts(self.base.config) if two else None
            found["forgetting"] = forgetting.measure(
                self.base, tuned, frames, n_trained, labels, head
            )
        return found


def _last_parts(potential: Potential) -> tuple[str, ...]:
    """What a fine-tuning changes first: readouts and the last layer, or the last two layers."""
    config = potential.config
    if isinstance(config, MACEConfig):
        last = config.num_interactions - 1
        readouts = (f"layers.{t}.{part}" for t in range(last) for part in ("readout", "dipole"))
        modules = dict(potential.named_modules())
        return (f"layers.{last}", *(name for name in readouts if name in modules))
    found = []
    for name, module in potential.named_modules():
        if isinstance(module, AtomicNetwork):
            found += [f"{name}.output", f"{name}.hidden.{len(module.hidden) - 1}"]
    if not found:
        raise ConfigError(
            f"finetune.trainable: say which parameters of the {config.architecture} model may "
            "change."
        )
    return tuple(found)
