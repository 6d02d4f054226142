"""``ladera report``: one HTML page of a run or a loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ladera.cli.dynamics import Skip
from ladera.cli.session import answer


def report(
    run: Annotated[
        Path, Parameter(help="Folder of a training run, simulation, property or active learning.")
    ],
    /,
    *,
    md: Annotated[
        list[Path] | None,
        Parameter(
            help="Folder of `ladera md` or `ladera relax` to show too; several may follow.",
            consume_multiple=1,
        ),
    ] = None,
    properties: Annotated[
        list[Path] | None,
        Parameter(
            help="Folder of a property, such as one of `ladera elastic`; several may follow.",
            consume_multiple=1,
        ),
    ] = None,
    skip: Skip = 0.0,
    output: Annotated[Path | None, Parameter(help="File to write (RUN/report.html).")] = None,
) -> int:
    """Make one HTML page of a training run, its simulations and what was computed with it.

    The page opens without a network: errors in meV/atom and meV/Angstrom, learning curves, parity
    plots, histograms, the worst frames, energies and temperature over time, and the trajectory in
    3D. Of an active learning it shows what each round brought, met and cost.

        ladera report run --md md-300K md-600K --skip 5 --output report.html
    """
    from ladera.report.report import write_report

    path = write_report(run, output, simulations=md or (), properties=properties or (), skip=skip)
    answer({"kind": "report"}, [path])
    print(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB); open it in any browser.")
    return 0
