"""``ladera import`` and ``ladera export``: models of other codes, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

Units = Literal["bohr-hartree", "angstrom-ev", "angstrom-hartree"]


def import_(
    folder: Annotated[Path, Parameter(help="Folder of n2p2 or RuNNer, with its input.nn.")],
    /,
    *,
    units: Annotated[
        Units | None,
        Parameter(help="Units of the folder; needed unless comments of input.nn state them."),
    ] = None,
    output: Annotated[Path, Parameter(help="Model file to write.")] = Path("model.ladera"),
) -> int:
    """Make a model file of a potential of n2p2 or RuNNer, with the same energies.

    The folder holds input.nn, scaling.data and one weights.ZZZ.data for each element. What the
    settings say of training has no effect here.

        ladera import FOLDER --units bohr-hartree --output water.ladera
    """
    from ladera import modelfile
    from ladera.errors import ModelFileError
    from ladera.interop import n2p2

    if output.exists():
        raise ModelFileError(f"{output} exists already; name another --output.")
    potential = n2p2.load(folder, units)
    modelfile.save(potential, output)
    print(
        f"Wrote {output}: {potential.config.architecture} for {', '.join(potential.symbols)}, "
        f"cutoff {potential.cutoff:.4g} Å, {sum(p.numel() for p in potential.parameters()):,} "
        f"weights, from {folder} in {potential.provenance['units']}."
    )
    return 0


def export(
    model: Annotated[Path, Parameter(help="Model file.")],
    folder: Annotated[Path, Parameter(help="Folder to write.")],
    /,
    *,
    to: Annotated[Literal["n2p2"], Parameter(help="Whose files to write.")],
    units: Annotated[Units, Parameter(help="Units of the files.")] = "bohr-hartree",
) -> int:
    """Write a model for another code, which then computes the same energies.

    n2p2: a folder with input.nn, scaling.data and one weights.ZZZ.data for each element, for n2p2
    itself and for pair_style hdnnp of LAMMPS; comments in input.nn say how to call that.

        ladera export model.ladera FOLDER --to n2p2
    """
    from ladera import modelfile
    from ladera.errors import ConfigError
    from ladera.interop import n2p2
    from ladera.units import UNIT_SYSTEMS

    if (folder / "input.nn").exists():
        raise ConfigError(f"{folder} holds an input.nn already; name another folder.")
    for file in n2p2.export(modelfile.load(model), folder, UNIT_SYSTEMS[units]):
        print(f"Wrote {file}.")
    return 0
