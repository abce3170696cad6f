"""A look at every view of a tile's dashboard without a browser: proof that it draws what the stages have made."""

import holoviews as hv
import numpy as np
import pandas as pd

from ceiba import labels
from ceiba.dashboards import maps, sounds
from ceiba.dashboards.available import Available, Loaded, load, load_table
from ceiba.errors import ProductError
from ceiba.products import load_definitions
from ceiba.sources import dataset_period
from ceiba.tasks import Task


def survey_views(task: Task) -> list[dict[str, object]]:
    """Draw the newest period of every input of a task, and no other product: the result follows from the inputs alone.

    Returns
    -------
    list of dict
        A row a view: ``product``, ``layer``, ``kind`` ("map", "table" or "spectrogram"), ``period``, ``tile``, and ``shown``,
        the share of pixels with data or the number of rows [1].

    Raises
    ------
    ProductError
        Naming a view that is empty on the page.
    """
    products = {name: product for name in task.snapshot.found if (product := _input_of(task, name))}
    rows = [row for product in products.values() for row in survey_product(product)]
    recordings = sounds.list_recordings(products)
    if len(recordings):
        clip = sounds.read_clip(recordings["path"].iloc[0], sounds.list_detections(products))
        hv.render(sounds.draw_spectrogram(clip, "es"))
        place = {"product": "sound_detections", "period": str(task.period), "tile": task.tile.name}
        rows.append({**place, "layer": recordings["file"].iloc[0], "kind": "spectrogram", "shown": len(clip.detections)})
    return rows


def _input_of(task: Task, name: str) -> Available | None:
    """What a task found of an input, None where it found nothing."""
    datasets = task.datasets(name)
    if not datasets:
        return None
    periods = sorted({dataset_period(dataset) for dataset in datasets})
    return Available(load_definitions()[name], task.area, task.unit.place, (task.tile.name,), tuple(periods))


def survey_product(product: Available) -> list[dict[str, object]]:
    """The views of one product: a map a layer, or its table; files are left out."""
    period, tile = product.periods[-1], product.tile_choices[0]
    place = {"product": product.name, "period": str(period), "tile": tile or product.place.whole.name}
    if not product.definition.is_raster:
        if not any(name.endswith(".parquet") for name in product.definition.assets.values()):
            return []
        return [{**place, "layer": "", "kind": "table", "shown": len(load_table(product))}]
    rows = []
    for layer in maps.list_layers(product.definition, "es").values():
        needed = maps.measurements_of(layer)
        loaded = load(product, tile=tile, period=period, measurements=needed)
        look = maps.choose_look(product.definition, layer, loaded, language="es")
        drawn = hv.render(maps.draw_map(loaded, product.definition, layer, look, product.tile(tile)))
        if not drawn.renderers:
            raise ProductError(f"the view of {product.name}, {layer}, {period} is empty")
        rows.append({**place, "layer": layer, "kind": "map", "shown": share_with_data(product, loaded, needed)})
    return rows


def share_with_data(product: Available, loaded: Loaded, measurements: tuple[str, ...]) -> float:
    """Share of the pixels that have data in every one of the measurements [1]."""
    nodata = {band.name: band.nodata for band in product.definition.measurements}
    seen = [np.isfinite(maps.as_float(loaded.data[name], nodata[name])) for name in measurements]
    return float(np.logical_and.reduce(seen).mean())


def survey_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """The views as a table for people, with headings in both languages."""
    table = pd.DataFrame(rows, columns=["product", "layer", "kind", "period", "tile", "shown"])
    table["kind"] = [labels.both(f"dashboards.kind_{kind}") for kind in table["kind"]]
    return table.rename(columns={name: labels.both(f"dashboards.column_{name}") for name in table.columns})
