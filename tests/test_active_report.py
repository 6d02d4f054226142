"""The report of an active learning: what it says of its rounds, finished or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule

import ladera.active
import ladera.report.report
from active_loops import TEMPERATURES, crystal, loop
from ladera.active import ActiveRun
from ladera.active.folder import ActiveFolder, Round
from ladera.cli import main
from ladera.errors import ConfigError, DataError
from ladera.report import active_figures, active_section, viewer
from ladera.report.active_structures import motions
from ladera.report.report import HOW_TO_GET_3D, ReportWarning, write_report
from report_runs import HOSTILE
from test_report import FAKE_SCRIPT, Page


@pytest.fixture(autouse=True)
def with_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if 3Dmol.js had been fetched."""
    monkeypatch.setattr(viewer, "load_script", lambda: FAKE_SCRIPT)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what stands beside them on the page: they take most of the time."""
    monkeypatch.setattr(active_section, "plates", lambda loop: iter(()))


def scenes(page: Page) -> list[dict[str, Any]]:
    return [json.loads(text) for text in page.scripts if text.startswith('{"')]


def described(folder: Path) -> dict[str, str]:
    return dict(active_section.facts(active_section.read(folder)))


# --- what it says --------------------------------------------------------------------------------


def test_a_page_has_all_its_parts(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol")
    path = write_report(folder)
    assert path == folder / "report.html"
    page = Page(path)
    for words in (
        "C2H6O.xyz",
        "tblite (method GFN1-xTB)",
        "mtp (level 8, cutoff 5.0)",
        "57.7",  # force MAE of the third round, meV/Å
        "RMSE 78.9",
        "6.67",  # energy
        "of round 3, never seen in training",
        "ladera report round_3/model",
        "stopped: 3 rounds, the most that were allowed",
        "900 K, in all walks of round 3",
        "grade: new above 2, lost above 10",
        "Force error (meV/Å)",
        "Energy error (meV/atom)",
        "Goal of the MAE",
        "Grade (no unit)",
        "New above",
        "Lost above",
        "3 with atoms too close",
        "Walks (number)",
        "Force MAE (meV/Å)",
        "Time (min)",
        "grade 12 of <b>",  # as it is, and no tag
        "GFN1-xTB\n",  # of the configuration
    ):
        assert words in page.text, words
    assert "b" not in page.tags
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.usefixtures("no_figures")
def test_learned_structures_are_shown_with_round_group_and_score(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol", rounds=2)
    (scene,) = scenes(Page(write_report(folder)))
    labels = scene["labels"]
    assert labels[:8] == ["round 0, given"] * 8  # no free atom, and no score
    assert len(labels) == 8 + 11  # round 2 was the last: it labelled nothing to learn
    assert labels[8] == "round 1, rattle-0.05, grade 3.25"
    table = active_section.read(folder).candidates[1]
    picked = (table["became"] == "picked") & (table["walk"] != "distorted")
    wanted = [
        f"round 1, {temperature:g} K, grade {score:.3g}"
        for temperature, score in zip(
            table["temperature_k"][picked], table["score"][picked], strict=True
        )
    ]
    assert labels[9:] == wanted[::-1]  # the file has them in another order than the table
    assert scene["xyz"].startswith("9\n")


@pytest.mark.usefixtures("no_figures")
def test_molecules_and_crystals_have_views_of_their_own(tmp_path: Path) -> None:
    folder = loop(tmp_path / "both", structures=(molecule("H2O"), molecule("CH3OH"), crystal()))
    page = Page(write_report(folder))
    assert "Open structures" in page.text
    opened, periodic = scenes(page)
    assert opened["cells"] == []
    assert set(opened["sizes"]) == {3, 6}
    assert len(periodic["cells"]) == len(periodic["labels"])
    assert set(periodic["sizes"]) == {8}


def test_structures_fit_into_the_page(tmp_path: Path) -> None:
    read = active_section.read(loop(tmp_path / "ethanol"))
    ((_, whole),) = motions(read, 10_000)
    ((_, some),) = motions(read, 90)
    ((_, none),) = motions(read, 8)  # ethanol has nine atoms
    assert (whole.shown, some.shown, none.shown) == (whole.total, 10, 0)
    assert none.scene is None


@pytest.mark.usefixtures("no_figures")
def test_without_3dmol_there_is_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "load_script", lambda: None)
    folder = loop(tmp_path / "ethanol")
    with pytest.warns(ReportWarning, match="fetch_3dmol"):
        page = Page(write_report(folder))
    assert HOW_TO_GET_3D in page.text
    assert page.scripts == []
    assert ("aria-label", "The last structure, C2H6O") in page.attributes


def test_a_committee_is_told_by_its_deviation(tmp_path: Path) -> None:
    page = Page(write_report(loop(tmp_path / "ethanol", by="deviation")))
    assert "committee of 3, each mtp" in page.text
    assert "Deviation of forces (eV/Å)" in page.text
    assert any(", deviation 0." in label for label in scenes(page)[0]["labels"])


def test_a_published_model_that_is_tuned_is_named(tmp_path: Path) -> None:
    training = {"finetune": {"base": "mace-mp-small", "method": "naive"}, "epochs": 5}
    folder = loop(tmp_path / "tuned", training=training)
    assert described(folder)["Model"] == "mace-mp-small, fine-tuned (naive)"


def test_names_cannot_write_into_the_page(tmp_path: Path) -> None:
    folder = loop(tmp_path / "loop")
    record = folder / "round_3" / "round.json"
    values = json.loads(record.read_text())
    values["judged"]["by_group"][HOSTILE] = 0.1
    values["walks"][0]["reason"] = HOSTILE
    record.write_text(json.dumps(values))
    path = write_report(folder)
    assert "<script>alert" not in path.read_text()
    assert HOSTILE in Page(path).text


# --- unfinished ----------------------------------------------------------------------------------


def test_only_the_beginning(tmp_path: Path) -> None:
    page = Page(write_report(loop(tmp_path / "begun", rounds=0, stopped=False)))
    assert "No model has been judged yet" in page.text
    assert "no model has explored yet" in page.text
    assert "goes on" in page.text
    assert scenes(page)[0]["labels"] == ["round 0, given"] * 8
    assert "Time (" not in page.text  # no figure of a single bar


@pytest.mark.usefixtures("no_figures")
def test_the_beginning_may_be_data_alone(tmp_path: Path) -> None:
    folder = loop(tmp_path / "given", rounds=1, stopped=False, begin={"data": ["mine.extxyz"]})
    files = ActiveFolder(folder)
    files.round(0).train.write_text("")
    files.round(0).record.write_text(Round(number=0).model_dump_json())
    files.round(1).train.unlink()
    page = Page(write_report(folder))
    assert "mine.extxyz" in page.text
    assert scenes(page) == []


@pytest.mark.usefixtures("no_figures")
def test_a_round_that_is_being_made_is_not_there_yet(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol", stopped=False)
    before = write_report(folder, tmp_path / "before.html")
    (folder / "round_4").mkdir()
    (folder / "round_4" / "candidates.csv").write_text("walk,temp")
    after = write_report(folder, tmp_path / "after.html")
    assert Page(after).text.count("Round 3") == Page(before).text.count("Round 3")
    assert described(folder)["State"] == "goes on"
    assert described(folder)["Hottest"] == "900 K, in 1 of 3 walks of round 3"


def test_a_loop_that_is_to_go_on_is_not_stopped(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol")
    assert described(folder)["State"].startswith("stopped: 3 rounds")
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("rounds: 3", "rounds: 5"))
    assert described(folder)["State"] == "goes on"


def test_figures_come_with_their_second_point(tmp_path: Path) -> None:
    captions = [
        [plate.caption.split(" ")[0] for plate in active_section.plates(active_section.read(path))]
        for path in (
            loop(tmp_path / "0", rounds=0),
            loop(tmp_path / "1", rounds=1),
            loop(tmp_path / "2", rounds=2),
        )
    ]
    assert captions == [
        [],
        ["How", "Force", "What"],  # scores, groups, costs
        ["Force", "Energy", "How", "The", "Force", "What"],
    ]


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (("round_1/round.json", "{"), r"round_1/round\.json is no complete JSON"),
        (("round_1/round.json", '{"number": "one"}'), r"round_1/round\.json is not what"),
        (("round_2/candidates.csv", "walk,step\na,1\n"), r"candidates\.csv has no column temp"),
        (("round_2/candidates.csv", ""), r"candidates\.csv has no column walk"),
        (("round_1/train.extxyz", "9\nnothing\n"), r"round_1/train\.extxyz"),
    ],
)
def test_damaged_files_are_named(damage: tuple[str, str], words: str, tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol")
    (folder / damage[0]).write_text(damage[1])
    with pytest.raises(DataError, match=words):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol")
    (folder / "config.yaml").write_text("structures: a.xyz\nengin: tblite\n")
    with pytest.raises(ConfigError, match="engin"):
        write_report(folder)


@pytest.mark.usefixtures("no_figures")
def test_only_a_report_is_replaced(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol")
    path = write_report(folder)
    assert write_report(folder) == path
    path.write_text("<html>my own notes</html>")
    with pytest.raises(ConfigError, match=r"report\.html exists already"):
        write_report(folder)
    assert path.read_text() == "<html>my own notes</html>"


def test_a_folder_without_labels_yet_is_refused(tmp_path: Path) -> None:
    folder = loop(tmp_path / "ethanol", rounds=0)
    (folder / "round_0" / "round.json").unlink()
    with pytest.raises(DataError, match=r"round_0/round\.json of an active learning"):
        write_report(folder)


# --- figures -------------------------------------------------------------------------------------


def test_axes_are_logarithmic_where_errors_fall_far() -> None:
    frames = np.array([10.0, 20.0, 100.0])
    falls = active_figures.errors_by_labels(frames, {"MAE": np.array([90.0, 40.0, 5.0])}, "E")
    panel = falls.axes[0]
    assert (panel.get_xscale(), panel.get_yscale()) == ("log", "log")
    stays = active_figures.errors_by_labels(frames / frames, {"MAE": frames / frames}, "E", 0.9)
    panel = stays.axes[0]
    assert (panel.get_xscale(), panel.get_yscale()) == ("linear", "linear")
    assert panel.get_ylim()[0] == 0


def test_groups_stand_in_the_order_of_temperature(tmp_path: Path) -> None:
    plates = list(active_section.plates(active_section.read(loop(tmp_path / "ethanol"))))
    (names,) = [
        [text.get_text() for text in plate.figure.axes[0].get_yticklabels()]
        for plate in plates
        if "were met" in plate.caption
    ]
    assert names == [*(f"{t:g} K" for t in TEMPERATURES), "rattle-0.05"]


def test_many_groups_are_the_largest() -> None:
    groups = {f"group {k}": float(k) for k in range(40)}
    panel = active_figures.errors_by_group(groups, 3.0, "MAE").axes[0]
    names = [text.get_text() for text in panel.get_yticklabels()]
    assert names == [f"group {k}" for k in range(28, 40)]


# --- the command ---------------------------------------------------------------------------------


def run_active(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str, rounds: int = 2
) -> list[bool]:
    """``ladera active`` whose loop is there already; whether there was a page after each round."""
    pages: list[bool] = []

    def learn(config: Any, output: Path, *, on_round: Callable[[Round], None]) -> ActiveRun:
        loop(output, rounds=rounds)
        done = ActiveFolder(output).rounds()
        for record in done[1:]:
            (output / "report.html").unlink(missing_ok=True)
            on_round(record)
            pages.append((output / "report.html").exists())
        return ActiveRun(output, tuple(done))

    monkeypatch.setattr(ladera.active, "learn", learn)
    config = folder / "active.yaml"
    config.write_text(ladera.active.config.template())
    with pytest.raises(SystemExit) as leaving:
        main(["active", str(config), "--output", str(folder / "loop"), *options])
    assert leaving.value.code == 0
    return pages


@pytest.mark.usefixtures("no_figures")
def test_the_command_writes_a_page_after_each_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "answer.json"
    assert run_active(tmp_path, monkeypatch, "--json", str(document)) == [True, True]
    page = tmp_path / "loop" / "report.html"
    assert f"{page} shows all rounds" in capsys.readouterr().out
    files = json.loads(document.read_text())["files"]
    assert files == [str(tmp_path / "loop" / "model.ladera"), str(page)]


def test_a_report_that_fails_does_not_lose_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(folder: Path, properties: object) -> Path:
        raise ValueError("no colours left")

    monkeypatch.setattr(ladera.report.report, "write_report", fails)
    document = tmp_path / "answer.json"
    assert run_active(tmp_path, monkeypatch, "--json", str(document)) == [False, False]
    said = capsys.readouterr()
    assert "no new report (no colours left)" in said.err
    assert "report.html" not in said.out
    answer = json.loads(document.read_text())
    assert answer["files"] == [str(tmp_path / "loop" / "model.ladera")]
    assert len(answer["rounds"]) == 3


@pytest.mark.usefixtures("no_figures")
def test_the_command_report_shows_a_loop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = loop(tmp_path / "ethanol")
    with pytest.raises(SystemExit) as leaving:
        main(["report", str(folder)])
    assert leaving.value.code == 0
    assert str(folder / "report.html") in capsys.readouterr().out
