"""Sample data: origins in turn, each checked by its SHA-256."""

import functools
import hashlib
import http.server
import importlib.util
import threading

import pytest
import yaml

from ceiba import samples
from ceiba.errors import InputError


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A function that makes ``catalogs/samples.yml`` of a project of the test's own."""
    (tmp_path / "catalogs").mkdir()
    monkeypatch.setattr(samples, "project_root", lambda: tmp_path)
    monkeypatch.setenv("CEIBA_STORE", str(tmp_path / "store"))
    samples._find_sample.cache_clear()

    def write(entries):
        (tmp_path / "catalogs" / "samples.yml").write_text(yaml.safe_dump(entries))

    return write


def entry(**origins):
    return {"title": {"es": "a", "en": "a"}, "licence": "free", "files": {"a.txt": origins}}


def test_the_wheel_carries_the_satellite_series_where_no_folder_is_given(monkeypatch, tmp_path):
    monkeypatch.delenv("CEIBA_SAMPLES", raising=False)
    monkeypatch.setenv("CEIBA_STORE", str(tmp_path))
    sample = samples.find_sample("s2_l2a_romania")
    assert sample.origin == "package"
    assert sample.path("cube_10m.nc").is_relative_to(importlib.util.find_spec("nrt").submodule_search_locations[0])


def test_the_folder_comes_first(monkeypatch, sample_folder, tmp_path):
    monkeypatch.setenv("CEIBA_SAMPLES", str(sample_folder))
    monkeypatch.setenv("CEIBA_STORE", str(tmp_path))
    assert samples.find_sample("s2_l2a_romania").origin == "folder"
    assert samples.is_reachable("modis_mato_grosso")


def test_a_file_that_was_changed_is_refused(registry, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("changed")
    monkeypatch.setenv("CEIBA_SAMPLES", str(tmp_path / "data"))
    registry({"s": entry(folder={"path": "a.txt", "sha256": "0" * 64})})
    with pytest.raises(InputError, match="was changed"):
        samples.find_sample("s")


def test_nowhere_says_where_it_was_looked_for(registry, monkeypatch):
    monkeypatch.delenv("CEIBA_SAMPLES", raising=False)
    registry(
        {
            "s": entry(folder={"path": "a.txt", "sha256": "0" * 64}),
            "t": {"title": {}, "licence": "", "folder": {"path": "t"}},
        }
    )
    for name in ("s", "t"):
        assert not samples.is_reachable(name)
        with pytest.raises(InputError, match="CEIBA_SAMPLES is not set"):
            samples.find_sample(name)
    with pytest.raises(InputError, match="there are s, t"):
        samples.find_sample("u")


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Keep the test's output clean."""


@pytest.fixture
def web(tmp_path):
    """Address of a web server on loopback that serves ``tmp_path/web``."""
    (tmp_path / "web").mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Files, directory=str(tmp_path / "web"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_public_address_is_fetched_once_and_checked(registry, web, tmp_path, monkeypatch):
    monkeypatch.delenv("CEIBA_SAMPLES", raising=False)
    (tmp_path / "web" / "a.txt").write_text("from afar")
    sha256 = hashlib.sha256(b"from afar").hexdigest()
    registry(
        {
            "s": entry(address={"url": f"{web}/a.txt", "sha256": sha256}),
            "bad": entry(address={"url": f"{web}/a.txt", "sha256": "0" * 64}),
        }
    )
    assert samples.find_sample("s").path("a.txt").read_text() == "from afar"
    (tmp_path / "web" / "a.txt").unlink()
    samples._find_sample.cache_clear()
    assert samples.find_sample("s").origin == "address"
    with pytest.raises(InputError, match="failed"):
        samples.find_sample("bad")
