"""The app's shell: one version whole, an app that can be installed, and the link to the app of Android's store."""

import base64
import hashlib
import io
import json
import re

import pytest
from PIL import Image

from ceiba.errors import SettingsError
from ceiba.react2eo.settings import Settings
from ceiba.react2eo.shell import STATIC, WORKER, read_shell

FINGERPRINT = ":".join(["AB"] * 32)


def read_worker_shell(client) -> dict:
    script = client.get("/sw.js")
    assert script.headers["content-type"].startswith("text/javascript") and script.headers["cache-control"] == "no-cache"
    return json.loads(re.match(r"const SHELL = (\{.*?\n\});\n", script.text, flags=re.DOTALL).group(1))


def test_the_worker_names_every_file_with_its_digest(client):
    shell = read_worker_shell(client)
    assert {"/", "/app/offline.js", "/app/outbox.js", "/app/sending.js", "/app/vendor/leaflet/leaflet.js"} <= set(shell["files"])
    assert f"/app/{WORKER}" not in shell["files"]
    for address, digest in shell["files"].items():
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["cache-control"] == "no-cache", address
        assert digest == "sha256-" + base64.b64encode(hashlib.sha256(answer.content).digest()).decode(), address


def test_every_file_that_a_page_or_module_names_is_kept(client):
    shell = read_worker_shell(client)
    for path in STATIC.rglob("*"):
        if path.suffix == ".js" and "vendor" not in path.parts:
            for name in re.findall(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""", path.read_text("utf-8")):
                address = "/app/" + (path.parent / name).resolve().relative_to(STATIC.resolve()).as_posix()
                assert address in shell["files"], f"{path.name} imports {name}"
    page = client.get("/").text
    for address in re.findall(r'(?:src|href)="(/app/[^"]+\.(?:m?js|css))"', page):
        assert address in shell["files"], f"the page names {address}"


def test_another_file_is_another_version(tmp_path):
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "app.js").write_text("1")
    first = read_shell(tmp_path)
    assert set(first.files) == {"/", "/app/app.js"}
    (tmp_path / "app.js").write_text("22")
    (tmp_path / "LICENSE").write_text("not kept")
    assert read_shell(tmp_path).version != first.version


@pytest.mark.parametrize(("theme", "start"), [("", "/"), ("water", "/?theme=water")])
def test_the_app_can_be_installed(client, theme, start):
    """What Chromium, bubblewrap and iOS ask for."""
    answer = client.get("/manifest.webmanifest", params={"theme": theme} if theme else {})
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest = answer.json()
    assert manifest["start_url"] == manifest["id"] == start and manifest["scope"] == "/"
    assert manifest["display"] == "standalone" and manifest["lang"] == "es"
    assert manifest["name"] and 0 < len(manifest["short_name"]) <= 12
    assert re.fullmatch("#[0-9a-f]{6}", manifest["theme_color"]) and re.fullmatch("#[0-9a-f]{6}", manifest["background_color"])
    found = set()
    for icon in manifest["icons"]:
        picture = Image.open(io.BytesIO(client.get(icon["src"]).content))
        assert icon["sizes"] == f"{picture.width}x{picture.height}" and icon["type"] == "image/png"
        found.add((picture.width, icon["purpose"]))
        if icon["purpose"] == "maskable":
            assert picture.mode == "RGB", "systems cut it themselves: no corner may be clear"
            corner = picture.getpixel((0, 0))
            middle = picture.getpixel((picture.width // 2, int(picture.height * 0.06)))
            assert corner == middle, "all that is drawn lies within 40 % of the middle"
    assert found == {(192, "any"), (512, "any"), (512, "maskable")}
    for shortcut in manifest["shortcuts"]:
        assert shortcut["url"].startswith(start) and "layer=" in shortcut["url"]


def test_the_page_names_its_icons(client):
    page = client.get("/").text
    assert 'rel="manifest" href="/manifest.webmanifest"' in page
    for address, size in re.findall(r'rel="(?:icon|apple-touch-icon)" href="([^"]+\.png)"(?: type="[^"]+" sizes="(\d+)x)?', page):
        picture = Image.open(io.BytesIO(client.get(address).content))
        assert picture.width == int(size or 180)
    assert "viewport-fit=cover" in page and 'name="theme-color"' in page


def test_android_is_told_only_where_an_app_exists(gallery, monkeypatch):
    from fastapi.testclient import TestClient

    from ceiba.react2eo.server import create_app

    address = "/.well-known/assetlinks.json"
    assert TestClient(create_app()).get(address).status_code == 404
    monkeypatch.setenv("CEIBA_ANDROID_PACKAGE", "org.example.react2eo")
    monkeypatch.setenv("CEIBA_ANDROID_FINGERPRINTS", f"{FINGERPRINT.lower()}, {FINGERPRINT.replace('AB', '01')}")
    (statement,) = TestClient(create_app()).get(address).json()
    assert statement["relation"] == ["delegate_permission/common.handle_all_urls"]
    assert statement["target"]["package_name"] == "org.example.react2eo"
    assert statement["target"]["sha256_cert_fingerprints"] == [FINGERPRINT, FINGERPRINT.replace("AB", "01")]


@pytest.mark.parametrize(
    ("name", "value"), [("CEIBA_ANDROID_PACKAGE", "react2eo"), ("CEIBA_ANDROID_FINGERPRINTS", "AB:CD"), ("CEIBA_ANDROID_PACKAGE", "a.b/c")]
)
def test_a_wrong_android_setting_is_told(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment()
