"""The section ``data`` of a training run: which frames to train on, validate on and test on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from ladera.data.label_keys import AtomColumns, LabelKeys
from ladera.data.unit_names import FileUnits
from ladera.training.sections import Section, named


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Files = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
Groups = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class RandomSplit(Section):
    """Frames drawn at random."""

    method: Literal["random"] = Field("random", description="Frames drawn at random.")
    validation: NonNegativeFloat = Field(
        0.1, description="Validation frames: a fraction below 1, or a number of frames."
    )
    test: NonNegativeFloat = Field(
        0.1, description="Test frames: a fraction below 1, or a number of frames."
    )
    seed: NonNegativeInt = Field(0, description="Seed of the draw.")


class GroupSplit(Section):
    """Whole groups of frames, by their config_type."""

    method: Literal["group"] = Field("group", description="Whole config_types.")
    validation: Groups = Field((), description="The config_types to validate on.")
    test: Groups = Field((), description="The config_types to test on.")


class FirstSplit(Section):
    """Frames in the order of the files."""

    method: Literal["first"] = Field("first", description="In the order of the files.")
    train: PositiveInt = Field(description="Number of frames to train on, from the first.")
    validation: NonNegativeInt = Field(
        0, description="Number of frames to validate on, after those. The rest is for the test."
    )


class FileSplit(Section):
    """What the frames say themselves."""

    method: Literal["file"] = Field(
        "file", description="As the frames say: set=train and set=test of an input.data."
    )
    validation: NonNegativeFloat = Field(
        0.1,
        description="Training frames to validate on, if the files name none: a fraction below 1, "
        "or a number of frames.",
    )
    seed: NonNegativeInt = Field(0, description="Seed of the draw of validation frames.")


class StoredSplit(Section):
    """A split made before."""

    method: Literal["stored"] = Field("stored", description="As a split file says.")
    path: str = Field(description="File that 'ladera data split' or another run wrote.")


SplitConfig = Annotated[
    RandomSplit | GroupSplit | FirstSplit | FileSplit | StoredSplit,
    Field(discriminator="method"),
    named("method", "random"),
]


class DataConfig(Section):
    """Which frames to train on, to validate on and to test on."""

    files: Files = Field(
        min_length=1, description="Files with labelled frames; paths are from where you are."
    )
    validation_files: Files = Field(
        (), description="Files of validation frames; then none are taken from 'files'."
    )
    test_files: Files = Field((), description="Files of test frames; then none are taken either.")
    units: FileUnits | None = Field(
        None,
        description="Units of the files; an input.data needs them said. cp2k: Angstrom, Hartree "
        "and forces in Hartree/Bohr.",
    )
    atom_columns: AtomColumns = Field(
        "charge energy",
        description="What the two columns after the symbol hold in an input.data.",
    )
    types: tuple[str, ...] = Field(
        (), description="Elements of a LAMMPS dump's types 1, 2, 3..., or a .cfg's 0, 1, 2..."
    )
    keys: LabelKeys = Field(
        default_factory=LabelKeys, description="The names of the labels in the files."
    )
    split: SplitConfig = Field(
        default_factory=RandomSplit, description="How 'files' are divided; kept in split.json."
    )
    resample: Literal["bootstrap", "subsample"] | None = Field(
        None,
        description="Train on a random sample of the training frames, drawn with the run's seed: "
        "as many with repetition (bootstrap), or 80 % of them (subsample).",
    )
    level: str | None = Field(
        None,
        description="Level of theory of the labels, such as PBE-D3/def2-TZVP; kept with the model.",
    )
    cite: str | None = Field(
        None, description="How to cite the data, such as a DOI; kept with the model."
    )
    graph_memory: PositiveFloat = Field(
        4.0,
        description="GiB of neighbour lists to keep, and at most half of the memory that is free; "
        "those beyond are built again when needed.",
    )
