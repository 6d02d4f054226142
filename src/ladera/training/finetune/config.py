"""Configuration of a fine-tuning: the section ``finetune`` of a training run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt

from ladera.data.label_keys import LabelKeys
from ladera.schemas import Configured


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _naive_if_unsaid(value: object) -> object:
    return {"method": "naive"} | value if isinstance(value, dict) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class ReplayConfig(Configured):
    """Frames like those that the base was trained on: what it must not forget."""

    files: Names = Field(min_length=1, description="Files with the frames.")
    keys: LabelKeys = Field(
        default_factory=LabelKeys, description="The names of the labels in the files."
    )
    labels: Literal["file", "base"] = Field(
        "file", description="What is right for them: their labels, or what the base says."
    )
    frames: PositiveInt | None = Field(
        None,
        description="With the method replay: how many to train on, those that differ most from "
        "each other and from the new data. Left out: all.",
    )
    weight: PositiveFloat = Field(
        1.0, description="With the method replay: factor on the loss of these frames."
    )


class _Finetune(Configured):
    base: str = Field(description="The model to start from: a file, a run, or a published name.")
    replay: ReplayConfig | None = Field(
        None, description="Frames on which to measure what is forgotten."
    )
    charges: bool = Field(
        True,
        description="Charges in the dipole that loss.dipole gives a base without one; false: "
        "dipoles of atoms alone, as mace-torch has.",
    )


class Naive(_Finetune):
    """Train on: every parameter may change."""

    method: Literal["naive"] = Field("naive", description="Every parameter may change.")


class Frozen(_Finetune):
    """Only some parameters may change."""

    method: Literal["frozen"] = Field("frozen", description="Only some parameters may change.")
    trainable: Names = Field(
        (),
        description="Beginnings of the names of those that may, such as layers.1. Left out: what "
        "was added for new elements and dipoles; else the readouts and, of a MACE, the last layer; "
        "of other networks, the last two layers.",
    )


class LowRankAdaptation(_Finetune):
    """Corrections of low rank to every matrix, merged into the model at the end."""

    method: Literal["lora"] = Field("lora", description="Corrections of low rank (LoRA).")
    rank: PositiveInt = Field(4, description="Rank of the corrections.")


class MultiHeadReplay(_Finetune):
    """A new head for the new data beside the base's, which goes on training on replayed frames."""

    method: Literal["replay"] = Field(
        "replay", description="A new head, and frames of the base's kind for the old one."
    )
    replay: ReplayConfig = Field(description="The frames that are replayed.")
    head: str = Field("finetuned", description="Name of the new head.")


Method = Naive | Frozen | LowRankAdaptation | MultiHeadReplay

FinetuneConfig = Annotated[
    Annotated[Method, Field(discriminator="method")], BeforeValidator(_naive_if_unsaid)
]
