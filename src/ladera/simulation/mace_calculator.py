"""A calculator called, asked and answering as that of mace-torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from glob import glob
from typing import Any, Final, Literal

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from ladera.arrays import Floats, Reals
from ladera.curvature import hessian
from ladera.errors import ArgumentError, ConfigError, DataError, did_you_mean, told
from ladera.graph import Graph
from ladera.loading import load
from ladera.models.mace import MACE
from ladera.potential import Committee, LaderaCalculator, Potential, PropertyUnavailableError
from ladera.quantities import DIPOLE, ENERGY, FORCES, STRESS, Quantity

Paths = str | os.PathLike[str]

# Arguments of mace-torch's calculator that change nothing here at these values, or at any.
_UNITS: Final = ("energy_units_to_eV", "length_units_to_A")
_ANY: Final = ("enable_cueq", "compute_stress", "compute_atomic_stresses", "fullgraph")
_EMPTY: Final = ("compile_mode", "info_keys", "arrays_keys", "external_field", "eps_infty")
_FALSE: Final = ("enable_oeq", "compute_bec", "pad_num_atoms", "pad_num_edges")
_OWN: Final = ("model_paths", "models", "device", "default_dtype", "head", "model_path")
_ENSEMBLE: Final = (ENERGY, FORCES, STRESS, DIPOLE)


class MACECalculator(LaderaCalculator):
    """The calculator of mace-torch by its own arguments, for scripts that were written for it.

    >>> calculator = MACECalculator(model_paths="mace_*.model", device="cpu")
    >>> calculator.get_descriptors(atoms)

    All is filled into ``results`` at each calculation, as there: ``energy`` and ``free_energy``,
    ``energies``, ``node_energy`` (without the free atoms'), ``forces``, ``stress``; of several
    models these are means, and ``energy_comm`` (n_models,), ``forces_comm``, ``stress_comm`` hold
    each model's, ``energy_var``, ``forces_var``, ``stress_var`` their variance over the models,
    divided by n_models as there. Units are eV and Angstrom, stresses in Voigt order.

    What is different: a structure without a volume has no stress, and no key for it; dipoles are in
    e*Angstrom; a head that the model does not have is refused; without ``head`` the one of the
    model's file predicts; names of published models are taken as well as paths. The kernels are
    Ladera's own, so that ``enable_cueq``, ``compute_stress``, ``compute_atomic_stresses`` and
    ``fullgraph`` change nothing. Other units, torch.compile, openequivariance, padding, charges
    and spins of PolarMACE, fields and polarisabilities are not there, and asking raises
    ArgumentError.

    Parameters
    ----------
    model_paths
        A path or name, a pattern such as "mace_*.model", or a sequence of paths.
    models
        Potentials of Ladera, in the place of paths.
    device
        "cpu", "cuda" or "cuda:1"; "" for the CPU.
    default_dtype
        "float32" or "float64"; "" for that of the file.
    head
        The level of theory of a model with several.
    others
        The further arguments of mace-torch, as far as they ask for what is here.
    """

    name = "mace"

    def __init__(
        self,
        model_paths: Paths | Sequence[Paths] | None = None,
        models: Potential | Sequence[Potential] | None = None,
        device: str = "cpu",
        default_dtype: Literal["", "float32", "float64"] = "",
        head: str | None = None,
        **others: Any,
    ) -> None:
        if model_paths is None:
            model_paths = others.pop("model_path", None)  # its name before
        _require_here(others)
        if (model_paths is None) == (models is None):
            raise ArgumentError(
                "MACECalculator needs either model_paths or models; give one of them, such as "
                'model_paths="my.model".'
            )
        potential = _potential(model_paths, models, head)
        super().__init__(potential, device=device or "cpu", dtype=default_dtype or None)
        ensemble = [q.name for q in _ENSEMBLE if q in self.potential.gives and self.num_models > 1]
        self.implemented_properties += [
            "node_energy",
            *(f"{name}_{kind}" for name in ensemble for kind in ("comm", "var")),
        ]

    @property
    def models(self) -> list[Potential]:
        """The potentials, one or several."""
        return list(self.potential.members) or [self.potential]

    @property
    def num_models(self) -> int:
        """How many they are."""
        return len(self.models)

    @property
    def r_max(self) -> float:
        """Their cutoff, Angstrom."""
        return self.potential.cutoff

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = ("positions", "numbers", "cell", "pbc"),
    ) -> None:
        """Fill ``results`` with all that there is."""
        super().calculate(atoms, (), system_changes)
        everything = ["energies", "node_energy"] if ENERGY in self.potential.gives else []
        if ENERGY in self.potential.gives and bool(STRESS.exists(self.prediction.graph).all()):
            everything.append("stress")
        if "dipole" in self._quantities:
            everything.append("dipole")
        for name in (*everything, *properties):
            try:
                super().calculate(atoms, (name,), ())
            except PropertyUnavailableError:
                if name in properties:
                    raise
        self._fill_committee()

    def get_descriptors(
        self, atoms: Atoms | None = None, invariants_only: bool = True, num_layers: int = -1
    ) -> Reals | list[Reals]:
        """Features of each atom, (n_atoms, n_features), for each of several models one array.

        Those of the first ``num_layers`` layers one after the other, all of them with -1: the
        invariant ones, or all in the order of e3nn (for each l the channels, of each channel its
        2 l + 1 components). Raises ConfigError for a model that is no MACE.
        """
        graph = self._graph(atoms)
        found = [_features(model, graph, invariants_only, num_layers) for model in self.models]
        return found[0] if len(found) == 1 else found

    def get_hessian(self, atoms: Atoms | None = None) -> Floats | list[Floats]:
        """Second derivatives of the energy, (3 n_atoms, n_atoms, 3), eV/Angstrom^2."""
        graph = self._graph(atoms)
        shape = 3 * graph.n_atoms, graph.n_atoms, 3
        found = [hessian(model, graph).reshape(shape) for model in self.models]
        return found[0] if len(found) == 1 else found

    def _graph(self, atoms: Atoms | None) -> Graph:
        atoms = self.atoms if atoms is None else atoms
        if not isinstance(atoms, Atoms):
            raise DataError(f"The structure is {told(atoms)}; give an Atoms object of ASE.")
        return Graph.from_atoms(atoms, self.potential.cutoff)

    def _derive(self, name: str) -> Any:
        if name != "node_energy":
            return super()._derive(name)
        numbers = self.prediction.graph.numbers.to(device=self.potential.device)
        index = self.potential.indices_of(numbers)
        return super()._derive("energies") - self._free_atoms[index.cpu().numpy()]

    @cached_property
    def _free_atoms(self) -> Floats:
        """E0 of each element, the mean over the models, (n_species,), eV."""
        references = [
            torch.zeros(len(model.symbols)) if (e0 := model.free_atom_energies()) is None else e0
            for model in self.models
        ]
        return torch.stack([e0.detach().double().cpu() for e0 in references]).mean(0).numpy()

    def _fill_committee(self) -> None:
        members = self.prediction.members
        for quantity in _ENSEMBLE if members else ():
            if quantity.name not in self.results:
                continue  # no stress without a volume
            values = np.stack([_plain(member[quantity], quantity) for member in members])
            self.results[f"{quantity.name}_comm"] = values
            self.results[f"{quantity.name}_var"] = values.var(axis=0)


def _plain(tensor: Tensor, quantity: Quantity) -> Floats:
    """Values as ASE has them."""
    values = tensor.detach().double().cpu().numpy()
    values = values if quantity.per_atom else values[0]
    return values.reshape(9)[[0, 4, 8, 5, 2, 1]] if quantity == STRESS else values


def _potential(paths: Paths | Sequence[Paths] | None, models: Any, head: str | None) -> Potential:
    if models is not None:
        given = [models] if isinstance(models, Potential) else list(models)
        wrong = next((each for each in given if not isinstance(each, Potential)), None)
        if not given or wrong is not None:
            raise ArgumentError(
                f"models of MACECalculator is {told(models)}; give potentials that ladera.load "
                "has read, or the files themselves as model_paths."
            )
        return given[0] if len(given) == 1 else Committee(given)
    files = _files(paths)
    members = [load(file, head=head) for file in files]
    return members[0] if len(members) == 1 else Committee(members)


def _files(paths: Paths | Sequence[Paths] | None) -> Sequence[Paths]:
    if isinstance(paths, str) and glob(paths):
        return sorted(glob(paths))
    if isinstance(paths, str) and any(mark in paths for mark in "*?["):
        raise ConfigError(f"No file is called {paths}; check the pattern and the folder.")
    if isinstance(paths, (str, os.PathLike)):
        return [paths]
    if not isinstance(paths, Sequence) or not paths:
        raise ArgumentError(
            f"model_paths of MACECalculator is {told(paths)}; give a path, a pattern or several "
            "paths."
        )
    return list(paths)


def _require_here(others: dict[str, Any]) -> None:
    """ArgumentError for what mace-torch has and Ladera has not, and for what neither has."""
    neutral: dict[str, Any] = dict.fromkeys(_UNITS, 1.0) | dict.fromkeys(_EMPTY)
    neutral |= dict.fromkeys(_FALSE, False)
    neutral |= {"charges_key": "Qs", "electric_field_unit": 1.0, "keep_neutral": True}
    neutral |= {"pbc_handling": "auto"}
    kinds = ("MACE", "DipoleMACE", "EnergyDipoleMACE")
    for name, value in others.items():
        if name in _ANY or (name == "model_type" and value in kinds):
            continue  # the file says what the model is
        if name not in neutral and name != "model_type":
            hint = did_you_mean(name, [*_OWN, *_ANY, *neutral])
            raise ArgumentError(f"MACECalculator has no argument '{name}'; {hint}")
        if name == "model_type" or value != neutral[name]:
            raise ArgumentError(
                f"{name} of MACECalculator is {told(value)}, which is for mace-torch alone; leave "
                "it out: models here are in eV and Angstrom, their kernels are Ladera's own, and "
                "PolarMACE, fields and polarisabilities are not there."
            )


def _features(model: Potential, graph: Graph, invariants_only: bool, num_layers: int) -> Reals:
    """Of one model, (n_atoms, n_features)."""
    model = model.uncorrected
    if not isinstance(model, MACE):
        raise ConfigError(
            f"get_descriptors is of MACE models, and this is a {model.config.architecture} model; "
            "take its symmetry functions, or a MACE."
        )
    graph = graph.to(model.dtype, model.device)
    with torch.no_grad():
        layers = model.features(graph)
        if num_layers not in (-1, *range(1, len(layers) + 1)):
            raise ArgumentError(
                f"num_layers of get_descriptors is {told(num_layers)}; give 1 to {len(layers)}, "
                "the layers of this model, or -1 for all."
            )
        kept = layers if num_layers == -1 else layers[:num_layers]
        if invariants_only:
            parts = [layer[:, 0] for layer in kept]
        else:
            parts = [
                layer[:, l * l : (l + 1) ** 2].mT.reshape(graph.n_atoms, -1)
                for layer in kept
                for l in range(round(layer.shape[1] ** 0.5))
            ]
        return torch.cat(parts, dim=1).cpu().numpy()
