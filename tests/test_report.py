"""The report of a run, on records made by hand: what it shows, what it says, and that it asks nothing of other hosts."""

import ast
import base64
import json
import re
import struct
import time
import uuid
import zlib
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from ceiba import labels, report, report_outputs
from ceiba.grids import Period, find_area
from ceiba.plan import Unit
from ceiba.run import BLOCKED, DONE, FAILED, MADE, Result

ROOT = Path(__file__).resolve().parents[1]
COUNT = "01_ard/02_count_clear_observations"
INDEX = "01_ard/01_fetch_scenes"
SOURCE = "Datos reales: bosque, romania, 2020 | Real data: forest, romania, 2020"


def png(width: int, height: int, level: int = 0) -> bytes:
    """A gray PNG, written by hand from the specification."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([level]) * width) * height
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def output(**data: str) -> dict:
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {k.replace("_", "/"): v for k, v in data.items()},
    }


def notebook(*outputs: dict, tag: str = "report") -> str:
    cell = {"cell_type": "code", "metadata": {"tags": [tag]}, "source": "", "outputs": list(outputs)}
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]})


class Links(HTMLParser):
    """Addresses that a page loads or links to."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        names = {"src", "href", "srcset", "poster", "data", "action"}
        self.found += [value for name, value in attrs if name in names and value]


@pytest.fixture
def make_result(tmp_path, monkeypatch):
    """Results whose records and products are made up; the cube is a dictionary."""
    documents: dict[uuid.UUID, dict] = {}
    monkeypatch.setenv("CEIBA_STORE", str(tmp_path / "store"))
    monkeypatch.setattr(report.index, "connect", lambda: None)
    monkeypatch.setattr(report.index, "get_dataset", lambda cube, dataset_id: documents.get(dataset_id))

    def make(
        *, area="sample", notebook_name=COUNT, year=2020, tile="", status=MADE, reason="", notes=None,
        record: str | None = None, files: dict[str, bytes] | None = None, source=SOURCE,
    ) -> Result:  # fmt: skip
        found = find_area(area)
        place = found.place("ard")
        unit = Unit(notebook_name, found, place, place.tile(tile), Period(year, year), "tile year", {})
        if status == BLOCKED:
            return Result(unit, status, reason=reason)
        dataset_id = uuid.uuid4()
        folder = tmp_path / "store" / "products" / str(dataset_id)
        folder.mkdir(parents=True)
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
        properties = {
            "ceiba:source": source,
            "ceiba:simulated": area == "simulated",
            "ceiba:notes": notes or {},
        }
        accessories = {Path(name).stem: {"path": name} for name in files or {}}
        documents[dataset_id] = SimpleNamespace(
            uri=(folder / "dataset.odc-metadata.yaml").as_uri(),
            metadata_doc={"properties": properties, "accessories": accessories},
        )
        if record is not None:
            home = tmp_path / "store" / "records" / str(dataset_id)
            home.mkdir(parents=True)
            (home / "notebook.ipynb").write_text(record, "utf-8")
            (home / "notebook.html").write_text("<p>executed</p>", "utf-8")
            (home / "provenance.json").write_text(json.dumps({"seconds": 12.34, "peak_memory_mb": 321.0}), "utf-8")
        seconds = 0.0 if status == DONE else 2.5
        return Result(unit, status, seconds, reason, {"clear_observations": dataset_id}, 0.0)

    return make


def picture(level: int = 0) -> str:
    return base64.b64encode(png(40, 30, level)).decode()


def test_shows_figures_tables_and_notes_of_every_unit(make_result, tmp_path):
    table = "<div><style scoped>.x{}</style><table border='1'><tr><th>sensor</th><td>s2</td></tr></table></div>"
    results = [
        make_result(year=2019, record=notebook(output(image_png=picture(1)))),
        make_result(
            year=2020,
            record=notebook(output(text_markdown=SOURCE), output(image_png=picture(2)), output(text_html=table)),
            notes={"scenes": 33, "mean_clear_observations": 19.1234},
        ),
    ]
    page = report.write_report(tmp_path / "run", results).read_text("utf-8")
    assert page.count("<img ") == 2
    assert 'width="40" height="30"' in page
    assert page.index(picture(2)) < page.index("<details>"), "the last year stands in full"
    assert (tmp_path / "run" / "figures").is_dir(), "pictures of folded units lie beside the page"
    assert "<table><tr><th>Sensor</th><td>s2</td></tr></table>" in page
    assert "scoped" not in page
    assert "19.12" in page
    assert "Escenas" in page and "Scenes" in page
    assert page.count("Datos reales: bosque") == 2, "the source stands in the first table and above the stage"


def test_asks_nothing_of_other_hosts(make_result, tmp_path):
    hostile = (
        '<table><tr><td><img src="https://example.org/x.png"><a href="https://example.org">a</a></td></tr>'
        '</table><script src="https://example.org/x.js"></script><iframe src="https://example.org"></iframe>'
    )
    results = [
        make_result(
            record=notebook(output(text_html=hostile), output(text_markdown="![x](https://example.org/y.png) words"))
        )
    ]
    path = report.write_report(tmp_path / "run", results)
    page = path.read_text("utf-8")
    links = Links(page).found
    assert links
    assert not [each for each in links if re.match(r"(?i)\s*(https?:)?//", each)]
    assert "example.org" not in page
    assert "@import" not in page and not re.search(r"url\(", page)
    for link in links:
        if not link.startswith(("#", "data:")):
            assert (path.parent / link).exists(), f"{link} leads nowhere"


def test_says_first_what_is_real_and_what_is_simulated(make_result, tmp_path):
    simulated = "Datos simulados: Área simulada | Simulated data: Simulated area"
    results = [
        make_result(record=notebook()),
        make_result(area="simulated", record=notebook(), source=simulated),
    ]
    page = report.write_report(tmp_path / "run", results).read_text("utf-8")
    order = [page.index(f'id="{name}"') for name in ("sources", "real", "simulated", "units")]
    assert order == sorted(order)
    first = page[page.index('id="sources"') : page.index('id="real"')]
    assert "Datos reales: bosque" in first and "Simulated data: Simulated area" in first


def test_a_stage_without_real_data_says_so(make_result, tmp_path):
    results = [make_result(area="simulated", record=notebook())]
    page = report.write_report(tmp_path / "run", results).read_text("utf-8")
    assert labels.text("report.only_simulated", "es") in page
    assert 'id="real"' not in page


def test_failures_stand_at_the_top_in_plain_words(make_result, tmp_path):
    results = [
        make_result(record=notebook()),
        make_result(year=2018, status=FAILED, reason="SceneError: <b>S2A_x.jp2</b> is cut short", record=notebook()),
        make_result(year=2017, status=BLOCKED, reason="no s2_l2a_scenes for tile sample-romania, 2017"),
    ]
    page = report.write_report(tmp_path / "run", results).read_text("utf-8")
    top = page[: page.index('id="sources"')]
    assert "SceneError: &lt;b&gt;S2A_x.jp2&lt;/b&gt; is cut short" in top
    assert "no s2_l2a_scenes for tile sample-romania, 2017" in top
    assert labels.text("report.failed_text", "es") in top and labels.text("report.blocked_text", "en") in top


def test_units_done_earlier_keep_figures_and_times(make_result, tmp_path):
    results = [make_result(status=DONE, record=notebook(output(image_png=picture())))]
    page = report.write_report(tmp_path / "run", results).read_text("utf-8")
    assert picture() in page
    assert "12.3" in page and "321" in page


def test_a_missing_or_damaged_record_is_said(make_result, tmp_path):
    results = [make_result(year=2020, status=DONE), make_result(year=2019, status=DONE, record="{half a file")]
    page = report.write_report(tmp_path / "run", results).read_text("utf-8")
    assert page.count(labels.text("report.no_record", "en")) == 2


def test_executed_notebooks_are_copied_and_linked(make_result, tmp_path):
    results = [make_result(record=notebook())]
    path = report.write_report(tmp_path / "run", results)
    links = [link for link in Links(path.read_text("utf-8")).found if link.startswith("notebooks/")]
    assert links and all((path.parent / link).read_text() == "<p>executed</p>" for link in links)
    assert (path.parent / links[0]).with_name("provenance.json").exists()


def test_animations_lie_beside_the_page_once(make_result, tmp_path):
    gif = b"GIF89a" + struct.pack("<HH", 12, 8) + b"\x80\0\0" + b"\0" * 6 + b";"
    shown = notebook(output(image_gif=base64.b64encode(gif).decode()))
    results = [make_result(record=shown, files={"animation.gif": gif})]
    path = report.write_report(tmp_path / "run", results)
    (link,) = [link for link in Links(path.read_text("utf-8")).found if link.endswith(".gif")]
    assert (path.parent / link).read_bytes() == gif
    assert 'width="12" height="8"' in path.read_text("utf-8")


def test_page_stays_small_and_is_quick(make_result, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "INLINE_BYTES", 2_000)
    results = [
        make_result(year=year, notebook_name=name, record=notebook(output(image_png=picture(year % 256))))
        for name in (INDEX, COUNT)
        for year in range(1990, 2020)
    ]
    began = time.perf_counter()
    path = report.write_report(tmp_path / "run", results)
    assert time.perf_counter() - began < 5
    page = path.read_text("utf-8")
    assert page.count("<img ") == 60
    assert sum(len(each) for each in re.findall(r"base64,([^\"]*)", page)) <= 2_000 * 4 / 3 + 8


def test_page_is_in_both_languages(make_result, tmp_path):
    page = report.write_report(tmp_path / "run", [make_result(record=notebook())]).read_text("utf-8")
    assert '<html lang="es"' in page
    assert page.count('<span lang="es">') == page.count('<span lang="en">') > 20
    assert 'name="viewport"' in page


def test_an_empty_run_has_a_page(tmp_path):
    page = report.write_report(tmp_path / "run", []).read_text("utf-8")
    assert "Informe" in page


def test_notes_of_every_shape():
    assert str(report.note_value(0.93456)) == "0.9346"
    assert str(report.note_value(1234567)) == "1\u202f234\u202f567"
    assert str(report.note_value([2018, 2020])) == "2018, 2020" and str(report.note_value(10000)) == "10\u202f000"
    assert str(report.note_value(float("nan"))) == "–"
    assert str(report.note_value(None)) == "–"
    assert "sí" in report.note_value(True) and "yes" in report.note_value(True)
    assert str(report.note_value(["a", "<b>"])) == "a, &lt;b&gt;"
    assert str(report.note_value({"a_b": 1})) == "<table><tr><th>a b</th><td>1</td></tr></table>"
    rows = str(report.note_value([{"x": 1}, {"x": 2, "y": 3}]))
    assert rows.count("<tr>") == 3 and "<td>–</td>" in rows


def test_cleaning_keeps_words_and_tables():
    assert report_outputs.clean("<p onclick='x()'>a &lt; b</p><br>") == "<p>a &lt; b</p><br>"
    assert report_outputs.clean("<script>x</script><div></div>") == ""
    assert (
        report_outputs.clean('<td colspan="2" style="x">1</td><td rowspan="x">2</td>')
        == '<td colspan="2">1</td><td>2</td>'
    )


def test_empty_tables_and_missing_values():
    head = "<table><thead><tr><th>path</th></tr></thead><tbody></tbody></table>"
    assert report_outputs.clean(head) == ""
    assert report_outputs.clean("<table><tr><td>&lt;NA&gt;</td></tr></table>") == "<table><tr><td>–</td></tr></table>"


def test_long_tables_are_folded():
    rows = "<tr><td>1</td></tr>" * 40
    piece = report_outputs.Fragment(f"<table><tr><th>site</th></tr>{rows}</table>")
    folded = str(report.fragment(piece))
    assert folded.startswith("<details><summary>") and "(40)" in folded
    assert "Sitio" in folded and "Site" in folded
    assert str(report.note_value({str(number): number for number in range(40)})).startswith("<details>")


def test_outputs_of_other_cells_are_left_out(tmp_path):
    path = tmp_path / "notebook.ipynb"
    path.write_text(notebook(output(image_png=picture()), tag="parameters"), "utf-8")
    assert report_outputs.read_outputs(path) == []


# ---- labels of what our own notebooks tell ----


def noted_names(path: Path) -> set[str]:
    """Names in the mapping that a notebook gives to ``task.write(..., notes=...)``, where they are written out."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    tree = ast.parse("\n".join(cells))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            names |= {key for word in node.keywords if word.arg == "notes" for key in keys_of(word.value)}
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == "notes":
                    names |= keys_of(node.value)
                elif isinstance(target, ast.Subscript) and ast.unparse(target.value) == "notes":
                    names |= {ast.literal_eval(target.slice)}
    return names - report.NOTES_APART


def keys_of(expression: ast.expr) -> set[str]:
    """Keys written out in a mapping, or in mappings joined by ``|``."""
    mappings = [node for node in unite(expression) if isinstance(node, ast.Dict)]
    return {key.value for mapping in mappings for key in mapping.keys if isinstance(key, ast.Constant)}


def unite(expression: ast.expr) -> list[ast.expr]:
    if isinstance(expression, ast.BinOp):
        return [*unite(expression.left), *unite(expression.right)]
    return [expression]


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "notebooks").glob("*/*.ipynb")),
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_notes_have_labels(path):
    missing = [
        f"report.note.{name} ({language})"
        for name in sorted(noted_names(path))
        for language in labels.LANGUAGES
        if f"report.note.{name}" not in labels.load_labels(language)
    ]
    assert not missing, f"add to catalogs/labels/*/report.yml: {', '.join(missing)}"
