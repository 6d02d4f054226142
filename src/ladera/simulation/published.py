"""Calculators of published models, called as those of mace-torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from ladera.arguments import checked
from ladera.codes.published import of_family
from ladera.loading import load, load_published
from ladera.models.corrected import corrected
from ladera.potential.placement import placed, require_device
from ladera.simulation.mace_calculator import MACECalculator

Folder = str | os.PathLike[str]
Precision = Literal["float32", "float64"]


@checked
def mace_mp(
    model: str | os.PathLike[str] = "medium-mpa-0",
    device: str = "cpu",
    default_dtype: Precision = "float32",
    head: str | None = None,
    folder: Folder | None = None,
    *,
    dispersion: bool = False,
    damping: Literal["bj", "zero"] = "bj",
    dispersion_xc: str = "pbe",
    dispersion_cutoff: float | None = None,
) -> MACECalculator:
    """A calculator of a MACE for materials, called as that of mace-torch.

    ``model`` is a name of mace-torch ("small", "medium", "large", "medium-mpa-0", "small-omat-0",
    "mh-1", ...), one of Ladera's ("mace-mpa-0"), or the path of a file. float32 is for molecular
    dynamics; take float64 to relax structures and for vibrations. ``dispersion`` adds D3 of the
    functional ``dispersion_xc``, see :class:`ladera.models.dispersion.Dispersion`, whose pairs
    count up to 60 Bohr whatever ``dispersion_cutoff`` says.
    """
    functional = f"{dispersion_xc}:{damping}" if dispersion else None
    return _calculator("mace-mp", model, device, default_dtype, head, folder, functional)


@checked
def mace_off(
    model: str | os.PathLike[str] = "medium",
    device: str = "cpu",
    default_dtype: Precision = "float64",
    head: str | None = None,
    folder: Folder | None = None,
) -> MACECalculator:
    """A calculator of a MACE for organic molecules, called as that of mace-torch.

    ``model`` is "small", "medium" or "large" (MACE-OFF23, not for commercial use), "spice" (a small
    one under the MIT licence), or the path of a file. They have learned D3(BJ) with the rest.
    """
    return _calculator("mace-off", model, device, default_dtype, head, folder)


def _calculator(
    family: str,
    model: str | os.PathLike[str],
    device: str,
    dtype: Precision,
    head: str | None,
    folder: Folder | None,
    dispersion: str | None = None,
) -> MACECalculator:
    require_device(device or "cpu")  # before anything is downloaded
    if Path(model).is_file():
        potential = load(model, head=head)
    else:
        name = of_family(family, str(model)).name
        potential = load_published(name, head=head, folder=folder)
    potential = corrected(placed(potential, device or "cpu", dtype), dispersion)
    return MACECalculator(models=potential, device=device)
