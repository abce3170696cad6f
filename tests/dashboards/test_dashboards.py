"""What the dashboard shows, without a browser."""

import numpy as np
import pytest
import soundfile
import xarray as xr
from fastapi import FastAPI
from fastapi.testclient import TestClient

from ceiba import labels
from ceiba.dashboards import maps, sounds
from ceiba.dashboards.available import LARGEST_SIDE_PX, list_available, load, load_table
from ceiba.errors import InputError
from ceiba.grids import Period, Tile, find_area
from ceiba.products import find_definition

AREA = "gallery"
LAST = Period(2020, 2020)


@pytest.fixture
def products(gallery):
    return list_available()[AREA]


def test_lists_products_tiles_and_periods(products):
    ndvi = products["ndvi"]
    assert ndvi.tiles == ("x000y000", "x001y000")
    assert [str(period) for period in ndvi.periods] == ["2018", "2019", "2020"]
    assert ndvi.tile_choices == ("", "x000y000", "x001y000")
    assert [str(period) for period in products["land_change"].periods] == ["2018--2020"]
    assert "water" not in products


def test_areas_without_products_are_not_offered(gallery):
    assert set(list_available()) == {AREA}


def test_loads_a_tile_and_all_tiles(products):
    one = load(products["ndvi"], tile="x001y000", period=LAST, measurements=("ndvi",))
    both = load(products["ndvi"], tile="", period=LAST, measurements=("ndvi",))
    assert one.data["ndvi"].shape == (96, 96)
    assert both.data["ndvi"].shape == (96, 192)
    np.testing.assert_array_equal(both.data["ndvi"].values[:, 96:], one.data["ndvi"].values)
    assert one.simulated and one.source.startswith("Datos simulados: Galería, x001y000, 2020 · borrador | ")


def test_large_rasters_are_read_coarser(products, monkeypatch):
    monkeypatch.setattr("ceiba.dashboards.available.LARGEST_SIDE_PX", 48)
    shown = load(products["ndvi"], tile="x000y000", period=Period(2018, 2018), measurements=("ndvi_median",)).data
    assert shown["ndvi_median"].shape == (48, 48)
    assert LARGEST_SIDE_PX <= 1000, "a country must not be read at 10 m for a phone"


def test_a_missing_year_is_an_error_that_says_so(products):
    with pytest.raises(InputError, match="no ndvi for gallery x000y000, 2017"):
        load(products["ndvi"], tile="x000y000", period=Period(2017, 2017))


# ---- maps ----


def test_every_layer_has_words_in_both_languages(products):
    for product in products.values():
        if product.definition.is_raster:
            spanish, english = (maps.list_layers(product.definition, language) for language in labels.LANGUAGES)
            assert len(spanish) == len(english) == len(set(spanish.values()))


def test_land_cover_takes_names_and_colors_of_its_legend(products):
    product = products["land_cover"]
    loaded = load(product, tile="", period=LAST, measurements=("land_cover",))
    look = maps.choose_look(product.definition, "land_cover", loaded, language="es")
    classes = maps.count_classes(loaded.data["land_cover"], look.legend)
    assert sum(share for *_, share in classes) == pytest.approx(1)
    shares = [share for *_, share in classes]
    assert shares == sorted(shares, reverse=True)
    assert all(color == look.legend.find(spanish).color for spanish, _, color, _ in classes)


def test_change_has_words_without_a_legend_file(products):
    product = products["land_change"]
    loaded = load(product, tile="", period=product.periods[-1], measurements=("change",))
    look = maps.choose_look(product.definition, "change", loaded, language="es")
    assert [entry.name_es for entry in look.legend.classes] == ["Sin cambio", "Cambio"]


def test_probabilities_are_drawn_from_0_to_1_and_indices_by_their_values():
    raster = xr.DataArray(np.linspace(0.2, 0.4, 101), dims="x")
    definition = find_definition("land_change")
    band = definition.measurements[0]
    assert maps.limits_of("change_probability", raster, band) == (0.0, 1.0)
    # The 2nd and 98th percentile of an even ramp from 0.2 to 0.4.
    assert maps.limits_of("ndvi", raster, band) == pytest.approx((0.204, 0.396))


def test_composite_is_transparent_where_a_band_is_missing():
    bands = {name: (("y", "x"), np.array([[0.0, 0.5], [1.0, np.nan]])) for name in ("red", "green", "blue")}
    *colors, alpha = maps.stretch(xr.Dataset(bands), ("red", "green", "blue"))
    assert alpha.tolist() == [[1, 1], [1, 0]]
    assert colors[0][0, 0] == 0 and colors[0][1, 0] == 1


@pytest.mark.parametrize("area", ["sample", "simulated", "mexico", "colombia"])
def test_every_crs_of_the_catalogue_can_be_drawn(area):
    for place in find_area(area).places:
        tile = Tile(area, place.name, place.tiles[0].name, place.crs, place.tiles[0].bounds)
        if place.crs != "EPSG:4326":
            assert maps.projection(tile).bounds is not None, f"{place.name}: geoviews needs limits"


# ---- sounds ----


def test_recordings_with_a_voice_are_left_out(products):
    assert list(sounds.list_recordings(products)["file"]) == ["bats.wav", "saw.wav"]


def test_a_voice_is_never_read(products, gallery):
    detections = sounds.list_detections(products)
    with pytest.raises(InputError, match="human voice"):
        sounds.read_clip(str(gallery / "recordings" / "voice.wav"), detections)


def test_recordings_that_were_not_searched_for_voices_are_not_offered(products):
    without = {name: product for name, product in products.items() if name != "sound_detections"}
    assert sounds.list_recordings(without).empty


def test_spectrogram_shows_the_sweep_where_it_is(products, gallery):
    clip = sounds.read_clip(str(gallery / "recordings" / "bats.wav"), sounds.list_detections(products))
    assert clip.is_ultrasound
    level = sounds.spectrogram(clip)
    loudest = float(level["frequency"][level.max("time").argmax("frequency")])
    assert 28 <= loudest <= 60, "the sweep falls from 60 to 28 kHz"
    assert set(clip.detections["kind"]) == {"bat"}


def test_ultrasound_is_played_ten_times_slower(products, gallery, tmp_path):
    path = gallery / "recordings" / "bats.wav"
    clip = sounds.read_clip(str(path), sounds.list_detections(products))
    (tmp_path / "played.wav").write_bytes(sounds.wav_bytes(clip))
    played = soundfile.info(tmp_path / "played.wav")
    assert played.samplerate == 19_200
    assert played.duration == pytest.approx(10 * clip.samples.sizes["time"] / 192_000)


def test_tables_of_an_area(products):
    assert list(load_table(products["site_nights"])["site"]) == ["cenote", "milpa"]


# ---- page and server ----


def test_page_has_a_viewport_and_keeps_choices_when_the_language_changes(gallery):
    from ceiba.dashboards.app import Explorer, build_app

    assert build_app(area=AREA).meta_viewport == "width=device-width, initial-scale=1"
    explorer = Explorer(area=AREA)
    explorer.product = "land_cover"
    explorer.layer = "probability"
    explorer.view = "integrity"
    explorer.language = "en"
    assert (explorer.product, explorer.layer, explorer.view) == ("land_cover", "probability", "integrity")
    for view in ("maps", "integrity", "sounds"):
        explorer.view = view
        assert len(explorer.page()) > 0


def test_values_at_a_point(products, gallery):
    from ceiba.dashboards.app import Explorer

    explorer, product = Explorer(area=AREA), products["land_cover"]
    x, y = 3_000_000 + 710, 1_200_000 - 510
    loaded = load(product, tile="", period=LAST, measurements=("land_cover",))
    looks = {"land_cover": maps.choose_look(product.definition, "land_cover", loaded, language="es")}
    table = explorer.point_table(product, ["land_cover"], "", looks, x, y)
    assert list(table["year"]) == [2018, 2019, 2020]
    expected = int(loaded.data["land_cover"].values[500 // 20, 700 // 20])
    assert int(table["land_cover"].iloc[-1]) == expected
    assert explorer.point_table(product, ["land_cover"], "", looks, x, y + 10_000).empty


def test_a_store_without_products_says_what_to_do(own_store):
    from ceiba.dashboards.app import Explorer

    assert "make run" in Explorer().page().object


def test_extensions_are_served_beside_the_dashboards(gallery):
    from ceiba.dashboards.server import add_dashboards

    app = FastAPI()
    add_dashboards(app)
    assert TestClient(app).get("/static/extensions/geoviews/geoviews.min.js").status_code == 200
