"""Life zones from climate, against published ones, and climate as source of the catalogue."""

import numpy as np
import pytest
import rasterio
import xarray as xr

from ceiba.classification.features.climate import biotemperature, describe_climate, holdridge_zones
from ceiba.classification.features.recipes import load_available, load_recipe
from ceiba.errors import InputError
from ceiba.file_sources import RasterSource
from ceiba.grids import find_area
from ceiba.legends import load_legend
from ceiba.sources import Selection

ZONES = load_legend("holdridge_38")


@pytest.mark.parametrize(
    ("place", "temperature", "precipitation", "zone"),
    [
        # Zones in which the literature places these well-known stations and cities, with their yearly means, rounded.
        ("Barro Colorado, Panama", 26.5, 2600, "Bosque húmedo tropical"),
        ("La Selva, Costa Rica", 25.8, 4200, "Bosque muy húmedo tropical"),
        ("Medellín", 21.5, 1600, "Bosque húmedo premontano"),
        ("Bogotá", 13.5, 850, "Bosque seco montano bajo"),
    ],
)
def test_published_places_are_in_their_zones(place, temperature, precipitation, zone):
    found = holdridge_zones(xr.DataArray([temperature]), xr.DataArray([precipitation]))
    assert ZONES.find(int(found[0])).name_es == zone, place


def test_bounds_are_those_of_the_maps_of_colombia():
    """Ranges of IGAC 1977: bs-T above 24 degC and 1000 to 2000 mm, bmh-MB 12 to 18 and 2000 to 4000, bh-M 6 to 12 and 500 to 1000."""
    expected = {
        "Bosque seco tropical": ("24", "", "1000", "2000"), "Bosque muy húmedo montano bajo": ("12", "18", "2000", "4000"),
        "Bosque húmedo montano": ("6", "12", "500", "1000"), "Bosque pluvial premontano": ("18", "24", "4000", ""),
    }  # fmt: skip
    assert {name: tuple(ZONES.find(name).facts.values()) for name in expected} == expected


def test_every_climate_has_one_zone():
    random = np.random.default_rng(0)
    warm, wet = xr.DataArray(random.uniform(0, 30, 5000)), xr.DataArray(random.uniform(0, 1, 5000) ** 3 * 12000)
    assert set(np.unique(holdridge_zones(warm, wet))) == set(ZONES.codes.tolist())
    edge = holdridge_zones(xr.DataArray([24.0, np.nan, 0.0]), xr.DataArray([2000.0, 1000.0, 0.0]))
    assert [ZONES.find(int(code)).name_es if code else None for code in edge] == ["Bosque húmedo tropical", None, "Nival"]


def test_biotemperature_by_hand():
    """Six months of 20, three of -5 and three of 32 degC: 120 / 12 = 10."""
    months = xr.DataArray([[20.0] * 6 + [-5.0] * 3 + [32.0] * 3, [20.0] * 11 + [np.nan]], dims=("x", "month"))
    np.testing.assert_array_equal(biotemperature(months), [10.0, np.nan])
    with pytest.raises(InputError, match="twelve months"):
        biotemperature(months.isel(month=slice(3)))


def test_other_units_and_missing_layers_are_refused():
    climate = xr.Dataset({"annual_temperature": ("x", [293.0]), "annual_precipitation": ("x", [800.0])})
    with pytest.raises(InputError, match="in kelvins or tenths"):
        describe_climate(climate)
    with pytest.raises(InputError, match="0 to 30 degC"):
        holdridge_zones(climate["annual_temperature"], climate["annual_precipitation"])
    with pytest.raises(InputError, match="lacks annual_precipitation; it has annual_temperature"):
        describe_climate(climate[["annual_temperature"]])


def test_files_of_ones_own_become_features(tmp_path):
    """Tenths of a kelvin with scale and offset, as CHELSA writes them: 2946 is 21.45 degC."""
    area = find_area("mexico")
    place = area.place("classification")
    tile = place.tile("x012y008")
    box = tile.geobox(25_000)
    numbers = {"annual_temperature": (2946, 0.1, -273.15), "annual_precipitation": (1600, 1.0, 0.0)}
    for name, (number, scale, offset) in numbers.items():
        profile = {"driver": "GTiff", "count": 1, "dtype": "uint16", "height": box.shape[0], "width": box.shape[1], "nodata": 65535}
        with rasterio.open(tmp_path / f"{name}.tif", "w", crs="EPSG:6372", transform=box.affine, **profile) as file:
            values = np.full(box.shape, number, "uint16")
            values[0, 0] = 65535
            file.write(values, 1)
            file.scales, file.offsets = [scale], [offset]
    source = RasterSource(urlpath=str(tmp_path), files=["annual_temperature.tif", "annual_precipitation.tif"])
    selection = Selection(area, place, tile, place.years)
    ground = describe_climate(source.load(selection, source.find(selection), resolution_m=25_000))
    recipe = load_available("climate+life_zones:holdridge_38+terrain", ground=tuple(ground))
    assert recipe.name == "climate+life_zones:holdridge_38"
    features = recipe.compute(None, ground)
    assert features["annual_temperature"].values[1, 1] == pytest.approx(21.45, abs=1e-3)
    zones = features.drop_vars(["annual_temperature", "annual_precipitation"]).to_dataarray()
    assert zones.sizes["variable"] == 38 and np.isnan(zones.values[:, 0, 0]).all()
    named = {feature.title["es"]: feature.name for feature in load_recipe("life_zones:holdridge_38").features}
    wanted = named["Bosque húmedo premontano"]
    assert float(features[wanted][1, 1]) == 1 and float(zones[:, 1, 1].sum()) == 1
