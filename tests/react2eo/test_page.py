"""The words of the app, and its page: all that it says exists in both languages, and nothing in it is blocked or from outside."""

import re

import pytest

from ceiba import labels
from ceiba.react2eo.page import words
from ceiba.react2eo.shell import PAGE, STATIC

OWN = sorted(STATIC.glob("*.js"))


def used_words() -> dict[str, str]:
    """Key of every word that the page or a module names, with the file."""
    found = {}
    for path in [*OWN, STATIC / PAGE]:
        text = path.read_text("utf-8")
        literal = re.findall(r"""\bsay\(\s*"(\w+)\"""", text) + re.findall(r"""data-(?:word|label)="(\w+)\"""", text)
        either = [key for pair in re.findall(r"""\bsay\([^()]*\? "(\w+)" : "(\w+)"\)""", text) for key in pair]
        found |= dict.fromkeys(literal + either, path.name)
    return found


@pytest.mark.parametrize("language", labels.LANGUAGES)
def test_every_word_of_the_app_exists(language):
    missing = {key: name for key, name in used_words().items() if key not in words(language)}
    assert not missing, "add them to catalogs/labels/*/react2eo.yml"
    assert {"play", "thanks", "thanks_later", "simulated_data"} <= used_words().keys()


def test_words_are_given_by_language_and_kept_while_they_stay(client):
    both = client.get("/api/words")
    assert both.json() == {language: words(language) for language in labels.LANGUAGES}
    spanish = client.get("/api/words?language=es")
    assert spanish.json()["play"] == "Reproducir"
    assert client.get("/api/words?language=fr").status_code == 422
    again = client.get("/api/words", headers={"If-None-Match": both.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert both.headers["cache-control"] == "no-cache"


def test_the_embedded_page_is_the_app_without_its_controls(client):
    app, embedded = client.get("/").text, client.get("/embed?region=land").text
    assert app.count('data-mode="app"') == 1 and 'data-mode="embed"' not in app
    assert embedded.replace('data-mode="embed"', 'data-mode="app"') == app


def test_nothing_is_inline_or_from_another_host(client):
    """What the Content-Security-Policy 'self' would block."""
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)", page) and not re.search(r"\sstyle=|<style|\son\w+=", page)
    for path in [*OWN, *STATIC.glob("*.css"), STATIC / PAGE]:
        text = re.sub(r"http://www\.w3\.org/\d+/\w+", "", path.read_text("utf-8"))
        assert not re.search(r"""["'(]\s*(?:https?:)?//\w""", text), path.name
        assert not re.search(r"\beval\(|innerHTML|new Function", text), path.name


def test_modules_are_one_subject():
    long = {path.name: lines for path in OWN if (lines := path.read_text("utf-8").count("\n")) > 250}
    assert not long


def test_the_ends_of_a_scale_have_words(client):
    layers = client.get("/api/products").json()["regions"][0]["layers"]
    scale = next(layer["legend"] for layer in layers if layer["name"] == "ndvi")
    assert scale["words"]["low"] == {"es": "Sin plantas", "en": "Bare"}
