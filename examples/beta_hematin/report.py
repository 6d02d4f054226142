"""The report: what came out, in one page of Markdown with its figures beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import crystal
import spectra
from pieces import COSTS, Folder

if TYPE_CHECKING:
    from study import Study

_SPECTRA: Final = {
    "infrared-dimer": ("dimer, own potential", "GFN1-xTB"),
    "infrared-crystal": ("crystal, own potential", "GFN1-xTB"),
    "infrared-universal": ("crystal, universal model", ""),
}
VARYING: Final = ("## What a step costs", "## What it took")  # sections with times of the machine


def text(folder: Folder, study: Study) -> str:
    """Tables of what is there."""
    title = "# beta-hematin: what came out"
    if study.quick:
        title += "\n\nThe quick form: these numbers mean nothing."
    parts = [
        title,
        _held(folder, study.candidates),
        _free(folder, study),
        _errors(folder.record("errors")),
        _marks(folder, study),
        _elastic(folder, study),
        _dynamics(folder.record("density"), folder.record("spectrum")),
        _times(folder.record("times")),
    ]
    if folder.has(COSTS):
        parts.append(_costs(folder))
    return "\n\n".join(parts) + "\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _held(folder: Folder, candidates: list[str]) -> str:
    found = folder.record("candidates")
    lowest = min(found[name]["energy_per_dimer"] for name in candidates)
    rows = []
    for name in sorted(candidates, key=lambda name: found[name]["energy_per_dimer"]):
        one = found[name]
        rows.append(
            [
                name,
                f"{one['energy_per_dimer'] - lowest:.2f}",
                f"{one['density']:.3f}",
                f"{one['largest_stress']:.2f}",
                f"{one['iron_oxygen']:.3f}" + ("" if one["bound"] else " LOST"),
                f"{one['iron_nitrogen']:.3f}",
                ", ".join(f"{x:.2f}" for x in one["acid_oxygens"]),
            ]
        )
    head = ["crystal", "energy (eV)", "density (g/cm³)", "largest stress (GPa)", "Fe-O (Å)",
            "Fe-N (Å)", "O···O (Å)"]  # fmt: skip
    words = "## In the published cell\n\nRelaxed by the universal model; energies above the lowest."
    return f"{words}\n\n{table(head, rows)}"


def _free(folder: Folder, study: Study) -> str:
    rows = []
    for isomer, model in study.crystals:
        atoms = folder.atoms(f"free-{isomer}-{Path(model).stem}")[0]
        one = crystal.measures(atoms)
        rows.append(
            [
                f"{isomer}, {Path(model).stem}",
                ", ".join(f"{x:.2f}" for x in one["cell"][:3]),
                ", ".join(f"{x:.1f}" for x in one["cell"][3:]),
                f"{100 * one['largest_length_change']:.1f}",
                f"{one['density']:.3f}",
                f"{one['largest_stress']:.3f}" + ("" if atoms.info["relaxed"] else ", not at rest"),
                f"{one['iron_oxygen']:.3f}" + ("" if one["bound"] else " LOST"),
                ", ".join(f"{x:.2f}" for x in one["acid_oxygens"]),
            ]
        )
    cell = crystal.PUBLISHED
    rows.insert(0, ["published", ", ".join(f"{x:.2f}" for x in cell[:3]),
                    ", ".join(f"{x:.1f}" for x in cell[3:]), "", "1.444", "", "1.886",
                    ""])  # fmt: skip
    head = ["crystal, model", "a, b, c (Å)", "its angles (°)", "largest change of a length (%)",
            "density (g/cm³)", "stress left (GPa)", "Fe-O (Å)", "O···O (Å)"]  # fmt: skip
    figure = "![The crystal along c and along b](structure.png)"
    return f"## With a free cell\n\n{table(head, rows)}\n\n{figure}"


def _errors(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            f"{one['force_mae']:.1f} ± {one['force_mae_error']:.1f}",
            f"{one['force_rmse']:.1f}",
            f"{one['energy_spread']:.2f}",
        ]
        for name, one in found.items()
    ]
    first = next(iter(found.values()))
    head = ["model", "forces, MAE (meV/Å)", "RMSE", "energies but for a constant (meV/atom)"]
    words = (
        f"Against labels of GFN1-xTB, {first['frames']} frames; a force component is "
        f"{first['force_size']:.0f} meV/Å on average. The universal model has learned another "
        "level of theory."
    )
    title = "## Errors on frames of the crystal at 300 K that none has seen"
    return f"{title}\n\n{words}\n\n{table(head, rows)}\n\n![Errors](errors.png)"


def _marks(folder: Folder, study: Study) -> str:
    biases, rows, counts = folder.record("bias"), [], []
    for name, (title, level) in _SPECTRA.items():
        found = folder.record(name)
        counts.append(f"{title}: {found['imaginary']}")
        known = biases.get(level or Path(study.models[0]).stem)
        rows += [[mark["name"], title, *_mark(mark, known)] for mark in found["marks"]]
    rows.sort(key=lambda row: row[0])
    head = ["mark", "of", "measured, crystal (cm⁻¹)", "computed", "bias of the level",
            "computed less bias", "share of the stretch", "intensity (km/mol)"]  # fmt: skip
    raman = ", ".join(map(str, spectra.LISTED))
    words = (
        "Harmonic, unscaled. The bias of a level of theory is what it is off by, on average, for "
        "the same bond of formic acid, acetic acid or methyl formate in the gas (measured "
        f"fundamentals). Raman lines are listed only: {raman} cm⁻¹. Imaginary modes: "
        f"{'; '.join(counts)}. Intensities are of a cell, at the zone's centre, without the "
        "splitting of longitudinal and transverse modes."
    )
    figure = "![Infrared spectra with the measured marks](infrared.png)"
    return f"## Infrared marks\n\n{words}\n\n{table(head, rows)}\n\n{figure}"


def _mark(mark: dict[str, Any], known: dict[str, Any] | None) -> list[str]:
    bias = known and known[mark["kind"]]
    return [
        f"{mark['measured'][0]}-{mark['measured'][1]}",
        f"{mark['computed']:.0f}",
        f"{bias['mean']:+.0f} ({', '.join(f'{x:+.0f}' for x in bias['each'])})" if bias else "",
        f"{spectra.corrected(mark, known):.0f}" if known else "",
        f"{mark['share']:.2f}",
        f"{mark['intensity']:.0f}",
    ]


def _elastic(folder: Folder, study: Study) -> str:
    rows, skipped = [], []
    for isomer, model in study.crystals:
        name = f"{isomer}-{Path(model).stem}"
        found = folder.record(f"elastic-{name}")
        if "skipped" in found:
            skipped.append(f"{name}: {found['skipped']}.")
            continue
        rows.append(
            [
                name,
                ", ".join(f"{x:.1f}" for x in found["eigenvalues"]),
                f"{found['bulk_modulus'][2]:.1f}",
                f"{found['shear_modulus'][2]:.1f}",
                f"{found['error']:.2g}",
                "yes" if found["stable"] else "NO",
            ]
        )
    head = ["crystal, model", "eigenvalues of the stiffness (GPa)", "bulk modulus, Hill (GPa)",
            "shear modulus, Hill (GPa)", "largest error of a constant", "stable"]  # fmt: skip
    title = "## Elastic constants: a prediction, none was measured"
    words = (
        "All 21 are in the folders elastic-*. Rows that differ say what the prediction is worth."
    )
    tables = [table(head, rows)] if rows else []
    return "\n\n".join([title, words, *tables, *skipped, "![Young's modulus](elastic.png)"])


def _dynamics(density: dict[str, Any], spectrum: dict[str, Any]) -> str:
    rows = [
        [mark["name"], f"{mark['measured']:.0f}", _or_none(mark["computed"], ".0f")]
        for mark in spectrum["marks"]
    ]
    head = ["mark", "measured (cm⁻¹)", "nearest peak at 300 K (cm⁻¹)"]
    error = _or_none(density["density_error"], ".3f")
    return (
        f"## {density['atoms']} atoms at 300 K\n\n{density['picoseconds']:g} ps at no pressure: "
        f"{density['density']:.3f} ± {error} g/cm³ (published cell: 1.444). "
        f"{density['kelvin']:.0f} K; the conserved energy went by "
        f"{density['drift_mev_per_atom']:.2f} meV/atom; longest Fe-O at the end "
        f"{density['iron_oxygen']:.2f} Å; largest grade of an atom {density['largest_grade']:.1f} "
        f"(1 is the edge of the training data). Then {spectrum['picoseconds']:g} ps at constant "
        f"energy, {spectrum['kelvin']:.0f} K, for the spectrum.\n\n{table(head, rows)}"
    )


def _or_none(value: float | None, pattern: str) -> str:
    return "none" if value is None else format(value, pattern)


def _times(found: dict[str, Any]) -> str:
    rows = [[name, f"{n}", f"{seconds:.3g}"] for name, rows in found.items() for n, seconds in rows]
    head = ["method", "atoms", "CPU seconds of a step"]
    return f"{VARYING[0]}\n\n{table(head, rows)}\n\n![Time of a step](times.png)"


def _costs(folder: Folder) -> str:
    found = folder.record(Path(COSTS).stem)
    rows = [[name, f"{one['cpu']:.0f}", f"{one['clock']:.0f}"] for name, one in found.items()]
    total = [f"{sum(one[key] for one in found.values()):.0f}" for key in ("cpu", "clock")]
    words = "Of the last attempt at each piece; labels are made by processes that wait, and count "
    words += "in seconds of the clock alone."
    head = ["piece", "CPU seconds", "seconds"]
    return f"{VARYING[1]}\n\n{words}\n\n{table(head, [*rows, ['all', *total]])}"
