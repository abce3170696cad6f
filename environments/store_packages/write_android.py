"""Write what bubblewrap needs to make the app for Android's store: a Trusted Web Activity that opens our own site.

    CEIBA_PUBLIC_URL=https://maps.example CEIBA_ANDROID_PACKAGE=org.example.react2eo \\
        python environments/store_packages/write_android.py FOLDER [--theme NAME] [--version 1.0.0] [--code 1]

Then ``bubblewrap build`` in that folder, as README.md tells.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ceiba.errors import CeibaError, SettingsError
from ceiba.react2eo.settings import Settings
from ceiba.react2eo.shell import describe_app, describe_asset_links
from ceiba.react2eo.themes import Content, Theme, load_themes

MANIFEST = "twa-manifest.json"
LEAST_SDK = 21
"""Android 5, the oldest that Trusted Web Activities work on."""
DARK = "#141c18"
"""Bars of the system in the dark, as --paper of app.css."""
FADE_MS = 300


def describe_package(
    theme: Theme, contents: Sequence[Content], settings: Settings, *, start: str = "/", version: str = "1.0.0", code: int = 1
) -> dict:
    """Content of ``twa-manifest.json``; raises :class:`SettingsError` where the address or the name of the app is not set.

    Parameters
    ----------
    version
        What people see.
    code
        Number that grows with each upload.
    """
    if not settings.public_url.startswith("https://"):
        raise SettingsError(f"CEIBA_PUBLIC_URL is {settings.public_url!r}; Android opens a site as an app only by https://")
    if not settings.android_package:
        raise SettingsError("CEIBA_ANDROID_PACKAGE is not set; write for example 'org.example.react2eo'")
    if not re.fullmatch(r"\d+(\.\d+){0,2}", version) or code < 1:
        raise SettingsError(f"version {version!r}, code {code}; write for example 1.0.0 and a whole number from 1 on")
    site = settings.public_url
    app = describe_app(theme, contents, start=start)
    icons = {(icon["sizes"], icon["purpose"]): site + icon["src"] for icon in app["icons"]}
    return {
        "packageId": settings.android_package,
        "host": site.partition("://")[2],
        "name": app["name"],
        "launcherName": app["short_name"],
        "display": app["display"],
        "orientation": "default",
        "themeColor": app["theme_color"],
        "themeColorDark": DARK,
        "navigationColor": app["theme_color"],
        "navigationColorDark": DARK,
        "navigationDividerColor": app["theme_color"],
        "navigationDividerColorDark": DARK,
        "backgroundColor": app["background_color"],
        "enableNotifications": False,
        "startUrl": app["start_url"],
        "iconUrl": icons["512x512", "any"],
        "maskableIconUrl": icons["512x512", "maskable"],
        "splashScreenFadeOutDuration": FADE_MS,
        "signingKey": {"path": "./android.keystore", "alias": "react2eo"},
        "appVersionName": version,
        "appVersionCode": code,
        "shortcuts": [
            {"name": each["name"], "shortName": each["short_name"], "url": site + each["url"], "chosenIconUrl": icons["192x192", "any"]}
            for each in app["shortcuts"]
        ],
        "generatorApp": "bubblewrap-cli",
        "webManifestUrl": site + ("/manifest.webmanifest" if start == "/" else f"/manifest.webmanifest?theme={theme.name}"),
        "fallbackType": "customtabs",
        # The place of a phone is asked for by the app itself, so that the question names it and not the browser.
        "features": {"locationDelegation": {"enabled": True}},
        "enableSiteSettingsShortcut": True,
        "isChromeOSOnly": False,
        "minSdkVersion": LEAST_SDK,
        "fingerprints": [{"name": f"key {number}", "value": value} for number, value in enumerate(settings.android_fingerprints, 1)],
    }


def main(arguments: list[str] | None = None) -> int:
    """Write the files; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="", help="name of a theme; the first if none")
    parser.add_argument("--version", default="1.0.0")
    parser.add_argument("--code", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        settings, themes = Settings.from_environment(), load_themes()
        theme = themes.find(options.theme)
        contents = [themes.contents[name] for name in theme.contents]
        start = "/" if theme == themes.find("") else f"/?theme={theme.name}"
        described = describe_package(theme, contents, settings, start=start, version=options.version, code=options.code)
    except CeibaError as error:
        print(error, file=sys.stderr)
        return 1
    options.folder.mkdir(parents=True, exist_ok=True)
    files = {MANIFEST: described}
    if settings.android_fingerprints:
        files["assetlinks.json"] = describe_asset_links(settings)
    for name, content in files.items():
        (options.folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", "utf-8")
        print(f"wrote {options.folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
