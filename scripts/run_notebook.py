"""Run the code of a notebook in order, without Jupyter.

    python scripts/run_notebook.py examples/tutorial.ipynb [--write] [--twice]

The code runs in the current directory. What it prints and draws, and what a cell ends with, go to
standard output; with --write they are stored in the notebook, as Jupyter does it. With --twice it
runs once more in the same directory, with nothing but its files left of the first time.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def run(source: str, name: str, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """Outputs of one cell, in the notebook's format."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, name, "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        text = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": text})
    if value is not None:
        outputs.append({"output_type": "display_data", "data": _data(value), "metadata": {}})
    return outputs


def _data(value: Any) -> dict[str, Any]:
    if not isinstance(value, Figure):
        return {"text/plain": repr(value).splitlines(keepends=True)}
    picture = io.BytesIO()
    value.savefig(picture, format="png", dpi=110)
    return {"image/png": base64.b64encode(picture.getvalue()).decode(), "text/plain": ["<Figure>"]}


def main() -> None:
    path, write = Path(sys.argv[1]).resolve(), "--write" in sys.argv
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for _ in range(1 + ("--twice" in sys.argv)):
        with contextlib.chdir(Path.cwd()):  # a notebook that goes elsewhere begins here again
            run_all(notebook)
    if write:
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")


def run_all(notebook: dict[str, Any]) -> None:
    """Run the cells from the first, and put their outputs into them."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        outputs = run("".join(cell["source"]), f"cell {number}", namespace)
        for output in outputs:
            print("".join(output.get("text", ()) or output["data"]["text/plain"]).rstrip())
        cell.update(execution_count=number, outputs=outputs)


if __name__ == "__main__":
    main()
