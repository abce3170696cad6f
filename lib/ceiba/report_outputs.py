"""What an executed notebook shows, as safe pieces of a page: the outputs of its cells tagged ``report``."""

import base64
import binascii
import hashlib
import html
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from nbconvert.filters import markdown2html

TAG = "report"
IMAGE_TYPES = {"image/png": "png", "image/gif": "gif", "image/jpeg": "jpg"}
ALLOWED = {
    "table",
    "thead",
    "tbody",
    "tfoot",
    "tr",
    "th",
    "td",
    "caption",
    "p",
    "ul",
    "ol",
    "li",
    "strong",
    "b",
    "em",
    "i",
    "code",
    "pre",
    "sup",
    "sub",
    "br",
    "blockquote",
    "h3",
    "h4",
    "h5",
    "h6",
}
MISSING = {"NaN", "nan", "NaT", "<NA>", "None"}
DROPPED_WITH_CONTENT = {"style", "script", "svg", "iframe", "object", "head", "title", "template"}
SPANS = {"colspan", "rowspan"}


@dataclass(frozen=True)
class Image:
    """A figure: bytes, kind ("png", "gif", "jpg") and size [pixels], 0 where the kind does not tell."""

    data: bytes
    kind: str
    width: int = 0
    height: int = 0

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes: the same picture is shown once."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def inline_address(self) -> str:
        """The picture as an address that needs no file."""
        mime = {kind: name for name, kind in IMAGE_TYPES.items()}[self.kind]
        return f"data:{mime};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class Fragment:
    """A table or text as HTML that holds nothing but words and table cells."""

    markup: str

    @property
    def rows(self) -> int:
        """Number of table rows."""
        return self.markup.count("<tr>")


def read_outputs(notebook: Path, *, leave_out: Iterable[str] = ()) -> list[Image | Fragment]:
    """Figures, tables and texts of the cells tagged ``report`` of an executed notebook, in their order.

    Parameters
    ----------
    notebook
        Path of the executed ``.ipynb``.
    leave_out
        Texts that stand elsewhere on the page, such as the line that tells the source of the data.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    ValueError
        Where the file is no notebook.
    """
    # json, not nbformat: validating sixty notebooks would take longer than everything else on the page.
    content = json.loads(notebook.read_text("utf-8"))
    unwanted = {text.strip() for text in leave_out}
    outputs: list[Image | Fragment] = []
    seen = set()
    for cell in content.get("cells", []):
        if TAG not in cell.get("metadata", {}).get("tags", []):
            continue
        for output in cell.get("outputs", []):
            piece = read_output(output.get("data", {}), unwanted)
            key = piece.digest if isinstance(piece, Image) else piece
            if piece is not None and key not in seen:
                seen.add(key)
                outputs.append(piece)
    return outputs


def read_output(data: Mapping[str, object], unwanted: set[str]) -> Image | Fragment | None:
    """The best form of one output: picture, table, text; None where it shows nothing or what is unwanted."""
    for mime, kind in IMAGE_TYPES.items():
        if mime in data:
            return make_image(_text(data[mime]), kind)
    if "text/html" in data:
        markup = clean(_text(data["text/html"]))
        if markup:
            return Fragment(markup)
    if "text/markdown" in data:
        text = _text(data["text/markdown"])
        return None if text.strip() in unwanted else Fragment(clean(markdown2html(text)))
    return None


def make_image(encoded: str, kind: str) -> Image | None:
    """A picture from its base64 text; None where that is damaged."""
    try:
        data = base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return None
    return Image(data, kind, *image_size(data))


def image_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG or GIF [pixels], else zeros: known sizes keep a page from jumping."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    if data[:4] == b"GIF8" and len(data) >= 10:
        width, height = struct.unpack("<HH", data[6:10])
        return width, height
    return 0, 0


def _text(value: object) -> str:
    """Notebooks hold long text as one string or as lines."""
    return value if isinstance(value, str) else "".join(str(line) for line in value)


def clean(markup: str) -> str:
    """HTML reduced to words, lists and tables: no style, script, picture or address is left; empty for an empty table."""
    cleaner = _Cleaner()
    cleaner.feed(markup)
    cleaner.close()
    text = "".join(cleaner.pieces).strip()
    if "<table>" in text and "<td" not in text:
        return ""
    return text if any(True for _ in cleaner.words()) else ""


class _Cleaner(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._dropping: list[str] = []

    def words(self) -> Iterator[str]:
        """The pieces that are no tags and not blank."""
        return (piece for piece in self.pieces if piece.strip() and not piece.startswith("<"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in DROPPED_WITH_CONTENT:
            self._dropping.append(tag)
        elif not self._dropping and tag in ALLOWED:
            spans = "".join(
                f' {name}="{int(value)}"' for name, value in attrs if name in SPANS and (value or "").isdigit()
            )
            self.pieces.append(f"<{tag}{spans}>")

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if tag == self._dropping[-1]:
                self._dropping.pop()
        elif tag in ALLOWED and tag != "br":
            self.pieces.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not self._dropping:
            self.pieces.append("–" if data.strip() in MISSING else html.escape(data, quote=False))
