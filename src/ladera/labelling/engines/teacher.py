"""Any model that Ladera loads as an engine: a large or universal one teaches a fast one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field

from ladera.errors import ConfigError
from ladera.graph import Graph
from ladera.identity import describe_model, hash_of_model
from ladera.labelling.engines.contract import Engine, EngineConfig, Labels
from ladera.loading import load, load_committee
from ladera.potential import Potential, Prediction, evaluate
from ladera.quantities import QUANTITIES, Quantity

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.data.frame import Frame


class TeacherConfig(EngineConfig):
    """``engine: model``."""

    engine: Literal["model"] = "model"
    model: str | tuple[str, ...] = Field(
        description="Model file, folder of a training or name of a published model; of several, "
        "which make a committee, a list."
    )
    device: str | None = Field(None, description="cpu, cuda or cuda:1.")
    dtype: Literal["float32", "float64"] | None = Field(None, description="Its precision.")
    head: str | None = Field(None, description="The level of theory, of a model with several.")
    dispersion: str | None = Field(None, description="Add D3 of a functional, such as pbe.")
    zbl: bool = Field(False, description="Add the repulsion of nuclei.")


class Teacher(Engine):
    """Labels of a model: all that it gives. A frame outside its training domain gets a warning."""

    config: TeacherConfig
    has_spin = False

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__(config)
        names = [config.model] if isinstance(config.model, str) else list(config.model)
        how: dict[str, Any] = {
            "device": config.device,
            "dtype": config.dtype,
            "dispersion": config.dispersion,
            "zbl": config.zbl,
        }
        if config.head is not None and len(names) > 1:
            raise ConfigError("head is of one model, and these are several; leave it out.")
        self.potential: Potential = (
            load(names[0], head=config.head, **how)
            if len(names) == 1
            else load_committee([Path(name) for name in names], **how)
        )
        self.gives = self.potential.gives
        self.takes_charge = self.potential.knows_charge
        self.takes_films = self.potential.partly_periodic
        self._name = ", ".join(Path(name).name for name in names)

    @property
    def version(self) -> str:
        """Its architecture and parameters."""
        architecture = self.potential.uncorrected.config.architecture
        return f"{architecture} {hash_of_model(self.potential)[:12]}"

    @property
    def method(self) -> str:
        """Its name."""
        return self._name

    def identity(self) -> Mapping[str, Any]:
        """The hash of its parameters."""
        return {"model": describe_model(self.potential)["sha256"]}

    def check_elements(self, symbols: Iterable[str]) -> None:
        """Refuse one that it does not know."""
        unknown = sorted(set(symbols) - set(self.potential.symbols))
        if unknown:
            raise ConfigError(
                f"The model {self._name} does not know {', '.join(unknown)}; it was made for "
                f"{', '.join(self.potential.symbols)}. Leave such frames out, or take another."
            )

    def label(self, frame: Frame) -> Labels:
        """See :class:`Engine`."""
        graph = Graph.of(frame.structure, self.potential.cutoff)
        with torch.no_grad():
            prediction = evaluate(self.potential, graph)
            grade = self.potential.grade(prediction.graph, prediction)
        values: dict[str, Any] = {
            q.name: _value(prediction, q) for q in QUANTITIES if q in self.potential.gives
        }
        remarks: tuple[str, ...] = ()
        largest = 0.0 if grade is None else float(grade.max())
        if largest > 1:
            remarks = (f"outside the training domain of the teacher, with the grade {largest:.3g}",)
        facts = {} if grade is None else {"largest_grade": largest}
        return Labels(**values, facts=facts, warnings=remarks)


def _value(prediction: Prediction, quantity: Quantity) -> Floats | float | None:
    """What a prediction says of the one structure; None where that has no such thing."""
    if not bool(prediction.exists(quantity).all()):
        return None
    values = prediction[quantity].double().cpu().numpy()
    values = values if quantity.per_atom else values[0]
    return np.array(values) if quantity.shape or quantity.per_atom else float(values)
