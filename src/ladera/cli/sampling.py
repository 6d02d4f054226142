"""``ladera data filter``, ``select`` and ``generate``: which frames to keep, to label, to make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ladera.cli.data import Reading, print_line, read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.misuse import UsageError
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import ANGSTROM, FORCE, PLAIN, STRESS, in_unit, whole
from ladera.cli.outputs import claim_file
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.data.dataset import Dataset
    from ladera.potential import Potential
    from ladera.sampling.selection import Selection


def filter_(
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    output: Annotated[Path, Parameter(help="File for the frames that are kept, as for convert.")],
    max_force: Annotated[
        float | None, FORCE, Parameter(help="Largest length of a force, eV/Angstrom.")
    ] = None,
    max_energy: Annotated[
        float | None,
        in_unit("eV/atom"),
        Parameter(help="Most above the lowest frame of the same composition, eV/atom."),
    ] = None,
    max_stress: Annotated[
        float | None, STRESS, Parameter(help="Largest component of a stress, eV/Angstrom^3.")
    ] = None,
    min_atoms: Annotated[int | None, Parameter(help="Fewest atoms.", converter=whole)] = None,
    max_atoms: Annotated[int | None, Parameter(help="Most atoms.", converter=whole)] = None,
    elements: Annotated[
        list[str] | None,
        Parameter(help="The elements that may be there.", consume_multiple=1),
    ] = None,
    without: Annotated[
        list[str] | None,
        Parameter(help="Elements that may not be there.", consume_multiple=1),
    ] = None,
    findings: Annotated[
        list[str] | None,
        Parameter(
            help="Findings of ladera data check that frames are left out for: none, errors, "
            "warnings (and errors), or their names, such as duplicate. (errors)",
            consume_multiple=1,
        ),
    ] = None,
    reading: Reading | None = None,
) -> int:
    """Leave out frames that would spoil a training, and say why each was left out.

    Free atoms are kept whatever their energy and forces: they set E0.

        ladera data filter train.extxyz --output good.extxyz --max-force 20
    """
    from rich.console import Console
    from rich.table import Table

    from ladera.data import formats
    from ladera.errors import DataError
    from ladera.sampling.filtering import Conditions, filter_frames

    claim_file(output)
    dataset = read_files(files, reading)
    conditions = Conditions(
        max_force=max_force,
        max_energy=max_energy,
        max_stress=max_stress,
        min_atoms=min_atoms,
        max_atoms=max_atoms,
        elements=elements,
        without=without or (),
        findings=findings or ("errors",),
    )
    found = filter_frames(dataset, conditions)
    table = Table("left out because", "frames", "which")
    for reason, frames in found.reasons.items():
        which = ", ".join(map(str, frames[:6])) + (", ..." if len(frames) > 6 else "")
        table.add_row(reason, f"{len(frames):,}", which)
    if found.reasons:
        Console().print(table)
    if not len(found.kept):
        raise DataError(
            f"Of {len(dataset):,} frames none meets all conditions; the table says which to loosen."
        )
    answer(found.to_json(dataset))
    formats.write(dataset[found.kept], output)
    print_line(f"Wrote {len(found.kept):,} of {len(dataset):,} frames to {output}.")
    return 0


def select(
    model: Annotated[
        Path,
        MODEL,
        Parameter(help="Model whose descriptors tell frames apart: file, run, or name."),
    ],
    /,
    *files: Annotated[Path, DATA, Parameter(help="Data files, read as one data set.")],
    output: Annotated[Path, Parameter(help="File for the frames that are chosen.")],
    number: Annotated[
        int | None, Parameter(help="How many frames to choose.", converter=whole)
    ] = None,
    distance: Annotated[
        float | None,
        PLAIN,
        Parameter(help="Choose until no frame is farther than this from a chosen one."),
    ] = None,
    by: Annotated[
        Literal["descriptors", "deviation", "grade"],
        Parameter(
            help="deviation: first leave out frames of which a committee is certain; grade: those "
            "inside the training domain."
        ),
    ] = "descriptors",
    above: Annotated[
        str | None,
        Parameter(help="Least deviation (eV/Angstrom) or grade (1) of the worst atom of a frame."),
    ] = None,
    known: Annotated[
        list[Path] | None,
        DATA,
        Parameter(
            help="Frames that are there already: choose what differs from them, too.",
            consume_multiple=1,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        Parameter(help="Begin with a frame drawn at random, not the most usual.", converter=whole),
    ] = None,
    reading: Reading | None = None,
    options: ModelOptions | None = None,
) -> int:
    """Choose the frames that differ most from each other, by a model's descriptors.

    Farthest-point sampling: again and again the frame that is farthest from all that were chosen.
    The covering radius says how far the farthest frame is that was not chosen.

        ladera data select ethanol-mace md.extxyz --number 100 --output chosen.extxyz
    """
    from ladera.data import formats

    least = _least(by, above)
    _require_one(number, distance)
    claim_file(output)
    potential = load_model([model], options)
    dataset = _candidates_in(files, reading)
    before = None if known is None else _candidates_in(tuple(known), reading)
    rows, scores = _candidates(potential, dataset, by, least)
    found, spread = _farthest(potential, dataset[rows], before, number, distance, seed)
    chosen = rows[found.indices]
    radius = found.radii[-1]
    record: dict[str, Any] = {
        "model": str(model),
        "data_hash": dataset.hash,
        "n_frames": len(dataset),
        "n_candidates": len(rows),
        "spread": spread,
        "frames": chosen.tolist(),
        "covering_radius": found.radii.tolist(),
    }
    if scores is not None:
        record[by] = scores[chosen].tolist()
    answer(record)
    formats.write(dataset[sorted(chosen.tolist())], output)
    print_line(f"Wrote {len(chosen):,} of {len(dataset):,} frames to {output}.")
    print_line(
        f"Covering radius: {radius:.4g}, {_share(radius, spread)} of the farthest frame's distance "
        f"from their mean ({spread:.4g})."
    )
    return 0


def generate(
    *files: Annotated[Path, DATA, Parameter(help="Files with the structures to begin with.")],
    output: Annotated[Path, Parameter(help="File to write.")],
    rattle: Annotated[
        float | None,
        ANGSTROM,
        Parameter(help="Standard deviation of random displacements, Angstrom."),
    ] = None,
    strain: Annotated[
        float | None, PLAIN, Parameter(help="Largest component of a random strain of the cell.")
    ] = None,
    vacancies: Annotated[
        int, Parameter(help="How many atoms to take out at random.", converter=whole)
    ] = 0,
    supercell: Annotated[
        tuple[int, int, int] | None,
        Parameter(help="Repetitions along the cell vectors, before all else.", converter=whole),
    ] = None,
    number: Annotated[
        int,
        Parameter(help="Frames of each structure, of what is random.", converter=whole),
    ] = 10,
    contacts: Annotated[
        bool, Parameter(help="The closest two atoms of each pair of elements, pushed together.")
    ] = False,
    dimers: Annotated[
        bool, Parameter(help="Two atoms alone, for each pair of elements; each element alone.")
    ] = False,
    cutoff: Annotated[
        float, ANGSTROM, Parameter(help="Where the curves of dimers end, Angstrom.")
    ] = 6.0,
    points: Annotated[
        int, Parameter(help="Frames of each curve of dimers and contacts.", converter=whole)
    ] = 20,
    closest: Annotated[
        float,
        PLAIN,
        Parameter(help="Least distance of two atoms over the sum of their covalent radii."),
    ] = 0.7,
    seed: Annotated[int, Parameter(help="Seed of what is random.", converter=whole)] = 0,
    reading: Reading | None = None,
) -> int:
    """Make structures to label: rattled, strained, with vacancies, in contact, and dimers.

    Displacements, strains and vacancies that are asked for together are in every frame together.
    The config_type of a frame says how it was made. They have no labels: compute them.

        ladera data generate cell.extxyz --output new.extxyz --rattle 0.05 --strain 0.03
    """
    from ladera.data import formats
    from ladera.data.dataset import Dataset
    from ladera.sampling.generation import Recipe
    from ladera.sampling.generation import generate as frames_of

    claim_file(output)
    recipe = Recipe(
        supercell=supercell,
        vacancies=vacancies,
        strain=strain,
        rattle=rattle,
        number=number,
        contacts=contacts,
        dimers=dimers,
        cutoff=cutoff,
        points=points,
        closest=closest,
        seed=seed,
    )
    made = Dataset.from_frames(frames_of(_structures(files, reading), recipe))
    record = _print_made(made)
    answer({"seed": seed, "frames": record})
    formats.write(made, output)
    print_line(f"Wrote {len(made):,} frames without labels to {output}.")
    return 0


def _structures(files: tuple[Path, ...], reading: Reading | None) -> Dataset:
    """The structures of files, whose labels do not matter."""
    reading = reading or Reading()
    reading.energy_key = reading.energy_key or "none"
    reading.forces_key = reading.forces_key or "none"
    return read_files(files, reading)


def _candidates_in(files: tuple[Path, ...], reading: Reading | None) -> Dataset:
    """The frames of files with the labels that they have: to be chosen none is needed."""
    from ladera.data.label_keys import MissingLabelError

    reading = replace(reading) if reading else Reading()
    while True:
        try:
            return read_files(files, reading)
        except MissingLabelError as missing:
            flag = f"{missing.name}_key"
            if getattr(reading, flag) is not None:  # it was asked for
                raise
            setattr(reading, flag, "none")


def _least(by: str, above: str | None) -> float | None:
    """Above which score a frame is worth a calculation; None where all are."""
    from ladera import measures

    if by == "descriptors":
        if above is not None:
            raise UsageError(
                f"--above is {above}, which is one of --by deviation or --by grade; name which."
            )
        return None
    if above is None and by == "deviation":
        raise UsageError(
            "--by deviation needs --above, the deviation in eV/Angstrom from which on a frame is "
            "worth a calculation; give it, such as --above 0.1."
        )
    try:
        return measures.number(above or "1", "eV/Angstrom" if by == "deviation" else "")
    except ValueError as error:
        raise UsageError(f"--above {error}") from None


def _require_one(number: int | None, distance: float | None) -> None:
    """Refuse both or neither, and what chooses no frame."""
    from ladera.errors import ConfigError

    if (number is None) == (distance is None):
        given = "Neither --number nor" if number is None else "Not only --number but also"
        raise UsageError(f"{given} --distance is given; give one, how many frames or how close.")
    if number is not None and number < 1:
        raise ConfigError.of("number", number, "it must be at least 1")
    if distance is not None and not distance > 0:
        raise ConfigError.of("distance", f"{distance:g}", "it must be above zero")


def _candidates(
    potential: Potential, dataset: Dataset, by: str, limit: float | None
) -> tuple[Any, Any]:
    """The frames to choose from, ascending, and the score of each frame, if there is one."""
    import numpy as np

    from ladera.errors import ConfigError
    from ladera.progress import Task
    from ladera.sampling import selection

    if limit is None:
        return np.arange(len(dataset)), None
    with Task("frames judged", len(dataset)) as task:
        kind: Any = by
        scores = selection.scores(potential, dataset, kind, task.show)
    rows = np.flatnonzero(scores > limit)
    print_line(f"{len(rows):,} of {len(dataset):,} frames have a {by} above {limit:g}.")
    if not len(rows):
        raise ConfigError(
            f"No frame has a {by} above {limit:g}, the largest is {scores.max():.4g}; lower "
            "--above, or choose by descriptors."
        )
    return rows, scores


def _farthest(
    potential: Potential,
    dataset: Dataset,
    known: Dataset | None,
    number: int | None,
    distance: float | None,
    seed: int | None,
) -> tuple[Selection, float]:
    """The frames chosen, and the largest distance of a frame from the mean of all."""
    import numpy as np
    from ase.data import atomic_numbers

    from ladera.errors import ConfigError
    from ladera.progress import Task
    from ladera.sampling import selection

    symbols = {*dataset.symbols, *(known.symbols if known else ())}
    elements = tuple(sorted(atomic_numbers[symbol] for symbol in symbols))
    with Task("frames described", len(dataset)) as task:
        points = selection.fingerprints(potential, dataset, elements, task.show)
        others = np.empty((0, points.shape[1]))
        if known is not None:
            others = selection.fingerprints(potential, known, elements)
    first = None if seed is None else int(np.random.default_rng(seed).integers(len(points)))
    found = selection.farthest_points(points, others, number, distance=distance or 0.0, first=first)
    if not len(found.indices):
        raise ConfigError(
            f"Every frame is within {distance:g} of one that is known; give a smaller --distance."
        )
    return found, float(np.linalg.norm(points - points.mean(0), axis=1).max())


def _print_made(made: Dataset) -> list[dict[str, Any]]:
    """A table of what was made and how close its atoms are; and a record of each frame."""
    from ase.data import chemical_symbols
    from rich.console import Console
    from rich.table import Table

    from ladera.sampling.generation import closest_contact

    record: list[dict[str, Any]] = []
    least: dict[str, tuple[int, float, str]] = {}
    for index, frame in enumerate(made):
        share, one, other = closest_contact(frame)
        kind = frame.config_type
        known = share < float("inf")
        record.append(
            {"frame": index, "config_type": kind, "source": frame.source}
            | ({"closest_contact": share, "atoms": [one, other]} if known else {})
        )
        pair = "-".join(sorted(chemical_symbols[frame.numbers[k]] for k in (one, other)))
        count, before, named = least.get(kind, (0, float("inf"), ""))
        least[kind] = (count + 1, min(share, before), pair if share < before else named)
    table = Table("made by", "frames", "closest contact", title_justify="left")
    for kind, (count, share, pair) in least.items():
        shown = f"{pair}, {share:.2f} of the sum of covalent radii" if pair else ""
        table.add_row(kind, f"{count:,}", shown)
    Console().print(table)
    return record


def _share(part: float, whole_: float) -> str:
    return f"{100 * part / whole_:.0f} %" if whole_ > 0 else "0 %"
