"""A tile's map reads the features of the tiles beside it: four maps put together are the map of the whole."""

import json
import uuid
from pathlib import Path

import nbformat
import numpy as np
import pytest
import xarray as xr
import yaml
from odc.geo.xr import wrap_xr
from scipy import ndimage

import ceiba
from ceiba import cube as index
from ceiba import store
from ceiba.classification.accuracy import areas
from ceiba.classification.maps import blocks
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.errors import InputError, ProductError
from ceiba.grids import Period, Place, Tile, find_area, grid_tile
from ceiba.holdings import Holdings
from ceiba.legends import load_legend
from ceiba.neighbors import neighbors_read
from ceiba.notebooks import notebook_path
from ceiba.plan import take_snapshot
from ceiba.products import eo3_document, find_definition, load_definitions, period_times, read_definition, read_document
from ceiba.rasters import write_cog

NOTEBOOK = "03_classification/02_map_land_cover"
YEAR = Period(2019, 2019)
LEGEND = load_legend("mexico_31")
# A patch below the unit has at most five pixels: with the window, a tile reads 20 pixels of those beside it.
PARAMETERS = {"area": "quarters", "year": 2019, "sensor": "", "window_px": 5, "smoothness": 5.0, "unit_ha": 0.05}
SIDE_PX, PIXEL_M = 40, 10


@pytest.fixture
def quarters(own_store, write_archive, add_tiny_area, tmp_path) -> Place:
    """An area of two by two tiles whose features are two layers, with a model but no features yet."""
    add_tiny_area(own_store, write_archive(tmp_path / "archive", dates=()), "quarters")
    folder = own_store / "areas" / "quarters"
    area, catalog = (yaml.safe_load((folder / name).read_text()) for name in ("area.yml", "catalog.yml"))
    place = area["places"]["quarters"]
    left, _, _, top = place.pop("bounds")
    place |= {"origin": [left, top], "tile_size_m": SIDE_PX * PIXEL_M, "rows": {0: ["0-1"], 1: ["0-1"]}, "stages": ["classification"]}
    place["settings"] = {
        "classification": {"legend": LEGEND.name, "land_cover_resolution_m": PIXEL_M, "season_start_month": 1}
    }
    catalog["sources"]["land_cover_features"]["args"] = {"products": {"ndwi": ["ndwi"], "ndbi": ["ndbi"]}}
    (folder / "area.yml").write_text(yaml.safe_dump(area))
    (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
    found = find_area("quarters").places[0]
    save("landcover_model", found.whole, files=make_model().to_files())
    return found


def make_model() -> LandCoverModel:
    random = np.random.default_rng(5)
    codes = random.choice([1, 2, 3, 8, 27, 31], 300)
    features = (random.normal(scale=1.5, size=(32, 2))[codes] + random.normal(size=(300, 2))).astype("float32")
    trees = fit_classifier("extra_trees", features, codes, seed=1, options={"trees": 10})
    card = {"metrics": {"blocked": {"overall_accuracy": 0.8, "lower_95": 0.7, "upper_95": 0.9}}}
    return LandCoverModel(trees, ("ndwi_ndwi", "ndbi_ndbi"), LEGEND.name, LEGEND.fingerprint, Softening(1.0, 0.02), card=card)


def make_features(place: Place) -> xr.Dataset:
    """Two layers of the whole place, with a hole of no data across the borders of all four tiles."""
    geobox, random = place.whole.geobox(PIXEL_M), np.random.default_rng(2)
    layers = {}
    for name in ("ndwi_ndwi", "ndbi_ndbi"):
        layer = ndimage.gaussian_filter(random.normal(size=geobox.shape), 4) * 20 + random.normal(scale=0.8, size=geobox.shape)
        layer[38:42, 36:45] = np.nan
        layers[name] = wrap_xr(layer.astype("float32"), geobox)
    return xr.Dataset(layers)


def save(name: str, tile: Tile, *, bands=None, files=None) -> None:
    """Put a product into the store without the notebook that makes it."""
    definition, dataset_id = find_definition(name), uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {tile.name}")
    geobox, bands, files = tile.geobox(PIXEL_M), bands or {}, files or {}

    def write(folder):
        for band, data in bands.items():
            write_cog(folder / f"{band}.tif", data, geobox, dtype="float32", nodata=float("nan"))
        for file, content in files.items():
            (folder / file).write_bytes(content)
        return eo3_document(
            dataset_id=dataset_id, definition=definition, region_code=tile.region_code, period=period_times(YEAR), geobox=geobox,
            measurements={band: f"{band}.tif" for band in bands}, accessories={file: file for file in files}, lineage={}, properties={},
        )  # fmt: skip

    store.save_dataset(dataset_id, f"products/{name}/{definition.version}/{tile.region_code}/{YEAR}", write)


def save_features(place: Place, features: xr.Dataset, names) -> None:
    for tile in (place.tile(name) for name in names):
        own = features.odc.crop(tile.extent)
        for name in ("ndwi", "ndbi"):
            save(name, tile, bands={name: own[f"{name}_{name}"]})


def run_notebook(tile: str) -> dict[str, object]:
    """The notebook's own cells up to its map, with what they define."""
    cells = {cell.id: cell.source for cell in nbformat.read(notebook_path(NOTEBOOK), as_version=4).cells}
    names: dict[str, object] = PARAMETERS | {"tile": tile}
    for name in ("packages", "begin", "features"):
        exec(cells[name], names)  # noqa: S102 - what production runs
    exec(cells["map"].partition("figure")[0], names)  # noqa: S102 - without its figure
    return names


def test_four_tiles_put_together_are_the_map_of_the_whole(quarters):
    features, model = make_features(quarters), make_model()
    names = [tile.name for tile in quarters.tiles]
    save_features(quarters, features, names)
    settings = blocks.MapSettings(window_px=5, smoothness=5.0, unit_ha=0.05)
    pixels = areas.pixel_areas(features.odc.geobox)
    whole = blocks.map_by_blocks(model, features, LEGEND, pixels, settings=settings)
    alone = 0
    for tile in quarters.tiles:
        done = run_notebook(tile.name)
        part, own, task = done["land_cover"], whole.odc.crop(tile.extent), done["task"]
        assert done["halo_px"] == 20 and part.odc.geobox == tile.geobox(PIXEL_M)
        for band in whole.data_vars:
            assert np.array_equal(part[band].values, own[band].values, equal_nan=part[band].dtype.kind == "f"), (tile, band)
        assert read_around(task) == tuple(name for name in names if name != tile.name)
        assert len(task.inputs("land_cover_features")) == 8 and len(task.inputs("landcover_model")) == 1
        cut = features.odc.crop(tile.extent)
        lone = blocks.map_by_blocks(model, cut, LEGEND, areas.pixel_areas(cut.odc.geobox), settings=settings)
        alone += int((lone["land_cover"].values != part["land_cover"].values).sum())
    assert alone > 10, "without the tiles beside it a map is another one"


def test_a_map_is_made_again_when_a_tile_beside_it_gets_features(quarters, caplog):
    features = make_features(quarters)
    save_features(quarters, features, ["x000y000"])
    lonely = run_notebook("x000y000")
    assert read_around(lonely["task"]) == ()
    assert "quarters/x000y000 is made without land_cover_features of x001y000, x000y001, x001y001" in caplog.text
    # Where the tiles around have nothing, there is no data, as at the border of the place.
    cut = features.odc.crop(quarters.tiles[0].extent)
    around = lonely["features"]["ndwi_ndwi"].values
    assert around.shape == (80, 80) and np.isnan(around[:20]).all() and np.isnan(around[:, 60:]).all()
    assert np.array_equal(around[20:60, 20:60], cut["ndwi_ndwi"].values, equal_nan=True)
    write_map(lonely)
    assert lonely["task"].snapshot.is_done()

    # A tile that touches by a corner only, and one of which a layer is missing: it counts as one without features.
    save_features(quarters, features, ["x001y001"])
    save("ndwi", quarters.tile("x001y000"), bands={"ndwi": features["ndwi_ndwi"].odc.crop(quarters.tile("x001y000").extent)})
    beside = run_notebook("x000y000")
    assert read_around(beside["task"]) == ("x001y001",)
    first, second = (each["task"].snapshot.ids["land_cover"] for each in (lonely, beside))
    assert first != second and not beside["task"].snapshot.is_done()
    assert np.isnan(beside["features"]["ndwi_ndwi"].values[20:60, 60:]).all()
    write_map(beside)
    connection = index.connect()
    document = read_document(Path(index.get_dataset(connection, second).uri.removeprefix("file://")))
    assert document["properties"]["ceiba:neighbors"] == {"land_cover_features": ["x001y001"]}
    assert len(document["lineage"]["land_cover_features"]) == 4
    assert index.get_dataset(connection, first) is None
    # A plan of many units sees the same inputs.
    unit = beside["task"].unit
    assert take_snapshot(unit, find=Holdings().find).ids == take_snapshot(unit).ids == beside["task"].snapshot.ids


def read_around(task: ceiba.Task) -> tuple[str, ...]:
    return neighbors_read(task.unit.place, task.tile, task.snapshot.found["land_cover_features"])


def write_map(done: dict[str, object]) -> None:
    land_cover = done["land_cover"]
    coarser = blocks.coarser_bands(land_cover["land_cover"], LEGEND, blocks.coarser_legends(LEGEND))
    done["task"].write({"land_cover": land_cover.assign(coarser)}, notes={})


def test_a_halo_that_cannot_be_read(quarters):
    save_features(quarters, make_features(quarters), ["x000y000"])
    task = ceiba.begin(NOTEBOOK, tile="", **PARAMETERS)
    assert task.open("land_cover_features", resolution_m=10, halo_px=40).sizes == {"y": 120, "x": 120}
    for name, resolution_m, halo_px in (
        ("landcover_model", 10, 5), ("land_cover_features", 0, 5), ("land_cover_features", 10, -1),
    ):  # fmt: skip
        with pytest.raises(InputError, match="needs 0 pixels or more, a resolution, and 'neighbors: true'"):
            task.open(name, resolution_m=resolution_m, halo_px=halo_px)


def test_a_halo_reaches_no_further_than_the_tiles_around():
    """A row of three tiles of 100 m: from the first, 100 m still end in the second."""
    place = row_of_tiles()
    first, second, third = place.tiles
    assert place.neighbors(first, within_m=99) == (second,)
    assert place.neighbors(first, within_m=101) == (second, third)


def row_of_tiles() -> Place:
    tiles = tuple(grid_tile("a", "a", "EPSG:6372", column=column, row=0, left=0.1, top=0.7, size_m=100) for column in range(3))
    return Place("a", "a", {}, ("classification",), "EPSG:6372", YEAR, tiles)


def test_neighbors_touch_by_a_side_or_a_corner():
    mexico = find_area("mexico").places[0]
    # Rows 11 to 13 of catalogs/grids.yml: 7-8, 11-20; 11-20, 29-31; 11-20, 27-31.
    assert [tile.name for tile in mexico.neighbors(mexico.tile("x029y012"))] == ["x030y012", "x028y013", "x029y013", "x030y013"]
    assert [tile.name for tile in mexico.neighbors(mexico.tile("x011y012"))] == [
        "x011y011", "x012y011", "x012y012", "x011y013", "x012y013",
    ]  # fmt: skip
    assert mexico.neighbors(mexico.whole) == ()
    assert find_area("sample").places[1].neighbors(find_area("sample").places[1].tiles[0]) == ()
    assert all(tile in mexico.neighbors(other) for tile in mexico.tiles[:60] for other in mexico.neighbors(tile))


def test_an_input_of_the_area_has_no_neighbors():
    entry = {
        "title": {"es": "a", "en": "a"}, "version": "1.0.0", "per": "tile year", "assets": {"table": "a.parquet"},
        "inputs": {"ndvi": {"neighbors": True}},
    }  # fmt: skip
    assert read_definition("a", "mosaics", entry).inputs[0].neighbors
    for rule in ({"neighbors": True, "scope": "area"}, {"neighbors": "yes"}):
        with pytest.raises(ProductError, match="neighbors"):
            read_definition("a", "mosaics", entry | {"inputs": {"ndvi": rule}})
    reading = {name for name, each in load_definitions().items() if any(rule.neighbors for rule in each.inputs)}
    assert reading == {"land_cover", "land_cover_30m"}, json.dumps(sorted(reading))
