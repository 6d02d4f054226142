"""Any ASE calculator as a potential, so that whatever takes a model takes it, too.

Named ``MODULE:NAME``, as in ``ase.calculators.emt:EMT``; its options are keywords of that class.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from pydantic import Field
from torch import Tensor

from ladera.errors import ConfigError, LaderaError, SimulationError, did_you_mean
from ladera.files import hash_of_file
from ladera.graph import Graph
from ladera.potential import LongRange, Potential, PotentialConfig, Prediction
from ladera.quantities import ATOMIC_DIPOLES, CHARGES, DIPOLE, ENERGY, FORCES, STRESS, Quantity

if TYPE_CHECKING:
    import os

    from ladera.arrays import Floats

_DOTTED: Final = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
_NAME: Final = re.compile(f"{_DOTTED}:{_DOTTED}")
_CUTOFF: Final = 2.5  # Angstrom: edges only show atoms on top of each other
_OPTIONAL: Final = (STRESS, DIPOLE, CHARGES)


class CalculatorConfig(PotentialConfig):
    """Which calculator it is: enough to tell two of them apart."""

    architecture: Literal["calculator"] = "calculator"
    calculator: str = Field(description="MODULE:NAME of its class.")
    options: dict[str, Any] = Field(description="What it was made with.")
    source: str = Field(description="SHA-256 of the file that defines it; empty of a built-in.")


class CalculatorPotential(Potential):
    """An ASE calculator behind the contract of the models.

    Energy, forces, stress, charges and dipole are the calculator's, one structure after the other,
    on the CPU and in float64. The energy is the one whose gradient the forces are (ASE's
    ``free_energy`` where there is one). It has no grade and no descriptors, and second derivatives
    are differences of its forces. The total charge and the spin of a structure are not handed on:
    they are options of the calculator.

    Raises SimulationError where the calculator fails, with its first line.
    """

    differentiable = False
    hops = None
    slow_hessian = True
    storable = False
    moments_of_atoms = False

    def __init__(self, calculator: Any, config: CalculatorConfig) -> None:
        super().__init__(config)
        self.ase_calculator = calculator
        known = set(getattr(calculator, "implemented_properties", ()))
        missing = [name for name in ("energy", "forces") if name not in known]
        if missing:
            raise ConfigError(
                f"The calculator {config.calculator} gives no {' and no '.join(missing)} (its "
                f"implemented_properties are {', '.join(sorted(known)) or 'empty'}); a potential "
                "needs both."
            )
        self.gives = (ENERGY, FORCES, *(q for q in _OPTIONAL if q.name in known))
        self.partitions_energy = "energies" in known
        self.knows_charge = bool(getattr(calculator, "knows_charge", False))

    def atomic_energies(self, graph: Graph) -> Tensor:
        """Its energies of atoms, or where it has none the energy in equal parts, (n_atoms,), eV."""
        return self.predict(graph, gradients=False).atomic_energies

    def predict(self, graph: Graph, gradients: bool = True) -> Prediction:
        """All structures of a graph, one after the other."""
        self.element_index(graph)
        ends = np.concatenate([[0], graph.atom_counts.cpu().numpy().cumsum()])
        answers = [
            self._ask(_atoms(graph, k, slice(ends[k], ends[k + 1])), gradients)
            for k in range(graph.n_structures)
        ]
        energies, forces, virials, charges, dipoles = (
            torch.from_numpy(np.concatenate(parts)) for parts in zip(*answers, strict=True)
        )
        atomic: dict[Quantity, Tensor] = {}
        if CHARGES in self.gives or DIPOLE in self.gives:  # with charges a cell has no dipole
            atomic[CHARGES] = charges
        if DIPOLE in self.gives:
            atomic[ATOMIC_DIPOLES] = dipoles
        if not gradients:
            return Prediction(graph, energies, atomic_values=atomic)
        long_range = LongRange(-forces, virials)
        return Prediction(
            graph, energies, torch.zeros_like(graph.vectors), long_range, atomic_values=atomic
        )

    def _ask(self, atoms: Atoms, gradients: bool) -> tuple[Floats, ...]:
        """E_i (n,), F_i (n, 3), V s (1, 3, 3), q_i (n,) and p_i (n, 3) of one structure.

        The atomic dipoles p_i are equal, and such that sum_i (q_i r_i + p_i) is the dipole.
        """
        n = len(atoms)
        energy = float(self._get("energy", atoms))
        free = getattr(self.ase_calculator, "results", {}).get("free_energy")
        energy = energy if free is None else float(free)
        energies = np.full(n, energy / n)
        if self.partitions_energy:
            parts = np.asarray(self._get("energies", atoms), dtype=float)
            energies = parts + (energy - parts.sum()) / n
        forces, virial = np.zeros((n, 3)), np.zeros((1, 3, 3))
        if gradients:
            forces = np.array(self._get("forces", atoms), dtype=float)
            if STRESS in self.gives and atoms.pbc.any() and atoms.cell.rank == 3:
                xx, yy, zz, yz, xz, xy = self._get("stress", atoms)
                virial[0] = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]
                virial *= atoms.cell.volume
        charges, dipole = np.zeros(n), np.zeros(3)
        if CHARGES in self.gives:
            charges = np.array(self._get("charges", atoms), dtype=float)
        if DIPOLE in self.gives and not atoms.pbc.any():
            dipole = np.asarray(self._get("dipole", atoms)) - charges @ atoms.positions
        return energies, forces, virial, charges, np.tile(dipole / n, (n, 1))

    def _get(self, name: str, atoms: Atoms) -> Any:
        """One property of a structure; whatever goes wrong becomes a sentence."""
        try:
            return self.ase_calculator.get_property(name, atoms)
        except LaderaError:
            raise
        except Exception as error:
            words = str(error).strip().splitlines() or [type(error).__name__]
            label = self.config.calculator  # type: ignore[attr-defined]
            raise SimulationError(
                f"The calculator {label} failed to give the {name} of "
                f"{atoms.get_chemical_formula()}: {words[0].rstrip('.')}. Is the structure one it "
                "knows, and are its options right?"
            ) from error


def _atoms(graph: Graph, structure: int, part: slice) -> Atoms:
    """One structure of a graph, as ASE has it."""
    charge = float(graph.total_charge[structure])
    return Atoms(
        info={"total_charge": charge} if charge else {},
        numbers=graph.numbers[part].cpu().numpy(),
        positions=graph.positions[part].detach().double().cpu().numpy(),
        cell=graph.cell[structure].detach().double().cpu().numpy(),
        pbc=graph.periodic[structure].cpu().numpy(),
    )


def of_calculator(calculator: Any) -> CalculatorPotential:
    """A potential of a calculator at hand.

    It is told from others by its class and by what ASE says of its options.
    """
    options = calculator.todict() if hasattr(calculator, "todict") else {}
    kind = type(calculator)
    return _potential(calculator, f"{kind.__module__}:{kind.__qualname__}", options)


def reads(path: Path) -> bool:
    """Whether it is the name of a calculator, ``MODULE:NAME``, and no file."""
    return bool(_NAME.fullmatch(str(path))) and not path.exists()


def load(
    path: str | os.PathLike[str], options: Mapping[str, Any] | None = None
) -> CalculatorPotential:
    """The calculator of a name, made with ``options``.

    Raises ConfigError for a module that cannot be imported, a name that is not in it or is no
    calculator, and for options that it does not take.
    """
    label = str(path)
    module_name, _, name = label.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        why = f"there is no module {error.name}" if missing else error
        raise ConfigError(
            f"The module of the calculator {label} could not be imported ({why}); install the "
            "package it belongs to, or check the name."
        ) from error
    make: Any = module
    for part in name.split("."):  # a class, or what a class makes calculators by
        make = getattr(make, part, None)
    if make is None:
        names = [n for n, v in vars(module).items() if inspect.isclass(v) and n[0] != "_"]
        raise ConfigError(f"{module_name} has no '{name}'; {did_you_mean(name, names)}")
    if not callable(make):
        raise _no_calculator(label, make)
    try:
        calculator = make(**(options or {}))
    except Exception as error:
        _refuse(label, options or {}, error)
    if not hasattr(calculator, "get_property"):
        raise _no_calculator(label, calculator)
    return _potential(calculator, label, options or {})


def _no_calculator(label: str, found: Any) -> ConfigError:
    return ConfigError(
        f"{label} is no ASE calculator but {type(found).__name__}; name a class such as "
        "ase.calculators.emt:EMT, or a function that returns a calculator."
    )


def _refuse(label: str, options: Mapping[str, Any], error: Exception) -> NoReturn:
    words = str(error).strip().splitlines() or [type(error).__name__]
    given = ", ".join(options) if options else "none"
    raise ConfigError(
        f"The calculator {label} could not be made with the options given ({given}): "
        f"{words[0].rstrip('.')}. Options are a YAML file, --calculator-options FILE."
    ) from error


def _potential(calculator: Any, label: str, options: Mapping[str, Any]) -> CalculatorPotential:
    plain = json.loads(json.dumps(dict(options), default=repr))
    config = CalculatorConfig(
        species=tuple(chemical_symbols[1:]),
        cutoff=_CUTOFF,
        calculator=label,
        options=plain,
        source=_source_of(type(calculator)),
    )
    return CalculatorPotential(calculator, config).eval()


def _source_of(kind: type) -> str:
    """The hash of the file with a class: a calculator that is changed is another one."""
    try:
        return hash_of_file(Path(inspect.getfile(kind)))
    except (TypeError, OSError):
        return ""
