"""Models of mace-torch with dipoles: read from state dicts, compared with its numbers.

The state dicts have the names and shapes of mace-torch 0.3.16 and made-up numbers. ``RECORDED`` is
what its EnergyDipolesMACE and AtomicDipolesMACE said of WATER with the same state dicts, in eV,
eV/Angstrom and debye.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms

import ladera
from ladera import Graph, evaluate
from ladera.codes import mace_torch
from ladera.errors import ConfigError, LaderaError
from ladera.models.equivariant.irreps import Irrep, natural
from ladera.models.mace.couplings import tensors
from ladera.quantities import ENERGY
from ladera.structure import StructureWarning
from ladera.units import DEBYE

WATER = Atoms("OH2", [[0.0, 0.0, 0.1], [0.8, 0.1, -0.5], [-0.7, 0.3, -0.4]])
C, S, RADIAL, NODES = 2, 2, 4, 3  # channels, elements, radial functions, nodes of the readout

RECORDED: dict[str, dict[str, Any]] = {
    "energy": {
        "energy": -2069.4857489416345,
        "dipole": [0.02081674203855103, -0.09988485302210592, 0.25548194520359757],
        "forces": [
            [-1.013670059172493, 0.3899874934863373, -0.606492377310879],
            [1.1196731519384193, -0.12854990538424804, -0.12950512044164877],
            [-0.10600309276592623, -0.26143758810208934, 0.7359974977525279],
        ],
    },
    "energy, scalar nodes": {
        "energy": -2069.2503066573186,
        "dipole": [0.020730031406545456, -0.09841952482654295, 0.2516422783061753],
        "forces": [
            [-0.6541143626832538, 0.26219105719571895, -0.4192316121021501],
            [0.3034915195923096, -0.03199849010032601, -0.04262946988623523],
            [0.35062284309094427, -0.23019256709539293, 0.46186108198838527],
        ],
    },
    "dipole": {"dipole": [-0.03367528123882863, 0.1573556429158262, -0.40210916332235425]},
}


def numbers(*shape: int, seed: float = 0.0) -> torch.Tensor:
    """As good as random."""
    count = int(np.prod(shape))
    return torch.from_numpy(1.5 * np.sin(1.0 + seed + 2.3 * np.arange(count) ** 1.1).reshape(shape))


def product(layer: int, degrees: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Couplings of up to two features of l <= 2, and their weights."""
    found = {f"products.{layer}.linear.weight": numbers(len(degrees) * C * C, seed=layer)}
    for place, degree in enumerate(degrees):
        own = f"products.{layer}.symmetric_contractions.contractions.{place}."
        for order, name in ((2, "weights_max"), (1, "weights.0")):
            U = np.stack(tensors(natural(2), Irrep(degree, (-1) ** degree), order), axis=-1)
            found[f"{own}U_matrix_{order}"] = torch.from_numpy(U[0] if degree == 0 else U)
            found[own + name] = numbers(S, U.shape[-1], C, seed=place + order)
    return found


def state_dict(model: str, nodes: str) -> dict[str, torch.Tensor]:
    """Two layers, l up to 2: agnostic, residual."""
    has_energy = model == "EnergyDipolesMACE"
    last = (0, 1) if has_energy else (1,)
    found = {
        "atomic_numbers": torch.tensor([1, 8]),
        "r_max": torch.tensor(3.0).double(),
        "num_interactions": torch.tensor(2),
        "node_embedding.linear.weight": numbers(S * C),
        "radial_embedding.bessel_fn.bessel_weights": np.pi / 3.0 * torch.arange(1, 5).double(),
        "radial_embedding.bessel_fn.r_max": torch.tensor(3.0).double(),
        "radial_embedding.bessel_fn.prefactor": torch.tensor((2.0 / 3.0) ** 0.5).double(),
        "radial_embedding.cutoff_fn.p": torch.tensor(5, dtype=torch.int32),
        "radial_embedding.cutoff_fn.r_max": torch.tensor(3.0).double(),
        **product(0, (0, 1)),
        **product(1, last),
    }
    for layer, (inputs, paths, skip) in enumerate(((1, 3, 3 * S), (2, 7, len(last) * S))):
        own = f"interactions.{layer}."
        found[own + "linear_up.weight"] = numbers(inputs * C * C, seed=layer)
        found[own + "conv_tp_weights.layer0.weight"] = numbers(RADIAL, 4, seed=layer)
        found[own + "conv_tp_weights.layer1.weight"] = numbers(4, paths * C, seed=layer + 1)
        found[own + "linear.weight"] = numbers(paths * C * C, seed=layer + 2)
        found[own + "skip_tp.weight"] = numbers(skip * C * C, seed=layer + 3)
    kinds = nodes.count("x")
    sizes = (C, C * kinds * NODES, kinds * NODES)
    if has_energy:
        found["atomic_energies_fn.atomic_energies"] = torch.tensor([-13.6, -2041.8]).double()
        sizes = (2 * C, C * NODES * (3 if kinds == 2 else 1), kinds * NODES)
    names = ("readouts.0.linear", "readouts.1.linear_1", "readouts.1.linear_2")
    found |= {f"{n}.weight": numbers(size, seed=size) for n, size in zip(names, sizes, strict=True)}
    return found


CASES = {
    "energy": ("EnergyDipolesMACE", "3x0e+3x1o"),
    "energy, scalar nodes": ("EnergyDipolesMACE", "3x0e"),
    "dipole": ("AtomicDipolesMACE", "3x1o"),
}


def written(folder: Path, case: str) -> Path:
    torch.save(state_dict(*CASES[case]), folder / "model.pt")
    (folder / "model.json").write_text(json.dumps({"avg_num_neighbors": 2.0}))
    return folder / "model.pt"


@pytest.mark.parametrize("case", CASES)
def test_the_same_dipoles_as_mace_torch(case: str, tmp_path: Path) -> None:
    potential, expected = ladera.load(written(tmp_path, case)), RECORDED[case]
    with torch.no_grad():
        found = evaluate(potential, Graph.from_atoms(WATER, potential.cutoff))
    assert found.dipole[0].numpy() / DEBYE == pytest.approx(expected["dipole"], rel=1e-10)
    assert found.charges is None
    if ENERGY not in potential.gives:
        with pytest.raises(LaderaError, match="neither energies nor forces"):
            _ = found.energy
        return
    assert found.energy.item() == pytest.approx(expected["energy"], rel=1e-12)
    np.testing.assert_allclose(found.forces.numpy(), expected["forces"], rtol=1e-9, atol=1e-9)


def test_they_are_models_like_any_other(tmp_path: Path) -> None:
    potential = ladera.load(written(tmp_path, "energy"))
    potential.save(tmp_path / "model.ladera")
    again = ladera.load(tmp_path / "model.ladera")
    ion = WATER.copy()
    ion.info["total_charge"] = 1.0
    moments = []
    for atoms, model in ((WATER, potential), (WATER, again)):
        atoms = atoms.copy()
        atoms.calc = model.calculator()
        moments.append(atoms.get_dipole_moment())
    # There are no charges, and so the total charge does not matter, which is said.
    ion.calc = again.calculator()
    with pytest.warns(StructureWarning, match=r"total charge of \+1 e, which .* does not know"):
        moments.append(ion.get_dipole_moment())
    np.testing.assert_allclose(moments[1:], [moments[0]] * 2, rtol=1e-12)
    turned = WATER.copy()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned.positions = turned.positions @ rotation.T + 3.0
    turned.calc = potential.calculator()
    np.testing.assert_allclose(turned.get_dipole_moment(), rotation @ moments[0], atol=1e-12)
    # And back: scale and shift of a model trained here go into its weights and energies of atoms.
    with torch.no_grad():
        potential.get_buffer("scale").fill_(1.3)
        potential.get_buffer("shift").fill_(0.2)
        back = ladera.load(mace_torch.export(potential, tmp_path / "there")[0])
        found, expected = (
            evaluate(each, Graph.from_atoms(WATER, each.cutoff)) for each in (back, potential)
        )
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert torch.allclose(found.forces, expected.forces, atol=1e-12)
    assert torch.allclose(found.dipole, expected.dipole, atol=1e-12)
    dipoles = ladera.load(written(tmp_path, "dipole"))
    with pytest.raises(ConfigError, match="EnergyDipolesMACE, whose outputs would be"):
        mace_torch.export(dipoles, tmp_path / "alone")
