"""The dashboard: one Panel application on the products of every area."""

import base64
import html

import holoviews as hv
import pandas as pd
import panel as pn
import param
from hvplot.plotting import hvPlotTabular

from ceiba import labels
from ceiba.dashboards import maps, sounds
from ceiba.dashboards.available import Available, list_available, load, load_table
from ceiba.dashboards.page import (
    COLOR,
    FLEX,
    HANDLE,
    PRESSED,
    SIDE_BY_SIDE,
    class_legend,
    link_line,
    make_page,
    scale_legend,
    source_line,
)  # fmt: skip
from ceiba.errors import CeibaError
from ceiba.grids import Period

TOTALS = ("recorded_s", "ultrasound_s", "human_sound_s")
"""Columns of the nights that are no class of sound."""
VIEWS = ("maps", "integrity", "sounds")


class Explorer(pn.viewable.Viewer):
    """What a person chose and the views that follow from it.

    Every view is built for one language: changing it builds the page again and keeps the choices.
    """

    language = param.Selector(default="es", objects=list(labels.LANGUAGES))
    area = param.Selector(default=None, objects=[None])
    product = param.Selector(default=None, objects=[None])
    layer = param.Selector(default=None, objects=[None])
    tile = param.Selector(default=None, objects=[None])
    view = param.Selector(default="maps", objects=list(VIEWS))

    def __init__(self, *, area: str = "", language: str = "es"):
        self.available = list_available()
        super().__init__(language=language)
        self.param.area.objects = list(self.available) or [None]
        self.area = area if area in self.available else self.param.area.objects[0]
        self._area_changed()

    def words(self, name: str) -> str:
        """The label ``dashboards.<name>`` in the chosen language."""
        return labels.text(f"dashboards.{name}", self.language)

    # ---- choices that follow from others ----

    @property
    def products(self) -> dict[str, Available]:
        """Products of the chosen area."""
        return self.available.get(self.area, {})

    @property
    def rasters(self) -> dict[str, Available]:
        """Those of them that are maps."""
        return {name: product for name, product in self.products.items() if product.definition.is_raster}

    @property
    def chosen(self) -> Available | None:
        """The chosen map product."""
        return self.rasters.get(self.product)

    @param.depends("area", watch=True)
    def _area_changed(self) -> None:
        views = [name for name in VIEWS if self.has_view(name)] or [VIEWS[0]]
        names = list(self.rasters) or [None]
        first = next((name for name in ("ndvi", "land_cover") if name in names), names[0])
        product = self.product if self.product in names else first
        with param.parameterized.discard_events(self):
            self.param.product.objects = names
            self.product = product
            self.view = self.view if self.view in views else views[0]
        self._product_changed()
        self.param.trigger("product")

    @param.depends("product", watch=True)
    def _product_changed(self) -> None:
        if not self.chosen:
            return
        layers = list(maps.list_layers(self.chosen.definition, self.language).values())
        tiles = list(self.chosen.tile_choices)
        with param.parameterized.discard_events(self):
            self.param.layer.objects, self.param.tile.objects = layers, tiles
            self.layer = self.layer if self.layer in layers else layers[0]
            self.tile = self.tile if self.tile in tiles else tiles[0]

    # ---- the page ----

    def __panel__(self) -> pn.viewable.Viewable:
        """Controls, and below them the chosen view."""
        return pn.Column(self.controls, self.navigation, self.page, sizing_mode="stretch_width", styles={"overflow-x": "hidden"})

    @param.depends("language")
    def links(self) -> pn.viewable.Viewable:
        """Ways to the app and to the reactions."""
        ways = {
            "app": f"/?language={self.language}", "reactions": f"/dashboards/reactions?language={self.language}",
            "service": f"/dashboards/service?language={self.language}",
        }  # fmt: skip
        return link_line({labels.text(f"dashboards.link_{name}", self.language): address for name, address in ways.items()})

    @param.depends("language")
    def controls(self) -> pn.viewable.Viewable:
        """Language and area."""
        if not self.available:
            return pn.Spacer(height=0)
        titles = {next(iter(products.values())).area.title[self.language]: name for name, products in self.available.items()}
        language = pn.widgets.RadioButtonGroup.from_param(
            self.param.language, options={"Español": "es", "English": "en"}, name="Idioma | Language", button_type="success",
            button_style="outline", align="end", width=180, stylesheets=[PRESSED],
        )  # fmt: skip
        area = pn.widgets.Select.from_param(self.param.area, options=titles, name=self.words("area"), min_width=200, styles=FLEX)
        return pn.FlexBox(area, language, gap="10px", align_items="flex-end", sizing_mode="stretch_width")

    @param.depends("language", "area")
    def navigation(self) -> pn.viewable.Viewable:
        """A button for each view that the area has products for."""
        views = [name for name in VIEWS if self.has_view(name)]
        if len(views) < 2:
            return pn.Spacer(height=0)
        options = {self.words(f"view_{name}"): name for name in views}
        return pn.widgets.RadioButtonGroup.from_param(
            self.param.view, options=options, name="", button_type="success", button_style="outline", sizing_mode="stretch_width",
            stylesheets=[PRESSED], max_width=520,
        )  # fmt: skip

    def has_view(self, name: str) -> bool:
        """Whether the area has products for a view."""
        needed = {"maps": set(self.rasters), "integrity": {"integrity"}, "sounds": {"bat_calls", "sound_detections", "site_nights"}}
        return bool(needed[name] & set(self.products))

    @param.depends("language", "area", "view")
    def page(self) -> pn.viewable.Viewable:
        """The chosen view."""
        if not self.products:
            return pn.pane.Alert(self.words("nothing"), alert_type="warning", sizing_mode="stretch_width")
        return {"maps": self.map_view, "integrity": self.integrity_view, "sounds": self.sound_view}[self.view]()

    # ---- maps ----

    def map_view(self) -> pn.viewable.Viewable:
        """A product on the map, with its years and the series of a point."""
        product = pn.widgets.Select.from_param(
            self.param.product, name=self.words("product"), min_width=200, styles=FLEX,
            options={each.definition.title[self.language]: name for name, each in self.rasters.items()},
        )  # fmt: skip
        return pn.Column(
            pn.FlexBox(product, pn.Column(self.layer_control, styles=FLEX), self.tile_control, gap="10px", sizing_mode="stretch_width"),
            pn.panel(self.layer_view, loading_indicator=True, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )

    @param.depends("product")
    def layer_control(self) -> pn.viewable.Viewable:
        """Which measurement."""
        if not self.chosen:
            return pn.Spacer(height=0)
        options = maps.list_layers(self.chosen.definition, self.language)
        return pn.widgets.Select.from_param(self.param.layer, options=options, name=self.words("layer"), sizing_mode="stretch_width")

    @param.depends("product")
    def tile_control(self) -> pn.viewable.Viewable:
        """Which tile, where there are several."""
        if not self.chosen or len(self.chosen.tile_choices) < 2:
            return pn.Spacer(width=0, height=0)
        options = {name or self.words("all_tiles"): name for name in self.chosen.tile_choices}
        return pn.widgets.Select.from_param(self.param.tile, options=options, name=self.words("tile"), width=140)

    @param.depends("product", "layer", "tile")
    def layer_view(self) -> pn.viewable.Viewable:
        """The map with year slider, legend, source and series."""
        if not self.chosen or self.layer not in maps.list_layers(self.chosen.definition, self.language).values():
            return pn.Spacer(height=0)
        return self.draw(self.chosen, [self.layer], self.tile, series=self.layer not in maps.COMPOSITES)

    def draw(self, product: Available, layers: list[str], tile: str, *, series: bool) -> pn.viewable.Viewable:
        """Maps of one or more layers side by side under one year slider; a click on any of them chooses the point."""
        where, last = product.tile(tile), product.periods[-1]
        needed = tuple(dict.fromkeys(name for layer in layers for name in maps.measurements_of(layer)))
        looks = {}
        try:
            newest = load(product, tile=tile, period=last, measurements=needed)
            looks = {layer: maps.choose_look(product.definition, layer, newest, language=self.language) for layer in layers}
        except CeibaError as error:
            return pn.pane.Alert(html.escape(str(error)), alert_type="warning", sizing_mode="stretch_width")
        slider = self.period_slider(product)
        left, bottom, right, top = where.bounds
        point = hv.streams.Tap(x=(left + right) / 2, y=(bottom + top) / 2)

        def image(period: Period, layer: str) -> hv.Element:
            loaded = load(product, tile=tile, period=period, measurements=needed)
            return maps.draw_map(loaded, product.definition, layer, looks[layer], where)

        panes = []
        for layer in layers:
            shown = hv.DynamicMap(pn.bind(image, period=slider, layer=layer))
            ring = hv.DynamicMap(lambda x, y: maps.draw_point(x, y, where), streams=[point])
            tap = hv.streams.Tap(source=shown)
            tap.add_subscriber(lambda x, y: point.event(x=x, y=y))
            title = pn.pane.HTML(f"<b>{html.escape(looks[layer].title)}</b>", margin=(0, 8))
            pane = pn.pane.HoloViews(maps.join_layers(shown * ring, where), sizing_mode="stretch_width", margin=0)
            legend = pn.bind(lambda period, layer=layer: self.legend(product, tile, period, layer, looks[layer], needed), slider)
            panes.append(pn.Column(title, pane, pn.panel(legend, sizing_mode="stretch_width"), sizing_mode="stretch_width"))
        parts = [pn.Column(*panes, styles=SIDE_BY_SIDE, sizing_mode="stretch_width")]
        if series:
            at_point = pn.bind(lambda x, y: self.point_view(product, layers, tile, looks, x, y), point.param.x, point.param.y)
            aside = pn.panel(at_point, sizing_mode="stretch_width")
            if len(layers) == 1:
                parts = [pn.Column(*panes, aside, styles=SIDE_BY_SIDE, sizing_mode="stretch_width")]
            else:
                parts.append(aside)
        return pn.Column(slider, *parts, source_line(newest.source, newest.simulated, self.language), sizing_mode="stretch_width")

    def period_slider(self, product: Available) -> pn.viewable.Viewable:
        """A slider over the years (or spans of years) of a product; a single one is only said."""
        options = {str(period).replace("--", "–"): period for period in product.periods}
        if len(options) == 1:
            return pn.widgets.Select(name=self.words("period"), options=options, disabled=True, width=240)
        return pn.widgets.DiscreteSlider(
            name=self.words("period"), options=options, value=product.periods[-1], bar_color=COLOR, stylesheets=[HANDLE],
            max_width=520, sizing_mode="stretch_width",
        )  # fmt: skip

    def legend(self, product: Available, tile: str, period: Period, layer: str, look: maps.Look, needed: tuple[str, ...]):
        """What the colours mean: classes present with their shares, or a scale from low to high."""
        if look.composite:
            return pn.Spacer(height=0)
        if look.legend:
            loaded = load(product, tile=tile, period=period, measurements=needed)
            markup = class_legend(maps.count_classes(loaded.data[layer], look.legend), self.language)
        else:
            markup = scale_legend(maps.color_steps(look.palette), look.limits, look.units)
        return pn.pane.HTML(markup, sizing_mode="stretch_width", margin=(0, 8))

    def point_view(self, product: Available, layers: list[str], tile: str, looks: dict, x: float | None, y: float | None):
        """Values of all periods at a point: a line over the years, or words where there is one period or classes."""
        table = self.point_table(product, layers, tile, looks, x, y)
        hint = pn.pane.HTML(f"<small>{html.escape(self.words('click'))}</small>", sizing_mode="stretch_width")
        if table.empty:
            return pn.Column(hint, pn.pane.HTML(html.escape(self.words("no_data_here"))), sizing_mode="stretch_width")
        words = any(look.legend for look in looks.values())
        if len(table) == 1 or words:
            rows = "".join(
                f"<tr><td style='padding-right:1rem'>{period}</td><td><b>{html.escape(str(value))}</b></td></tr>"
                for record in table.to_dict("records")
                for period, value in [(record["period"], self.value_text(record, looks))]
            )
            return pn.Column(hint, pn.pane.HTML(f"<table>{rows}</table>"), sizing_mode="stretch_width")
        look = looks[layers[0]]
        size = {"responsive": True, "height": 260}
        line = hvPlotTabular(table).line(x="year", y=layers[0], color=COLOR, **size)
        line = (line * hvPlotTabular(table).scatter(x="year", y=layers[0], color=COLOR, size=50, **size)).opts(
            toolbar=None, xlabel=self.words("year"), ylabel=look.title, show_grid=True,
            xticks=[(year, str(year)) for year in table["year"]], title="", padding=0.1,
        )  # fmt: skip
        return pn.Column(hint, pn.pane.HoloViews(line, sizing_mode="stretch_width"), sizing_mode="stretch_width")

    def value_text(self, record: dict, looks: dict) -> str:
        """The values of one period at a point, in words."""
        parts = []
        for layer, look in looks.items():
            if look.legend:
                parts.append(look.legend.find(int(record[layer])).label(self.language))
            else:
                parts.append(f"{look.title} {record[layer]:.3g} {look.units}".strip())
        return ", ".join(parts)

    def point_table(self, product: Available, layers: list[str], tile: str, looks: dict, x: float | None, y: float | None) -> pd.DataFrame:
        """One row a period that has data at the point: ``period``, ``year`` (its last) and the layers."""
        left, bottom, right, top = product.tile(tile).bounds
        if x is None or y is None or not (left <= x <= right and bottom <= y <= top):
            return pd.DataFrame()
        bands = {band.name: band for band in product.definition.measurements}
        rows = []
        for period in product.periods:
            loaded = load(product, tile=tile, period=period, measurements=tuple(layers))
            values = {layer: float(loaded.data[layer].sel(x=x, y=y, method="nearest")) for layer in layers}
            known = {name: value for name, value in values.items() if value == value and value != bands[name].nodata}
            if len(known) == len(layers):
                rows.append({"period": str(period).replace("--", "–"), "year": period.last_year, **known})
        return pd.DataFrame(rows)

    # ---- integrity ----

    def integrity_view(self) -> pn.viewable.Viewable:
        """Expected integrity and its uncertainty side by side."""
        product = self.rasters["integrity"]
        names = {band.name for band in product.definition.measurements}
        layers = [name for name in ("integrity", "entropy") if name in names]
        explained = pn.pane.HTML(f"<p>{html.escape(self.words('integrity_text'))}</p>", sizing_mode="stretch_width")
        return pn.Column(explained, self.draw(product, layers, product.tile_choices[0], series=True), sizing_mode="stretch_width")

    # ---- sounds ----

    def sound_view(self) -> pn.viewable.Viewable:
        """Activity by site and night, and recordings to see and hear."""
        parts = [self.night_view()] if "site_nights" in self.products else []
        recordings = sounds.list_recordings(self.products)
        if len(recordings):
            found = sounds.list_detections(self.products)
            options = {f"{row.site} · {row.file} ({row.detections})": row.path for row in recordings.head(200).itertuples()}
            choice = pn.widgets.Select(name=self.words("recording"), options=options, sizing_mode="stretch_width", max_width=760)
            parts += [choice, pn.panel(pn.bind(lambda path: self.clip_view(path, found), choice), sizing_mode="stretch_width")]
        parts.append(pn.pane.HTML(f"<small>{html.escape(self.words('voices'))}</small>", sizing_mode="stretch_width"))
        table = next(self.products[name] for name in ("site_nights", "sound_detections", "bat_calls") if name in self.products)
        loaded = load(table, tile=table.tiles[0], period=table.periods[-1])
        return pn.Column(*parts, source_line(loaded.source, loaded.simulated, self.language), sizing_mode="stretch_width")

    def night_view(self) -> pn.viewable.Viewable:
        """Bat passes and sounds of people by site, as bars."""
        nights = load_table(self.products["site_nights"])
        seconds = [name for name in nights.columns if name.endswith("_s") and name not in TOTALS and nights[name].sum() > 0]
        panes = []
        for columns, title, unit in ((["bat_passes"], "bat_passes", ""), (seconds, "human_sounds", "s")):
            columns = [name for name in columns if name in nights]
            if not columns:
                continue
            by_site = nights.groupby("site")[columns].sum(min_count=1).astype("float64").fillna(0.0)
            by_site.columns = [sounds.word_of(name.removesuffix("_s"), self.language) for name in columns]
            label = self.words(title) + (f" [{unit}]" if unit else "")
            size = {"responsive": True, "height": 120 + 34 * len(by_site)}
            bars = hvPlotTabular(by_site.reset_index()).barh(x="site", y=list(by_site.columns), stacked=True, **size)
            bars = bars.opts(
                toolbar=None, xlabel="", ylabel=label, title="",
                legend_position="bottom", legend_cols=2, show_legend=len(columns) > 1,
                color=hv.Cycle(list(sounds.CLASS_COLORS)) if len(columns) > 1 else COLOR,
            )  # fmt: skip
            panes.append(pn.pane.HoloViews(bars, sizing_mode="stretch_width", linked_axes=False))
        return pn.Column(*panes, styles=SIDE_BY_SIDE, sizing_mode="stretch_width")

    def clip_view(self, path: str, detections: pd.DataFrame) -> pn.viewable.Viewable:
        """Spectrogram with detections, and the sound."""
        try:
            clip = sounds.read_clip(path, detections)
        except CeibaError as error:
            return pn.pane.Alert(html.escape(str(error)), alert_type="warning", sizing_mode="stretch_width")
        encoded = base64.b64encode(sounds.wav_bytes(clip)).decode()
        player = f'<audio controls preload="none" style="width:100%;max-width:480px" src="data:audio/wav;base64,{encoded}"></audio>'
        text = self.words("slower") if clip.is_ultrasound else self.words("real_time")
        kinds = ", ".join(sorted({sounds.word_of(kind, self.language) for kind in clip.detections["kind"]})) or self.words("none")
        return pn.Column(
            pn.pane.HoloViews(sounds.draw_spectrogram(clip, self.language), sizing_mode="stretch_width"),
            pn.pane.HTML(f"<p>{html.escape(self.words('detected'))}: {html.escape(kinds)}</p>", sizing_mode="stretch_width"),
            pn.pane.HTML(f"<div>{player}<br><small>{html.escape(text)}</small></div>", sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )


def build_app(*, area: str = "", language: str = "es", links: bool = False) -> pn.template.BootstrapTemplate:
    """The page of the dashboard, for one visitor.

    Parameters
    ----------
    area
        Area that is shown first; the first one with products where it is empty or has none.
    language
        "es" or "en"; a visitor changes it on the page.
    links
        Whether the app and the dashboard of reactions are beside this page, as under ``ceiba serve``.
    """
    page = make_page("Ceiba")
    explorer = Explorer(area=area, language=language)
    page.main.append(pn.Column(explorer.links if links else pn.Spacer(height=0), explorer, sizing_mode="stretch_width"))
    return page
