"""Texts that people see exist in Spanish and English, and every label used exists."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from ceiba import labels

ROOT = Path(__file__).resolve().parents[1]
LABELS = ROOT / "catalogs" / "labels"
FILES = sorted({path.name for path in LABELS.glob("*/*.yml")})
STAGES = (
    "ard",
    "mosaics",
    "classification",
    "change",
    "bioacoustics",
    "integrity",
    "dashboards",
    "react2eo",
    "simulation",
)


def read(language: str, name: str) -> dict:
    path = LABELS / language / name
    assert path.is_file(), f"catalogs/labels/{language}/{name} is missing"
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


@pytest.mark.parametrize("name", FILES)
def test_both_languages_have_the_same_keys(name):
    spanish, english = read("es", name), read("en", name)
    assert spanish.keys() == english.keys(), f"differ: {sorted(spanish.keys() ^ english.keys())}"


@pytest.mark.parametrize("language", labels.LANGUAGES)
@pytest.mark.parametrize("name", FILES)
def test_texts_are_whole(name, language):
    for key, text in read(language, name).items():
        assert isinstance(key, str) and re.fullmatch(r"[a-z0-9_]+(\.[A-Za-z0-9_]+)+", key), f"key {key!r}"
        # YAML reads a bare No, Si or 1 as something else than text.
        assert isinstance(text, str), f"{key}: {text!r} is no text; quote it"
        assert text == text.strip() and text, f"{key}: empty, or with blanks around"


@pytest.mark.parametrize("name", [name for name in FILES if name.removesuffix(".yml") in STAGES])
def test_keys_begin_with_their_stage(name):
    stage = name.removesuffix(".yml")
    assert not [key for key in read("es", name) if not key.startswith(f"{stage}.")]


@pytest.mark.parametrize("name", FILES)
def test_placeholders_are_the_same_in_both_languages(name):
    spanish, english = read("es", name), read("en", name)
    for key in spanish.keys() & english.keys():
        fields = [set(re.findall(r"{(\w*)[^}]*}", text)) for text in (spanish[key], english[key])]
        assert fields[0] == fields[1], f"{key}: {fields}"


def sources() -> list[tuple[str, str]]:
    found = [
        (str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
        for path in (ROOT / "lib").rglob("*.py")
    ]
    for path in (ROOT / "notebooks").rglob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        found.append((str(path.relative_to(ROOT)), code))
    return found


def used_keys(code: str) -> set[str]:
    """Literal first arguments of ``labels.both()`` and ``labels.text()``."""
    keys = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func
            by_module = isinstance(function, ast.Attribute) and function.attr in {"both", "text"}
            by_module = by_module and isinstance(function.value, ast.Name) and function.value.id == "labels"
            by_name = isinstance(function, ast.Name) and function.id == "both"
            if (by_module or by_name) and isinstance(node.args[0].value, str):
                keys.add(node.args[0].value)
    return keys


def test_every_label_used_exists():
    known = {language: labels.load_labels(language).keys() for language in labels.LANGUAGES}
    missing = [
        f"{name}: {key} ({language})"
        for name, code in sources()
        for key in sorted(used_keys(code))
        for language, keys in known.items()
        if key not in keys
    ]
    assert not missing, "labels that are used and not written:\n" + "\n".join(missing)


def test_an_unknown_label_is_an_error():
    with pytest.raises(labels.CatalogError, match="no es text for label 'no.such'"):
        labels.text("no.such", "es")
    with pytest.raises(labels.CatalogError, match="no labels in language 'fr'"):
        labels.text("no.such", "fr")
