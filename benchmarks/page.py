"""Sections of the documentation that a benchmark writes itself, with --write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
DATA = ROOT.parent / "shared"  # data and workloads that are not part of the repository


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_section(name: str, text: str, path: Path = PAGE) -> None:
    """Replace what stands between the two comments that name a section of the page."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    page = path.read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise SystemExit(f"{path} has no section between {begin} and {end}.")
    before, rest = page.split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")
    print(f"wrote the section '{name}' of {path.relative_to(ROOT)}")


def rows_with(
    name: str, header: Sequence[str], rows: Sequence[Sequence[str]], path: Path = PAGE
) -> list[list[str]]:
    """The rows of a section that is one table, with some renewed by their first cells.

    None of a table with another header.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    lines = path.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0].splitlines()
    old = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    kept = {row[0]: row for row in old[2:]} if old and old[0] == list(header) else {}
    return list((kept | {row[0]: list(row) for row in rows}).values())


def write_rows(
    name: str, header: Sequence[str], rows: Sequence[Sequence[str]], path: Path = PAGE
) -> None:
    """Renew some rows of a section that is one table: for benchmarks that measure one at a time."""
    write_section(name, table(header, rows_with(name, header, rows, path)), path)
