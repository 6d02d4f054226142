"""``ladera cite``: what to cite for a model or a run."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from ladera.cli.session import answer


def cite(
    subject: Annotated[
        str,
        Parameter(help="Folder of a run or a result, model file, or name of a published model."),
    ],
    /,
    *,
    format_: Annotated[
        Literal["text", "bibtex"], Parameter(name="--format", help="How to write it.")
    ] = "text",
) -> int:
    """Say what to cite for a model or a run, and why: found in its record.

    Ladera, the works on the model and on its training data, the methods that were chosen, and the
    libraries that computed. Add `cite: DOI` to the data of a training configuration, and its models
    name the data too.

        ladera cite md
        ladera cite mace-mp-small --format bibtex > references.bib
    """
    from ladera.citing import works

    found, sentences = works(subject)
    answer(
        {
            "works": [
                {
                    "key": work.key,
                    "reason": work.reason,
                    "text": work.text(),
                    "bibtex": work.bibtex(),
                    "fields": work.fields,
                }
                for work in found
            ],
            "also": sentences,
        }
    )
    if format_ == "bibtex":
        print("\n\n".join(work.bibtex() for work in found))
        for sentence in sentences:
            print(f"% {sentence}")
        return 0
    for work in found:
        print(f"- {work.text()} [{work.reason}]")
    for sentence in sentences:
        print(f"- {sentence}")
    return 0
