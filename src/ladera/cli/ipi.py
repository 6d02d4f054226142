"""``ladera ipi``: a model in i-PI, in its own process or over a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.inputs import MODEL, STRUCTURE
from ladera.cli.models import ModelOptions, load_model
from ladera.cli.numbers import FEMTOSECONDS, KELVIN, SECONDS, whole
from ladera.cli.outputs import claim_folder
from ladera.cli.properties import Frame
from ladera.cli.session import answer

Model = Annotated[Path, MODEL, Parameter(help="Model file.")]
Template = Annotated[
    Path, STRUCTURE, Parameter(help="Structure with the atoms, in the order that i-PI has.")
]


def input_(
    model: Model,
    structure: Template,
    /,
    *,
    temperature: Annotated[float, KELVIN, Parameter(help="K.")],
    beads: Annotated[
        int, Parameter(help="Beads of each ring polymer; 1 is classical.", converter=whole)
    ] = 32,
    steps: Annotated[int, Parameter(help="How many.", converter=whole)] = 2000,
    time_step: Annotated[float, FEMTOSECONDS, Parameter(help="fs.")] = 0.5,
    seed: Annotated[int, Parameter(help="Of i-PI's random numbers.", converter=whole)] = 1,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the files.")] = Path("ipi"),
) -> int:
    """Write what i-PI needs to run path integrals by a model, in one process.

    All beads are evaluated at once. Writes input.xml, init.xyz, structure.extxyz, model.ladera and
    ladera_pes.py, to be changed as one likes; then run i-PI in the folder:

        ladera ipi input model.ladera ethanol.xyz --temperature 300 --beads 32 --output ipi
        cd ipi && i-pi input.xml
    """
    from ladera.engines.ipi.simulation import FILES, write_simulation
    from ladera.simulation.structures import read_structure

    claim_folder(output, *FILES)
    written = write_simulation(
        load_model([model], options),
        read_structure(structure, frame),
        output,
        temperature=temperature,
        beads=beads,
        steps=steps,
        time_step=time_step,
        seed=seed,
    )
    answer({"kind": "ipi", "beads": beads, "steps": steps}, written)
    for file in written:
        print(f"Wrote {file}.")
    print(f"Run it: cd {output} && i-pi input.xml")
    return 0


def client(
    model: Model,
    structure: Template,
    /,
    *,
    address: Annotated[
        str, Parameter(help="HOST:PORT, or the name of a Unix socket, as in i-PI's input.")
    ],
    patience: Annotated[
        float, SECONDS, Parameter(help="How long a server that is not there is waited for, s.")
    ] = 60.0,
    head: Annotated[
        str | None, Parameter(help="The level of theory, of a model with several.")
    ] = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
) -> int:
    """Answer a server of i-PI's protocol with energies, forces and virials, until it ends.

    Servers are i-PI, ASE's SocketIOCalculator and others. i-PI says where atoms are and not which,
    so the structure must have the same atoms in the same order; it also says along which vectors
    all is periodic, and its total charge. Several clients may serve one server.

        ladera ipi client model.ladera water.xyz --address localhost:31415
        ladera ipi client model.ladera water.xyz --address water
    """
    from ladera.engines.ipi.beads import Beads
    from ladera.engines.ipi.client import Client
    from ladera.simulation.structures import read_structure

    beads = Beads(load_model([model], options), read_structure(structure, frame), head=head)
    count = Client(address, patience).serve(beads)
    answer({"kind": "ipi-client", "address": address, "structures": count})
    print(f"The server at {address} ended it, after {count:,} structures.")
    return 0
