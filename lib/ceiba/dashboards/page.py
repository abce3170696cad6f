"""What every page of the dashboards looks like: colors, widths, legends, and the line on the source of the data."""

import html
from collections.abc import Mapping
from pathlib import Path

import panel as pn

COLOR = "#1b6e4c"
ICON = Path(__file__).with_name("ceiba.svg")
VIEWPORT = "width=device-width, initial-scale=1"
FLEX = {"flex": "1 1 300px", "min-width": "0"}
STYLE = """
body { overflow-x: hidden; }
#header { padding: .3rem .8rem; }
#content { padding: 0; }
.container-fluid, #main { padding: .4rem; }
"""
PRESSED = f".bk-btn.bk-active {{ color: white !important; background: {COLOR} !important; }}"
HANDLE = f".noUi-handle {{ background: {COLOR} !important; }}"
SIDE_BY_SIDE = {"display": "grid", "grid-template-columns": "repeat(auto-fit, minmax(min(100%, 440px), 1fr))", "gap": "12px"}
"""Figures beside each other where there is room, below each other on a phone."""
BUTTON = f".bk-btn, .bk-btn a {{ color: white !important; background: {COLOR} !important; border-radius: 6px; }}"
FIGURES = """
table.figures { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
table.figures th, table.figures td { padding: .35rem .6rem; text-align: left; border-bottom: 1px solid #d9e2dd; white-space: nowrap; }
table.figures th { position: sticky; top: 0; background: white; }
table.figures .number { text-align: right; }
.scrolls { overflow: auto; max-height: 360px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 10px; }
.cards div { border-left: 4px solid #0a6e69; padding: .3rem .7rem; background: #f3f6f4; }
.cards b { display: block; font-size: 1.35rem; line-height: 1.3; white-space: nowrap; }
h3 { font-size: 1.05rem; margin: .4rem 0; }
"""
"""Style of tables and cards of numbers."""
TARGET = "display:inline-block;min-height:44px;line-height:44px;padding-right:1.2rem;font-weight:600"
"""Links are as high as a thumb."""


def make_page(title: str) -> pn.template.BootstrapTemplate:
    """An empty page."""
    # Bootstrap's template asks nothing of other hosts; without a viewport a phone would draw the page 980 px wide.
    return pn.template.BootstrapTemplate(
        title=title, meta_viewport=VIEWPORT, header_background=COLOR, main_max_width="1180px", raw_css=[STYLE], favicon=str(ICON)
    )


def link_line(ways: Mapping[str, str]) -> pn.viewable.Viewable:
    """Links to other pages, words to address."""
    parts = [f'<a style="{TARGET};color:{COLOR}" href="{html.escape(address)}">{html.escape(word)}</a>' for word, address in ways.items()]
    return pn.pane.HTML(f"<nav>{''.join(parts)}</nav>", sizing_mode="stretch_width", margin=(0, 8))


def source_line(source: str, simulated: bool, language: str) -> pn.viewable.Viewable:
    """Whether the data are real or simulated, and where they come from; ``source`` is "Español | English"."""
    spanish, _, english = source.replace("--", "–").partition(" | ")
    color = "#6b4a9c" if simulated else COLOR
    text = html.escape(spanish if language == "es" else english or spanish)
    return pn.pane.HTML(
        f'<p class="source" style="border-left:4px solid {color};padding-left:.6rem;margin:.6rem 0;overflow-wrap:anywhere">{text}</p>',
        sizing_mode="stretch_width",
    )


def class_legend(classes: list[tuple[str, str, str, float]], language: str) -> str:
    """Names of classes beside their colours, with the share of the map that they cover."""
    rows = [
        f'<li style="display:flex;gap:.5rem;align-items:center"><i style="flex:0 0 1rem;height:1rem;border:1px solid #999;'
        f'background:{color}"></i><span>{html.escape(spanish if language == "es" else english)}</span>'
        f'<span style="margin-left:auto;padding-left:.6rem;font-variant-numeric:tabular-nums">{share:.1%}</span></li>'
        for spanish, english, color, share in classes
    ]
    return f'<ul class="legend" style="list-style:none;margin:.3rem 0;padding:0;line-height:1.7">{"".join(rows)}</ul>'


def scale_legend(colors: list[str], limits: tuple[float, float], units: str) -> str:
    """A bar of colours with its lowest, middle and highest value."""
    low, high = limits
    values = "".join(f"<span>{value:.3g}{' ' + units if units else ''}</span>" for value in (low, (low + high) / 2, high))
    return (
        f'<div class="legend" style="margin:.3rem 0"><div style="height:.8rem;background:linear-gradient(to right,{",".join(colors)})">'
        f'</div><div style="display:flex;justify-content:space-between;font-variant-numeric:tabular-nums">{values}</div></div>'
    )


def group_digits(count: int) -> str:
    """A number in groups of three, as both languages allow."""
    return f"{count:,}".replace(",", "\u202f")


def years_text(first: str, last: str) -> str:
    """Years of an animation: "2016–2020"."""
    return " · ".join(dict.fromkeys((first, last))).replace("--", "–") if "--" in first else f"{first}–{last}" if first != last else first


def html_table(heads: list[str], body: list[list], *, numbers: int) -> str:
    """A table that scrolls in its own frame; the last ``numbers`` columns are numbers."""
    first = len(heads) - numbers

    def cells(values: list, tag: str) -> str:
        kinds = ["" if position < first else ' class="number"' for position in range(len(values))]
        return "".join(f"<{tag}{kind}>{html.escape(str(value))}</{tag}>" for value, kind in zip(values, kinds, strict=True))

    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in body)
    table = f"<thead><tr>{cells(heads, 'th')}</tr></thead><tbody>{rows}</tbody>"
    return f'<div class="scrolls" tabindex="0"><table class="figures">{table}</table></div>'
