r"""The atoms that span what a model has learned, and how far any other atom is from them.

The last layer of a model is linear in its inputs, so that an atom's energy is theta . b with the m
numbers b of the atom (:meth:`ladera.potential.Potential.grade_features`). m atoms of the training
set, the rows of A, fix theta; the best m are those with the largest |det A|. In their terms

    b = c A,    gamma = max_k |c_k|

no training atom has a gamma above 1, and an atom with a larger one extrapolates: an error of the
active set's energies comes back in its own about gamma times as large (D-optimality; Podryabinkin
and Shapeev, Comput. Mater. Sci. 140, 171 (2017); Lysogorskiy et al., Phys. Rev. Mater. 7, 043801
(2023)). Each element has an active set of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor

from ladera.potential.reach import STORED, Reach
from ladera.threads import torch_threads

# Of a feature's root mean square: what an atom must have of a direction to be there at all.
TOLERANCE: Final = 1e-3
SWAP: Final = 1 + 1e-3  # the largest |c_k| of an atom that does not take the place of row k
MOST_PASSES: Final = 20
ACTIVE_SET: Final = "active_set"  # what names of tensors in model files begin with
_FLOOR: Final = "floor"
UNKNOWN: Final = 1e6  # grade of an atom whose element was in no frame

# Goes once through all atoms: atomic numbers (n,) and features (n, m) of some of them at a time.
Passes = Callable[[], Iterable[tuple[Tensor, Tensor]]]


@dataclass(frozen=True, eq=False)
class ActiveSet:
    """A^-1 of each element, (m, m), float64, by atomic number.

    ``floor`` is an energy, eV/atom over free atoms, that no structure should be below: that of the
    lowest frame, less what its heat may add; see :mod:`ladera.training.active_set`. ``reach`` is
    which distances atoms had from each other in the frames; a file of an older Ladera has none.
    """

    inverses: Mapping[int, Tensor]
    floor: float | None = None
    reach: Reach | None = None

    def grade(self, numbers: Tensor, features: Tensor) -> Tensor:
        """gamma / SWAP of atoms with numbers (n_atoms,) and features (n_atoms, m), float64.

        So 1 is the most that an atom of the training set may have. That of an element without an
        active set is :data:`UNKNOWN`.
        """
        grades = torch.full((len(numbers),), UNKNOWN, dtype=torch.float64)
        numbers, features = numbers.cpu(), features.detach().double().cpu()
        for number, inverse in self.inverses.items():
            atoms = torch.nonzero(numbers == number)[:, 0]
            if len(atoms):
                grades[atoms] = (features[atoms] @ inverse).abs().amax(1) / SWAP
        return grades

    def stored(self) -> dict[str, Tensor]:
        """What a model file holds of it, by name."""
        tensors = {chemical_symbols[number]: each for number, each in self.inverses.items()}
        if self.floor is not None:
            tensors[_FLOOR] = torch.tensor(self.floor, dtype=torch.float64)
        return tensors | ({} if self.reach is None else self.reach.stored())

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> ActiveSet:
        """From what :meth:`stored` gave; RuntimeError for what is none."""
        floor = tensors.get(_FLOOR)
        others = (_FLOOR, *STORED)
        matrices = {name: each for name, each in tensors.items() if name not in others}
        for symbol, inverse in matrices.items():
            square = inverse.ndim == 2 and len(set(inverse.shape)) == 1
            if symbol not in atomic_numbers or not square or inverse.dtype != torch.float64:
                raise RuntimeError(f"{ACTIVE_SET}.{symbol} is no square matrix of an element")
        return cls(
            {atomic_numbers[symbol]: inverse for symbol, inverse in matrices.items()},
            None if floor is None else float(floor),
            Reach.restored(tensors),
        )

    @classmethod
    def of(
        cls, passes: Passes, floor: float | None = None, reach: Reach | None = None
    ) -> ActiveSet:
        """Chosen from all atoms that ``passes`` goes through.

        It does so once for the scale of the features, and until no atom takes another's place: two
        to five times of most data. Needs the memory of one block of atoms and of A.
        """
        with torch_threads(1):  # the same sums in the same order everywhere
            sets = {number: MaxVol(scale) for number, scale in _scales(passes).items()}
            for _ in range(MOST_PASSES):
                swaps = 0
                for numbers, features in passes():
                    for number, chosen in sets.items():
                        swaps += chosen.offer(features[numbers == number].double().cpu())
                if not swaps:
                    break
        return cls({number: chosen.inverse for number, chosen in sets.items()}, floor, reach)


class MaxVol:
    """Rows out of a stream whose determinant no single other row would make larger.

    ``scale`` (m,) is the root mean square of each feature. A begins as TOLERANCE times the diagonal
    matrix of it. The rows that no atom takes the place of are directions in which the atoms never
    differed by more than that; any other atom that does, by x, has a grade of x / TOLERANCE there.

    An element c_ik of B A^-1 is the factor by which |det A| grows when row i of B replaces row k of
    A (Goreinov et al., in *Matrix Methods*, World Scientific 2010, 247). The inverse follows by the
    formula of Sherman and Morrison.
    """

    def __init__(self, scale: Tensor) -> None:
        largest = float(scale.max()) or 1.0  # of atoms that nothing is known of
        floor = TOLERANCE * torch.where(scale > 0, scale, largest)
        self.rows = torch.diag(floor)  # A, (m, m)
        self.inverse = torch.diag(1 / floor)

    def offer(self, features: Tensor) -> int:
        """Swap rows of ``features`` (n, m), float64, for rows of A; how often."""
        if not len(features):
            return 0
        c, swaps = features @ self.inverse, 0
        while True:
            largest, place = c.abs().flatten().max(0)
            if not largest > SWAP:
                break
            i, k = divmod(int(place), len(self.rows))
            change = c[i].clone()
            change[k] -= 1
            c -= torch.outer(c[:, k] / c[i, k], change)
            self.rows[k] = features[i]
            swaps += 1
        if swaps:
            self.inverse = torch.linalg.inv(self.rows)
        return swaps


def _scales(passes: Passes) -> dict[int, Tensor]:
    """The root mean square of each feature of the atoms of an element, by atomic number."""
    sums: dict[int, Tensor] = {}
    counts: dict[int, int] = {}
    for numbers, features in passes():
        for number in torch.unique(numbers).tolist():
            of_element = features[numbers == number].double().cpu()
            sums[number] = sums.get(number, 0) + of_element.pow(2).sum(0)
            counts[number] = counts.get(number, 0) + len(of_element)
    return {number: (sums[number] / counts[number]).sqrt() for number in sorted(sums)}
