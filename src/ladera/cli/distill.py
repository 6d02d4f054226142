"""``ladera distill``: a fast model that is taught by a slow one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ladera.cli.active import Rounds, document, report
from ladera.cli.inputs import MODEL, STRUCTURE
from ladera.cli.numbers import KELVIN
from ladera.cli.properties import Frame
from ladera.cli.session import answer

if TYPE_CHECKING:
    from ladera.active.folder import Round


def distill(
    teacher: Annotated[
        str, MODEL, Parameter(help="Model that teaches: file, run, or the name of a published one.")
    ],
    structure: Annotated[Path, STRUCTURE, Parameter(help="Structure file, anything ASE reads.")],
    /,
    *,
    student: Annotated[
        str, Parameter(help="Family of the model that learns: mtp, hdnnp, mace or nequip.")
    ] = "mtp",
    temperatures: Annotated[
        list[float] | None,
        KELVIN,
        Parameter(help="At which it is to be used, K, rising. (300 600)", consume_multiple=1),
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            help="Another value for a key of the active learning, as key=value, such as "
            "stop.forces=0.02 or training.model.level=20.",
        ),
    ] = None,
    frame: Frame = None,
    output: Annotated[Path, Parameter(help="Folder of the loop and its results.")] = Path(
        "distilled"
    ),
) -> int:
    """Make a fast model for one material of a slow one that knows it, such as a universal model.

    An active learning with the teacher as engine: dynamics from the structure, labels by the
    teacher, a student that is trained and judged on what it has never seen. Then both are compared:
    relaxed structure, normal modes, time for an atom. The student is model.ladera in the output;
    report.html shows all. The same command goes on where it was interrupted. Where the teacher or
    the student does not come to rest, the student is there, and the exit code is 1.

        ladera distill mace-mp-small nacl.cif --student mtp --temperatures 300 600
    """
    from ladera.active.distillation import AGREEMENT
    from ladera.active.distillation import distill as make
    from ladera.cli.properties import show
    from ladera.errors import PropertyError
    from ladera.simulation.structures import read_structure

    done = make(
        teacher,
        read_structure(structure, frame),
        output,
        student=student,
        temperatures=temperatures or (300.0, 600.0),
        changes=set_ or (),
        on_round=Rounds(output),
    )
    pages = report(output, output / AGREEMENT)
    compared = json.loads(done.agreement.to_json())
    answer({**document(done.run), "agreement": compared}, [done.run.model, *pages])
    print(f"Stopped: {done.run.stopped}.")
    show(done.agreement)
    print(
        f"The student is {done.run.model}, {done.agreement.speedup:.3g} times faster than its "
        f"teacher{_apart(done.run.rounds[-1])}."
    )
    if done.agreement.not_compared:
        raise PropertyError(
            f"The student is done, but not all of the comparison. {done.agreement.not_compared}"
        )
    return 0


def _apart(last: Round) -> str:
    """How far the student is from its teacher, on what it has not seen."""
    judged = last.judged
    if judged is None or judged.forces is None:
        return ""
    return (
        f" and {1000 * judged.forces:.3g} meV/Å from it in forces (mean absolute, on "
        f"{judged.frames} structures that it has not seen)"
    )
