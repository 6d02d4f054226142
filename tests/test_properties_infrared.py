"""Infrared spectra: dipoles that are exactly known, measured files of every kind, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from ladera.cli import main
from ladera.errors import DataError, PropertyError
from ladera.properties import result
from ladera.properties.experiment import MeasuredSpectrum, read_spectrum
from ladera.properties.infrared import infrared
from ladera.report import viewer

STIFFNESS, CHARGE = 30.0, 0.4  # eV/Angstrom^2, e


class Spring(Calculator):
    """Two charges on a spring of 1 Angstrom."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        bond = self.atoms.positions[1] - self.atoms.positions[0]
        length = np.linalg.norm(bond)
        pull = STIFFNESS * (length - 1) * bond / length
        self.results = {
            "energy": 0.5 * STIFFNESS * (length - 1) ** 2,
            "forces": np.array([pull, -pull]),
            "dipole": CHARGE * bond,
        }


def molecule() -> Atoms:
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 1]])
    atoms.calc = Spring()
    return atoms


@pytest.mark.parametrize("shape", ["lorentzian", "gaussian"])
def test_charges_on_a_spring_absorb_what_they_must(shape):
    found = infrared(molecule(), shape=shape, width=20.0, scale=0.9)
    reduced = 15.999 * 1.008 / (15.999 + 1.008)
    assert found.intensities == pytest.approx([974.880 * CHARGE**2 / reduced], rel=1e-4)
    exact = 521.471 * np.sqrt(STIFFNESS / reduced)  # sqrt(eV/amu)/Angstrom in cm^-1
    assert found.frequencies == pytest.approx([exact], rel=1e-4)
    step = found.wavenumbers[1] - found.wavenumbers[0]
    area = found.absorption.sum() * step
    assert area == pytest.approx(found.intensities[0], rel=0.02 if shape == "lorentzian" else 1e-3)
    top = found.wavenumbers[np.argmax(found.absorption)]
    assert top == pytest.approx(0.9 * exact, abs=1)
    half = found.wavenumbers[found.absorption > found.absorption.max() / 2]
    assert np.ptp(half) == pytest.approx(20, abs=2)


def test_a_measured_spectrum_is_matched_and_its_shifts_tabled():
    wavenumbers = np.arange(500.0, 4000.0, 2.0)
    peaks = {2800.0: 1.0, 1000.0: 0.3}
    curve = sum(h * np.exp(-(((wavenumbers - p) / 15) ** 2)) for p, h in peaks.items())
    found = infrared(molecule(), measured=MeasuredSpectrum(wavenumbers, curve, "here.jdx"))
    assert found.observed == pytest.approx([2800], abs=2)
    assert found.shifts == pytest.approx(found.frequencies - found.observed)
    assert found.unmatched == pytest.approx([1000], abs=2)
    modes, compared = found.tables()
    assert modes.records()["shift (cm^-1)"] == pytest.approx(found.shifts)
    assert compared.cells[0][0] == "here.jdx"
    assert compared.cells[0][1].value == pytest.approx(np.abs(found.shifts).mean())
    assert compared.cells[0][2] == "1000"
    assert found.plot().axes[0].get_xlabel() == "wavenumber (cm⁻¹)"


def test_what_has_no_dipole_is_told_what_to_do():
    atoms = molecule()
    atoms.calc.implemented_properties = ["energy", "forces"]
    with pytest.raises(PropertyError, match=r"gives no dipole.*hdnnp_dipole.*ladera spectrum"):
        infrared(atoms)


WAVES = np.linspace(400.0, 3996.0, 900)
CURVE = 0.05 + np.exp(-(((WAVES - 1750) / 40) ** 2)) + 0.5 * np.exp(-(((WAVES - 2900) / 60) ** 2))


def jcamp(data: str, yunits: str = "ABSORBANCE", factor: float = 1e-4, more: str = "") -> str:
    return (
        "##TITLE=test $$ comment\n##JCAMP-DX=4.24\n##XUNITS=1/CM\n"
        f"##YUNITS={yunits}\n##XFACTOR=1.0\n##YFACTOR={factor}\n##FIRSTX={WAVES[0]}\n"
        f"##LASTX={WAVES[-1]}\n##NPOINTS={len(WAVES)}\n{more}{data}##END=\n"
    )


def plain(values: np.ndarray) -> str:
    lines = [
        f"{WAVES[k]:.1f} " + " ".join(map(str, values[k : k + 8])) for k in range(0, len(values), 8)
    ]
    return "##XYDATA=(X++(Y..Y))\n" + "\n".join(lines) + "\n"


def squeezed(value: int) -> str:
    digits = str(abs(value))
    letters = "@ABCDEFGHI" if value >= 0 else " abcdefghi"
    return letters[int(digits[0])] + digits[1:]


def difference(value: int) -> str:
    digits = str(abs(value))
    letters = "%JKLMNOPQR" if value >= 0 else " jklmnopqr"
    return letters[int(digits[0])] + digits[1:]


def packed(values: list[int], per_line: int = 16) -> str:
    """Differences with repeats, each line beginning with the ordinate that ended the last."""
    lines, start = [], 0
    while start < len(values):
        end = min(start + per_line, len(values))
        words = [squeezed(values[max(start - 1, 0)])]
        steps = [values[k] - values[k - 1] for k in range(max(start, 1), end)]
        k = 0
        while k < len(steps):
            run = 1
            while k + run < len(steps) and steps[k + run] == steps[k] and run < 8:
                run += 1
            words.append(difference(steps[k]) + ("STUVWXYZ"[run - 1] if run > 1 else ""))
            k += run
        lines.append(f"{WAVES[start]:.1f}" + "".join(words))
        start = end
    return "##XYDATA=(X++(Y..Y))\n" + "\n".join(lines) + "\n"


def test_jcamp_and_columns_say_the_same(tmp_path):
    whole = np.round(1e4 * CURVE).astype(int)
    light = np.round(1e6 * 10**-CURVE).astype(int)
    texts = {
        "plain.jdx": jcamp(plain(whole)),
        "packed.jdx": jcamp(packed(whole.tolist())),
        "transmittance.dx": jcamp(plain(light), "TRANSMITTANCE", 1e-6),
        "columns.csv": "\n".join(f"{x},{y}" for x, y in zip(WAVES, CURVE, strict=True)),
        "percent.txt": "cm-1 Transmittance (%)\n"
        + "\n".join(f"{x} {100 * 10**-y}" for x, y in zip(WAVES[::-1], CURVE[::-1], strict=True)),
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        found = read_spectrum(tmp_path / name)
        assert found.wavenumbers == pytest.approx(WAVES), name
        assert found.absorbance == pytest.approx(CURVE / CURVE.max(), abs=2e-4), name
        assert found.peaks(15) == pytest.approx([1750, 2900], abs=5), name


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-400, 400), min_size=2, max_size=60))
def test_packed_ordinates_come_back(tmp_path_factory, steps):
    values = (np.cumsum(steps) + 100_000).tolist()
    text = jcamp(packed(values), factor=1.0).replace(
        f"NPOINTS={len(WAVES)}", f"NPOINTS={len(values)}"
    )
    path = tmp_path_factory.mktemp("jcamp") / "a.jdx"
    path.write_text(text)
    found = read_spectrum(path).absorbance * max(values)
    assert found == pytest.approx(np.array(values, dtype=float))


def test_peak_tables_and_damaged_files(tmp_path):
    path = tmp_path / "a.jdx"
    path.write_text(
        "##TITLE=x\n##XUNITS=1/CM\n##PEAK TABLE=(XY..XY)\n1746,100 2782,80; 1500,30\n##END=\n"
    )
    assert read_spectrum(path).peaks(10) == pytest.approx([1500, 1746, 2782])
    path.write_text(jcamp(plain(np.arange(1, 90))))
    with pytest.raises(DataError, match="says 900 points and has 89"):
        read_spectrum(path)
    path.write_text("nothing here\n")
    with pytest.raises(DataError, match=r"a\.jdx could not be read as a spectrum"):
        read_spectrum(path)
    path.write_text("1000 0.1\n1001 0.2\nend of data\n")
    with pytest.raises(DataError, match="line 3 has no two numbers"):
        read_spectrum(path)
    with pytest.raises(DataError, match="There is no spectrum"):
        read_spectrum(tmp_path / "none.jdx")


def percent(curve: np.ndarray = CURVE) -> np.ndarray:
    return 100 * 10**-curve


# As instruments and spreadsheets write them: the columns, and what stands above them.
COLUMNS = {
    "cm-1,%T": ("{:.3f},{:.6f}", WAVES, percent()),
    "Wavenumber (cm-1),Transmittance": ("{:.3f},{:.6f}", WAVES, percent()),
    "Número de onda (cm-1)\tTransmitancia (%)": ("{:.3f}\t{:.6f}", WAVES, percent()),
    "x,T": ("{:.3f},{:.8f}", WAVES, percent() / 100),
    "2024-01-01 sample 3\n1/cm %T": ("{:.3f} {:.6f}", WAVES, percent()),
    'nombre\n"cm-1","%T"': ("{:.3f},{:.6f}", WAVES, percent()),
    "cm-1;%T": ("{:.3f};{:.6f}", WAVES, percent()),
    "Wellenzahl [cm⁻¹];Durchlässigkeit": ("{:.3f};{:.8f}", WAVES, percent() / 100),
    "Wavelength (micrometers),%T": ("{:.9f},{:.6f}", 1e4 / WAVES, percent()),
    "nm\tAbsorbance": ("{:.6f}\t{:.8f}", 1e7 / WAVES, CURVE),
    "YUNITS\tTRANSMITTANCE\nNPOINTS\t900\nXYDATA": ("{:.3f}\t{:.6f}", WAVES, percent()),
    "absorbance after a baseline at 100 % T\ncm-1,A": ("{:.3f},{:.8f}", WAVES, CURVE),
}


@pytest.mark.parametrize("header", COLUMNS)
def test_columns_are_what_is_written_above_them(tmp_path, header):
    form, x, y = COLUMNS[header]
    text = "\n".join([header, *(form.format(*row) for row in zip(x, y, strict=True))])
    for name, written in {
        "a.csv": text.encode(),
        "bom.csv": text.encode("utf-8-sig"),
        **({"comma.csv": text.replace(".", ",").encode()} if "{:.3f}," not in form else {}),
    }.items():
        if name == "comma.csv" and ("9f}," in form or "6f}," in form):
            continue
        (tmp_path / name).write_bytes(written)
        found = read_spectrum(tmp_path / name)
        assert found.wavenumbers == pytest.approx(WAVES, abs=2e-3)
        assert found.absorbance == pytest.approx(CURVE / CURVE.max(), abs=1e-3)
        assert found.peaks(10) == pytest.approx([1750, 2900], abs=6)


@pytest.mark.parametrize(
    ("header", "y", "why"),
    [
        ("", percent(), "looks like transmittance"),
        ("", percent() / 100, "looks like transmittance"),
        ("x,y", 100 - percent(), "looks like transmittance"),
        ("cm-1,Transmittance and absorbance", CURVE, "transmittance and absorbance of its one"),
        ("cm-1,%R", percent(), "'%r' is neither absorbance"),
        ("Raman shift/cm-1,Raman intensity", CURVE, "'raman' is neither"),
        ("cm-1,%T", percent() / 100, "highest transmittance is 0.891251 %"),
        ("wavelength,absorbance", CURVE, "'wavelength' is no wavenumber; say above"),
        ("THz,absorbance", CURVE, "'thz' is no wavenumber"),
    ],
)
def test_columns_that_may_be_something_else_are_refused(tmp_path, header, y, why):
    path = tmp_path / "a.csv"
    rows = [f"{a:.3f},{b:.6f}" for a, b in zip(WAVES, y, strict=True)]
    path.write_text("\n".join([header, *rows]))
    with pytest.raises(DataError, match=why):
        read_spectrum(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2,5\n3,1\n4,1\n", "the first column ends at 4 is no wavenumber"),
        ("4,000;0,5\n3,999;0,6\n", "ends at 4 is no wavenumber"),
        ("4000.5;0,5\n3999.5;0,6\n", "some decimal commas"),
        ("4000,5,0,5\n3999,5,0,6\n", "line 1 has 4 columns"),
        ("4000 0.5 0.7\n", "line 1 has 3 columns"),
        (jcamp(plain(np.arange(1, 90))).replace("NPOINTS=900", "NPOINTS=inf"), "says inf points"),
        (jcamp(plain(np.arange(1, 90))).replace("NPOINTS=900", "NPOINTS=nan"), "says nan points"),
        (jcamp("##XYDATA=(X++(Y..Y))\n"), "it says 900 points and has 0"),
        ("##TITLE=x\n##PEAK TABLE=(XY..XY)\n##END=\n", "PEAKTABLE is empty"),
        ("##TITLE=x\n##XYPOINTS=(XY..XY)\n1 2 3\n##END=\n", "3 numbers, which are no pairs"),
        ("##TITLE=x\n##PEAK TABLE=(XYW..XYW)\n1 2 3\n##END=\n", "has the form '\\(XYW..XYW\\)'"),
        ("##TITLE=x\n##END=\n", "it has 0 of XYDATA"),
        (jcamp(plain(np.arange(1, 901)) * 2), "it has 2 of XYDATA"),
        (jcamp(plain(np.arange(1, 901)), more="##DATA TYPE=NMR SPECTRUM\n"), "TYPE is NMR SPECT"),
        (jcamp("##XYDATA=(X++(Y..Y))\n400A1S99999999999999\n"), "repeats a value 2e"),
        (jcamp("##XYDATA=(X++(Y..Y))\n400A1" + 5000 * "S1900000" + "\n"), "repeats a value"),
        (jcamp("##XYDATA=(X++(Y..Y))\n400S4\n"), "repeats a value"),
        (jcamp("##XYDATA=(X++(Y..Y))\n400 1 ? ? 4\n"), "'\\? *\\?' in its table is no number"),
    ],
)
def test_hostile_spectra_are_refused_at_once(tmp_path, text, why):
    path = tmp_path / "a.jdx"
    path.write_text(text)
    with pytest.raises(DataError, match=why):
        read_spectrum(path)


def test_peaks_below_one_keep_their_point(tmp_path):
    path = tmp_path / "a.jdx"
    path.write_text("##TITLE=x\n##XYPOINTS=(XY..XY)\n1500, .25; 1750, .5\n##END=\n")
    assert read_spectrum(path).absorbance == pytest.approx([0.5, 1.0])


def test_a_measured_curve_is_drawn_as_high_as_what_it_covers():
    found = infrared(molecule())
    strongest = found.frequencies[np.argmax(found.intensities)]
    weakest = min(f for f in found.frequencies if f > 0)
    for middle in (strongest, weakest):
        waves = np.linspace(middle - 30, middle + 30, 100)
        curve = MeasuredSpectrum(waves, np.exp(-(((waves - middle) / 9) ** 2)), "part.jdx")
        part = infrared(molecule(), measured=curve)
        near = np.abs(part.wavenumbers - middle) <= 30 + part.width
        assert part.height_of_measured == pytest.approx(part.absorption[near].max(), rel=0.02)


def test_command_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(viewer, "load_script", lambda: viewer.Script("const a = {};", "as if here"))
    monkeypatch.setattr("ladera.cli.vibrations.with_model", lambda *paths: molecule())
    (tmp_path / "measured.csv").write_text("2900,1\n1200,0.4\n")
    (tmp_path / "model.ladera").write_bytes(b"\0 a model, in the place of which a spring answers")
    write("relaxed.extxyz", molecule())
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["ir", "model.ladera", "relaxed.extxyz", "--experiment", "measured.csv"])
    said = capsys.readouterr().out
    assert "measured.csv" in said
    assert "2900.0" in said
    assert result.load("ir").unmatched == pytest.approx([1200])
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["report", "ir", "--output", "page.html"])
    page = (tmp_path / "page.html").read_text()
    assert "absorption (km/mol cm)" in page
    assert "mode 1" in page
