"""``ladera vibrations`` and ``ladera ir``: normal modes of a molecule, and their spectrum.

Of a molecular crystal there is the spectrum, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ladera.cli.models import ModelOptions
from ladera.cli.numbers import ANGSTROM, KELVIN, PLAIN, WAVELENGTH, WAVENUMBER, whole
from ladera.cli.properties import Frame, Model, Structure, finish, require_free, with_model

Step = Annotated[
    float | None,
    ANGSTROM,
    Parameter(help="Take central differences with this displacement, Angstrom. Left out: exact."),
]
DipoleSource = Annotated[
    str | None,
    Parameter(help="Take the dipoles of another model, of MODULE:NAME, or of xtb (GFN2-xTB)."),
]
Vacuum = Annotated[
    bool,
    Parameter(negative=(), help="Take the dipoles of each molecule by itself, in vacuum."),
]
MarksFile = Annotated[
    Path | None,
    Parameter(help="Bands that were measured: lines of a wavenumber and a name."),
]


def vibrations(
    model: Model,
    structure: Structure,
    /,
    *,
    step: Step = None,
    temperature: Annotated[
        list[float] | None,
        KELVIN,
        Parameter(help="Temperatures of the thermochemistry, K.", consume_multiple=1),
    ] = None,
    symmetry_number: Annotated[
        int,
        Parameter(
            help="Rotations that leave the molecule as it is: 2 for H2O, 3 for NH3.",
            converter=whole,
        ),
    ] = 1,
    spin: Annotated[float, PLAIN, Parameter(help="Total electronic spin, 0 for singlets.")] = 0.0,
    quasi_rrho: Annotated[
        Literal["grimme", "truhlar"],
        Parameter(help="Entropy of soft modes: toward a free rotor, or as of 100 cm^-1."),
    ] = "grimme",
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("vibrations"),
) -> int:
    """Frequencies (cm^-1), normal modes and thermochemistry of a relaxed molecule.

    Enthalpy and free energy over the potential energy (kJ/mol) and entropy (J/mol/K) are those of
    rigid rotors and harmonic oscillators, and beside them with quasi-RRHO entropies of soft modes.
    Imaginary modes are named: the structure is then no minimum. Writes result.json, table.csv,
    thermochemistry.csv, summary.csv and figure.svg; `ladera report vibrations` shows the modes
    moving. Relax the molecule first: `ladera relax MODEL STRUCTURE --fmax 0.001`.

        ladera vibrations model.ladera relax/relaxed.extxyz --symmetry-number 2
    """
    from ladera.properties.thermochemistry import TEMPERATURES
    from ladera.properties.vibrations import vibrations as compute

    require_free(output)
    result = compute(
        with_model(structure, model, options, output, frame),
        step=step,
        temperatures=temperature or TEMPERATURES,
        symmetry_number=symmetry_number,
        spin=spin,
        quasi_rrho=quasi_rrho,
    )
    return finish(result, output)


def ir(
    model: Model,
    structure: Structure,
    /,
    *,
    experiment: Annotated[
        Path | None,
        Parameter(help="Measured spectrum: JCAMP-DX, or columns of wavenumber and absorbance."),
    ] = None,
    scale: Annotated[float, PLAIN, Parameter(help="Factor on the frequencies.")] = 1.0,
    shape: Annotated[
        Literal["lorentzian", "gaussian"], Parameter(help="Shape of a line.")
    ] = "lorentzian",
    width: Annotated[
        float, WAVENUMBER, Parameter(help="Full width of a line at half maximum, cm^-1.")
    ] = 10.0,
    marks: MarksFile = None,
    dipoles: DipoleSource = None,
    vacuum: Vacuum = False,
    step: Step = None,
    frame: Frame = None,
    options: ModelOptions | None = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("ir"),
) -> int:
    """Infrared spectrum of a relaxed molecule or molecular crystal: cm^-1 and km/mol.

    Takes a model with dipoles, or --dipoles of another. Of a crystal molecules are kept whole, the
    modes are those at the zone's centre and intensities per cell; xtb is asked for each molecule by
    itself. A measured spectrum is laid over the computed one, its peaks are given to modes and the
    shifts tabled. Writes result.json, table.csv and figure.svg.

        ladera ir model.ladera relax/relaxed.extxyz --experiment formaldehyde.jdx --width 15
        ladera ir mace-mp-small relax/relaxed.extxyz --dipoles xtb --marks bands.txt
    """
    from ladera.properties.experiment import read_spectrum
    from ladera.properties.infrared import infrared as compute
    from ladera.properties.marks import read_marks

    require_free(output)
    result = compute(
        with_model(structure, model, options, output, frame),
        step=step,
        scale=scale,
        shape=shape,
        width=width,
        measured=None if experiment is None else read_spectrum(experiment),
        marks=None if marks is None else read_marks(marks),
        dipoles=dipoles,
        vacuum=vacuum,
    )
    return finish(result, output)


def raman(
    model: Model,
    structure: Structure,
    /,
    *,
    options: ModelOptions | None = None,
    laser: Annotated[float, WAVELENGTH, Parameter(help="Wavelength of the laser, nm.")] = 532.0,
    temperature: Annotated[float, KELVIN, Parameter(help="Temperature of the gas, K.")] = 298.15,
    scale: Annotated[float, PLAIN, Parameter(help="Factor on the frequencies.")] = 1.0,
    shape: Annotated[
        Literal["lorentzian", "gaussian"], Parameter(help="Shape of a line.")
    ] = "lorentzian",
    width: Annotated[
        float, WAVENUMBER, Parameter(help="Full width of a line at half maximum, cm^-1.")
    ] = 10.0,
    step: Step = None,
    frame: Frame = None,
    output: Annotated[Path, Parameter(help="Folder for the results.")] = Path("raman"),
) -> int:
    """Raman spectrum of a relaxed molecule: frequencies (cm^-1) and activities (Angstrom^4/amu).

    Takes a calculator with a polarisability, or with a dipole and an electric field as tblite's;
    no model has one yet. Tells depolarisation ratios and cross-sections at the laser's wavelength.
    Writes result.json, table.csv and figure.svg.

        ladera raman --calculator tblite.ase:TBLite relax/relaxed.extxyz --laser 785
    """
    from ladera.properties.raman import raman as compute

    require_free(output)
    result = compute(
        with_model(structure, model, options, output, frame),
        laser=laser,
        temperature=temperature,
        step=step,
        scale=scale,
        shape=shape,
        width=width,
    )
    return finish(result, output)
