"""The dashboard of reactions: what is published of people's likes, and nothing else, beside the values that they reacted to."""

import functools
import html
import io
from dataclasses import asdict
from datetime import date

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import param
import sqlalchemy as sa

from ceiba import labels
from ceiba.dashboards import maps, reaction_charts
from ceiba.dashboards.page import (
    BUTTON,
    COLOR,
    FIGURES,
    FLEX,
    HANDLE,
    PRESSED,
    SIDE_BY_SIDE,
    group_digits,
    html_table,
    link_line,
    make_page,
    scale_legend,
    source_line,
    years_text,
)
from ceiba.dashboards.reaction_charts import interval, percent
from ceiba.errors import StoreError
from ceiba.react2eo.layers import Layer, Region, Snapshot, Snapshots
from ceiba.react2eo.maps.rendering import read_point
from ceiba.react2eo.reactions import published, reaction_store
from ceiba.react2eo.reactions.published import Figures, Unit
from ceiba.react2eo.reactions.reaction_sources import tabulate
from ceiba.react2eo.settings import Settings

ALL = ""
"""Stands for every layer, or every term."""
ROWS_SHOWN = 300
"""Rows of the table on the page; the file has all."""


@functools.cache
def find_snapshots() -> Snapshots:
    """Regions and layers, kept for all visitors."""
    return Snapshots()


@functools.lru_cache(maxsize=4)
def open_published(url: str) -> sa.Engine:
    """The database whose published figures are shown."""
    return reaction_store.open_database(url)


class Reactions(pn.viewable.Viewer):
    """What a visitor chose, and the figures and drawings that follow from it."""

    language = param.Selector(default="es", objects=list(labels.LANGUAGES))
    region = param.Selector(default=None, objects=[None])
    layer = param.Selector(default=None, objects=[None])
    term = param.Selector(default=ALL, objects=[ALL])
    day = param.Selector(default=None, objects=[None])

    def __init__(self, *, region: str = "", layer: str = "", language: str = "es"):
        self.snapshot: Snapshot = find_snapshots().current()
        self.engine = open_published(Settings.from_environment().reactions_url)
        self.point = hv.streams.Tap(x=None, y=None)
        super().__init__(language=language if language in labels.LANGUAGES else "es")
        # Read once a visit: what a visitor compares is of one moment.
        self.history = published.read_history(self.engine)
        names = list(self.snapshot.regions)
        told = {unit.region for unit, _ in self.history}
        self.param.region.objects = names or [None]
        first = next((name for name in names if name in told), names[0] if names else None)
        self.region = region if region in names else first
        self._region_changed()
        if layer and layer in self.param.layer.objects:
            self.layer = layer

    def words(self, name: str) -> str:
        """The label ``dashboards.reactions_<name>`` in the chosen language."""
        return labels.text(f"dashboards.reactions_{name}", self.language)

    # ---- choices that follow from others ----

    @param.depends("region", watch=True)
    def _region_changed(self) -> None:
        own = [(unit, figures) for unit, figures in self.history if unit.region == self.region]
        layers = [ALL, *(self.shown.layers if self.shown else ())]
        terms = [ALL, *sorted({unit.term for unit, _ in own})]
        days = sorted({figures.published for _, figures in own}) or [None]
        with param.parameterized.discard_events(self):
            self.param.layer.objects, self.param.term.objects, self.param.day.objects = layers, terms, days
            self.layer = self.layer if self.layer in layers else self.most_seen_layer()
            self.term, self.day = ALL, days[-1]
        self.point = hv.streams.Tap(x=None, y=None)
        self.param.trigger("layer", "term", "day")

    def most_seen_layer(self) -> str:
        """The layer of the chosen region that most have reacted to; the first one where nobody has."""
        sums = published.sum_by({unit: figures for unit, figures in self.history if unit.region == self.region}, "layer")
        known = {layer: figures.devices for (layer,), figures in sums.items() if self.shown and layer in self.shown.layers}
        first = next(iter(self.shown.layers), ALL) if self.shown else ALL
        return max(known, key=known.get, default=first)

    @property
    def shown(self) -> Region | None:
        """The chosen region."""
        return self.snapshot.regions.get(self.region)

    @property
    def shown_layer(self) -> Layer | None:
        """The chosen layer, None for all."""
        return self.shown.layers.get(self.layer) if self.shown else None

    def choose(self, *, region: str = "", layer: str = "", day: date | None = None) -> list[tuple[Unit, Figures]]:
        """Published figures of a region and layer (all where empty) in the chosen term, up to a day."""
        return [
            (unit, figures)
            for unit, figures in self.history
            if region in ("", unit.region) and layer in ("", unit.layer) and self.term in (ALL, unit.term)
            and (day is None or figures.published <= day)
        ]  # fmt: skip

    def present(self, *, region: str = "", layer: str = "") -> dict[Unit, Figures]:
        """What held for each unit at the end of the chosen day."""
        latest = dict(self.choose(region=region, layer=layer, day=self.day))
        return {unit: figures for unit, figures in latest.items() if figures.devices >= published.K}

    def title_of(self, *, region: str = "", layer: str = "") -> str:
        """What a region or layer is called; its name where it is no longer there."""
        if region:
            return self.snapshot.regions[region].title[self.language] if region in self.snapshot.regions else region
        contents = self.snapshot.themes.contents
        return contents[layer].title[self.language] if layer in contents else layer

    # ---- the page ----

    def __panel__(self) -> pn.viewable.Viewable:
        """Links and choices, and below them what follows."""
        return pn.Column(
            self.links, self.controls, self.figures, self.table_view, sizing_mode="stretch_width", styles={"overflow-x": "hidden"}
        )

    @param.depends("language", "region", "layer")
    def links(self) -> pn.viewable.Viewable:
        """Ways to the app, the maps, and how reactions are kept."""
        chosen = f"region={self.region}&layer={self.layer}&" if self.region else ""
        ways = {
            "app": f"/?{chosen}language={self.language}", "maps": f"/dashboards?language={self.language}",
            "about": f"/about?language={self.language}",
        }  # fmt: skip
        return link_line({labels.text(f"dashboards.link_{name}", self.language): address for name, address in ways.items()})

    @param.depends("language", "region")
    def controls(self) -> pn.viewable.Viewable:
        """Language, region, layer, term and day."""
        language = pn.widgets.RadioButtonGroup.from_param(
            self.param.language, options={"Español": "es", "English": "en"}, name="Idioma | Language", button_type="success",
            button_style="outline", align="end", width=180, stylesheets=[PRESSED],
        )  # fmt: skip
        if not self.shown:
            return pn.FlexBox(language, sizing_mode="stretch_width")
        regions = {region.title[self.language]: name for name, region in self.snapshot.regions.items()}
        layers = {self.words("all_layers"): ALL} | {self.title_of(layer=name): name for name in self.shown.layers}
        terms = {self.words("all_terms"): ALL} | {name: name for name in self.param.term.objects if name}
        choices = [
            pn.widgets.Select.from_param(self.param.region, options=regions, name=self.words("region"), min_width=180, styles=FLEX),
            pn.widgets.Select.from_param(self.param.layer, options=layers, name=self.words("layer"), min_width=180, styles=FLEX),
        ]
        if len(terms) > 2:
            choices.append(pn.widgets.Select.from_param(self.param.term, options=terms, name=self.words("term"), width=150))
        rows = [pn.FlexBox(*choices, language, gap="10px", align_items="flex-end", sizing_mode="stretch_width")]
        days = [day for day in self.param.day.objects if day]
        if len(days) > 1:
            rows.append(
                pn.widgets.DiscreteSlider.from_param(
                    self.param.day, options={day.isoformat(): day for day in days}, name=self.words("until"), bar_color=COLOR,
                    stylesheets=[HANDLE], max_width=520, sizing_mode="stretch_width",
                )
            )  # fmt: skip
        return pn.Column(*rows, sizing_mode="stretch_width")

    @param.depends("language", "region", "layer", "term", "day")
    def figures(self) -> pn.viewable.Viewable:
        """Everything that is drawn."""
        if not self.shown:
            return pn.pane.Alert(labels.text("dashboards.nothing", self.language), alert_type="warning", sizing_mode="stretch_width")
        units = self.present(region=self.region, layer=self.layer)
        parts = [self.cards(units)]
        if not units:
            parts.append(pn.pane.Alert(self.words("nothing").format(devices=published.K), alert_type="info", sizing_mode="stretch_width"))
        cells = self.tabulate(units, "cell")
        x, y = (self.point.x, self.point.y) if self.point.x is not None else self.first_point(cells)
        # A stream of its own for each drawing: those drawn before must not be drawn again at each tap.
        self.point = hv.streams.Tap(x=x, y=y)
        parts.append(pn.Column(self.map_view(cells), self.point_pane(cells), styles=SIDE_BY_SIDE, sizing_mode="stretch_width"))
        if units:
            drawn = [
                self.share_view(self.present(region=self.region), "layer"), self.share_view(self.present(layer=self.layer), "region"),
                self.trend_view(),
            ]  # fmt: skip
            parts.append(pn.Column(*drawn, self.animation_view(), styles=SIDE_BY_SIDE, sizing_mode="stretch_width"))
        else:
            parts.append(self.animation_view())
        layer = self.shown_layer or next(iter(self.shown.layers.values()))
        parts.append(source_line(layer.source[self.language], self.shown.simulated, self.language))
        if self.shown.simulated:
            parts.append(self.markup(f"<p>{html.escape(self.words('simulated'))}</p>"))
        return pn.Column(*parts, sizing_mode="stretch_width")

    def tabulate(self, units: dict[Unit, Figures], *names: str) -> pd.DataFrame:
        """Sums of units as a table, a row for each combination of ``names``."""
        sums = published.sum_by(units, *names)
        return tabulate(((dict(zip(names, key, strict=True)), figures) for key, figures in sums.items()), keys=names)

    def markup(self, text: str) -> pn.viewable.Viewable:
        """HTML of our own making."""
        return pn.pane.HTML(text, stylesheets=[FIGURES], sizing_mode="stretch_width", margin=(0, 8))

    def drawing(self, drawn: hv.Overlay) -> pn.viewable.Viewable:
        """A chart, whose axes are its own."""
        return pn.pane.HoloViews(drawn, sizing_mode="stretch_width", linked_axes=False)

    def titled(self, title: str, *views: pn.viewable.Viewable) -> pn.viewable.Viewable:
        """Views under a heading."""
        return pn.Column(self.markup(f"<h3>{html.escape(title)}</h3>"), *views, sizing_mode="stretch_width")

    def cards(self, units: dict[Unit, Figures]) -> pn.viewable.Viewable:
        """The figures of all that is chosen."""
        described = published.total(units.values()).describe()
        low, high = described["interval"] or (np.nan, np.nan)
        shown = [
            (percent(described["share"]), f"{self.words('share')} ({interval(low, high)})"),
            (f"{group_digits(described['likes'])} · {group_digits(described['dislikes'])}", self.words("likes_dislikes")),
            (group_digits(len({unit.cell for unit in units})), self.words("cells")),
            (described["published"] or "–", self.words("published")),
        ]
        parts = [f"<div><b>{html.escape(value)}</b>{html.escape(word)}</div>" for value, word in shown]
        return self.markup(f'<div class="cards">{"".join(parts)}</div>')

    def map_view(self, cells: pd.DataFrame) -> pn.viewable.Viewable:
        """The cumulative map."""
        place = self.shown.place
        shown = reaction_charts.frame(cells, place)
        drawn = reaction_charts.draw_cells(cells, place, self.language)
        ring = hv.DynamicMap(lambda x, y: maps.draw_point(x, y, shown), streams=[self.point])
        tap = hv.streams.Tap(source=drawn)
        tap.add_subscriber(lambda x, y: self.point.event(x=x, y=y))
        pane = pn.pane.HoloViews(maps.join_layers(drawn * ring, shown), sizing_mode="stretch_width", margin=0, linked_axes=False)
        legend = scale_legend(maps.color_steps(reaction_charts.PALETTE), (0, 100), "%")
        return self.titled(self.words("map"), pane, self.markup(legend + f"<small>{html.escape(self.words('map_text'))}</small>"))

    def point_pane(self, cells: pd.DataFrame) -> pn.viewable.Viewable:
        """What follows the point that was tapped."""
        return pn.panel(
            pn.bind(lambda x, y: self.point_view(cells, x, y), self.point.param.x, self.point.param.y), sizing_mode="stretch_width"
        )

    def point_view(self, cells: pd.DataFrame, x: float, y: float) -> pn.viewable.Viewable:
        """Reactions at a place beside the values of the layer there through the years."""
        cell = reaction_charts.find_cell(cells, self.shown.place, x, y)
        rows = cells[cells["cell"] == cell]
        if len(rows):
            row = rows.iloc[0]
            reacted = self.words("here" if cell else "elsewhere").format(
                share=percent(row["share"]), interval=interval(row["interval_low"], row["interval_high"]), devices=row["devices"]
            )
        else:
            reacted = self.words("none_here")
        parts = [self.markup(f"<p>{html.escape(reacted)}</p>"), self.series_view(x, y)]
        hint = self.markup(f"<small>{html.escape(self.words('tap'))}</small>")
        return self.titled(self.words("series"), *parts, hint)

    def first_point(self, cells: pd.DataFrame) -> tuple[float, float]:
        """Middle of the cell with most devices within the region, else of the region."""
        left, bottom, right, top = self.shown.place.whole.bounds
        for cell in cells.sort_values("devices", ascending=False)["cell"]:
            x, y = reaction_charts.cell_middle(cell, self.shown.place.crs) if cell else (np.inf, np.inf)
            if left <= x <= right and bottom <= y <= top:
                return x, y
        return (left + right) / 2, (bottom + top) / 2

    def series_view(self, x: float, y: float) -> pn.viewable.Viewable:
        """Values of the chosen layer at a point."""
        layer = self.shown_layer
        if layer is None:
            return self.markup(f"<p>{html.escape(self.words('choose_layer'))}</p>")
        table = self.point_table(layer, x, y)
        if table.empty:
            return self.markup(f"<p>{html.escape(labels.text('dashboards.no_data_here', self.language))}</p>")
        bands = [band.name for band in layer.measurements]
        if layer.kind == "classes" or len(table) == 1:
            rows = "".join(
                f"<tr><td>{row['period']}</td><td>{html.escape(self.value_text(layer, row))}</td></tr>" for row in table.to_dict("records")
            )
            return self.markup(f'<table class="figures">{rows}</table>')
        titles = [band.title.get(self.language, band.name) for band in layer.measurements]
        return self.drawing(reaction_charts.draw_series(table, bands, titles, self.language))

    def point_table(self, layer: Layer, x: float, y: float) -> pd.DataFrame:
        """One row a period with data at a point of the place's CRS: ``period``, ``year`` (its last) and the measurements."""
        longitude, latitude = reaction_charts.to_crs(layer.region.place.crs).transform(x, y, direction="INVERSE")
        rows = []
        for period in layer.periods:
            values = read_point(layer, period, longitude, latitude)
            if not any(np.isnan(value) for value in values.values()):
                rows.append({"period": str(period).replace("--", "–"), "year": period.last_year, **values})
        return pd.DataFrame(rows)

    def value_text(self, layer: Layer, row: dict) -> str:
        """Values of one period in words."""
        if layer.kind == "classes":
            return layer.legend.find(int(row[layer.measurements[0].name])).label(self.language)
        return ", ".join(f"{band.title.get(self.language, band.name)} {row[band.name]:.3g}" for band in layer.measurements)

    def share_view(self, units: dict[Unit, Figures], name: str) -> pn.viewable.Viewable:
        """Shares with intervals, a row a layer or region."""
        table = self.tabulate(units, name)
        title = f"{self.words(f'by_{name}')} · {self.title_of(region=self.region) if name == 'layer' else self.layer_title}"
        if table.empty:
            return self.titled(title, self.markup("<p>–</p>"))
        contents = self.snapshot.themes.contents
        short = {key: contents[key].short[self.language] if key in contents else key for key in table[name]}
        table["label"] = [short[key] if name == "layer" else self.title_of(region=key) for key in table[name]]
        return self.titled(title, self.drawing(reaction_charts.draw_shares(table, self.language)))

    @property
    def layer_title(self) -> str:
        """What the chosen layer, or all of them, is called."""
        return self.title_of(layer=self.layer) if self.layer else self.words("all_layers")

    def trend_view(self) -> pn.viewable.Viewable:
        """The share after each publication."""
        days = published.sum_by_day(self.choose(region=self.region, layer=self.layer, day=self.day))
        table = tabulate((({"day": day}, figures) for day, figures in days.items()), keys=["day"])
        drawn = reaction_charts.draw_trend(table, self.language)
        return self.titled(f"{self.words('trend')} · {self.layer_title}", self.drawing(drawn))

    def animation_view(self) -> pn.viewable.Viewable:
        """Animations made of the region, in steps."""
        rows = published.count_animations(self.engine, region=self.region, layer=self.layer)
        rows.sort(key=lambda row: -row["count"])
        heads = [self.words(name) for name in ("layer", "years", "animations_made")]
        body = [[self.title_of(layer=row["layer"]), years_text(row["first"], row["last"]), group_digits(row["count"])] for row in rows]
        text = f"<small>{html.escape(self.words('animations_text').format(devices=published.K))}</small>"
        table = html_table(heads, body, numbers=1) if body else "<p>–</p>"
        return self.titled(self.words("animations"), self.markup(table + text))

    # ---- table and file ----

    @param.depends("language", "region", "layer", "term", "day")
    def table_view(self) -> pn.viewable.Viewable:
        """The figures as a table, and as a file of exactly the same."""
        table = self.published_table()
        if table.empty:
            return pn.Spacer(height=0)
        heads = [self.words(name) for name in ("layer", "cell", "likes", "dislikes", "devices", "share", "interval", "published")]
        body = [
            [self.title_of(layer=row.layer), row.cell or self.words("rest"), row.likes, row.dislikes, row.devices, percent(row.share),
             interval(row.interval_low, row.interval_high), f"{row.published:%Y-%m-%d}"]
            for row in table.head(ROWS_SHOWN).itertuples()
        ]  # fmt: skip
        download = pn.widgets.FileDownload(
            callback=self.csv_file, filename=f"reactions_{self.region}.csv", label=self.words("download").format(rows=len(table)),
            button_type="success", width=280, height=44, stylesheets=[BUTTON],
        )  # fmt: skip
        texts = [self.words("table_text").format(devices=published.K), labels.text("react2eo.reactions_attribution", self.language)]
        small = "".join(f"<p><small>{html.escape(text)}</small></p>" for text in texts)
        return self.titled(self.words("table"), self.markup(html_table(heads, body, numbers=6)), download, self.markup(small))

    def published_table(self) -> pd.DataFrame:
        """What is published of all that is chosen, one row a layer, cell and term."""
        units = self.present(region=self.region, layer=self.layer)
        table = tabulate((asdict(unit), figures) for unit, figures in units.items())
        return table.sort_values(["layer", "devices", "cell"], ascending=[True, False, True], ignore_index=True)

    def csv_file(self) -> io.BytesIO:
        """The table of :meth:`published_table`."""
        return io.BytesIO(self.published_table().to_csv(index=False, date_format="%Y-%m-%d", lineterminator="\r\n").encode())


def build_reactions(*, region: str = "", layer: str = "", language: str = "es") -> pn.template.BootstrapTemplate:
    """The page of reactions, for one visitor.

    Parameters
    ----------
    region, layer
        What is shown first; the first region with published figures, and its layer with most, where they are empty or unknown.
    language
        "es" or "en"; a visitor changes it on the page.
    """
    words = labels.text("dashboards.reactions_title", language if language in labels.LANGUAGES else "es")
    page = make_page(f"Ceiba · {words}")
    try:
        page.main.append(Reactions(region=region, layer=layer, language=language))
    except StoreError as error:
        page.main.append(pn.pane.Alert(html.escape(str(error)), alert_type="danger", sizing_mode="stretch_width"))
    return page
