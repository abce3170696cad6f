"""Areas from class to class: by hand, against Olofsson's example, and by region."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from shapely.geometry import box

from ceiba.change.classes.from_to import (
    budget_by_region,
    change_budget,
    estimate_by_region,
    estimate_from_to,
    from_to_by_region,
    from_to_matrix,
    total_change,
)
from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.accuracy.estimators import probability_sample
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend
from ceiba.regions import region_zones, regions_of

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_900, 4_000_060, 1_199_930), "EPSG:6372", resolution=10)
FIRST = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2], [1, 1, 0, 3, 3, 3]], dtype="uint8")
SECOND = np.array([[1, 1, 3, 3, 2, 2], [1, 1, 3, 1, 2, 2], [1, 1, 1, 3, 2, 0]], dtype="uint8")


@pytest.fixture(scope="module")
def maps():
    return wrap_xr(FIRST, GEOBOX), wrap_xr(SECOND, GEOBOX)


def test_matrix_counts_true_areas_of_pixels_with_data_on_both_dates(maps):
    matrix = from_to_matrix(*maps, load_legend("mexico_8"))
    area = float(pixel_areas(GEOBOX).mean())
    assert matrix.shape == (8, 8)
    pixels = (matrix / area).to_numpy()[:3, :3]
    assert pixels == pytest.approx(np.array([[6, 0, 2], [1, 4, 1], [0, 1, 1]]), rel=1e-6)
    inside = np.zeros(FIRST.shape, dtype=bool)
    inside[0] = True
    assert from_to_matrix(*maps, load_legend("mexico_8"), inside=inside).to_numpy().sum() == pytest.approx(
        6 * area, rel=1e-6
    )
    with pytest.raises(LegendError, match="does not have: 9"):
        from_to_matrix(maps[0] * 9, maps[1], load_legend("mexico_8"))
    with pytest.raises(InputError, match="one grid"):
        from_to_matrix(maps[0][:2], maps[1], load_legend("mexico_8"))


def test_gain_loss_net_and_swap_by_hand():
    """Class b loses 5 to a and 10 to c, gains 10 from c: net -5, swap 20 of its total 25. All change is 25, 5 of it net."""
    matrix = pd.DataFrame([[40, 0, 0], [5, 20, 10], [0, 10, 15]], index=list("abc"), columns=list("abc"))
    budget = change_budget(matrix).set_index("code")
    assert budget.loc["b"].to_dict() == {
        "before": 35, "after": 30, "unchanged": 20, "gain": 10, "loss": 15, "net": -5, "swap": 20, "total": 25,
    }  # fmt: skip
    assert budget.loc["a", ["gain", "loss", "swap"]].tolist() == [5, 0, 0]
    assert total_change(change_budget(matrix)) == {"total": 25, "net": 5, "swap": 20}
    with pytest.raises(InputError, match="same classes"):
        change_budget(matrix.rename(columns={"a": "x"}))


def olofsson():
    """The worked example of Olofsson et al. 2014 (tables 8 and 9): deforestation, forest gain, stable forest, stable other."""
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    pairs = np.array([[1, 2], [2, 1], [1, 1], [2, 2]])
    pixels = np.array([200_000, 150_000, 3_200_000, 6_450_000])
    row, column = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    sizes = {str(number): int(size) for number, size in enumerate(pixels)}
    areas = {name: size * 0.09 for name, size in sizes.items()}
    sample = probability_sample([str(number) for number in row], sizes, stratum_areas=areas)
    return tuple(pairs[row].T), tuple(pairs[column].T), sample


def test_corrected_areas_are_those_of_olofsson_2014():
    """21,158 +- 6,158 ha of deforestation, 11,686 +- 3,756 ha of forest gain, 285,769 +- 15,510 ha of stable forest."""
    mapped, reference, sample = olofsson()
    found = estimate_from_to(mapped, reference, sample)
    pairs = found.pairs.set_index(["from_code", "to_code"])
    for pair, area, half in (
        ((1, 2), 21158, 6158),
        ((2, 1), 11686, 3756),
        ((1, 1), 285769, 15510),
        ((2, 2), 581387, 16282),
    ):
        # The finite-population correction that the paper leaves out is in the fifth digit.
        assert pairs.loc[pair, "area_ha"] == pytest.approx(area, abs=1)
        assert pairs.loc[pair, "area_half_width_ha"] == pytest.approx(half, rel=1e-3)
    assert pairs.loc[(1, 2), "users_accuracy"] == pytest.approx(66 / 75)
    forest = found.classes.set_index("code").loc[1]
    assert forest["loss_ha"] == pytest.approx(21158, abs=1) and forest["gain_ha"] == pytest.approx(11686, abs=1)
    assert forest["loss_half_width_ha"] == pytest.approx(6158, rel=1e-3)
    assert forest["net_ha"] == pytest.approx(11686 - 21158, abs=2)
    assert forest["swap_ha"] == pytest.approx(2 * 11686, abs=2)
    assert forest["swap_half_width_ha"] == pytest.approx(2 * 3756, rel=1e-3)
    assert forest["before_ha"] == pytest.approx(21158 + 285769, abs=2)
    assert found.change[0] == pytest.approx(21158 + 11686, abs=2)
    assert found.change_limits[0] < found.change[0] < found.change_limits[1]
    assert forest["loss_lower_ha"] < forest["loss_ha"] < forest["loss_upper_ha"]
    # Errors of gain and loss nearly add up: both come from different strata mostly.
    assert abs(found.change[1] - np.hypot(6158, 3756)) < 300


def test_parts_of_a_country_add_up(maps):
    mapped, reference, sample = olofsson()
    half = np.arange(len(sample)) % 2 == 0
    parts = estimate_by_region(mapped, reference, sample, np.where(half, "west", "east"))
    whole = estimate_from_to(mapped, reference, sample)
    assert sum(part.change[0] for part in parts.values()) == pytest.approx(whole.change[0])
    assert parts["west"].change[1] > whole.change[1] / 2
    few = np.where(np.arange(len(sample)) < 20, "tiny", "")
    assert estimate_by_region(mapped, reference, sample, few) == {}
    with pytest.raises(InputError, match="no area is known of east"):
        estimate_by_region(mapped, reference, sample, np.where(half, "west", "east"), region_areas_ha={"west": 1.0})
    known = estimate_by_region(
        mapped, reference, sample, np.where(half, "west", "east"), region_areas_ha={"west": 5e5, "east": 4e5}
    )
    assert known["west"].classes["before_ha"].sum() == pytest.approx(5e5)


def regions(names=("A", "B"), **columns):
    west, east = box(4_000_000, 1_199_900, 4_000_030, 1_199_930), box(4_000_030, 1_199_900, 4_000_060, 1_199_930)
    return gpd.GeoDataFrame({"name": list(names)} | columns, geometry=[west, east], crs="EPSG:6372")


def test_regions_by_pixel_centres_and_their_areas(maps):
    zones, names = region_zones(regions().to_crs("EPSG:4326"), GEOBOX)
    assert names == ["A", "B"] and (zones[:, :3] == 1).all() and (zones[:, 3:] == 2).all()
    assert regions_of(zones, names, np.array([0, 1]), np.array([5, 0])) == ["B", "A"]
    table = from_to_by_region(*maps, load_legend("mexico_8"), zones, names)
    area = float(pixel_areas(GEOBOX).mean())
    found = {(row.region, row.from_code, row.to_code): round(row.area_ha / area) for row in table.itertuples()}
    assert found == {
        ("A", 1, 1): 6, ("A", 1, 3): 2, ("B", 2, 1): 1, ("B", 2, 2): 4, ("B", 2, 3): 1, ("B", 3, 2): 1, ("B", 3, 3): 1,
    }  # fmt: skip
    matrix = from_to_matrix(*maps, load_legend("mexico_8"))
    assert table["area_ha"].sum() == pytest.approx(matrix.to_numpy().sum())
    budget = budget_by_region(table).set_index(["region", "code"])
    assert budget.loc[("B", 2), "swap"] == pytest.approx(2 * area, rel=1e-6)
    assert budget.loc[("B", 2), "net"] == pytest.approx(-area, rel=1e-6)
    assert budget_by_region(table.iloc[:0]).empty


def test_regions_of_one_name_are_told_apart_by_their_state():
    _, names = region_zones(regions(("Juárez", "Juárez"), state_name=["Chihuahua", "Oaxaca"]), GEOBOX)
    assert names == ["Juárez (Chihuahua)", "Juárez (Oaxaca)"]
    _, states = region_zones(regions(state_name=["Chiapas", "Chiapas"]), GEOBOX, column="state_name")
    assert states == ["Chiapas"]
    with pytest.raises(InputError, match="no column 'department'; there are name, geometry"):
        region_zones(regions(), GEOBOX, column="department")
    with pytest.raises(InputError, match="no coordinate reference system"):
        region_zones(regions().set_crs(None, allow_override=True), GEOBOX)
    with pytest.raises(InputError, match="there are 1 names"):
        zones, names = region_zones(regions(), GEOBOX)
        image = wrap_xr(FIRST, GEOBOX)
        from_to_by_region(image, image, load_legend("mexico_8"), zones, names[:1])
    assert (region_zones(regions().iloc[:0], GEOBOX)[0] == 0).all()


def test_municipalities_of_mexico(sample_folder):
    """Real boundaries: a tile around Aguascalientes lies in its municipalities, with the state's name in brackets."""
    path = sample_folder / "eo" / "boundaries" / "mexico_municipios_inegi2020_simplified.gpkg"
    geobox = GeoBox.from_bbox((2_470_000, 1_080_000, 2_490_000, 1_100_000), "EPSG:6372", resolution=500)
    towns = gpd.read_file(path, bbox=tuple(geobox.extent.to_crs("EPSG:4326").boundingbox.bbox))
    zones, names = region_zones(towns, geobox)
    assert (zones > 0).mean() > 0.99
    assert "Aguascalientes (Aguascalientes)" in names
    image = xr.zeros_like(wrap_xr(zones.astype("uint8"), geobox)) + np.uint8(28)
    table = from_to_by_region(image, image, load_legend("mexico_31"), zones, names)
    assert table["area_ha"].sum() == pytest.approx(40_000, rel=0.02)
