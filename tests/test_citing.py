"""What to cite: by what a run was, not by what is installed; in BibTeX that BibTeX reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

import training_runs
from ladera import cli
from ladera.citing import references, works
from ladera.codes import published
from ladera.errors import DataError
from ladera.properties.equation_of_state import equation_of_state
from ladera.properties.phonons import phonons
from ladera.simulation.molecular_dynamics import run_md
from ladera.simulation.relaxation import relax
from ladera.simulation.settings import MDSettings
from ladera.training.trainer import train

ROOT = Path(__file__).parents[1]


def keys(subject: object) -> list[str]:
    return [work.key for work in works(str(subject))[0]]


def test_a_published_model_names_its_papers_and_its_data_without_a_download() -> None:
    found = keys("mace-mp-small")
    assert found[:1] == ["ladera"]
    assert {"batatia2022", "mace_mp", "mptrj"} <= set(found)
    assert {"omat24", "alexandria"} <= set(keys("mace-mpa-0"))
    assert "spice" in keys("MACE-OFF23-small")
    assert "mace_mp" not in keys("mace-mh-1")


def test_every_key_is_known() -> None:
    for model in published.models().values():
        assert set(model.cite) | set(model.data_cite) <= set(references()), model.name
        assert model.level, model.name
        assert model.data, model.name
        assert model.cite or model.file, model.name


def test_a_run_names_the_methods_that_it_chose(tmp_path: Path) -> None:
    atoms = molecule("CH3CH2OH")
    run_md(
        atoms,
        "ethanol-hdnnp",
        MDSettings(ensemble="nvt-bussi", temperature=100, steps=2, timestep=0.5),
        tmp_path / "md",
    )
    found = keys(tmp_path / "md")
    assert {"behler2007", "bussi2007", "ase", "pytorch", "numba", "vesin"} <= set(found)
    assert not {"phonopy", "spglib", "d3", "martyna1992", "batatia2022"} & set(found)
    settings = tmp_path / "md" / "settings.json"
    record = json.loads(settings.read_text())
    assert record["model"]["published_as"] == "ethanol-hdnnp"
    record["settings"]["dispersion"] = "pbe"
    settings.write_text(json.dumps(record))
    assert {"d3", "d3bj", "dftd3"} <= set(keys(tmp_path / "md"))


def test_a_property_names_its_library_and_a_calculator_its_authors(tmp_path: Path) -> None:
    atoms = bulk("Cu")
    atoms.calc = EMT()
    phonons(atoms, supercell=(2, 2, 2)).save(tmp_path / "phonons")
    assert {"phonopy", "spglib", "emt", "ase"} <= set(keys(tmp_path / "phonons"))
    equation_of_state(atoms, points=6).save(tmp_path / "eos")
    found = keys(tmp_path / "eos")
    assert "phonopy" not in found
    assert "pytorch" not in found, "EMT needs no torch"
    relax(atoms, EMT(), cell=True, symmetry=True, folder=tmp_path / "relax", fmax=0.05)
    assert {"spglib", "emt"} <= set(keys(tmp_path / "relax"))


def test_an_unknown_calculator_is_a_sentence(tmp_path: Path) -> None:
    class Mine(EMT):
        pass

    atoms = bulk("Cu")
    atoms.calc = Mine()
    equation_of_state(atoms, points=6).save(tmp_path)
    assert works(str(tmp_path))[1] == ["The calculator Mine: cite it as its authors ask."]


def test_a_trained_model_names_its_data_and_its_optimizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    values = training_runs.values(tmp_path, epochs=1)
    values["data"] |= {"cite": "doi:10.1000/argon", "level": "Lennard-Jones"}
    train(training_runs.parse(values, "config.yaml"), tmp_path / "run")
    found, sentences = works("run")
    assert "kingma2014" in [work.key for work in found]
    assert sentences == ["The training data: doi:10.1000/argon"]
    with pytest.raises(SystemExit):
        cli.main(["info", "run"])
    said = capsys.readouterr().out
    assert "2 parameters" in said
    assert "Level of theory: Lennard-Jones" in said
    assert "(doi:10.1000/argon)" in said


def test_bibtex_is_whole_and_the_same_as_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["cite", "mace-mp-small", "--format", "bibtex"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    entries = re.findall(r"^@(\w+)\{(\w+),\n((?:  \w+ = \{.*\},\n)+)\}$", text, re.MULTILINE)
    assert [key for _, key, _ in entries] == keys("mace-mp-small")
    for kind, key, fields in entries:
        assert fields.count("{") == fields.count("}")
        names = re.findall(r"^  (\w+) = ", fields, re.MULTILINE)
        assert {"author", "title"} <= set(names), key
        assert kind != "article" or {"journal", "volume", "pages", "year", "doi"} <= set(names), key
        assert kind != "inproceedings" or "booktitle" in names, key
    for work in works("mace-mp-small")[0]:
        assert work.fields["title"] in work.text()
        assert work.reason


def test_every_reference_can_be_found() -> None:
    for key, fields in references().items():
        where = fields.get("doi") or fields.get("arxiv") or fields.get("url") or key == "ladera"
        assert where, f"{key} has no address"
        if "doi" in fields:
            assert re.fullmatch(r"10\.\d{4,5}/\S+", fields["doi"]), key
        if "arxiv" in fields:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", fields["arxiv"]), key


def test_ladera_is_cited_as_its_file_asks() -> None:
    asked = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    own = references()["ladera"]
    assert own["title"] == asked["title"]
    assert own["version"] == asked["version"]
    assert own["author"].strip("{}") == asked["authors"][0]["name"]


@pytest.mark.parametrize(
    ("subject", "words"),
    [("nowhere", "There is no folder, model file or published model 'nowhere'"), ("", "no result")],
)
def test_what_has_no_record_is_refused(subject: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        works(subject or str(tmp_path))


@pytest.mark.parametrize(
    "record",
    [
        {"settings": {"ensemble": ["npt"]}},
        {"settings": 5},
        {"versions": 3},
        {"model": {"architecture": ["mace"]}},
        {"model": {"calculator": 1}},
        {"model": {"architecture": "mace", "files": [1]}},
        {"data": {"files": [{"path": 1}]}},
        {"results": [{"settings": {"optimizer": {}}}]},
        {"kind": ["phonons"], "provenance": {}},
    ],
)
@pytest.mark.parametrize("name", ["result.json", "settings.json"])
def test_a_damaged_record_is_refused(record: dict[str, object], name: str, tmp_path: Path) -> None:
    """Each ended in a TypeError or an AttributeError, or cited less than it should."""
    (tmp_path / name).write_text(json.dumps(record))
    with pytest.raises(DataError, match=f"{name} is not what Ladera wrote"):
        works(str(tmp_path))


def test_what_a_record_leaves_empty_is_not_cited(tmp_path: Path) -> None:
    empty = {"model": None, "data": None, "versions": None, "results": []}
    (tmp_path / "settings.json").write_text(json.dumps(empty))
    assert keys(tmp_path) == ["ladera"]


def test_a_result_whose_model_has_gone_is_cited_all_the_same(tmp_path: Path) -> None:
    gone = {"architecture": "mace", "files": [{"path": str(tmp_path / "gone.ladera")}]}
    (tmp_path / "result.json").write_text(
        json.dumps({"kind": "eos", "provenance": {"model": gone}})
    )
    assert len(keys(tmp_path)) > 1
