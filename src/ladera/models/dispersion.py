"""London dispersion by D3: what functionals such as PBE, and models trained on them, leave out."""

from __future__ import annotations

import importlib
import tomllib
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from ladera.errors import ConfigError, DataError, did_you_mean
from ladera.units import BOHR, HARTREE

if TYPE_CHECKING:
    from ladera.arrays import Floats
    from ladera.structure import Structure

CUTOFF: Final = 60 * BOHR  # of pairs
HEAVIEST: Final = 94  # Pu, the last element of D3 (and dftd3 dies of some beyond its tables)
STEP: Final = 0.002  # Angstrom, of the differences of gradients that are second derivatives
_MARGIN: Final = 1.0  # Angstrom, about the atoms in open directions
# What a damping is called in the package's table of parameters, and the class of its parameters.
_DAMPINGS: Final = {"bj": "RationalDampingParam", "zero": "ZeroDampingParam"}
_ALIASES: Final = {"d3bj": "bj", "d3zero": "zero", "d3": "zero"}


class Found(NamedTuple):
    """The dispersion of one structure."""

    energies: Floats  # (n_atoms,), eV, each atom's half of its pairs
    gradient: Floats  # (n_atoms, 3), dE/dr, eV/Angstrom
    virial: Floats  # (3, 3), dE/d(strain), eV


class Dispersion:
    r"""The D3 dispersion energy of a functional, with Becke-Johnson or zero damping.

        E = -sum_(i<j) sum_(n=6,8) s_n C_n / (r^n + f^n),    f = a_1 sqrt(C_8 / C_6) + a_2

    (Grimme, Ehrlich and Goerigk, J. Comput. Chem. 32, 1456 (2011)), with the C_n of each pair by
    the coordination numbers of its atoms, and s_n, a_1, a_2 of a functional; with zero damping
    C_n / r^n / (1 + 6 (r / (s_rn R))^-a_n) instead (Grimme et al., JCP 132, 154104 (2010)). By
    simple-dftd3, the package ``dftd3``; pairs up to 60 Bohr, without the term of three atoms.

    ``method`` is a functional, with its damping after a colon if it is not bj: "pbe", "pbe:zero".
    Raises ConfigError without the package, for a functional that has no parameters, and for a
    damping that is not known.
    """

    def __init__(self, method: str = "pbe") -> None:
        functional, _, damping = method.lower().partition(":")
        damping = _ALIASES.get(damping, damping) or "bj"
        if damping not in _DAMPINGS:
            raise ConfigError(
                f"D3 has no damping '{damping}' (of '{method}'); {did_you_mean(damping, _DAMPINGS)}"
            )
        self._library = _library()
        self.method = f"{functional}:{damping}"
        try:
            self._damping = getattr(self._library, _DAMPINGS[damping])(method=functional)
        except RuntimeError as error:
            hint = did_you_mean(functional, _functionals(damping))
            raise ConfigError(
                f"D3({damping.upper()}) has no parameters for the functional '{functional}'; {hint}"
            ) from error

    def __reduce__(self) -> tuple[type[Dispersion], tuple[str]]:
        """Copies, also those for other processes, ask the package for handles of their own."""
        return type(self), (self.method,)

    def of(self, structure: Structure) -> Found:
        """Energies and their derivatives; DataError for an element beyond plutonium."""
        check_elements(structure.numbers)
        structure.check(CUTOFF)
        positions, cell, turn = _in_a_box(structure)
        model = self._library.DispersionModel(
            structure.numbers,
            positions / BOHR,
            cell / BOHR,
            np.arange(3) < structure.periodic.sum(),
        )
        sums = model.get_dispersion(param=self._damping, grad=True)
        pairs = model.get_pairwise_dispersion(param=self._damping)["additive pairwise energy"]
        return Found(
            HARTREE * np.asarray(pairs).sum(axis=1),
            HARTREE / BOHR * np.asarray(sums["gradient"]) @ turn.T,
            HARTREE * turn @ np.asarray(sums["virial"]) @ turn.T,
        )

    def energy(self, structure: Structure, positions: Tensor, cell: Tensor) -> Tensor:
        """Energies of the atoms, (n_atoms,), eV, of which torch knows how to differentiate the sum.

        Twice in ``positions`` (n_atoms, 3) and ``cell`` (3, 3), which say where the structure is;
        the second derivatives are central differences of the gradient, :data:`STEP` each way.
        """
        found = self.of(_moved(structure, positions, cell))
        total: Tensor = _energy(positions, cell, self, structure, found)
        energies: Tensor = torch.from_numpy(found.energies).to(positions.device)
        return energies + (total - total.detach()) / len(energies)


class _Energy(torch.autograd.Function):
    """The energy; its gradient is :class:`_Gradient`."""

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        cell: Tensor,
        d3: Dispersion,
        structure: Structure,
        found: Found,
    ) -> Tensor:
        """E, eV."""
        ctx.save_for_backward(positions, cell)
        ctx.of = (d3, structure, found)
        return positions.new_tensor(found.energies.sum(), dtype=torch.float64)

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor | None, ...]:
        """By positions and cell."""
        gradients = _gradient(*ctx.saved_tensors, *ctx.of)
        return *(by[0] * gradient for gradient in gradients), None, None, None


class _Gradient(torch.autograd.Function):
    r"""dE/dr and dE/da, whose product of derivatives with a direction u is a difference.

    H u = [g(x + h u) - g(x - h u)] / (2 h),    h |u|_max = STEP
    """

    @staticmethod
    def forward(
        ctx: Any,
        positions: Tensor,
        cell: Tensor,
        d3: Dispersion,
        structure: Structure,
        found: Found,
    ) -> tuple[Tensor, ...]:
        """(n_atoms, 3) and (3, 3), eV/Angstrom."""
        ctx.save_for_backward(positions, cell)
        ctx.of = (d3, structure)
        return _gradients(_moved(structure, positions, cell), found, positions)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor | None, ...]:
        """By positions and cell, for the directions ``by`` of both."""
        (positions, cell), (d3, structure) = ctx.saved_tensors, ctx.of
        largest = max(float(part.abs().max()) for part in by)
        if largest == 0:
            return *(torch.zeros_like(part) for part in by), None, None, None
        ends = []
        for h in (STEP / largest, -STEP / largest):
            moved = _moved(structure, positions + h * by[0], cell + h * by[1])
            ends.append(_gradients(moved, d3.of(moved), positions))
        slopes = ((a - b) * (largest / (2 * STEP)) for a, b in zip(*ends, strict=True))
        return *slopes, None, None, None


_energy: Any = _Energy.apply  # which torch does not annotate
_gradient: Any = _Gradient.apply


def _gradients(structure: Structure, found: Found, like: Tensor) -> tuple[Tensor, ...]:
    """dE/dr and dE/da: a strain e takes both to (1 + e), so that W = r^T dE/dr + a^T dE/da."""
    by_cell, periodic = np.zeros((3, 3)), structure.periodic
    if periodic.any():
        rest = found.virial - structure.positions.T @ found.gradient
        by_cell[periodic] = np.linalg.lstsq(structure.cell[periodic].T, rest, rcond=None)[0]
    return tuple(torch.from_numpy(each).to(like) for each in (found.gradient, by_cell))


def _moved(structure: Structure, positions: Tensor, cell: Tensor) -> Structure:
    r, a = (tensor.detach().double().cpu().numpy() for tensor in (positions, cell))
    return structure._replace(positions=r, cell=a)


def _in_a_box(structure: Structure) -> tuple[Floats, Floats, Floats]:
    """Positions and cell for the library, and the axes they are in (columns), (3, 3).

    The library (1.7) folds atoms along open directions as well, wants a vector there, and mixes up
    the rows and columns of a leaning cell that is periodic along some of its vectors only
    (https://github.com/dftd3/simple-dftd3/issues/185). So the periodic vectors come first, along
    the first axes, and the atoms lie inside of what is open.
    """
    vectors = structure.cell[structure.periodic]
    k = len(vectors)
    turn, triangle = np.linalg.qr(vectors.T, mode="complete")
    turn = turn * np.append(np.where(np.diag(triangle) < 0, -1, 1), np.ones(3 - k))
    positions = structure.positions @ turn
    low, high = positions.min(axis=0), positions.max(axis=0)
    cell = np.diag(high - low + 2 * _MARGIN)
    cell[:k] = vectors @ turn
    positions[:, k:] += _MARGIN - low[k:]
    return positions, cell, turn


def _library() -> Any:
    """The interface of the package dftd3, which is optional."""
    try:
        return importlib.import_module("dftd3.interface")
    except ImportError as error:
        raise ConfigError(
            "Dispersion by D3 needs the package dftd3, which is not installed; "
            "'pip install ladera[dispersion]' brings it."
        ) from error


def _functionals(damping: str) -> list[str]:
    """The functionals that have parameters."""
    text = resources.files("dftd3").joinpath("parameters.toml").read_text(encoding="utf-8")
    methods = tomllib.loads(text)["parameter"]
    return sorted(name for name, entry in methods.items() if damping in entry.get("d3", ()))


def check_elements(numbers: Any) -> None:
    """DataError for an atom, given by the atomic numbers, that D3 has no parameters of."""
    numbers = np.asarray(numbers)
    unknown = np.flatnonzero((numbers < 1) | (numbers > HEAVIEST))
    if len(unknown):
        atom = int(unknown[0])
        raise DataError(
            f"Atom {atom} is {chemical_symbols[numbers[atom]]}, and D3 has parameters from H "
            f"to {chemical_symbols[HEAVIEST]}."
        )
