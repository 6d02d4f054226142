"""``ladera import`` and ``ladera export``: models of other codes, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ladera.cli.data import Units
from ladera.cli.inputs import MODEL, STRUCTURE
from ladera.cli.outputs import claim_file, claim_folder
from ladera.cli.session import answer

_FILES = {
    "n2p2": ("input.nn", "scaling.data", "weights.*.data"),
    "mace": ("model.safetensors", "model.json", "to_model.py"),
    "lammps": ("in.lammps", "structure.data", "model.ladera"),
}
_MTP = (".mtp", ".almtp")


def import_(
    source: Annotated[
        Path,
        MODEL,
        Parameter(
            help="Folder of n2p2 or RuNNer, with its input.nn; folder of NeuroChem or aenet, or "
            "state dict of TorchANI; an .mtp file of MLIP, an .amp file of Amp or an .nqx file of "
            "Nequix; a checkpoint of SevenNet or a model of mace-torch; a published name, such as "
            "mace-mp-small; or a model of Ladera with several heads."
        ),
    ],
    /,
    *,
    units: Annotated[
        Units | None,
        Parameter(help="Units of a folder; needed unless comments of its input.nn state them."),
    ] = None,
    head: Annotated[
        str | None,
        Parameter(help="The level of theory by which it is to predict, if it has several."),
    ] = None,
    types: Annotated[
        list[str] | None,
        Parameter(
            help="Elements of the types of an .mtp file, in its order: Li P S.", consume_multiple=1
        ),
    ] = None,
    output: Annotated[Path, Parameter(help="Model file to write.")] = Path("model.ladera"),
) -> int:
    """Make a model file of another code's potential, with the same energies.

    A folder of n2p2 or RuNNer holds input.nn, scaling.data and one weights.ZZZ.data for each
    element; what the settings say of training has no effect here. One of NeuroChem holds a .params
    file and the networks of an ANI potential, or of an ensemble in train0, train1, ... A .model
    file of mace-torch is read without running anything in it; mace-torch need not be installed.

        ladera import FOLDER --units bohr-hartree --output water.ladera
        ladera import resources/ani-2x_8x --output ani-2x.ladera
        ladera import fitted.mtp --types Li P S --output li7p3s11.ladera
        ladera import MACE.model --output mace.ladera
        ladera import nequix-mp-1.nqx --output nequix.ladera
        ladera import run --head pbe --output pbe.ladera
    """
    from ladera import loading, modelfile
    from ladera.errors import ModelFileError

    claim_file(output)
    ours = source.suffix == ".ladera" or (source / modelfile.MODEL).exists()
    if ours and head is None:
        raise ModelFileError(
            f"{source} is a model of Ladera already; add --head to choose one of several heads."
        )
    potential = loading.load(source, units=units, head=head, types=types or ())
    modelfile.save(potential, output)
    known = potential.provenance
    n_weights = sum(parameter.numel() for parameter in potential.parameters())
    about = {"symbols": potential.symbols, "cutoff": potential.cutoff, "n_parameters": n_weights}
    answer({"kind": "model", **about, "provenance": known}, [output])
    origin = known.get("units") or known.get("imported_from") or f"head {head}"
    print(
        f"Wrote {output}: {potential.config.architecture} for {', '.join(potential.symbols)}, "
        f"cutoff {potential.cutoff:.4g} Å, {n_weights:,} weights, from {source} ({origin})."
    )
    return 0


def export(
    model: Annotated[Path, MODEL, Parameter(help="Model file.")],
    place: Annotated[
        Path,
        Parameter(help="Folder to write; for MLIP a file, such as pot.mtp; for mace either."),
    ],
    /,
    *,
    to: Annotated[
        Literal["lammps", "n2p2", "mace", "mtp"], Parameter(help="Whose files to write.")
    ],
    structure: Annotated[
        Path | None, STRUCTURE, Parameter(help="Structure to begin with, for lammps.")
    ] = None,
    units: Annotated[Units, Parameter(help="Units of the files, for n2p2.")] = "bohr-hartree",
) -> int:
    """Write a model for another code, which then computes the same energies.

    lammps: a folder with a script, a structure and the model, which ladera lammps run takes.
    n2p2: a folder with input.nn, scaling.data and one weights.ZZZ.data for each element, for n2p2
    itself and for pair_style hdnnp of LAMMPS; comments in input.nn say how to call that.
    mace: a .model, where mace-torch is installed beside Ladera. Else a folder with a state dict,
    the settings of mace-torch for it, and to_model.py, which makes the .model where mace-torch is.
    mtp: one file of MLIP-2 and MLIP-3, which number the elements: 0, 1, ... in the order printed.

        ladera export model.ladera FOLDER --to n2p2
        ladera export mace.ladera mine.model --to mace
        ladera export model.ladera pot.mtp --to mtp
        ladera export model.ladera FOLDER --to lammps --structure water.xyz
    """
    from ladera import loading
    from ladera.codes import mace_torch, mtp, n2p2
    from ladera.errors import ConfigError
    from ladera.units import UNIT_SYSTEMS

    if to == "lammps" and structure is None:
        raise ConfigError("LAMMPS begins with a structure; add --structure FILE.")
    if to != "lammps" and structure is not None:
        raise ConfigError(f"{structure} is of no use for {to}; leave --structure out.")
    _claim(place, to)
    potential = loading.load(model)
    files: tuple[Path, ...]
    match to:
        case "lammps" if structure is not None:
            from ladera.engines.lammps import writing
            from ladera.simulation.structures import read_structure

            files = writing.export(potential, read_structure(structure), place)
        case "n2p2":
            files = n2p2.export(potential, place, UNIT_SYSTEMS[units])
        case "mace":
            files = mace_torch.export(potential, place)
        case "mtp":
            files = mtp.export(potential, place)
    answer({"kind": "export", "to": to}, files)
    for file in files:
        print(f"Wrote {file}.")
    if to == "mtp":
        named = ", ".join(f"{type_} {symbol}" for type_, symbol in enumerate(potential.symbols))
        print(f"Its types, which the file only numbers: {named} (from 1 on in LAMMPS).")
    return 0


def _claim(place: Path, to: str) -> None:
    """Raise ConfigError where the files of a code cannot go, or where there are such already."""
    from ladera.errors import ConfigError

    if to == "mace" and place.suffix == ".model":
        claim_file(place)
        return
    if to == "mtp":
        if place.suffix not in _MTP or place.is_dir():
            raise ConfigError(f"{place} is no name of an .mtp file; name one, such as pot.mtp.")
        claim_file(place)
        return
    if place.is_file():
        raise ConfigError(f"{place} is a file; name a folder for the files of {to}.")
    claim_folder(place, *_FILES[to])
