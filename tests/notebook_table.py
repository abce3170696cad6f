"""Write the table of ``notebooks/README.md`` from the product definitions and the notebooks themselves.

    python tests/notebook_table.py

A test compares the table with what this script would write.
"""

import re
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "notebooks" / "README.md"
BEGIN, END = "<!-- table: written by tests/notebook_table.py -->", "<!-- end of table -->"
HEADER = "| notebook | makes, for each | reads | writes | runs after | minutes |\n|---|---|---|---|---|---|"


def load_products() -> dict[str, dict]:
    """All product definitions by name, in the order of their files."""
    paths = sorted((ROOT / "catalogs" / "products").glob("*.yml"))
    return {
        name: entry
        for path in paths
        for name, entry in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items()
    }


def read_minutes(path: Path) -> str:
    """Minutes that a notebook says it takes, from the table of its first cell; "?" where it says nothing."""
    first = nbformat.read(path, as_version=4).cells[0].source
    lines = [line for line in first.splitlines() if line.startswith("|")]
    rows = [[cell.strip(" *`") for cell in line.strip("|").split("|")] for line in lines]
    for number, row in enumerate(rows):
        words = [cell.lower() for cell in row]
        if words[0] == "minutes" and len(row) > 1:
            return row[1]
        if "minutes" in words and len(rows) > number + 2:
            return rows[number + 2][words.index("minutes")]
    return "?"


def read_title(path: Path) -> str:
    """First heading of a notebook."""
    first = nbformat.read(path, as_version=4).cells[0].source
    return re.search(r"^# (.+)$", first, flags=re.MULTILINE).group(1).strip()


def table_rows() -> list[str]:
    """One row a notebook, in order."""
    products = load_products()
    maker = {name: entry.get("notebook", "") for name, entry in products.items()}
    # Scenes have no notebook of their own in the definition: the one that indexes them makes them.
    maker |= {name: "01_ard/01_fetch_scenes" for name, entry in products.items() if entry["per"] == "scene"}
    rows = []
    for path in sorted((ROOT / "notebooks").glob("[0-9]*/[0-9]*.ipynb")):
        notebook = path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
        written = [name for name in products if maker[name] == notebook]
        definitions = [products[name] for name in written]
        reads = dict.fromkeys(name for entry in definitions for name in entry.get("inputs") or {})
        optional = {
            name
            for name in reads
            if not any(
                (entry["inputs"].get(name) or {}).get("required", True)
                for entry in definitions
                if name in (entry.get("inputs") or {})
            )
        }
        before = sorted({maker[name] for name in reads if maker.get(name)} - {notebook})
        units = list(dict.fromkeys(entry["per"] for entry in definitions))
        cells = [
            f"[{path.parent.name}/{path.stem}]({path.parent.name}/{path.name}) {read_title(path)}",
            ", ".join(units) or "nothing",
            ", ".join(f"{name} (optional)" if name in optional else name for name in reads)
            or "catalogues and index",
            ", ".join(written) or "nothing",
            ", ".join(before) or "nothing",
            read_minutes(path),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def render(text: str) -> str:
    """``text`` of the README with its table made anew."""
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    return text[:start] + "\n" + "\n".join([HEADER, *table_rows()]) + "\n" + text[end:]


if __name__ == "__main__":
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {README.relative_to(ROOT)}")
