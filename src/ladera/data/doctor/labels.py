"""Checks of one frame's labels: are they there, are they numbers, are they plausible."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ladera.arrays import Booleans, Floats, Integers
from ladera.data.dataset import Dataset
from ladera.data.doctor.findings import Finding, Severity, counted
from ladera.data.reference_energies import isolated_atoms
from ladera.data.store import COLUMNS, LABELS

_FINITE = ("positions", "cell", "weight", *LABELS)


def not_finite(dataset: Dataset) -> tuple[list[Finding], Booleans]:
    """NaN and infinite numbers, and negative weights; and which frames are free of them."""
    findings = []
    sound: Booleans = np.ones(len(dataset), dtype=bool)
    for name in _FINITE:
        bad = dataset.of_frames(partial(_bad_frames, name))
        if name in LABELS:
            bad = bad & dataset.has(name)  # what is missing is NaN in the column
        if not bad.any():
            continue
        frames = np.flatnonzero(bad)
        atom = None
        if COLUMNS[name].per_atom:
            atom = int(np.argmax(_bad_entries(name, dataset[frames[:1]])))
        place = "" if atom is None else f", atom {atom}"
        problem = f"{name} that are not finite numbers (NaN or infinite)"
        if name == "weight":
            problem = "a weight that is negative or not finite"
        findings.append(
            Finding.about(
                "error",
                "not-finite",
                f"{counted(frames)}{place} with {problem}; repeat the calculation or remove it.",
                frames,
                atom=atom,
            )
        )
        sound = sound & ~bad
    return findings, sound


def missing(dataset: Dataset) -> Iterator[Finding]:
    """Labels that nothing has, or that only some frames have."""
    if not dataset.has("energy").any() and not dataset.has("forces").any():
        if dataset.has("dipole").any():
            yield Finding(
                "warning",
                "missing-label",
                "No frame has an energy or forces; a model learns from these frames dipoles alone.",
            )
            return
        yield Finding(
            "error",
            "no-labels",
            "No frame has an energy or forces; there is nothing to learn. Check the label keys.",
        )
        return
    for name in LABELS:
        present = dataset.has(name)
        absent = np.flatnonzero(_expected(dataset, name) & ~present)
        if len(absent) == 0 or not (present.any() or name in ("energy", "forces")):
            continue
        if not present.any():
            yield Finding(
                "warning" if name == "forces" else "error",
                "missing-label",
                f"No frame has {name}; "
                + (
                    "a potential trained on energies alone needs many more frames."
                    if name == "forces"
                    else "training needs it. Check the label keys."
                ),
            )
            continue
        yield Finding.about(
            "warning",
            "missing-label",
            f"{counted(absent)} of {len(dataset):,} without {name}, which others have; "
            "they will train on what they have.",
            absent,
        )


def placeholders(dataset: Dataset) -> Iterator[Finding]:
    """Forces, or energies, that are exactly zero everywhere."""
    several = (dataset.atom_counts > 1) & dataset.has("forces")
    largest = dataset.of_frames(lambda view: _largest(_norms(view.column("forces")), view))
    zero_forces = bool(several.any() and (largest[several] == 0).all())
    has_energy = dataset.has("energy")
    zero_energies = bool(has_energy.any() and not dataset.column("energy")[has_energy].any())
    if zero_energies:
        yield Finding.about(
            "error",
            "zero-energies",
            "Every energy is exactly 0; these are placeholders, not labels. Label the frames.",
            np.flatnonzero(has_energy),
        )
    if zero_forces:
        yield Finding.about(
            "error" if zero_energies else "warning",
            "zero-forces",
            "Every force is exactly 0; unless all structures are perfect crystals these are "
            "placeholders. Read the file without forces, or label them.",
            np.flatnonzero(several),
        )


def energy_outliers(dataset: Dataset) -> Iterator[Finding]:
    """Energies far from those of the same composition and head.

    The deviation of E/n from the median of the composition is judged by the spread of the others
    (1.4826 times the median absolute deviation). Where many deviate alike they are another phase,
    not outliers; but more than 10 eV per atom is no chemistry.
    """
    usable = np.flatnonzero(dataset.has("energy"))
    energies = dataset.column("energy")[usable] / dataset.atom_counts[usable]
    _, head = np.unique(dataset.column("head")[usable], return_inverse=True)
    kinds = np.column_stack([head.ravel(), dataset.compositions[usable]])
    _, group = np.unique(kinds, axis=0, return_inverse=True)
    group = group.ravel()
    deviation, spread, size = _deviations(energies, group)
    broken = (deviation > 10.0) & (size >= 3)
    limit = np.maximum(0.5, 15 * spread)
    alike = np.bincount(group, deviation > 0.5 * limit)[group]
    odd = (deviation > limit) & (size >= 10) & (alike < 0.05 * size + 1) & ~broken
    levels: tuple[tuple[Booleans, Severity, str], ...] = (
        (broken, "error", "no structure is that far from the others; check units and calculation"),
        (odd, "warning", "far outside what the others spread; look at the structure"),
    )
    for which, severity, remark in levels:
        if which.any():
            worst = int(np.argmax(np.where(which, deviation, -1)))
            frames = usable[which]
            yield Finding.about(
                severity,
                "energy-outlier",
                f"{counted(frames)}: the energy of frame {usable[worst]} is "
                f"{deviation[worst]:.2f} eV/atom from the median of its composition, {remark}.",
                frames,
                worst=int(usable[worst]),
            )


def stale_energies(dataset: Dataset) -> Iterator[Finding]:
    """One energy on many frames that cannot have the same: it was copied, not calculated.

    That is, on frames of unlike compositions, or of one composition with unlike forces; on three
    and on a hundredth of the frames at least, so that rounded numbers may meet by chance.
    """
    bound = np.setdiff1d(np.flatnonzero(dataset.has("energy")), isolated_atoms(dataset))
    energies = dataset.column("energy")[bound]
    if not energies.any():
        return
    values, group, counts = np.unique(energies, return_inverse=True, return_counts=True)
    fewest = min(max(3, 0.01 * len(bound)), max(2, len(bound)))
    repeated = np.flatnonzero(counts >= fewest)
    if not len(repeated):
        return

    def strengths(view: Dataset) -> Floats:
        norms = np.nan_to_num(_norms(view.column("forces")))
        means: Floats = np.add.reduceat(norms, view.offsets[:-1]) / view.atom_counts
        return means

    strength = dataset.of_frames(strengths)
    for number in repeated:
        frames = bound[group.ravel() == number]
        unlike = len(np.unique(dataset.compositions[frames], axis=0)) > 1
        spread = float(np.ptp(strength[frames]))
        if not unlike and spread <= 0.05 + 0.01 * float(strength[frames].max()):
            continue
        what = "of different compositions" if unlike else "with different forces"
        yield Finding.about(
            "error" if unlike else "warning",
            "stale-energy",
            f"{counted(frames)} {what} with the very same energy, {values[number]:.6f} eV; it was "
            "copied from one to the others. Label each with its own.",
            frames,
        )


def large_forces(dataset: Dataset) -> Iterator[Finding]:
    """Forces above 100 eV/Angstrom, which only overlapping atoms have."""

    def norms(view: Dataset) -> Floats:
        return np.nan_to_num(_norms(view.column("forces")))

    largest = dataset.of_frames(lambda view: _largest(norms(view), view))
    frames = np.flatnonzero(largest > 100.0)
    if len(frames) == 0:
        return
    worst = int(np.argmax(largest))
    atom = int(np.argmax(norms(dataset[[worst]])))
    yield Finding.about(
        "warning",
        "large-force",
        f"{counted(frames)} with a force above 100 eV/Angstrom: {largest[worst]:.0f} on atom {atom}"
        f" of frame {worst}; a few of them rule the whole fit. Check or remove them.",
        frames,
        worst=worst,
        atom=atom,
    )


def net_force(dataset: Dataset) -> Iterator[Finding]:
    """Forces that do not add up to zero, as they must without an external field.

    |sum F| is compared with sum |F|; more than 5 % of it, and more than 0.1 eV/Angstrom, is more
    than the noise of a converged calculation.
    """
    usable = dataset.has("forces") & (dataset.atom_counts > 1)

    def sums(view: Dataset) -> Floats:
        forces, starts = view.column("forces"), view.offsets[:-1]
        net = np.linalg.norm(np.add.reduceat(forces, starts, axis=0), axis=1)
        return np.column_stack([net, np.add.reduceat(_norms(forces), starts)])

    net, total = dataset.of_frames(sums).T
    wrong = usable & (np.nan_to_num(net) > np.maximum(0.1, 0.05 * np.nan_to_num(total)))
    frames = np.flatnonzero(wrong)
    if len(frames) == 0:
        return
    worst = int(np.argmax(np.where(wrong, net, -1)))
    yield Finding.about(
        "warning",
        "net-force",
        f"{counted(frames)} of {len(dataset):,} with a net force: {net[worst]:.3f} eV/Angstrom in "
        f"frame {worst}; expected zero. Look for fixed atoms, a field, or an unconverged "
        "calculation.",
        frames,
        worst=worst,
    )


def charges(dataset: Dataset) -> Iterator[Finding]:
    """Atomic charges beyond any ion's, or that do not add up to the total charge."""

    def sizes(view: Dataset) -> Floats:
        values: Floats = np.abs(np.nan_to_num(view.column("charges")))
        return values

    largest = dataset.of_frames(lambda view: _largest(sizes(view), view))
    frames = np.flatnonzero(largest > 9.0)
    if len(frames):
        worst = int(np.argmax(largest))
        atom = int(np.argmax(sizes(dataset[[worst]])))
        yield Finding.about(
            "error",
            "impossible-charge",
            f"{counted(frames)} with a charge that no ion has: {largest[worst]:.1f} e on atom "
            f"{atom} of frame {worst}. In an input.data the charge and the atomic energy may have "
            "changed places: read it with the atom columns 'energy charge'.",
            frames,
            worst=worst,
            atom=atom,
        )
        return
    both = dataset.has("charges") & dataset.has("total_charge")
    sums = dataset.of_frames(lambda v: np.add.reduceat(v.column("charges"), v.offsets[:-1]))
    excess = np.abs(np.where(both, sums - dataset.column("total_charge"), 0.0))
    frames = np.flatnonzero(excess > 0.1)
    if len(frames):
        worst = int(np.argmax(excess))
        yield Finding.about(
            "warning",
            "charge-sum",
            f"{counted(frames)} whose atomic charges do not add up to the total charge: off by "
            f"{excess[worst]:.2f} e in frame {worst}.",
            frames,
            worst=worst,
        )


def _expected(dataset: Dataset, name: str) -> Booleans:
    """Frames that could have a label: one atom has no forces, an open structure no stress."""
    if name in ("energy", "total_charge"):
        return np.ones(len(dataset), dtype=bool)
    several: Booleans = dataset.atom_counts > 1
    if name == "stress":
        return several & dataset.column("periodic").all(axis=1)
    return several


def _bad_frames(name: str, view: Dataset) -> Booleans:
    bad = _bad_entries(name, view)
    return np.logical_or.reduceat(bad, view.offsets[:-1]) if COLUMNS[name].per_atom else bad


def _bad_entries(name: str, view: Dataset) -> Booleans:
    """Which frames (or atoms) have a number that cannot be right whatever it means."""
    values = view.column(name)
    bad: Booleans = np.logical_not(np.isfinite(values).reshape(len(values), -1).all(axis=1))
    return np.logical_or(bad, values < 0) if name == "weight" else bad


def _norms(vectors: Floats) -> Floats:
    norms: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return norms


def _largest(values: Floats, dataset: Dataset) -> Floats:
    """Maximum over each frame's atoms."""
    return np.maximum.reduceat(values, dataset.offsets[:-1])


def _deviations(values: Floats, group: Integers) -> tuple[Floats, Floats, Integers]:
    """Distance of each value from its group's median, the group's spread, and its size."""
    deviation, spread = np.zeros(len(values)), np.zeros(len(values))
    size = np.zeros(len(values), dtype=np.int64)
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members):
            deviation[members] = np.abs(values[members] - np.median(values[members]))
            spread[members] = 1.4826 * np.median(deviation[members])
            size[members] = len(members)
    return deviation, spread, size
