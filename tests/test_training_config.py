"""Reading configurations: every mistake is one sentence with the full path of the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ladera.differences import first_difference
from ladera.errors import ConfigError
from ladera.training import config, config_file, optimizer_config
from ladera.training.template import choices, schema, template

MINIMAL: dict[str, Any] = {
    "data": {"files": "train.xyz"},
    "model": {"architecture": "hdnnp", "cutoff": 6.0},
}
DOCS = Path(__file__).parents[1] / "docs" / "training.md"


def read(tmp_path: Path, *overrides: str, **sections: Any) -> config.TrainingConfig:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(MINIMAL | sections))
    return config_file.load(file, overrides)


def test_files_and_model_are_all_it_needs(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found.data.files == ("train.xyz",)
    assert found.model.cutoff == 6.0
    assert found.optimizer.name == "muon"


def test_a_finetuning_by_muon_keeps_what_the_model_knows(tmp_path: Path) -> None:
    """Its rate is that of the command unless the file has one; of a new model it is larger."""
    muon = {"optimizer": {"name": "muon"}}
    assert read(tmp_path, **muon).optimizer.learning_rate == 1e-2
    tuned = {"finetune": {"base": "base.ladera"}, "model": None}
    assert read(tmp_path, **tuned, **muon).optimizer.learning_rate == 1e-3
    given = read(tmp_path, "optimizer.learning_rate=0.02", **tuned, **muon)
    assert given.optimizer.learning_rate == 0.02


@pytest.mark.parametrize(
    ("overrides", "path", "hint"),
    [
        (["epoch=3"], "'epoch'", "did you mean 'epochs'?"),
        (["model.cutof=3"], "'model.cutof'", "did you mean 'cutoff'?"),
        (["model.r_max=3"], "'model.r_max'", "did you mean 'cutoff'?"),  # as in nequip
        (["data.split.validaton=3"], "'data.split.validaton'", "did you mean 'validation'?"),
        (["data.keys.energi=x"], "'data.keys.energi'", "did you mean 'energy'?"),
        (["loss.functon=mae", "loss.energy=-1"], "'loss.functon'", "did you mean 'function'?"),
        (
            ["model.symmetry_functions=[{kind: radial, lamda: 1}]"],
            "'model.symmetry_functions.0.lamda'",
            "did you mean 'lambda'?",
        ),
        (["model.architecture=hdnn"], "'model.architecture' is 'hdnn'", "did you mean 'hdnnp'?"),
        (["optimizer.name=adamm"], "'optimizer.name' is 'adamm'", "did you mean 'adam'?"),
        (["schedule.name=cosin"], "'schedule.name' is 'cosin'", "did you mean 'cosine'?"),
        (["loss.function=huberr"], "'loss.function' is 'huberr'", "did you mean 'huber'?"),
        (["precision=float16"], "'precision' is 'float16'", "did you mean 'float64'?"),
        (["batch_size=al"], "'batch_size' is 'al'", "did you mean 'all'?"),
        (["batch_size=-1"], "'batch_size' is -1", "greater than 0"),
        (["reference_energies=least_square"], "'reference_energies'", "'least_squares'?"),
        (["reference_energies={H: x}"], "'reference_energies.H' is 'x'", "a number"),
        (["optimizer.learning_rate=-1"], "'optimizer.learning_rate' is -1", "greater than 0"),
        (["model.species=[Hx]"], "'model.species'", "'Hx' is not a chemical symbol"),
        (["data=3"], "'data' is 3", "a section with keys of its own"),
        (["optimizer.name=lbfgs"], "lbfgs", "batch_size: all"),
        (["optimizer.name=schedule_free"], "schedule_free", "schedule.name: constant"),
        (["batch_size={atom: 5}"], "'batch_size.atom'", "did you mean 'atoms'?"),
        (["stage_two={energy: 0, forces: 0}"], "stage_two", "raise one"),
        (["loss={energy: 0, forces: 0}"], "'loss'", "raise one"),
        (
            ["model={cutoff: 6}"],
            "'model.architecture' is missing",
            "hdnnp, hdnnp_4g, hdnnp_dipole, len",
        ),
    ],
)
def test_a_mistake_names_the_key_and_the_remedy(
    tmp_path: Path, overrides: list[str], path: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, *overrides)
    message = str(caught.value)
    assert message.startswith((str(tmp_path / "config.yaml"), "--set "))
    assert path in message
    assert hint in message
    assert "\n" not in message


def test_an_override_changes_one_key_and_keeps_the_others(tmp_path: Path) -> None:
    sections = {"optimizer": {"name": "sgd", "momentum": 0.5}}
    found = read(tmp_path, "optimizer.learning_rate=1e-3", "epochs=7", **sections)
    assert found.optimizer == optimizer_config.SGD(momentum=0.5, learning_rate=1e-3)
    assert found.epochs == 7


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("epochs.x=3", "not a section"),
        ("epochs=[", "no YAML value"),
    ],
)
def test_a_malformed_override_is_refused(tmp_path: Path, override: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        read(tmp_path, override, epochs=5)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a: 1\nb: [1\n", r"config.yaml, line 2"),
        ("epochs: 1\nepochs: 2\n", r"line 2: the key 'epochs' is given twice"),
        ("", "holds no keys"),
        ("- 1\n- 2\n", "holds no keys"),
        ("a: \x00", "no YAML file"),
        ("{a: 1}: 2", "config.yaml"),
    ],
)
def test_broken_yaml_names_file_and_line(tmp_path: Path, text: str, hint: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=hint):
        config_file.load(file)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ladera template"):
        config_file.load(tmp_path / "config.yaml")


def test_yaml_cannot_run_code(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"a: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n")
    with pytest.raises(ConfigError):
        config_file.load(file)
    assert not (tmp_path / "made").exists()


def test_a_configuration_survives_the_way_through_a_file(tmp_path: Path) -> None:
    found = read(tmp_path, "data.keys.stress=virials", "reference_energies={H: -13.6}")
    config_file.save(found, tmp_path / "again.yaml")
    again = config_file.load(tmp_path / "again.yaml")
    assert again == found
    assert again.data.keys.model_fields_set == {"stress"}


def test_the_template_is_valid_and_shows_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "template.yaml"
    file.write_text(template())
    found = config_file.load(file)
    default = config_file.parse(
        {**MINIMAL, "data": {"files": "train.extxyz"}}, "the minimal configuration"
    )
    assert first_difference(found.model_dump(mode="json"), default.model_dump(mode="json")) is None
    # Label keys that few files have are shown, but not asked for.
    assert found.data.keys.model_fields_set == {"energy", "forces"}


def test_the_schema_knows_every_section() -> None:
    found = json.loads(schema())
    assert set(found["properties"]) == set(config.TrainingConfig.model_fields)
    assert {"HDNNPConfig", "LennardJonesConfig", "LBFGS", "Plateau"} <= set(found["$defs"])


def test_first_difference_names_the_key() -> None:
    old, new = {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}
    assert first_difference(old, new) == ("a.c", 2, 3)
    assert first_difference(old, {**old, "d": 1}) == ("d", None, 1)
    assert first_difference(old, old) is None


def manual() -> str:
    """The table of all keys in docs/training.md; sections that are alternatives share rows."""
    rows = ["| key | default | what it is |", "|---|---|---|"]
    for key, entries in _entries(config.TrainingConfig).items():
        defaults = " or ".join(dict.fromkeys(default for default, _ in entries))
        descriptions = " Or: ".join(dict.fromkeys(text for _, text in entries))
        rows.append(f"| `{key}` | {defaults} | {descriptions} |")
    return "\n".join(rows) + "\n"


def _entries(section: type[BaseModel], prefix: str = "") -> dict[str, list[tuple[str, str]]]:
    """Defaults and descriptions by key path; the keys of the models have their own page."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, field in section.model_fields.items():
        inner = [] if name == "model" else _sections(field.annotation)
        default = "" if inner else _shown(field)
        names = [] if inner else choices(field.annotation)
        text = (field.description or "") + (f" One of: {', '.join(names)}." if names[1:] else "")
        found.setdefault(f"{prefix}{name}", []).append((default, text))
        for member in inner:
            for key, entries in _entries(member, f"{prefix}{name}.").items():
                found.setdefault(key, []).extend(entries)
    return found


def _shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    default = list(default) if isinstance(default, tuple) else default
    return f"`{json.dumps(default)}`".replace('"', "")


def _sections(annotation: Any) -> list[type[BaseModel]]:
    members = getattr(annotation, "__args__", (annotation,))
    return [m for m in members if isinstance(m, type) and issubclass(m, BaseModel)]


def test_the_manual_has_every_key_as_the_code_describes_it() -> None:
    written = DOCS.read_text(encoding="utf-8").splitlines()
    assert [line for line in manual().splitlines() if line not in written] == []
