"""The page about reactions, the room for decision sheets, and the commands."""

import csv
import json
import re

import h3
import pytest
from typer.testing import CliRunner

from ceiba import labels
from ceiba.cli import app
from ceiba.react2eo.reactions import publication
from ceiba.react2eo.reactions.votes import Vote, Votes
from ceiba.react2eo.subjects import Subject


@pytest.mark.parametrize("language", labels.LANGUAGES)
def test_the_page_says_all_in_a_language_and_holds_neither_script_nor_style(client, language):
    answer = client.get("/about", params={"language": language})
    assert answer.status_code == 200 and answer.headers["content-language"] == language
    page = answer.text
    words = [text for key, text in labels.load_labels(language).items() if key.startswith("about.")]
    assert len(words) > 30
    for text in words:
        assert text.replace("{devices}", "5").replace("'", "&#39;") in page
    assert f'<html lang="{language}">' in page and "<script" not in page and "style=" not in page and "<style" not in page
    for address in set(re.findall(r'(?:href|src)="([^"]+)"', page)):
        assert address.startswith("/") and client.get(address).status_code == 200, address


@pytest.mark.parametrize(
    ("header", "language"), [("en-GB,en;q=0.9", "en"), ("fr,es-MX;q=0.8,en;q=0.5", "es"), ("", "es"), ("fr", "es"), ("de,en", "en")]
)
def test_the_page_speaks_the_language_of_the_browser(client, header, language):
    assert client.get("/about", headers={"Accept-Language": header}).headers["content-language"] == language


def test_decision_sheets_are_told_to_be_missing_and_described(client):
    answer = client.get("/api/decision", params={"region": "land"})
    assert answer.status_code == 404 and "no decision sheets" in answer.json()["detail"]
    assert "/api/decision" in client.get("/openapi.json").json()["paths"]


@pytest.fixture
def reactions(gallery, tmp_path, monkeypatch) -> Votes:
    """Six likes in a cell of the gallery, in a database of their own."""
    url = f"sqlite:///{tmp_path / 'reactions.sqlite'}"
    monkeypatch.setenv("CEIBA_REACTIONS_URL", url)
    votes = Votes(url)
    subject = Subject("land", "ndvi", "2018", "2020", h3.latlng_to_cell(20.0, -89.0, 7))
    for device in range(6):
        votes.put(Vote(subject.key, 1, device=f"device {device}", subject=subject))
    yield votes
    votes.close()


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["reactions", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_commands(reactions, tmp_path):
    assert "ndvi" not in call("status")
    assert "1 units changed" in call("publish")
    assert re.search(r"land\W+ndvi\W+6\W+0\W+6\W+100%", call("status", "--region", "land"))
    call("export", str(tmp_path / "cells.csv"), "--region", "land")
    call("export", str(tmp_path / "cells.geojson"))
    with (tmp_path / "cells.csv").open(newline="") as file:
        assert [row["likes"] for row in csv.DictReader(file)] == ["6"]
    assert [feature["properties"]["likes"] for feature in json.loads((tmp_path / "cells.geojson").read_text())["features"]] == [6]
    with publication.store.alone(reactions.engine, "publication"):
        assert "Another process" in call("publish", "--roll-up")
    assert "6 votes" in call("remove", "land", "--yes")
    assert "ndvi" not in call("status")
