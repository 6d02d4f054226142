"""Models and structures shared by the tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import settings
from pydantic import TypeAdapter

import ladera
from ladera import Graph, Potential
from ladera.kernels.symmetry_functions.functions import SymmetryFunction
from ladera.models.hdnnp import HDNNPConfig
from ladera.models.lennard_jones import LennardJonesConfig
from ladera.models.mace import MACEConfig
from ladera.models.mtp import MTP, MTPConfig
from ladera.models.nequip import NequIPConfig
from ladera.potential import TrainingStatistics

# The same examples in every run; `pytest --hypothesis-profile default` looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SPECIES = ("H", "O")
FUNCTION: TypeAdapter[SymmetryFunction] = TypeAdapter(SymmetryFunction)


def water_like(n: int, cell: float, pbc: object, seed: int) -> Atoms:
    """A disordered H2nOn structure without atoms on top of each other."""
    generator = np.random.default_rng(seed)
    positions: list[np.ndarray] = []
    box = np.diag([cell, cell * 1.1, cell * 0.95])
    box[1, 0] = 0.2 * cell
    while len(positions) < n:
        trial = generator.random(3) @ box
        if all(np.linalg.norm(trial - p) > 1.1 for p in positions):
            positions.append(trial)
    symbols = ["O" if i % 3 == 0 else "H" for i in range(n)]
    return Atoms(symbols, positions, cell=box if np.any(pbc) else None, pbc=pbc)


def mixed_functions(cutoff: float) -> tuple[SymmetryFunction, ...]:
    """Functions of every kind, with the parameters that are easily forgotten."""
    functions: list[SymmetryFunction] = []
    for center in SPECIES:
        for neighbor in SPECIES:
            functions += _radial_functions(center, (neighbor,), "", cutoff)
        for pair in (("H", "H"), ("H", "O"), ("O", "O")):
            functions += _angular_functions(center, pair, "", cutoff)
        functions += _radial_functions(center, (), "weighted_", cutoff)
        functions += _angular_functions(center, (), "weighted_", cutoff)
    return tuple(functions)


def functions_beyond_n2p2(cutoff: float) -> tuple[SymmetryFunction, ...]:
    """Functions of the kinds that n2p2 lacks."""
    functions: list[dict[str, object]] = []
    for center in SPECIES:
        functions += [
            {
                "kind": "shifted_wide",
                "center": center,
                "neighbors": pair,
                "eta": eta,
                "shift": shift,
                "zeta": zeta,
                "angle": angle,
                "cutoff": reach,
            }
            for pair in (("H", "H"), ("H", "O"))
            for eta, shift, zeta, angle, reach in (
                (3.0, 1.3, 14.1, 112.5, cutoff),
                (0.0, 0.0, 8.0, 0.0, cutoff),
                (1.0, 2.0, 8.0, 180.0, cutoff - 0.4),
            )
        ]
        functions += [
            {
                "kind": kind,
                "center": center,
                "cutoff": reach,
                "order": order,
                "weights": weights,
            }
            for weights in ({}, {"H": -1.0, "O": 1.5})
            for kind, order, reach in (
                ("chebyshev_radial", 0, cutoff),
                ("chebyshev_radial", 4, cutoff),
                ("chebyshev_angular", 0, cutoff),
                ("chebyshev_angular", 5, cutoff - 0.5),
            )
        ]
    return tuple(FUNCTION.validate_python(one) for one in functions)


def _radial_functions(
    center: str, neighbors: tuple[str, ...], prefix: str, cutoff: float
) -> list[SymmetryFunction]:
    shared = {"center": center, "neighbors": neighbors}
    gaussians = [
        {"kind": f"{prefix}radial", "eta": eta, "shift": shift, "cutoff": cutoff}
        for eta, shift in ((0.02, 0.0), (0.8, 1.8))
    ]
    compact = [
        {
            "kind": f"{prefix}polynomial_radial",
            "inner": inner,
            "cutoff": cutoff - 0.2,
            "shape": shape,
        }
        for inner, shape in ((0.2 - cutoff, "poly2"), (0.9, "poly3_asymmetric"))
    ]
    return [FUNCTION.validate_python(shared | one) for one in gaussians + compact]


def _angular_functions(
    center: str, neighbors: tuple[str, ...], prefix: str, cutoff: float
) -> list[SymmetryFunction]:
    shared = {"center": center, "neighbors": neighbors}
    gaussians: list[dict[str, object]] = [
        {
            "kind": prefix + kind,
            "eta": eta,
            "lambda": lambda_,
            "zeta": zeta,
            "shift": shift,
            "cutoff": reach,
        }
        for kind, eta, lambda_, zeta, shift, reach in (
            ("wide", 0.01, 1.0, 1.0, 0.0, cutoff),
            ("wide", 0.05, -1.0, 4.0, 1.0, cutoff),
            ("wide", 0.05, 1.0, 2.5, 0.0, cutoff - 0.4),
            ("narrow", 0.03, -1.0, 2.0, 0.0, cutoff),
            ("narrow", 0.03, 0.6, 3.0, 0.0, cutoff),
            ("narrow", 0.01, 1.0, 1.0, 0.2, cutoff - 0.4),
        )
        if prefix + kind != "weighted_wide"  # n2p2 has none
    ]
    compact: list[dict[str, object]] = [
        {
            "kind": f"{prefix}polynomial_{kind}",
            "inner": inner,
            "cutoff": reach,
            "angle_left": left,
            "angle_right": right,
            "shape": shape,
        }
        for kind, inner, reach, left, right, shape in (
            ("narrow", -1.0, cutoff, 40.0, 170.0, "poly1_asymmetric"),
            ("narrow", -1.0, cutoff, 40.0, 170.0, "poly4"),
            ("narrow", 0.8, cutoff - 0.3, -90.0, 90.0, "exponential"),
            ("wide", -cutoff, cutoff, 100.0, 260.0, "poly2"),
            ("wide", -cutoff, cutoff, 0.0, 150.0, "poly3_asymmetric"),
        )
    ]
    return [FUNCTION.validate_python(shared | one) for one in gaussians + compact]


def lennard_jones() -> Potential:
    """Two species with a well of half an eV."""
    return ladera.build(
        LennardJonesConfig(
            species=SPECIES,
            cutoff=4.5,
            epsilon={"H": 0.3, "O": 0.6},
            sigma={"H": 1.2, "O": 1.6},
        )
    )


def moment_tensor(level: int = 8, species: tuple[str, ...] = SPECIES) -> MTP:
    """A moment tensor potential with random coefficients."""
    torch.manual_seed(3)
    config = MTPConfig(species=species, cutoff=3.9, level=level, radial_basis_size=5)
    potential = MTP(config)
    with torch.no_grad():
        potential.radial_coefficients.copy_(torch.randn_like(potential.radial_coefficients) / 50)
        potential.moment_coefficients.normal_()
        potential.species_energies.normal_()
        potential.reference_energies.copy_(torch.arange(1, 1 + len(species)) * -13.6)
    return potential.eval()


def fitted(config: HDNNPConfig) -> Potential:
    """An HDNNP with random weights and the scaling of a few random structures."""
    torch.manual_seed(7)
    potential = ladera.build(config)
    graphs = [Graph.from_atoms(water_like(12, 6.0, True, s), config.cutoff) for s in range(4)]
    statistics = TrainingStatistics({"H": -13.6, "O": -2041.8}, energy_shift=-1.5, force_scale=0.7)
    potential.fit_statistics(graphs, statistics)
    return potential.eval()


def hdnnp_mixed() -> Potential:
    """Every kind of symmetry function."""
    return fitted(
        HDNNPConfig(
            species=SPECIES,
            cutoff=4.5,
            symmetry_functions=(*mixed_functions(4.5), *functions_beyond_n2p2(4.5)),
            cutoff_function="tanh3",
            hidden_layers=(8, 6),
            scaling="scale_center",
        )
    )


def hdnnp_generated() -> Potential:
    """What a user gets who names only a cutoff."""
    return fitted(HDNNPConfig(species=SPECIES, cutoff=4.5, size="small"))


def small_mace(**changes: Any) -> Potential:
    """A MACE of few channels with random weights, and what training frames tell it."""
    torch.manual_seed(11)
    sizes = {"channels": 4, "max_l": 2, "correlation": 3, "num_radial": 5, "radial_layers": (8,)}
    config = MACEConfig(species=SPECIES, cutoff=4.0, **sizes | changes)
    potential = ladera.build(config)
    graphs = [Graph.from_atoms(water_like(12, 6.0, True, s), config.cutoff) for s in range(2)]
    statistics = TrainingStatistics({"H": -13.6, "O": -2041.8}, energy_shift=-1.5, force_scale=20.0)
    potential.fit_statistics(graphs, statistics)
    return potential.eval()


def mace_mixed() -> Potential:
    """Layers of two kinds, and close nuclei that repel."""
    kinds = ("agnostic", "density_residual")
    return small_mace(interactions=kinds, transform="agnesi", zbl=True, correlation=2, channels=3)


def small_nequip(**changes: Any) -> Potential:
    """A NequIP of few channels with random weights, and what training frames tell it."""
    torch.manual_seed(11)
    sizes = {"channels": (4, 3, 2), "layers": 3, "num_radial": 5, "radial_layers": (8,)}
    config = NequIPConfig(species=SPECIES, cutoff=4.0, **sizes | changes)
    potential = ladera.build(config)
    graphs = [Graph.from_atoms(water_like(12, 6.0, True, s), config.cutoff) for s in range(2)]
    statistics = TrainingStatistics({"H": -13.6, "O": -2041.8}, energy_shift=-1.5, force_scale=5.0)
    potential.fit_statistics(graphs, statistics)
    return potential.eval()


def nequip_mixed() -> Potential:
    """Two layers, with a basis that is trained, biases, and nodes in the readout."""
    kinds = {"train_basis": True, "biases": True, "readout_layers": (5,)}
    return small_nequip(layers=2, max_l=1, channels=(3, 2), **kinds)


POTENTIALS: dict[str, Callable[[], Potential]] = {
    "lennard_jones": lennard_jones,
    "hdnnp_mixed": hdnnp_mixed,
    "hdnnp_generated": hdnnp_generated,
    "mace": mace_mixed,
    "mtp": moment_tensor,
    "nequip": nequip_mixed,
}


@pytest.fixture(scope="session", params=list(POTENTIALS))
def potential(request: pytest.FixtureRequest) -> Potential:
    """Each registered model in turn."""
    return POTENTIALS[request.param]()


@pytest.fixture(autouse=True, scope="session")
def _few_threads() -> None:
    asked = os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(int(asked) if asked else min(2, os.cpu_count() or 1))
