"""The report: what it says, what it survives, and that data cannot write into the page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from hypothesis import given
from hypothesis import strategies as st

from ladera import table_files
from ladera.cli import main
from ladera.errors import DataError
from ladera.plotting import to_svg
from ladera.report import figures, viewer
from ladera.report.predictions import Errors, Predictions
from ladera.report.report import HOW_TO_GET_3D, ReportWarning, write_report
from ladera.report.simulation_section import drift
from ladera.report.training_section import parity_plates
from ladera.report.viewer import Script
from ladera.simulation.run_folder import SimulationRun
from ladera.training.run_folder import TrainingRun
from report_runs import HOSTILE, md_run, relax_run, training_run

FAKE_SCRIPT = Script("const $3Dmol = {};", "BSD-3-Clause, as a stand-in")


class Page(HTMLParser):
    """Text, tags and attributes of a page, the contents of scripts and styles apart."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"] and self.cdata_elem == "script":
            self.scripts.append(data)
        elif self.cdata_elem is None:
            self.text += data

    @property
    def ids(self) -> list[str | None]:
        """Every id."""
        return [value for name, value in self.attributes if name == "id"]


@pytest.fixture
def with_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 3Dmol.js had been fetched."""
    monkeypatch.setattr(viewer, "load_script", lambda: FAKE_SCRIPT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run with groups called like attacks."""
    folder = tmp_path_factory.mktemp("runs") / "ethanol"
    return training_run(folder, config_types=("md_300K", HOSTILE))


@pytest.fixture(scope="module")
def md(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulation."""
    return md_run(tmp_path_factory.mktemp("runs") / "md_300K")


@pytest.fixture(scope="module")
def full(run: Path, md: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with everything on it."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(viewer, "load_script", lambda: FAKE_SCRIPT)
        simulations = [md, relax_run(folder / "relax")]
        return write_report(run, folder / "page.html", simulations=simulations)


def test_a_page_has_all_its_parts(full: Path) -> None:
    page = Page(full)
    for words in (
        "lennard_jones",
        "12.3",  # mean absolute error of evaluation.json
        "never seen in training",
        "Energy MAE (meV/atom)",
        "Force MAE (meV/Å)",
        "Predicted energy (meV/atom)",
        "Reference force component (eV/Å)",
        "Error of the force component (meV/Å)",
        "Molecular dynamics: md_300K",
        "Relaxation: relax",
        "Temperature (K)",
        "Conserved energy (meV/atom)",
        "Largest force (eV/Å)",
        "duplicate-frames",
        "epochs: 60",
        "BSD-3-Clause, as a stand-in",
    ):
        assert words in page.text, words
    assert len(page.ids) == len(set(page.ids))  # figures do not borrow from each other
    scenes = [json.loads(text) for text in page.scripts if text.startswith('{"')]
    assert [len(scene["labels"]) for scene in scenes] == [50, 12]
    assert scenes[0]["labels"][:2] == ["0 fs", "10 fs"]


def test_the_page_may_fetch_nothing(full: Path) -> None:
    page = Page(full)
    policies = [v for n, v in page.attributes if n == "content" and v and "default-src" in v]
    assert policies[0].startswith("default-src 'none'")
    links = [v or "" for n, v in page.attributes if n in ("src", "href", "xlink:href", "action")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)


def test_data_cannot_write_into_the_page(full: Path) -> None:
    page = Page(full)
    assert "<script>alert" not in full.read_text(encoding="utf-8")
    assert not any("alert" in script for script in page.scripts)
    assert page.text.count(HOSTILE) >= 5  # tables, findings, configuration: shown as it is
    assert "<script>alert(1)</scrip…" in page.text  # and in a figure, dollar signs and all


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)> & $\\frac$ %s {{ 7*7 }}"
    page = Page(write_report(training_run(tmp_path / name, frames=4, epochs=2)))
    assert name in page.text
    assert "img" not in page.tags


def test_stress_is_reported_where_it_is_trained_on(tmp_path: Path) -> None:
    page = Page(write_report(training_run(tmp_path / "run", frames=8, epochs=2, stress=True)))
    assert "Stress MAE (meV/Å³)" in page.text
    assert "Predicted stress (meV/Å³)" in page.text


def test_a_run_in_progress(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", frames=4, epochs=3)
    for path in (
        *folder.glob("predictions_*"),
        folder / "evaluation.json",
        folder / "model.ladera",
    ):
        path.unlink()
    log = folder / "log.csv"
    log.write_text(log.read_text() + "4,6.0,0.0009,1.")  # a row being written
    page = Page(write_report(folder))
    assert "There are no predictions in this folder yet" in page.text
    assert "Loss (no unit)" in page.text


def test_energies_without_forces(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", frames=8, epochs=2)
    for path in folder.glob("predictions_*.npz"):
        arrays = dict(np.load(path))
        arrays["forces_reference"] = np.full_like(arrays["forces_reference"], np.nan)
        np.savez(path, **arrays)
    page = Page(write_report(folder))
    assert "Predicted energy" in page.text
    assert "Predicted force" not in page.text


def test_a_simulation_alone(tmp_path: Path, with_script: None) -> None:
    page = Page(write_report(md_run(tmp_path / "crystal", periodic=True)))
    assert "Pressure (GPa)" in page.text
    assert "Learning curves" not in page.text
    (scene,) = [json.loads(text) for text in page.scripts if text.startswith('{"')]
    assert len(scene["cells"]) == 50


def test_without_3dmol_the_page_says_so(
    md: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "load_script", lambda: None)
    with pytest.warns(ReportWarning, match="fetch_3dmol"):
        path = write_report(md, tmp_path / "page.html")
    page = Page(path)
    assert HOW_TO_GET_3D in page.text
    assert page.scripts == []
    still = re.search(r'<svg[^>]*aria-label="The last structure, C2H6O"', path.read_text())
    assert still


def test_a_structure_too_large_for_the_page_is_shown_still(
    md: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_script: None
) -> None:
    monkeypatch.setattr(viewer, "ATOM_FRAMES", 8)  # ethanol has nine
    page = Page(write_report(md, tmp_path / "page.html"))
    assert "too large for a 3D view" in page.text
    assert not any(text.startswith('{"') for text in page.scripts)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_simulation_that_has_hardly_begun(rows: int, tmp_path: Path, with_script: None) -> None:
    folder = md_run(tmp_path / "md", rows=rows, frames=1)
    assert "Molecular dynamics: md" in Page(write_report(folder)).text
    (folder / "trajectory.traj").unlink()
    assert "viewer" not in dict(Page(write_report(folder)).attributes).values()


def test_free_atoms_do_not_squeeze_the_other_energies(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", frames=8, epochs=2, config_types=("md", "IsolatedAtom"))
    for path in folder.glob("predictions_*.npz"):
        arrays = dict(np.load(path))
        free = {"n_atoms": [1], "numbers": [8], "config_type": ["IsolatedAtom"]}
        free |= {"frame_index": [99], "energy_reference": [-2040.0], "energy_predicted": [-2040.1]}
        free |= {"forces_reference": np.zeros((1, 3)), "forces_predicted": np.zeros((1, 3))}
        joined = {name: np.concatenate([arrays[name], value]) for name, value in free.items()}
        np.savez(path, **joined)
    plates = list(parity_plates(TrainingRun.read(folder)))
    low, high = plates[0].figure.axes[0].get_xlim()
    assert high - low < 1000  # meV/atom, not the two keV between an atom and a molecule


def test_the_end_of_a_script_inside_3dmol_is_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "3Dmol-min.js").write_text("var x = '</script><b>';")
    monkeypatch.setattr(viewer, "files", lambda package: tmp_path)
    assert viewer.load_script() is None  # no script without its licence
    (tmp_path / "assets" / "3Dmol-LICENSE.txt").write_text("BSD")
    script = viewer.load_script()
    assert script is not None
    assert "</script" not in script.code


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (("predictions_test.npz", b"PK\x03\x04 cut"), "predictions_test.npz"),
        (("evaluation.json", b'{"test": {"n_frames": 3}}'), "evaluation.json"),
        (("evaluation.json", b"{"), "evaluation.json"),
        (("check.json", b"[1, 2]"), "expected a JSON object"),
        (("log.csv", b"epoch,train_loss\n1,2,3\n"), "line 2: 3 fields, expected 2"),
        (("log.csv", b"epoch,train_loss\n1,x\n"), "line 2: 'x' in column train_loss"),
        (("model.ladera", b"not a model"), "model.ladera"),
    ],
)
def test_damaged_files_are_named(
    damage: tuple[str, bytes],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = training_run(tmp_path / "run", frames=4, epochs=2)
    (folder / damage[0]).write_bytes(damage[1])
    with pytest.raises(SystemExit) as leaving:
        main(["report", str(folder)])
    assert leaving.value.code == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (folder / "report.html").exists()


def test_predictions_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = training_run(tmp_path / "run", frames=8, epochs=2)
    path = folder / "predictions_test.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "forces_predicted": arrays["forces_predicted"][:-1]})
    with pytest.raises(DataError, match=r"forces_predicted has shape \(17, 3\)"):
        Predictions.read(path)


def test_a_damaged_trajectory_is_named(tmp_path: Path) -> None:
    folder = md_run(tmp_path / "md")
    (folder / "trajectory.traj").write_bytes(b"- of Ulm and then nothing")
    with pytest.raises(DataError, match=r"trajectory\.traj"):
        write_report(folder)


@pytest.mark.parametrize("name", ["empty", "absent"])
def test_a_folder_without_a_run_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=name):
        write_report(tmp_path / name)


def test_a_simulation_folder_without_one_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither md\.csv nor relax\.csv"):
        write_report(run, tmp_path / "page.html", simulations=[tmp_path])


def test_the_command(
    run: Path, md: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], with_script: None
) -> None:
    output = tmp_path / "deep" / "page.html"
    relax = relax_run(tmp_path / "relax")
    with pytest.raises(SystemExit) as leaving:
        main(["report", str(run), "--md", str(md), str(relax), "--output", str(output)])
    assert leaving.value.code == 0
    assert str(output) in capsys.readouterr().out
    assert "Relaxation: relax" in Page(output).text


def test_large_runs_stay_small_files(tmp_path: Path, with_script: None) -> None:
    run = training_run(tmp_path / "run", frames=3000)
    md = md_run(tmp_path / "md", rows=50_000, frames=2000)
    path = write_report(run, simulations=[md])
    assert path.stat().st_size < 3e6  # 3Dmol.js adds half a megabyte


@given(n_frames=st.integers(1, 5000), n_atoms=st.integers(1, 10_000), room=st.integers(0, 90_000))
def test_picked_frames_fit_and_span_the_run(n_frames: int, n_atoms: int, room: int) -> None:
    picked = viewer.pick_frames(n_frames, n_atoms, room)
    assert len(picked) * n_atoms <= room
    assert len(picked) <= viewer.MAX_FRAMES
    assert (np.diff(picked) > 0).all()
    if n_atoms <= room:
        assert picked[-1] == n_frames - 1
    if n_frames > 1 and 2 * n_atoms <= room:
        assert picked[0] == 0


def test_the_scene_keeps_open_structures_in_the_middle_and_others_in_their_cell() -> None:
    ethanol, silicon = molecule("CH3CH2OH"), bulk("Si", cubic=True)
    ethanol.positions += 50
    silicon.positions -= 7
    positions = _positions(viewer.scene([ethanol], ["0 fs"])["xyz"])
    assert np.abs(positions.mean(axis=0)).max() < 1e-3
    positions = _positions(viewer.scene([silicon], ["0 fs"])["xyz"])
    assert positions.min() > -1e-3
    assert positions.max() < silicon.cell[0, 0] + 1e-3


def test_the_drift_is_a_slope_per_atom(tmp_path: Path) -> None:
    simulation = SimulationRun.read(md_run(tmp_path / "md", rows=4000))
    # 1e-6 eV a row of 5 fs, nine atoms: 1e-6 / 0.005 ps * 1000 / 9
    assert drift(simulation) == pytest.approx(0.2 / 9, rel=1e-2)


def test_errors_leave_unlabelled_values_out() -> None:
    reference = np.array([1.0, 2.0, np.nan, 4.0])
    errors = Errors.of(reference, np.array([1.0, 3.0, 7.0, 4.0]))
    assert errors is not None
    assert (errors.count, errors.max) == (3, 1.0)
    assert errors.mae == pytest.approx(1 / 3)
    assert errors.rmse == pytest.approx(np.sqrt(1 / 3))
    assert errors.r2 == pytest.approx(1 - 1 / np.square([-4 / 3, -1 / 3, 5 / 3]).sum())
    assert Errors.of(np.array([np.nan]), np.array([1.0])) is None


def test_tables_have_nan_for_empty_fields(tmp_path: Path) -> None:
    path = tmp_path / "md.csv"
    path.write_text("step,pressure_gpa\n0,\n10,1.5\n")
    table = table_files.read(path)
    assert np.isnan(table["pressure_gpa"][0])
    assert table["step"].tolist() == [0, 10]


def test_thinning_keeps_the_extremes() -> None:
    x = np.arange(100_000.0)
    y = np.sin(x / 500)
    y[77_777] = 9.0
    thin_x, thin_y = figures.thin(x, y)
    assert len(thin_x) <= 1500
    assert thin_y.max() == 9.0
    assert thin_y.min() == y.min()


def test_the_running_mean_of_a_line_is_the_line() -> None:
    line = 1e6 + np.arange(1000.0)
    smooth = figures.running_mean(line)
    np.testing.assert_allclose(smooth[20:-20], line[20:-20], atol=1e-6)


def test_many_points_become_a_picture() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=50_000)
    figure = figures.parity({"Si": (values, values + 0.01)}, "force component", "eV/Å")
    svg = to_svg(figure, "a <test> & more", "a")
    assert len(svg) < 300_000
    assert "<image" in svg
    assert 'aria-label="a &lt;test&gt; &amp; more"' in svg


def test_a_legend_names_what_is_drawn() -> None:
    values, nothing = np.arange(3.0), np.empty(0)
    groups = {"hot": (values, values), "none": (nothing, nothing), "cold": (values, values + 1)}
    legend = figures.parity(groups, "energy", "eV").axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["hot", "cold"]


def test_figures_without_a_single_label() -> None:
    nothing = np.full(3, np.nan)
    svg = to_svg(figures.parity({"Si": (nothing, nothing)}, "energy", "eV"), "empty", "a")
    assert "no labels" in svg
    to_svg(figures.error_histogram({"train": nothing}, "Error (eV)"), "empty", "b")
    to_svg(figures.learning_curve(np.arange(3.0), {"train": nothing}, "Loss"), "empty", "c")


def _positions(xyz: str) -> np.ndarray:
    return np.array([line.split()[1:] for line in xyz.splitlines() if line[:1].isalpha()], float)
