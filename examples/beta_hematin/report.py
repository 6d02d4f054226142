"""The report: what came out, in one page of Markdown with its figures beside it."""

from __future__ import annotations

from typing import Any

from pieces import Folder


def text(folder: Folder, candidates: list[str]) -> str:
    """Tables of what is there."""
    parts = ["# beta-hematin: what came out", _structures(folder, candidates)]
    if folder.has("errors.json"):
        parts.append(_errors(folder))
    parts += [_infrared(folder.record("infrared")), _times(folder.record("times"))]
    parts += [_elastic(folder), _dynamics(folder.record("dynamics"))]
    return "\n\n".join(parts) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _structures(folder: Folder, candidates: list[str]) -> str:
    found = folder.record("candidates")
    lowest = min(found[name]["held"]["energy_per_dimer"] for name in candidates)
    rows = []
    for name in sorted(candidates, key=lambda name: found[name]["held"]["energy_per_dimer"]):
        for kind in ("held", "free"):
            one = found[name][kind]
            rows.append(
                [
                    name,
                    "published cell" if kind == "held" else "free cell",
                    f"{one['energy_per_dimer'] - lowest:.2f}",
                    ", ".join(f"{x:.2f}" for x in one["cell"]),
                    f"{100 * one['largest_length_change']:.1f}",
                    f"{one['largest_angle_change']:.1f}",
                    f"{one['density']:.3f}",
                    f"{one['largest_stress']:.2f}",
                    f"{one['iron_oxygen']:.3f}" + ("" if one["bound"] else " LOST"),
                    f"{one['iron_nitrogen']:.3f}",
                    ", ".join(f"{x:.2f}" for x in one["acid_oxygens"]),
                ]
            )
    head = ["crystal", "relaxed in", "energy (eV)", "a, b, c (Å), their angles (°)",
            "largest change of a length (%)", "of an angle (°)", "density (g/cm³)",
            "largest stress (GPa)", "Fe-O (Å)", "Fe-N (Å)", "O···O (Å)"]  # fmt: skip
    return "## Structures\n\n" + table(head, rows)


def _errors(folder: Folder) -> str:
    found = folder.record("errors")
    rows = [
        [name, *(f"{found[name][key]:.1f}" for key in ("force_mae", "force_rmse", "energy_spread"))]
        for name in found
    ]
    head = ["model", "forces, MAE (meV/Å)", "RMSE", "energies but for a constant (meV/atom)"]
    return "## Errors on frames of the crystal at 300 K that none has seen\n\n" + table(head, rows)


def _infrared(found: dict[str, Any]) -> str:
    if "skipped" in found:
        return f"## Infrared marks\n\nNone: {found['skipped']}."
    rows = [
        [mark["name"], f"{mark['measured'][0]}-{mark['measured'][1]}", f"{mark['computed']:.0f}",
         f"{mark['share']:.2f}", f"{mark['intensity']:.0f}"]
        for mark in found["marks"]
    ]  # fmt: skip
    head = ["mark", "measured, crystal (cm⁻¹)", "computed (cm⁻¹)", "share of the stretch",
            "intensity (km/mol)"]  # fmt: skip
    words = "Of the dimer by itself, by the crystal's own potential, unscaled; "
    words += f"imaginary modes: {found['imaginary']}."
    return "## Infrared marks\n\n" + words + "\n\n" + table(head, rows)


def _times(found: dict[str, Any]) -> str:
    rows = [[name, f"{n}", f"{seconds:.2f}"] for name, rows in found.items() for n, seconds in rows]
    head = ["method", "atoms", "CPU seconds of a step"]
    return "## What a step costs\n\n" + table(head, rows) + "\n\n![Time of a step](times.png)"


def _elastic(folder: Folder) -> str:
    rows, skipped = [], []
    for file in sorted(folder.path.glob("elastic-*.json")):
        found = folder.record(file.stem)
        if "skipped" in found:
            skipped.append(f"{file.stem}: {found['skipped']}.")
            continue
        rows.append(
            [
                file.stem.removeprefix("elastic-"),
                ", ".join(f"{x:.1f}" for x in found["eigenvalues"]),
                f"{found['bulk_modulus'][2]:.1f}",
                f"{found['shear_modulus'][2]:.1f}",
                "yes" if found["stable"] else "NO",
            ]
        )
    head = ["crystal, model", "eigenvalues of the stiffness (GPa)", "bulk modulus, Hill (GPa)",
            "shear modulus, Hill (GPa)", "stable"]  # fmt: skip
    title = "## Elastic constants: a prediction, none was measured"
    return "\n\n".join([title, *([table(head, rows)] if rows else []), *skipped])


def _dynamics(found: dict[str, Any]) -> str:
    return (
        f"## 296 atoms at 300 K\n\n{found['density']:.3f} g/cm³, standard deviation in time "
        f"{found['density_deviation']:.3f}, over {found['frames']} frames."
    )
