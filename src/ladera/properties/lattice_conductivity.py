"""Thermal conductivity of a crystal by its phonons: Boltzmann's equation, solved by phono3py."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from ase.geometry import minkowski_reduce
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ladera.arrays import Booleans, Floats, Integers
from ladera.errors import PropertyError
from ladera.plotting import DASHES, PALETTE, log_scale, panel_grid, style
from ladera.properties.displacements import evaluate_displaced
from ladera.properties.phonons import LARGEST_NOISE, require_displacement
from ladera.properties.recorded import recorded
from ladera.properties.result import Result, quantity
from ladera.properties.structures import require_crystal, require_relaxed, with_spread
from ladera.properties.supercells import phonopy_cell, primitive_matrix, supercell_of, to_ase
from ladera.tables import Cell, Column, Number, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

DISPLACEMENT: Final = 0.03  # Angstrom: third derivatives need more than second ones
_MESH_LENGTH: Final = 30.0  # Angstrom: 30 / |a| points along a, or so, of the first mesh
_FINER: Final = 1.3  # from mesh to mesh
_CONVERGED: Final = 0.02  # of the conductivity, from mesh to mesh
_MOST_POINTS: Final = 30_000  # of a mesh that is taken without being asked for
_SHOWN: Final = 101  # frequencies of the accumulation
_VOIGT: Final = (0, 5, 4, 5, 1, 3, 4, 3, 2)  # (3, 3) of xx, yy, zz, yz, xz, xy


@dataclass(frozen=True, kw_only=True)
class LatticeConductivity(Result):
    """Thermal conductivity of a perfect, infinite crystal with three-phonon scattering."""

    kind: ClassVar[str] = "lattice_conductivity"
    title: ClassVar[str] = "Lattice thermal conductivity"
    caption: ClassVar[str] = (
        "Thermal conductivity against temperature, and what phonons up to a frequency carry of it."
    )

    temperatures: Floats = quantity("K")  # (n,)
    conductivity: Floats = quantity("W/m/K")  # (n,), a third of the trace
    tensor: Floats = quantity("W/m/K")  # (n, 3, 3), in the axes of the structure
    relaxation_time: Floats = quantity("W/m/K")  # (n,), the trace's third in that approximation
    relaxation_time_tensor: Floats = quantity("W/m/K")  # (n, 3, 3)
    frequencies: Floats = quantity("THz")  # (n_frequencies,)
    accumulated: Floats = quantity("W/m/K")  # (n, n_frequencies), of phonons below each
    mesh: Floats = quantity()  # (3,), wave vectors along each reciprocal vector
    coarser_mesh: Floats = quantity()  # (3,), the one that the result is compared with
    mesh_change: Floats = quantity()  # (n,), relative, of the conductivity between the two
    supercell: Floats = quantity()  # (3,), cells along each vector
    pair_cutoff: float = quantity("Angstrom")  # of pairs displaced together; not-a-number: all
    n_displaced: int = 0  # supercells that forces were computed of
    direct: bool = False  # whether Boltzmann's equation was solved in full
    isotopes: bool = False  # whether natural isotopes scatter

    @property
    def converged(self) -> bool:
        """Whether the mesh changes no conductivity by more than 2 %."""
        return bool((np.abs(self.mesh_change) <= _CONVERGED).all())

    def table(self) -> Table:
        """Conductivity and its extremes at each temperature."""
        unit = "W/m/K"
        columns = [Column("temperature", "K", pattern="g"), Column("conductivity", unit)]
        columns += [Column("along the worst axis", unit), Column("along the best axis", unit)]
        columns += [Column("by relaxation times", unit)] * self.direct
        columns.append(Column("change with mesh", "%", pattern="+.1f"))
        rows = []
        for i, temperature in enumerate(self.temperatures):
            worst, _, best = np.linalg.eigvalsh(self.tensor[i])
            row: list[Cell] = [float(temperature), self.number("conductivity", i)]
            row += [float(worst), float(best)]
            row += [self.number("relaxation_time", i)] * self.direct
            change = float(self.mesh_change[i])
            note = "" if abs(change) <= _CONVERGED else "not converged"
            rows.append((*row, Number(100 * change, note=note)))
        advice = () if self.converged else ("Not converged with the mesh: give a larger --mesh.",)
        return Table(tuple(columns), tuple(rows), notes=advice)

    def tables(self) -> tuple[Table, ...]:
        """The conductivities, and what they were made of."""
        how = "Boltzmann's equation in full" if self.direct else "relaxation-time approximation"
        facts: list[tuple[Column, Cell]] = [
            (Column("solved by"), how),
            (Column("scattering"), "three phonons" + ", natural isotopes" * self.isotopes),
            (Column("mesh"), _size(self.mesh)),
            (Column("coarser mesh"), _size(self.coarser_mesh)),
            (Column("supercell"), _size(self.supercell)),
            (Column("copies displaced", pattern=".0f"), float(self.n_displaced)),
            (
                Column("pairs displaced together up to", "Angstrom"),
                Number(self.pair_cutoff, instead="all"),
            ),
        ]
        return self.table(), Table.of_one(*facts, name="summary")

    def plot(self, ax: Axes | None = None) -> Figure:
        """Conductivity against temperature, and its accumulation with frequency."""
        with style():
            figure, (panel, side) = panel_grid(6.4, 3.1, ax, columns=(1, 1))
            panel.plot(self.temperatures, self.conductivity, "o-", color=PALETTE[0], ms=4)
            if self.direct:
                panel.lines[0].set_label("Boltzmann's equation")
                panel.plot(
                    self.temperatures,
                    self.relaxation_time,
                    "s--",
                    color=PALETTE[1],
                    ms=4,
                    label="relaxation times",
                )
                panel.legend()
            if "conductivity" in self.spread:
                panel.errorbar(
                    self.temperatures,
                    self.conductivity,
                    yerr=self.spread["conductivity"],
                    fmt="none",
                    ecolor=PALETTE[0],
                    capsize=2,
                )
            if len(self.temperatures) > 1:
                log_scale(panel, "x")
                log_scale(panel, "y")
            panel.set(xlabel="temperature (K)", ylabel="conductivity (W/m/K)")
            ends = sorted({0, len(self.temperatures) // 2, len(self.temperatures) - 1})
            for rank, i in enumerate(ends):
                part = self.accumulated[i] / self.accumulated[i, -1]
                label = f"{self.temperatures[i]:g} K"
                side.plot(self.frequencies, part, color=PALETTE[rank], ls=DASHES[rank], label=label)
            side.set(xlabel="frequency (THz)", ylabel="part carried below", ylim=(0, 1.02))
            side.set_xlim(0, float(self.frequencies[-1]))
            side.legend()
        return figure


def _size(cells: Floats | Integers) -> str:
    return " x ".join(f"{n:.0f}" for n in cells)


@with_spread(at_rest="atoms")
@recorded
def lattice_conductivity(
    atoms: Atoms,
    /,
    *,
    temperatures: Sequence[float] = (300.0,),
    direct: bool = False,
    isotopes: bool = False,
    mesh: Sequence[int] | None = None,
    supercell: Sequence[int] | None = None,
    pair_cutoff: float | None = None,
    displacement: float = DISPLACEMENT,
) -> LatticeConductivity:
    r"""Thermal conductivity of a relaxed crystal at ``temperatures`` (K), by phono3py.

    ::

        kappa = 1 / (N V) sum_s C_s v_s (x) F_s,      F_s = v_s tau_s  with relaxation times

    with the heat capacity C_s, group velocity v_s and lifetime tau_s of each phonon, scattered by
    two others (Togo, Chaput and Tanaka, Phys. Rev. B 91, 094306 (2015)). With ``direct`` the
    linearised Boltzmann equation is solved for F_s in full (Chaput, Phys. Rev. Lett. 110, 265506
    (2013)); the approximation stands beside it. ``isotopes`` adds the scattering by the natural
    isotopes (Tamura, Phys. Rev. B 27, 858 (1983)).

    Second and third derivatives of the energy come from displaced copies of the ``supercell``
    (cells along each vector; left out, 12 Angstrom high), moved by ``displacement`` (Angstrom). Of
    pairs of atoms farther apart than ``pair_cutoff`` (Angstrom) none are displaced together, and
    their third derivatives are zero: many fewer copies, to be converged.

    ``mesh`` is the number of wave vectors along each reciprocal vector. Left out, it grows until
    no conductivity changes by more than 2 %, at most to 30,000 points. The change from the next
    coarser mesh (by a third) is part of the result either way.

    Raises PropertyError for a structure that is no relaxed crystal or has an imaginary mode, for
    atoms of one element with different masses, and where phono3py is not installed.
    """
    _require_sound(atoms, temperatures, isotopes, displacement)
    atoms, size = supercell_of(atoms, supercell)
    solver = _with_derivatives(atoms, size, displacement, pair_cutoff)
    n_displaced = sum(each is not None for each in solver.supercells_with_displacements)
    how = {"temperatures": [float(t) for t in temperatures], "is_isotope": isotopes}
    found = _converged(solver, mesh, {**how, "is_LBTE": direct})
    coarse, fine = found[-2:]
    return LatticeConductivity(
        temperatures=np.array(temperatures, dtype=float),
        conductivity=fine.conductivity,
        tensor=fine.tensor,
        relaxation_time=fine.relaxation_time.trace(axis1=1, axis2=2) / 3,
        relaxation_time_tensor=fine.relaxation_time,
        frequencies=fine.frequencies,
        accumulated=fine.accumulated,
        mesh=fine.mesh.astype(float),
        coarser_mesh=coarse.mesh.astype(float),
        mesh_change=fine.conductivity / coarse.conductivity - 1,
        supercell=size.astype(float),
        pair_cutoff=np.nan if pair_cutoff is None else pair_cutoff,
        n_displaced=n_displaced,
        direct=direct,
        isotopes=isotopes,
    )


def _require_sound(
    atoms: Atoms, temperatures: Sequence[float], isotopes: bool, displacement: float
) -> None:
    """Refuse what no conductivity comes of, before the work."""
    require_crystal(atoms, "A lattice thermal conductivity")
    require_relaxed(atoms, cell=False)
    require_displacement(displacement)
    if not len(temperatures):
        raise PropertyError("No temperature is given; give one or more, such as 300.")
    for temperature in temperatures:
        if not 0 < temperature < np.inf:
            raise PropertyError.of("temperatures", f"{temperature:g} K", "give those above zero")
    masses = atoms.get_masses()
    for symbol in sorted(set(atoms.get_chemical_symbols())):
        of_element = masses[[s == symbol for s in atoms.get_chemical_symbols()]]
        if np.ptp(of_element) > 1e-6:
            raise PropertyError(
                f"Atoms of {symbol} have masses from {of_element.min():g} to "
                f"{of_element.max():g} amu; a lattice thermal conductivity takes one mass for each "
                "element."
            )
    from ase.data import atomic_masses

    natural = atomic_masses[atoms.numbers]
    odd = np.flatnonzero(np.abs(masses / natural - 1) > 1e-3)
    if isotopes and odd.size:
        raise PropertyError(
            f"Atom {odd[0]} has a mass of {masses[odd[0]]:g} amu, and natural "
            f"{atoms.get_chemical_symbols()[odd[0]]} one of {natural[odd[0]]:g}; leave "
            "--isotopes out for a crystal of one isotope, or the mass for the natural ones."
        )


def _phono3py() -> Any:
    """The class that does the work, of a package that is installed when it is wanted."""
    try:
        from phono3py import Phono3py
    except ImportError as error:
        raise PropertyError(
            "Lattice thermal conductivity is computed by phono3py, which is not installed; "
            "pip install ladera[thermal], or take Green and Kubo's way: "
            "ladera thermal-conductivity green-kubo."
        ) from error
    return Phono3py


def _with_derivatives(
    atoms: Atoms, size: Integers, displacement: float, pair_cutoff: float | None
) -> Any:
    """phono3py's object with second and third derivatives of a supercell, symmetrised."""
    _require_reach(atoms * size, size, pair_cutoff)
    cell = phonopy_cell(atoms)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a supercell of another shape is no mistake
        solver = _phono3py()(
            cell, np.diag(size), primitive_matrix=primitive_matrix(cell), log_level=0
        )
    solver.generate_displacements(distance=displacement, cutoff_pair_distance=pair_cutoff)
    perfect, copies = to_ase(solver.supercell, atoms), solver.supercells_with_displacements
    wanted: Booleans = np.array([copy is not None for copy in copies])
    moved = np.array([copy.positions for copy in copies if copy is not None])
    forces = np.zeros((len(copies), len(perfect), 3))  # those left out count as without any
    forces[wanted] = evaluate_displaced(perfect, moved - perfect.positions).forces
    solver.forces = forces
    solver.produce_fc3()
    solver.symmetrize_fc3()
    solver.symmetrize_fc2()
    return solver


def _require_reach(supercell: Atoms, size: Integers, pair_cutoff: float | None) -> None:
    """Refuse a supercell or a cutoff in which neighbours do not scatter phonons."""
    period = float(np.linalg.norm(minkowski_reduce(supercell.cell)[0], axis=1).min())
    apart = supercell.get_all_distances(mic=True)
    nearest = float(min([*apart[apart > 0], period]))
    if period < 2.01 * nearest:
        raise PropertyError(
            f"The supercell of {_size(size)} repeats after {period:.3g} Angstrom, and neighbours "
            f"are {nearest:.3g} apart: one to the left is one to the right as well, and third "
            "derivatives cancel. Take a larger --supercell, or leave it out."
        )
    if pair_cutoff is not None and not pair_cutoff > nearest:
        raise PropertyError(
            f"The pair cutoff is {pair_cutoff:g} Angstrom, and the nearest atoms are {nearest:.3g} "
            "apart; take one that holds a few shells of neighbours, or leave it out."
        )


@dataclass(frozen=True)
class _OnMesh:
    """What one mesh gives."""

    mesh: Integers  # (3,)
    tensor: Floats  # (n, 3, 3)
    relaxation_time: Floats  # (n, 3, 3)
    frequencies: Floats
    accumulated: Floats  # (n, n_frequencies)

    @property
    def conductivity(self) -> Floats:
        """A third of the trace, (n,)."""
        third: Floats = self.tensor.trace(axis1=1, axis2=2) / 3
        return third


def _converged(solver: Any, mesh: Sequence[int] | None, how: dict[str, Any]) -> list[_OnMesh]:
    """Results of meshes that become finer, two or more."""
    if mesh is not None:
        last = np.array(mesh, dtype=np.int64)
        if last.shape != (3,) or (last < 2).any():
            given = " ".join(map(str, last.ravel().tolist()))
            raise PropertyError.of("mesh", given, "give three numbers from 2 up, such as 9 9 9")
        first = np.maximum(np.round(last / 1.5).astype(np.int64), 1)
        return [_solve(solver, _take_mesh(solver, each), how) for each in (first, last)]
    length, found = _MESH_LENGTH, list[_OnMesh]()
    while True:
        points = _take_mesh(solver, length)
        if len(found) > 1 and points.prod() > _MOST_POINTS:
            return found
        if not found or (points > found[-1].mesh).any():
            found.append(_solve(solver, points, how))
        length *= _FINER
        if len(found) < 2:
            continue
        change = found[-1].conductivity / found[-2].conductivity - 1
        if (np.abs(change) <= _CONVERGED).all():
            return found


def _take_mesh(solver: Any, mesh: Integers | float) -> Integers:
    """Give the solver a mesh, or one so fine along each vector (Angstrom); its size (3,)."""
    try:
        solver.mesh_numbers = mesh
    except RuntimeError as error:
        raise PropertyError(
            f"A mesh of {_size(np.asarray(mesh))} has not the symmetry of the crystal, whose "
            "primitive vectors are those of the mesh; give the same number along vectors that are "
            "as long, or leave --mesh out."
        ) from error
    return np.array(solver.mesh_numbers, dtype=np.int64)


def _solve(solver: Any, points: Integers, how: dict[str, Any]) -> _OnMesh:
    """The mesh that was taken. Raises PropertyError for an imaginary mode on it."""
    solver.init_phph_interaction()
    solver.run_phonon_solver()
    everywhere, _, grid = solver.get_phonon_data()
    lowest = int(everywhere.min(axis=1).argmin())
    if everywhere[lowest].min() < -LARGEST_NOISE:
        place = ", ".join(f"{x:.3g}" for x in np.asarray(grid)[lowest] / points)
        raise PropertyError(
            f"The crystal has an imaginary mode, {-everywhere[lowest].min():.3f} THz at ({place}), "
            "and no phonons that carry heat; relax it along that mode, take a larger --supercell, "
            "or take Green and Kubo's way: ladera thermal-conductivity green-kubo."
        )
    solver.run_thermal_conductivity(**how)
    result: Any = solver.thermal_conductivity
    tensor = _matrices(result.kappa[0])
    if not (np.isfinite(tensor).all() and (tensor.trace(axis1=1, axis2=2) > 0).all()):
        raise PropertyError(
            f"On a mesh of {_size(points)} no phonons scatter (results of two meshes are compared, "
            "the coarser with two thirds of the points along each vector); take a finer --mesh or "
            "leave it out."
        )
    simple = _matrices(result.kappa_RTA[0]) if how["is_LBTE"] else tensor
    modes = result.mode_kappa[0][..., :3].sum(axis=-1) / 3  # (n, n_grid, n_bands)
    shown = np.linspace(0, float(result.frequencies.max()), _SHOWN)
    bins = np.searchsorted(shown, result.frequencies.ravel())
    parts = np.array([np.bincount(bins, each.ravel(), minlength=_SHOWN) for each in modes])
    accumulated = np.cumsum(parts, axis=1)
    accumulated *= (tensor.trace(axis1=1, axis2=2) / 3 / accumulated[:, -1])[:, None]
    return _OnMesh(points, tensor, simple, shown, accumulated)


def _matrices(voigt: Floats) -> Floats:
    """(n, 3, 3) of (n, 6)."""
    matrices: Floats = voigt[:, list(_VOIGT)].reshape(-1, 3, 3)
    return matrices
