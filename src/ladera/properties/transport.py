"""From trajectories, or from a structure and a model, to how fast ions move at what temperature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ladera.errors import ConfigError
from ladera.executors import ExecutorLike
from ladera.progress import track
from ladera.properties.arrhenius import arrhenius
from ladera.properties.diffusion import diffusion
from ladera.properties.site_density import site_density
from ladera.properties.trajectory import Trajectory, read_trajectory
from ladera.properties.van_hove import van_hove
from ladera.simulation.parallel import run_temperatures
from ladera.simulation.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms

    from ladera.loading import ModelSource
    from ladera.properties.result import Result

Paths = Sequence[str | os.PathLike[str]]

_FRAME: Final = 50.0  # fs between the frames of a run
_FEWEST_FRAMES: Final = 20  # for how far ions have gone


def run_for_diffusion(
    atoms: Atoms,
    model: ModelSource | Paths,
    temperatures: Sequence[float],
    folder: str | os.PathLike[str],
    *,
    time: float,
    timestep: float = 1.0,
    processes: int | None = None,
    executor: ExecutorLike | None = None,
) -> list[list[Path]]:
    """Dynamics of ``time`` ps at each temperature (K): at each the run of the mean, then members'.

    Bussi's thermostat, a frame every 50 fs, into folders md-600K... in ``folder``; see
    :func:`ladera.simulation.parallel.run_temperatures` for the rest and for what it raises.
    """
    settings = MDSettings(
        ensemble="nvt-bussi",
        timestep=timestep,
        time=time,
        trajectory_interval=max(1, round(_FRAME / timestep)),
    )
    runs = run_temperatures(
        atoms, model, temperatures, settings, folder, processes=processes, executor=executor
    )
    return [[each.mean, *each.members] for each in runs]


@dataclass(frozen=True)
class TrajectoryFiles:
    """Trajectories on the disk, read when they are needed.

    Attributes
    ----------
    groups
        Files or folders: in each group a trajectory and, of a committee, those of the members.
    interval, types
        As for :func:`ladera.properties.trajectory.read_trajectory`.
    temperatures
        One for each group, K.
    skip
        Time left out at the start of each, ps.
    """

    groups: Sequence[Paths]
    interval: float | None = None
    temperatures: Sequence[float] | None = None
    types: Sequence[str] = ()
    skip: float = 0.0

    def __post_init__(self) -> None:
        if self.temperatures is not None and len(self.temperatures) != len(self.groups):
            raise ConfigError(
                f"--temperature has {len(self.temperatures)} value(s) for {len(self.groups)} "
                "trajectories; give one for each, in their order."
            )

    def read(self, number: int) -> list[Trajectory]:
        """Those of one group, from 0."""
        temperature = None if self.temperatures is None else self.temperatures[number]
        return [
            read_trajectory(
                path, interval=self.interval, temperature=temperature, types=self.types
            ).after(self.skip)
            for path in self.groups[number]
        ]


def transport(
    files: TrajectoryFiles,
    species: str,
    folder: str | os.PathLike[str],
    *,
    charge: float | None = None,
    window: tuple[float, float] | None = None,
    viscosity: float | None = None,
    target: float = 300.0,
) -> Result:
    """Diffusion of ``species`` in a trajectory, or the Arrhenius line of several.

    ``charge``, ``window`` and ``viscosity`` are those of
    :func:`ladera.properties.diffusion.diffusion`, ``target`` that of
    :func:`ladera.properties.arrhenius.arrhenius`. ``folder`` receives Van Hove's function and the
    density of the ions, and the results at each of several temperatures in folders of their own.

    Raises what these functions and the reading of trajectories raise.
    """
    results = []
    for number in track(range(len(files.groups)), "trajectories"):
        first, *members = files.read(number)
        result = diffusion(
            first, species, charge=charge, window=window, viscosity=viscosity, members=members
        )
        if len(files.groups) == 1:
            _save_details(first, species, Path(folder))
            return result
        place = Path(folder) / f"{number + 1}-{result.temperature:.0f}K"
        result.save(place)
        _save_details(first, species, place)
        results.append(result)
    return arrhenius(results, target=target)


def _save_details(trajectory: Trajectory, species: str, folder: Path) -> None:
    """Van Hove's function, and the density of the ions where there is a framework."""
    if trajectory.n_frames >= _FEWEST_FRAMES:
        van_hove(trajectory, species).save(folder / "van_hove")
    if trajectory.volume > 0 and not trajectory.mobile(species).all():
        site_density(trajectory, species).save(folder / "site_density")
