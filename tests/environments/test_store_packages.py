"""Files for the stores: consistent with the app's own manifest and icons."""

import importlib.util
import io
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from ceiba.config import project_root
from ceiba.errors import SettingsError
from ceiba.react2eo import shell
from ceiba.react2eo.settings import Settings
from ceiba.react2eo.themes import load_themes

FOLDER = project_root() / "environments" / "store_packages"
FINGERPRINT = ":".join(["AB"] * 32)


def load(name: str):
    specification = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def android():
    return load("write_android")


@pytest.fixture
def public(monkeypatch):
    monkeypatch.setenv("CEIBA_PUBLIC_URL", "https://maps.example")
    monkeypatch.setenv("CEIBA_ANDROID_PACKAGE", "org.example.react2eo")
    monkeypatch.setenv("CEIBA_ANDROID_FINGERPRINTS", FINGERPRINT)


@pytest.mark.parametrize("theme", ["", "water"])
def test_the_android_package_follows_the_site(android, public, tmp_path, theme):
    assert android.main([str(tmp_path), "--theme", theme, "--version", "1.2.0", "--code", "7"]) == 0
    package = json.loads((tmp_path / "twa-manifest.json").read_text("utf-8"))
    themes = load_themes()
    chosen = themes.find(theme)
    site = shell.describe_app(chosen, [themes.contents[name] for name in chosen.contents], start=package["startUrl"])
    assert package["packageId"] == "org.example.react2eo" and package["host"] == "maps.example"
    assert package["name"] == site["name"] and package["launcherName"] == site["short_name"]
    assert package["themeColor"] == site["theme_color"] and package["backgroundColor"] == site["background_color"]
    assert package["startUrl"] == ("/?theme=water" if theme else "/")
    assert package["webManifestUrl"].startswith("https://maps.example/manifest.webmanifest")
    assert (package["appVersionName"], package["appVersionCode"]) == ("1.2.0", 7)
    assert package["fingerprints"][0]["value"] == FINGERPRINT
    assert 1 <= len(package["shortcuts"]) <= 4
    for address in [package["iconUrl"], package["maskableIconUrl"], *(each["chosenIconUrl"] for each in package["shortcuts"])]:
        path = shell.STATIC / address.removeprefix("https://maps.example/app/")
        picture = Image.open(io.BytesIO(path.read_bytes()))
        assert picture.format == "PNG" and picture.width == picture.height >= 192
    for name in ("themeColor", "themeColorDark", "navigationColor", "backgroundColor"):
        assert re.fullmatch("#[0-9a-f]{6}", package[name])
    links = json.loads((tmp_path / "assetlinks.json").read_text("utf-8"))
    assert links == shell.describe_asset_links(Settings.from_environment())
    assert links[0]["target"]["package_name"] == package["packageId"]


@pytest.mark.parametrize(
    ("name", "value"), [("CEIBA_PUBLIC_URL", "http://maps.example"), ("CEIBA_PUBLIC_URL", ""), ("CEIBA_ANDROID_PACKAGE", "")]
)
def test_what_android_would_refuse_is_told(android, public, monkeypatch, capsys, tmp_path, name, value):
    monkeypatch.setenv(name, value)
    assert android.main([str(tmp_path / "none")]) == 1
    assert name in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_versions_that_the_store_refuses_are_told(android, public):
    themes = load_themes()
    for wrong in ({"version": "one"}, {"code": 0}):
        with pytest.raises(SettingsError, match="version"):
            android.describe_package(themes.find(""), [], Settings.from_environment(), **wrong)


def test_every_icon_is_drawn_from_the_one_drawing():
    icons = load("draw_icons").ICONS
    folder = Path(shell.STATIC) / "icons"
    assert {path.name for path in folder.glob("*.png")} == set(icons)
    for name, (pixels, plate) in icons.items():
        picture = Image.open(folder / name)
        assert picture.size == (pixels, pixels) and (folder / name).stat().st_size < 40_000
        assert picture.mode == ("RGB" if plate else "RGBA")
    named = {icon["src"].rpartition("/")[2] for icon in shell.ICONS} | {"apple-touch-icon.png"}
    assert named == set(icons)
