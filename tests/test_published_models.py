"""Published models: the registry, and downloads from a local server."""

from __future__ import annotations

import gc
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from ase.data import atomic_numbers

from ladera.codes.published import registry, store
from ladera.codes.published.registry import PublishedModel
from ladera.codes.published.store import DownloadNotice, fetch
from ladera.errors import ModelFileError

CONTENT = b"PK\x03\x04 the numbers of a model" + bytes(range(256)) * 64
SHA256 = hashlib.sha256(CONTENT).hexdigest()


LENGTHS = {"/words.model": "many", "/negative.model": "-5", "/empty.model": ""}
REDIRECTS = {
    "/circle.model": "/circle.model",
    "/file.model": "file:///etc/passwd",
    "/broken.model": "http://[::1/x.model",
    "/port.model": "http://127.0.0.1:port/x.model",
    "/nobody.model": "http://127.0.0.1:9/x.model",
}


class Server(BaseHTTPRequestHandler):
    """Answers as the path says, and counts."""

    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        name = urlsplit(self.path).path
        if name == "/missing.model":
            self.send_error(404)
            return
        if name in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[name])
            self.end_headers()
            return
        body = b"<html>log in to the proxy first</html>" if name == "/page.model" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", LENGTHS.get(name, str(len(body))))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name == "/truncated.model" else body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv(store.FOLDER_VARIABLE, raising=False)


@pytest.fixture
def model() -> Iterator[Callable[..., PublishedModel]]:
    """Makes a model that the server of this test offers under a file name."""
    Server.requests = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()

        def make(file: str, sha256: str | None = None) -> PublishedModel:
            url = f"http://127.0.0.1:{server.server_port}/{file}"
            return PublishedModel("mace-test", "a test", url, "MIT", ("H", "O"), sha256)

        yield make
        server.shutdown()
        thread.join()


Make = Callable[..., PublishedModel]


def test_a_model_is_downloaded_once(model: Make, tmp_path: Path) -> None:
    offered = model("good.model", SHA256)
    with pytest.warns(DownloadNotice, match=r"Downloaded mace-test .*Licence: MIT.*as published"):
        path = fetch(offered, tmp_path)
    assert path == tmp_path / "good.model"
    assert path.read_bytes() == CONTENT
    assert fetch(offered, tmp_path) == path
    assert Server.requests == 1
    assert [each.name for each in tmp_path.iterdir()] == ["good.model"]


def test_without_a_published_checksum_the_first_download_is_pinned(
    model: Make, tmp_path: Path
) -> None:
    offered = model("good.model")
    with pytest.warns(DownloadNotice, match=SHA256):
        path = fetch(offered, tmp_path)
    assert SHA256 in (tmp_path / "good.model.sha256").read_text()
    fetch(offered, tmp_path)
    path.write_bytes(CONTENT + b"?")
    with pytest.raises(ModelFileError, match="that of its download"):
        fetch(offered, tmp_path)


@pytest.mark.parametrize(
    ("file", "sha256", "message"),
    [
        ("missing.model", None, "127.0.0.1.* answers 404"),
        ("truncated.model", None, "broke off"),
        ("page.model", None, "is no model"),
        ("good.model", "0" * 64, "the published one is 0000"),
    ],
)
def test_a_failed_download_leaves_nothing(
    model: Make, tmp_path: Path, file: str, sha256: str | None, message: str
) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        fetch(model(file, sha256), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_sentence_says_what_to_put_where(tmp_path: Path) -> None:
    offered = PublishedModel("mace-test", "", "http://127.0.0.1:9/x.model", "MIT", ("H",))
    with pytest.raises(ModelFileError) as caught:
        fetch(offered, tmp_path)
    for part in (offered.name, "x.model", offered.url, str(tmp_path), "LADERA_MODELS"):
        assert part in str(caught.value)


def test_a_file_in_the_users_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "x.model").write_bytes(CONTENT)
    offered = PublishedModel("mace-test", "", "http://127.0.0.1:9/x.model", "MIT", ("H",), SHA256)
    assert fetch(offered) == tmp_path / "x.model"
    (tmp_path / "x.model").write_bytes(b"PK\x03\x04 another one")
    with pytest.raises(ModelFileError, match="is not mace-test: its SHA-256 is"):
        fetch(offered)


def test_the_folder_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store.folder_of_models() == tmp_path / "ladera" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert store.folder_of_models() == Path.home() / ".cache" / "ladera" / "models"
    assert store.folder_of_models(tmp_path / "mine") == tmp_path / "mine"


def test_every_entry_is_complete() -> None:
    known = registry.models()
    assert {"mace-mp-small", "mace-mpa-0", "mace-off-medium", "mace-spice"} <= set(known)
    assert {name for name, entry in known.items() if entry.file} == {
        "ethanol-mace",
        "ethanol-hdnnp",
        "li3ocl-mtp",
    }
    known = {name: entry for name, entry in known.items() if not entry.file}
    for name, entry in known.items():
        assert registry.is_name(name)
        assert urlsplit(entry.url).scheme == "https"
        assert entry.file_name.endswith((".model", ".pth", ".nqx"))
        assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
        assert entry.licence.startswith(("MIT", "ASL"))
        assert all(symbol in atomic_numbers for symbol in entry.elements)
    assert len(known["mace-mp-small"].elements) == 89
    assert len({entry.origin for entry in known.values()}) == len(known)
    assert len({entry.file_name for entry in known.values()}) == len(known)
    assert len({(entry.family, entry.short) for entry in known.values()}) == len(known)


def test_an_unknown_name() -> None:
    with pytest.raises(ModelFileError, match="did you mean 'mace-mp-small'"):
        registry.find("mace-mp-smal")
    with pytest.raises(ModelFileError, match="did you mean 'medium'"):
        registry.of_family("mace-off", "medum")
    assert registry.of_family("mace-mp", "large").name == "mace-mp-large"
    assert registry.of_family("mace-mp", "mace-mpa-0").name == "mace-mpa-0"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # urllib's sockets
@pytest.mark.parametrize("file", [*LENGTHS, *REDIRECTS])
def test_a_server_that_talks_nonsense_is_a_sentence(model: Make, tmp_path: Path, file: str) -> None:
    """A length that is no number, a redirection that leads nowhere, home, or to a file here."""
    with pytest.raises(ModelFileError) as caught:
        fetch(model(file.strip("/")), tmp_path)
    sentence = str(caught.value)
    assert "mace-test is not in" in sentence
    assert f"put {file.strip('/')} from http" in sentence
    assert list(tmp_path.iterdir()) == []
    del caught
    gc.collect()


@pytest.mark.parametrize("pin", [b"", b"\xff\xfe", b"no checksum"])
def test_a_damaged_checksum_is_named(model: Make, tmp_path: Path, pin: bytes) -> None:
    (tmp_path / "good.model").write_bytes(CONTENT)
    (tmp_path / "good.model.sha256").write_bytes(pin)
    with pytest.raises(ModelFileError, match=r"good\.model\.sha256 does not begin with a SHA-256"):
        fetch(model("good.model"), tmp_path)
