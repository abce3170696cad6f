"""The report of a run: one page that a director can read, in Spanish and English, whole in itself."""

import functools
import json
import logging
import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from ceiba import cube as index
from ceiba import labels, provenance
from ceiba.plan import Snapshot, Unit, notebook_stage
from ceiba.report_outputs import Fragment, Image, read_outputs
from ceiba.run import BLOCKED, FAILED, SKIPPED, Result, record_folder
from ceiba.sources import asset_paths

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "report_templates"
INLINE_BYTES = 9_000_000
"""Pictures up to this size together stand in the page (a third more as text); the others lie beside it."""
RECORD_FILES = ("notebook.html", "notebook.ipynb", "provenance.json")
FOLDED_ROWS = 14
"""Longer tables are folded: a director scrolls past none of them."""
NOTES_APART = {"failures"}

Pair = Mapping[str, str]


@dataclass
class Entry:
    """One unit on the page: how it ended, what its record shows, what its products tell."""

    result: Result
    provenance: Mapping[str, object] = field(default_factory=dict)
    outputs: list = field(default_factory=list)
    animations: list[Image] = field(default_factory=list)
    notes: Mapping[str, object] = field(default_factory=dict)
    source: Pair | None = None
    simulated: bool = False
    link: str = ""
    missing_record: bool = False

    @property
    def unit(self) -> Unit:
        """The unit."""
        return self.result.unit

    @property
    def anchor(self) -> str:
        """Name of the unit in addresses and file names."""
        return f"{self.unit.notebook}-{self.unit.tile.region_code}-{self.unit.period}".replace("/", "-")

    @property
    def pictures(self) -> list:
        """Everything to show: outputs, then animations."""
        return [*self.outputs, *self.animations]

    @property
    def seconds(self) -> float:
        """Time of the run that made the products [s], also where that was an earlier one."""
        return self.result.seconds or float(self.provenance.get("seconds") or 0)

    @property
    def peak_memory_mb(self) -> float:
        """Peak memory of the kernel [MB]."""
        return self.result.peak_memory_mb or float(self.provenance.get("peak_memory_mb") or 0)


@dataclass(frozen=True)
class Chapter:
    """The units of one notebook in one half of the report: one in full, the others folded."""

    notebook: str
    title: Pair
    main: Entry
    others: Sequence[Entry]

    @property
    def entries(self) -> list[Entry]:
        """All units."""
        return [self.main, *self.others]


@dataclass(frozen=True)
class Stage:
    """The chapters of one stage in one half of the report."""

    name: str
    chapters: Sequence[Chapter]

    @property
    def entries(self) -> list[Entry]:
        """All units."""
        return [entry for chapter in self.chapters for entry in chapter.entries]

    @property
    def good(self) -> int:
        """Number of units whose products are there."""
        return sum(entry.result.is_good for entry in self.entries)

    @property
    def source(self) -> Pair | None:
        """The line that tells most about the source of the data."""
        lines = [entry.source for entry in self.entries if entry.source]
        return max(lines, key=lambda pair: len(pair["es"]), default=None)


def write_report(folder: Path, results: Sequence[Result]) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    folder
        Folder of the run; ``index.html`` is written there, the executed notebooks below ``notebooks/`` and
        pictures that do not fit into the page below ``figures/``.
    results
        How every unit ended, those that had been done before too: their records are in the store. Skipped ones are no part
        of the report.

    Returns
    -------
    Path
        ``index.html``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries = [read_entry(result, folder) for result in results if result.status != SKIPPED]
    place_image = Pictures(folder).place
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"both": both, "note": note_value, "note_name": note_name, "fragment": fragment}
    environment.globals |= {
        "w": words,
        "is_image": lambda piece: isinstance(piece, Image),
        "place_image": place_image,
    }
    page = environment.get_template("index.html").render(
        real=group_stages(entry for entry in entries if not entry.unit.area.simulated),
        simulated=group_stages(entry for entry in entries if entry.unit.area.simulated),
        stages=list(
            dict.fromkeys(entry.unit.stage for entry in sorted(entries, key=lambda entry: entry.unit.notebook))
        ),
        entries=entries,
        failed=[entry for entry in entries if entry.result.status == FAILED],
        blocked=[entry for entry in entries if entry.result.status == BLOCKED],
        statuses=count_statuses(entries),
        moment=datetime.now(UTC),
        code=provenance.code_state(),
        style=Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - a file of ours
        script=Markup((TEMPLATES / "report.js").read_text("utf-8")),  # noqa: S704 - a file of ours
    )
    path = folder / "index.html"
    path.write_text(page, "utf-8")
    return path


def read_entry(result: Result, folder: Path) -> Entry:
    """Collect what is known of a unit: its products' documents from the cube, its record from the store."""
    entry = Entry(result, simulated=result.unit.area.simulated)
    if not result.ids:
        return entry
    datasets = [index.get_dataset(index.connect(), dataset_id) for dataset_id in result.ids.values()]
    datasets = [dataset for dataset in datasets if dataset is not None]
    properties = [dataset.metadata_doc["properties"] for dataset in datasets]
    if properties:
        entry.notes = {
            name: value for name, value in properties[0].get("ceiba:notes", {}).items() if name not in NOTES_APART
        }
        entry.source = split_languages(properties[0].get("ceiba:source", ""))
        entry.simulated = bool(properties[0].get("ceiba:simulated"))
    record = record_folder(Snapshot(found={}, ids=result.ids))
    try:
        entry.outputs = read_outputs(
            record / "notebook.ipynb", leave_out=[each.get("ceiba:source", "") for each in properties]
        )
        entry.provenance = json.loads((record / "provenance.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        log.warning("the record of %s cannot be read: %s", result.unit, error)
        entry.missing_record = True
    entry.link = copy_record(entry, record, folder)
    shown = {piece.digest for piece in entry.outputs if isinstance(piece, Image)}
    for path in (path for dataset in datasets for path in asset_paths(dataset).values() if path.suffix == ".gif"):
        animation = Image(path.read_bytes(), "gif")
        if animation.digest not in shown:
            entry.animations.append(animation)
    return entry


def copy_record(entry: Entry, record: Path, folder: Path) -> str:
    """Copy a unit's record beside the page; returns the relative address of its executed notebook, or "".

    Copies, not hard links: a notebook that is run again writes into the same file, and an older report must
    not change.
    """
    target = folder / "notebooks" / entry.anchor
    for name in RECORD_FILES:
        if (record / name).exists():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(record / name, target / name)
    return f"notebooks/{entry.anchor}/notebook.html" if (target / "notebook.html").exists() else ""


class Pictures:
    """Puts pictures into the page while there is room, and into files beside it afterwards."""

    def __init__(self, folder: Path):
        self._folder, self._inlined = folder / "figures", 0

    def place(self, image: Image, *, full: bool) -> str:
        """Address of a picture: in the page only where its unit is shown in ``full`` and there is room."""
        if full and image.kind != "gif" and self._inlined + len(image.data) <= INLINE_BYTES:
            self._inlined += len(image.data)
            return image.inline_address
        self._folder.mkdir(exist_ok=True)
        name = f"{image.digest[:16]}.{image.kind}"
        (self._folder / name).write_bytes(image.data)
        return f"figures/{name}"


def group_stages(entries: Iterable[Entry]) -> list[Stage]:
    """Units by stage and notebook; the last year's first tile that has something to show comes first."""
    by_notebook: dict[str, list[Entry]] = {}
    for entry in entries:
        by_notebook.setdefault(entry.unit.notebook, []).append(entry)
    stages: dict[str, list[Chapter]] = {}
    for notebook in sorted(by_notebook):
        ordered = sorted(
            by_notebook[notebook],
            key=lambda each: (not each.pictures, -each.unit.period.last_year, each.unit.tile.name),
        )
        titles = [definition.title for definition in ordered[0].unit.products]
        title = {
            language: " · ".join(dict.fromkeys(each[language] for each in titles)) or notebook
            for language in labels.LANGUAGES
        }
        stages.setdefault(notebook_stage(notebook), []).append(Chapter(notebook, title, ordered[0], ordered[1:]))
    return [Stage(name, chapters) for name, chapters in stages.items()]


def count_statuses(entries: Iterable[Entry]) -> dict[str, int]:
    """Number of units by how they ended."""
    counts: dict[str, int] = {}
    for entry in entries:
        counts[entry.result.status] = counts.get(entry.result.status, 0) + 1
    return counts


# ---- words ----


@functools.cache
def words(name: str) -> Pair:
    """The label ``report.<name>`` in both languages."""
    return {language: labels.text(f"report.{name}", language) for language in labels.LANGUAGES}


def split_languages(line: str) -> Pair | None:
    """ "Español | English" as a pair; None where the line is empty."""
    spanish, _, english = line.replace("--", "–").partition(" | ")
    return {"es": spanish, "en": english or spanish} if line else None


def both(pair: Pair) -> Markup:
    """A pair as HTML of which the page shows the language that the reader chose."""
    if pair["es"] == pair["en"]:
        return escape(pair["es"])
    return Markup('<span lang="es">{}</span><span lang="en">{}</span>').format(pair["es"], pair["en"])


def note_name(name: str) -> Markup:
    """Name of a note: its label ``report.note.<name>``, or the name itself as words."""
    key = f"report.note.{name}"
    if all(key in labels.load_labels(language) for language in labels.LANGUAGES):
        return both(words(f"note.{name}"))
    return escape(str(name).replace("_", " "))


def note_value(value: object) -> Markup:
    """A note in JSON types as HTML: numbers with four digits, mappings and lists of them as tables."""
    if isinstance(value, bool):
        return both(words("yes" if value else "no"))
    if isinstance(value, int | float):
        return escape(number(value))
    if value is None:
        return Markup("–")
    if isinstance(value, Mapping):
        rows = Markup().join(
            Markup("<tr><th>{}</th><td>{}</td></tr>").format(note_name(name), note_value(each))
            for name, each in value.items()
        )
        return fold(Markup("<table>{}</table>").format(rows), len(value))
    if isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        names = list(dict.fromkeys(name for each in value for name in each))
        head = Markup().join(Markup("<th>{}</th>").format(note_name(name)) for name in names)
        rows = Markup().join(
            Markup("<tr>{}</tr>").format(
                Markup().join(Markup("<td>{}</td>").format(note_value(each.get(name))) for name in names)
            )
            for each in value
        )
        return Markup("<table><tr>{}</tr>{}</table>").format(head, rows)
    if isinstance(value, list):
        return Markup(", ").join(note_value(each) for each in value)
    return escape(str(value))


def fragment(piece: Fragment) -> Markup:
    """A table or text of a notebook, column names in words where they have a label, folded where it is long."""
    markup = Markup(re.sub(r"<th>(\w+)</th>", lambda found: f"<th>{note_name(found[1])}</th>", piece.markup))  # noqa: S704
    return fold(markup, piece.rows - 1)


def fold(markup: Markup, rows: int) -> Markup:
    """A table behind a line that says how long it is, where it is long."""
    if rows <= FOLDED_ROWS:
        return markup
    return Markup("<details><summary>{} ({})</summary>{}</details>").format(both(words("table")), rows, markup)


def number(value: float) -> str:
    """A number for people: four significant digits, thousands apart by a thin space from five digits on, so that years read as such."""
    if isinstance(value, float) and not math.isfinite(value):
        return "–"
    if float(value).is_integer() or abs(value) >= 1000:
        whole = f"{value:,.0f}"
        return whole.replace(",", "\u202f" if abs(value) >= 10_000 else "")
    return f"{value:.4g}"
