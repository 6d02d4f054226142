"""Infrared spectra: dipoles that are exactly known, measured files of every kind, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
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
    words = [cell for row in found.table().rows for cell in row]
    assert "here.jdx" in words
    assert "1000" in words
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


def test_command_and_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(viewer, "load_script", lambda: viewer.Script("const a = {};", "as if here"))
    monkeypatch.setattr("ladera.cli.vibrations.with_model", lambda *paths: molecule())
    (tmp_path / "measured.csv").write_text("2900,1\n1200,0.4\n")
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
