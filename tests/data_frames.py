"""Labelled structures from simple spring models, whose forces and stress are exact."""

from __future__ import annotations

import numpy as np
import vesin
from ase.build import bulk

from ladera.data.dataset import Dataset
from ladera.data.frame import Frame

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])  # Angstrom


def water_frame(displacement: np.ndarray, **fields: object) -> Frame:
    """H2O with springs as stiff as its bonds: E = -14 eV + sum_pairs k/2 (r - r0)^2."""
    positions = WATER + displacement
    energy, forces = -14.0, np.zeros((3, 3))
    for i, j, stiffness in ((0, 1, 48.0), (0, 2, 48.0), (1, 2, 10.0)):
        rest = np.linalg.norm(WATER[j] - WATER[i])
        bond = positions[j] - positions[i]
        length = np.linalg.norm(bond)
        energy += 0.5 * stiffness * (length - rest) ** 2
        pull = stiffness * (length - rest) * bond / length
        forces[i] += pull
        forces[j] -= pull
    values: dict[str, object] = {"energy": float(energy), "forces": forces, **fields}
    return Frame(
        numbers=np.array([8, 1, 1]),
        positions=positions,
        cell=np.zeros((3, 3)),
        periodic=np.zeros(3, dtype=bool),
        **values,  # type: ignore[arg-type]
    )


def water(n_frames: int = 60, seed: int = 0) -> list[Frame]:
    """Vibrating water molecules."""
    generator = np.random.default_rng(seed)
    return [
        water_frame(generator.normal(scale=0.05, size=(3, 3)), source=f"water.xyz, frame {k}")
        for k in range(n_frames)
    ]


def copper_frame(strain: np.ndarray, displacement: np.ndarray) -> Frame:
    """32 copper atoms with springs between first neighbours, strained."""
    crystal = bulk("Cu", cubic=True).repeat(2)
    deformation = np.eye(3) + strain
    cell = crystal.cell.array @ deformation
    positions = crystal.positions @ deformation + displacement
    i, j, vectors = vesin.NeighborList(cutoff=3.1, full_list=False).compute(
        positions, cell, True, "ijD"
    )
    lengths = np.linalg.norm(vectors, axis=1)
    pull = (1.7 * (lengths - 2.5527) / lengths)[:, None] * vectors
    forces = np.zeros_like(positions)
    np.add.at(forces, i, pull)
    np.add.at(forces, j, -pull)
    return Frame(
        numbers=crystal.numbers.astype(np.int64),
        positions=positions,
        cell=cell,
        periodic=np.ones(3, dtype=bool),
        energy=float(-3.7 * len(crystal) + 0.5 * 1.7 * ((lengths - 2.5527) ** 2).sum()),
        forces=forces,
        stress=pull.T @ vectors / np.linalg.det(cell),
    )


def copper(n_frames: int = 20, seed: int = 0) -> list[Frame]:
    """Copper in strained cells, its atoms vibrating a little."""
    generator = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        strain = generator.normal(scale=0.01, size=(3, 3))
        displacement = generator.normal(scale=0.01, size=(32, 3))
        frames.append(copper_frame(0.5 * (strain + strain.T), displacement))
    return frames


def dataset(frames: list[Frame]) -> Dataset:
    """The frames as a data set."""
    return Dataset.from_frames(frames)


def assert_same_frames(one: Frame, other: Frame, tolerance: float = 0.0) -> None:
    """Every field but the source is equal, NaN equal to NaN."""
    for name in Frame.__dataclass_fields__:
        if name == "source":
            continue
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if isinstance(left, str):
            assert left == right, name
        elif left is not None:
            np.testing.assert_allclose(
                right, left, rtol=tolerance, atol=tolerance, equal_nan=True, err_msg=name
            )
