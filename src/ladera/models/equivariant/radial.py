"""Functions of distances: smooth cutoff, bases, and transforms by covalent radii."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt

import torch
from ase.data import covalent_radii
from torch import Tensor, nn


def smooth_cutoff(ratio: Tensor, power: int) -> Tensor:
    r"""f(u) = 1 - (p+1)(p+2)/2 u^p + p(p+2) u^(p+1) - p(p+1)/2 u^(p+2), 0 where u >= 1.

    u is the distance as a part of the cutoff radius; f has two continuous derivatives (Gasteiger
    et al., ICLR 2020).
    """
    p = float(power)
    u = ratio.clamp(max=1.0)
    polynomial = (p + 1) * (p + 2) / 2 - p * (p + 2) * u + p * (p + 1) / 2 * u**2
    return 1 - u**power * polynomial


def xplor_cutoff(distances: Tensor, start: float, cutoff: float) -> Tensor:
    r"""1 below ``start`` = s, 0 beyond the cutoff c, and between them, of r in Angstrom,

        f(r) = (c^2 - r^2)^2 (c^2 + 2 r^2 - 3 s^2) / (c^2 - s^2)^3.

    Its first derivative is continuous, its second jumps at both ends (Brooks et al., J. Comput.
    Chem. 4, 187 (1983)).
    """
    square, inner, outer = distances.clamp(start, cutoff) ** 2, start**2, cutoff**2
    return (outer - square) ** 2 * (outer + 2 * square - 3 * inner) / (outer - inner) ** 3


class BesselBasis(nn.Module):
    """b_n(x) = sqrt(2 / r_c) sin(n pi x / r_c) / x, n = 1 ... number.

    Buffers ``frequencies`` (number,), in 1/Angstrom, and ``prefactor``.
    """

    frequencies: Tensor
    prefactor: Tensor

    def __init__(self, cutoff: float, number: int) -> None:
        super().__init__()
        n = torch.arange(1, number + 1, dtype=torch.float64)
        self.register_buffer("frequencies", n * pi / cutoff)
        self.register_buffer("prefactor", torch.tensor(sqrt(2 / cutoff), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """(n,) to (n, number)."""
        return self.prefactor * torch.sin(x[:, None] * self.frequencies) / x[:, None]


class TrainedBesselBasis(BesselBasis):
    """The same with ``frequencies`` (number,), in 1/Angstrom, that are trained."""

    def __init__(self, cutoff: float, number: int) -> None:
        super().__init__(cutoff, number)
        start = self.frequencies
        del self.frequencies
        self.frequencies = nn.Parameter(start)


class GaussianBasis(nn.Module):
    """b_n(x) = exp(-(x - mu_n)^2 / 2 delta^2), mu_n = n delta = 0 ... r_c.

    Buffer ``centers`` (number,), mu in Angstrom.
    """

    centers: Tensor

    def __init__(self, cutoff: float, number: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.linspace(0, cutoff, number, dtype=torch.float64))
        self.width = cutoff / max(number - 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n,) to (n, number)."""
        return torch.exp(-0.5 * ((x[:, None] - self.centers) / self.width) ** 2)


class ChebyshevBasis(nn.Module):
    """b_n(x) = T_n(x), n = 1 ... number, by T_n+1 = 2 x T_n - T_n-1, of x as it is."""

    def __init__(self, cutoff: float, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, x: Tensor) -> Tensor:
        """(n,) to (n, number)."""
        found = [torch.ones_like(x), x]
        while len(found) <= self.number:
            found.append(2 * x * found[-1] - found[-2])
        return torch.stack(found[1 : self.number + 1], dim=1)


class AgnesiTransform(nn.Module):
    r"""x(r) = 1 / (1 + a t^q / (1 + t^(q - p))), t = r / r_0, r_0 the mean of the covalent radii.

    From ``radii`` (n_species,) in Angstrom (Witt et al., J. Chem. Phys. 159, 164101 (2023)).
    """

    a: Tensor
    q: Tensor
    p: Tensor
    radii: Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        for name, value in (("a", 1.0805), ("q", 0.9183), ("p", 4.5791)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self.register_buffer("radii", covalent(species))

    def forward(self, r: Tensor, one: Tensor, two: Tensor) -> Tensor:
        """Distances (n,) between atoms of elements ``one`` and ``two``, (n,)."""
        t = r / (0.5 * (self.radii[one] + self.radii[two]))
        return 1 / (1 + self.a * t**self.q / (1 + t ** (self.q - self.p)))


class SoftTransform(nn.Module):
    r"""x(r) = p_0 + (r - p_0) (1 + tanh(alpha / (p_1 - p_0) (r - (p_0 + p_1) / 2))) / 2.

    p_0 = 3/4 and p_1 = 4/3 of the sum of the covalent radii: distances far below a bond's length
    become p_0. Buffers ``alpha`` and ``radii`` (n_species,), Angstrom.
    """

    alpha: Tensor
    radii: Tensor

    def __init__(self, species: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("alpha", torch.tensor(4.0, dtype=torch.float64))
        self.register_buffer("radii", covalent(species))

    def forward(self, r: Tensor, one: Tensor, two: Tensor) -> Tensor:
        """Distances (n,) between atoms of elements ``one`` and ``two``, (n,)."""
        bond = self.radii[one] + self.radii[two]
        low, high = 0.75 * bond, 4 / 3 * bond
        switch = 1 + torch.tanh(self.alpha / (high - low) * (r - 0.5 * (low + high)))
        return low + 0.5 * (r - low) * switch


def covalent(species: Sequence[int]) -> Tensor:
    """Covalent radii of elements in Angstrom (Cordero et al., Dalton Trans. 2832 (2008))."""
    return torch.tensor([float(covalent_radii[number]) for number in species], dtype=torch.float64)


BASES: dict[str, type[BesselBasis | GaussianBasis | ChebyshevBasis]] = {
    "bessel": BesselBasis,
    "gaussian": GaussianBasis,
    "chebyshev": ChebyshevBasis,
}
TRANSFORMS: dict[str, type[AgnesiTransform | SoftTransform]] = {
    "agnesi": AgnesiTransform,
    "soft": SoftTransform,
}
