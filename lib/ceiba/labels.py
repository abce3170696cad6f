"""Every word that a person sees, in Spanish and English, from ``catalogs/labels``."""

import functools

import yaml

from ceiba.config import project_root
from ceiba.errors import CatalogError

LANGUAGES = ("es", "en")


@functools.cache
def load_labels(language: str) -> dict[str, str]:
    """All label texts of one language, ``{key: text}``; raises :class:`CatalogError` on an unknown language or a key given twice."""
    if language not in LANGUAGES:
        raise CatalogError(f"no labels in language {language!r}; there are {', '.join(LANGUAGES)}")
    texts: dict[str, str] = {}
    for path in sorted((project_root() / "catalogs" / "labels" / language).glob("*.yml")):
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        twice = sorted(texts.keys() & entries.keys())
        if twice:
            raise CatalogError(f"{path.name} ({language}) repeats labels of another file: {', '.join(twice)}")
        texts.update(entries)
    return texts


def text(key: str, language: str) -> str:
    """The text of ``key`` in ``language`` ("es" or "en"); raises :class:`CatalogError` naming a key that is missing."""
    texts = load_labels(language)
    if key not in texts:
        raise CatalogError(f"no {language} text for label {key!r}; add it to catalogs/labels/{language}/")
    return texts[key]


def both(key: str) -> str:
    """The text in both languages, "Español | English", once where they are equal."""
    spanish, english = text(key, "es"), text(key, "en")
    return spanish if spanish == english else f"{spanish} | {english}"
