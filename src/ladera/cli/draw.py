"""``ladera draw``: pictures of what a model is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.data import Reading, read_files
from ladera.cli.inputs import DATA, MODEL
from ladera.cli.numbers import ANGSTROM
from ladera.cli.outputs import claim_folder
from ladera.cli.session import answer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ladera.models.hdnnp.base import SymmetryFunctionPotential

_NAMES = ("networks", "activations", "cutoff", "distances", "angles", "histograms")


def draw(
    model: Annotated[Path, MODEL, Parameter(help="Model file.")],
    /,
    *,
    data: Annotated[
        list[Path] | None, DATA, Parameter(help="Data files, for histograms.", consume_multiple=1)
    ] = None,
    reading: Reading | None = None,
    distance: Annotated[
        float, ANGSTROM, Parameter(help="Of both neighbours in the figure of angles.")
    ] = 2.0,
    output: Annotated[Path, Parameter(help="Folder for the figures.")] = Path("drawn"),
) -> int:
    """Draw what a model is made of: its networks and, if it has them, its symmetry functions.

    networks.svg has layers, nodes and weights. A model with symmetry functions has activations.svg,
    cutoff.svg, distances.svg and angles.svg besides and, with data, histograms.svg and
    histograms.csv: how often each function has which value, as n2p2's nnp-scaling counts it.

        ladera draw run/model.ladera --data train.extxyz --output drawn
    """
    from ladera import loading
    from ladera.errors import ConfigError
    from ladera.files import atomic_path
    from ladera.models.hdnnp.base import SymmetryFunctionPotential
    from ladera.plotting import style
    from ladera.report import model_figures
    from ladera.report.network_figure import network_figure

    claim_folder(output, *(f"{name}.svg" for name in _NAMES), "histograms.csv")
    potential = loading.load(model)
    if not 0 < distance < potential.cutoff:
        raise ConfigError(
            f"--distance is {distance:g} Angstrom; choose one above zero and below the model's "
            f"cutoff, {potential.cutoff:g}."
        )
    figures: dict[str, Figure] = {}
    if isinstance(potential, SymmetryFunctionPotential):
        names = [name for network in potential.atomic_networks() for name in network.activations]
        figures["activations"] = model_figures.activation_figure(names)
        figures["cutoff"] = model_figures.cutoff_figure(potential)
        figures["distances"] = model_figures.distance_figure(potential)
        figures["angles"] = model_figures.angle_figure(potential, distance)
    if data:
        functions = model_figures.require_functions(potential)
        figures["histograms"] = _histograms(functions, data, reading, output)
    figures["networks"] = network_figure(potential)
    paths = [output / f"{name}.svg" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        with atomic_path(path) as temporary, style():
            figure.savefig(temporary, format="svg", metadata={"Date": None})
    answer({"figures": [str(path) for path in paths]}, paths)
    print(f"Drew {', '.join(path.name for path in paths)} in {output}.")
    return 0


def _histograms(
    potential: SymmetryFunctionPotential,
    files: Sequence[Path],
    reading: Reading | None,
    output: Path,
) -> Figure:
    """Their figure, and a file with the counts."""
    from ladera.cli.functions import describe
    from ladera.data.graphs import GraphStore
    from ladera.files import write_text_atomic
    from ladera.models.hdnnp.selection import sample
    from ladera.report.model_figures import BINS, histogram_figure, histograms

    graphs = GraphStore(read_files(files, reading), potential.cutoff)
    bins = ",".join(f"bin {k + 1}" for k in range(BINS))
    lines = [f"element,number,function,smallest,largest,{bins}"]
    samples = sample(potential.plan, graphs)
    for functions, G in zip(potential.plan.functions, samples, strict=True):
        for k, (counts, low, high) in enumerate(zip(*histograms(G), strict=True)):
            words = f"{functions[k].center},{k},{describe(functions[k])},{low:.8g},{high:.8g}"
            lines.append(f"{words},{','.join(map(str, counts.tolist()))}")
    write_text_atomic(output / "histograms.csv", "\n".join(lines) + "\n")
    return histogram_figure(potential.symbols, samples)
