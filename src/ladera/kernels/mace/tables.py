"""What a MACE model is to the compiled loops: plain arrays, all normalisations multiplied in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from ladera.arrays import Integers, Reals
from ladera.kernels.splines import Radial

# Whether radial functions depend on the elements of the two atoms, and on who is which.
Pairs = Literal["same", "unordered", "ordered"]


class Path(NamedTuple):
    """One way to couple features of degree l1 with harmonics of degree l2 to a message of l3."""

    l1: int
    l2: int
    l3: int
    coupling: Reals  # (2 l1 + 1, 2 l2 + 1, 2 l3 + 1)


class Contraction(NamedTuple):
    """One correlation order nu of a symmetric contraction to one degree L.

    B_mc = sum_t [component_t = m] sum_k matrix_tk weights_zkc A_(factor t1)c ... A_(factor t nu)c
    """

    component: Integers  # (n_terms,) 0 to 2 L
    factors: Integers  # (n_terms, nu) rows (l, m) of A, ascending
    matrix: Reals  # (n_terms, n_couplings)
    weights: Reals  # (n_elements or 1, n_couplings, C)


@dataclass(frozen=True, eq=False)
class Gate:
    """What a nonlinear_residual layer does with the message m, after the division.

    A = gate(m + x rest) last, with the gate of :mod:`ladera.kernels.mace.gates`.
    """

    rest: tuple[Reals, ...]  # (n, C) each, scalars (n, C * (1 + max_l)); by degree of the input
    last: tuple[Reals, ...]  # (C, C) each


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer; C channels, S elements. Lists go by degree l; matrices act from the right.

    With the features h (atoms, 2 l + 1, C) of a layer's input, radial functions w of its paths p
    and the sum over neighbours j of i,

        x = h up;   M_ip = sum_j coupling_p(x_j, Y(r_j - r_i)) w_p(r_ij)
        A = M mix / (least_density + rho_i);    h' = B(A) out + h skip[z_i]

    where ``mix`` has the rows of all paths to its degree below each other, and the divisor is 1
    without a density. Messages may have another number of channels, n.
    """

    paths: tuple[Path, ...]  # in the order of the radial functions, which is that of l3
    radial: Radial  # (distances, n_paths * n)
    up: tuple[Reals, ...]  # (C, n) each; degrees that are left out send nothing
    mix: tuple[Reals, ...]  # (n_paths to l * n, C) each
    mix_element: tuple[Reals, ...] | None  # (S, C, C) each, applied after ``mix``
    skip: tuple[Reals, ...]  # (S, C, C) each, or (1, C, C) for all; empty without a residual
    density: Radial | None  # (distances, 1), summed over neighbours
    contractions: tuple[tuple[Contraction, ...], ...]  # by degree of the output, then by order
    out: tuple[Reals, ...]  # (C, C) each
    least_density: float = 1.0
    gate: Gate | None = None  # with one, mix[0] has C * (1 + max_l) columns


@dataclass(frozen=True, eq=False)
class Readout:
    """The network at the end: x <- gate(x) W_k + b_k, without the gate before W_0."""

    weights: tuple[Reals, ...]  # (C, n_1), ..., (n_k, 1)
    biases: tuple[Reals, ...]  # (n_2,), ...: none for the first layer; empty without biases
    gate: str
    factor: float  # of the gate


@dataclass(frozen=True, eq=False)
class Model:
    """A whole MACE. Energies are E0 + scale * readouts, in eV; lengths in Angstrom."""

    cutoff: float
    degree: int  # of the spherical harmonics
    embedding: Reals  # (S, C)
    layers: tuple[Layer, ...]
    readouts: tuple[Reals, ...]  # (C,) of every layer but the last
    last_readout: Readout
    reference_energies: Reals  # (S,) eV
    scale: float
    pairs: Pairs

    @property
    def channels(self) -> int:
        """How many channels every feature has."""
        return int(self.embedding.shape[1])
