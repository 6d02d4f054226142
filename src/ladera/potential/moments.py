r"""The dipole moment of a cell whose molecules are whole.

    mu = sum_M sum_{i in M} [ (q_i - Q_M / n_M) (r_i + t_i) + p_i ],      Q_M = sum_{i in M} q_i

M are the molecules of n_M atoms, t_i the lattice vectors that make them whole
(:class:`ladera.molecules.Molecules`), q_i the model's charges and p_i its atomic dipoles. In a cell
the moment of charges depends on where they are counted: with the molecule M in another image, by T,
it is Q_M T more. Here each molecule is neutral, by the shift that models make within a structure
(:func:`ladera.models.moments.neutralized`), so that neither images nor origin nor the choice of the
cell matter, and molecules far from each other have the sum of the dipoles that the model gives each
by itself. What the model learned from is whole molecules that were neutral.

Left out is charge that flows from molecule to molecule. Charges do not say which way it went: a
flow J from M to N and one to another image of N, by T, change all charges alike, and the moment by
J T more. In a cell with one molecule none of it is seen, Q_M being zero. Nor do the charges before
the shift say it: of a model that learned from pairs of molecules, whose charges were shifted over
the pair, half of a flow may be in that shift, which in a crystal goes to atoms everywhere.

This is no small error where molecules share hydrogen bonds: of a dimer of water the stretch of the
hydrogen that is shared loses 19/20 of its intensity (docs/infrared.md). How much it is at most, the
change of the Q_M says (:func:`ladera.properties.dipoles.left_out`). Atomic dipoles without charges
have neither fault: they sum to the moment of any cell, charge that flows between neighbours
included. And a molecule with more than half a charge is an ion, whose motion is itself a current:
it is refused.

Molecular moments of liquids and crystals, and how they depend on what is made of the charges, are
the subject of Thomas, Brehm and Kirchner, Phys. Chem. Chem. Phys. 17, 3207 (2015).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from ladera.errors import DataError
from ladera.molecules import Molecules
from ladera.potential.prediction import Prediction

LARGEST_CHARGE: Final = 0.5  # e, of a molecule that is taken for a neutral one


def moments_of_molecules(prediction: Prediction, molecules: Molecules) -> Tensor:
    """The moment mu (e*Angstrom) and the charges Q_M (e), (n_structures, 3 + n_molecules), float64.

    ``molecules`` are those of all structures, which have the same atoms, as the steps of one
    trajectory. Of a committee it is the mean over its members. Raises DataError for a model without
    a dipole, a cell with a charge, and a molecule with more than half of one.
    """
    graph = prediction.graph
    if bool((graph.total_charge != 0).any()):
        charge = float(graph.total_charge[graph.total_charge != 0][0])
        raise DataError(
            f"The cell has a charge of {charge:+g} e, and the dipole of what is charged depends on "
            "the origin; give a neutral one."
        )
    if prediction.members:
        each = [moments_of_molecules(member, molecules) for member in prediction.members]
        return torch.stack(each).mean(0)
    count, size = graph.n_structures, graph.n_atoms // graph.n_structures
    index = torch.from_numpy(molecules.index).to(graph.positions.device)
    moment = torch.zeros(count, 3, dtype=torch.float64, device=index.device)
    totals = moment.new_zeros(count, molecules.count)
    if prediction.charges is None and prediction.atomic_dipoles is None:
        prediction.dipole  # noqa: B018 - which says what there is none of
    if prediction.atomic_dipoles is not None:
        moment = moment + prediction.atomic_dipoles.double().reshape(count, size, 3).sum(1)
    if prediction.charges is not None:
        charges = prediction.charges.double().reshape(count, size)
        totals = totals.index_add(1, index, charges)
        neutral = charges - (totals / torch.bincount(index))[:, index]
        images = torch.from_numpy(molecules.images).to(moment)
        whole = graph.positions.double().reshape(count, size, 3) + images @ graph.cell.double()
        moment = moment + (neutral[:, :, None] * whole).sum(1)
        _require_neutral(totals.detach(), molecules)
    return torch.cat([moment, totals], 1)


def _require_neutral(totals: Tensor, molecules: Molecules) -> None:
    """DataError where one has more charge, (n_structures, n_molecules), than a neutral one may."""
    largest = int(totals.abs().max(0).values.argmax())
    charge = float(totals[totals[:, largest].abs().argmax(), largest])
    if not abs(charge) <= LARGEST_CHARGE:
        atoms = molecules.atoms(largest)
        named = f"{', '.join(map(str, atoms[:6]))}{', ...' * (len(atoms) > 6)}"
        raise DataError(
            f"The molecule of the atoms {named} has a charge of {charge:+.2f} e, more than "
            f"{LARGEST_CHARGE:g}: of ions the dipole moment of a cell is not that of its "
            "molecules; take a model that gives dipoles and no charges (mace, charges: false)."
        )
