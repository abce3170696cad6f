"""Areas: pixels on the ellipsoid, and the published example of the stratified estimator."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pyproj import Geod, Transformer

from ceiba.classification.accuracy.areas import class_areas, estimate_areas, pixel_areas
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend

OLOFSSON = pd.DataFrame(
    [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], index=[1, 2, 3, 4], columns=[1, 2, 3, 4]
)
MAPPED_PIXELS = {1: 200_000, 2: 150_000, 3: 3_200_000, 4: 6_450_000}


def geodesic_area_ha(geobox):
    """Area of the outline by pyproj's Geod, an independent way: the outline with many points, on GRS 80."""
    x, y = np.array(geobox.extent.segmented(geobox.resolution.x).exterior.points).T
    longitude, latitude = Transformer.from_crs(geobox.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
    return abs(Geod(ellps="GRS80").polygon_area_perimeter(longitude, latitude)[0]) / 1e4


@pytest.mark.parametrize("left, top", [(900_000, 2_400_000), (2_500_000, 1_200_000), (3_900_000, 900_000)])
def test_pixels_of_the_mexican_grid_have_their_true_area(left, top):
    """The grid of EPSG:6372 is not equal-area: the outline's geodesic area is the outside answer."""
    geobox = GeoBox.from_bbox((left, top - 100_000, left + 100_000, top), "EPSG:6372", resolution=1000)
    found = pixel_areas(geobox)
    assert float(found.sum()) == pytest.approx(geodesic_area_ha(geobox), rel=1e-6)
    assert abs(float(found.mean()) / 100 - 1) > 1e-3
    assert found.attrs["units"] == "ha"


def test_pixels_in_degrees_and_of_single_rows():
    geobox = GeoBox.from_bbox((-100, 19, -99, 20), "EPSG:4326", resolution=0.25)
    found = pixel_areas(geobox)
    # The outline follows the parallels by chords, hence the wider tolerance.
    assert float(found.sum()) == pytest.approx(geodesic_area_ha(geobox), rel=3e-6)
    assert float(found[0, 0]) < float(found[-1, 0])
    thin = GeoBox.from_bbox((2_500_000, 1_200_000, 2_500_100, 1_200_010), "EPSG:6372", resolution=10)
    assert pixel_areas(thin).shape == (1, 10)
    whole = GeoBox.from_bbox((2_500_000, 1_199_000, 2_502_000, 1_200_000), "EPSG:6372", resolution=10)
    for part in (np.s_[:1, :], np.s_[:, :1]):
        assert pixel_areas(whole[part]).values == pytest.approx(pixel_areas(whole).values[part], rel=1e-8)


def test_class_areas_count_every_class_of_the_legend():
    geobox = GeoBox.from_bbox((4_000_000, 1_199_960, 4_000_040, 1_200_000), "EPSG:6372", resolution=20)
    codes = wrap_xr(np.array([[1, 1], [5, 0]], dtype="uint8"), geobox)
    found = class_areas(codes, load_legend("mato_grosso")).set_index("code")
    assert found["pixels"].to_dict() == {1: 2, 2: 0, 3: 0, 4: 0, 5: 1}
    assert found.loc[1, "area_ha"] == pytest.approx(0.08, rel=0.03)
    assert found["share"].sum() == pytest.approx(1)
    with pytest.raises(LegendError, match="9"):
        class_areas(
            xr.where(codes == 5, 9, codes, keep_attrs=True).odc.assign_crs("EPSG:6372"), load_legend("mato_grosso")
        )


def test_the_worked_example_of_olofsson_2014():
    """Recomputed figures of the sample folder's README; 30 m pixels are 0.09 ha."""
    found = estimate_areas(OLOFSSON, {code: pixels * 0.09 for code, pixels in MAPPED_PIXELS.items()})
    assert found.overall == pytest.approx(0.9465, abs=5e-5)
    assert found.overall_half_width == pytest.approx(0.0185, abs=5e-5)
    rows = found.classes
    assert rows["users_accuracy"].round(3).tolist() == [0.880, 0.733, 0.927, 0.963]
    assert rows["producers_accuracy"].round(3).tolist() == [0.749, 0.847, 0.935, 0.962]
    assert rows["area_ha"].round(0).tolist() == [21_158, 11_686, 285_770, 581_386]
    # The README took 1.96 for the normal quantile 1.95996.
    assert rows["area_half_width_ha"].to_numpy() == pytest.approx([6_158, 3_756, 15_510, 16_282], abs=1)
    # User's half-widths of the paper: 0.07, 0.10, 0.04, 0.02.
    assert rows["users_half_width"].round(2).tolist() == [0.07, 0.10, 0.04, 0.02]
    assert found.coverage == 1


def test_the_published_file_holds_these_counts(sample_folder):
    path = sample_folder / "eo" / "accuracy_assessment_olofsson2014" / "confusion_matrix.csv"
    table = pd.read_csv(path, sep=";", index_col=0)
    assert (table.iloc[:4, :4].to_numpy() == OLOFSSON.to_numpy()).all()
    assert table["Area_pixels"].tolist()[:4] == list(MAPPED_PIXELS.values())


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """2,000 designs of 100 samples a stratum on a known map: the 95 % interval of an area covers it in 94 to 96.5 %."""
    rng = np.random.default_rng(11)
    error = np.array([[0.85, 0.10, 0.05], [0.05, 0.90, 0.05], [0.02, 0.08, 0.90]])
    mapped = {1: 2_000.0, 2: 3_000.0, 3: 5_000.0}
    truth = (np.array(list(mapped.values())) @ error)[1]
    inside = 0
    for _ in range(2_000):
        counts = pd.DataFrame([rng.multinomial(100, row) for row in error], index=[1, 2, 3], columns=[1, 2, 3])
        row = estimate_areas(counts, mapped).classes.iloc[1]
        inside += abs(row["area_ha"] - truth) <= row["area_half_width_ha"]
    assert 0.935 <= inside / 2_000 <= 0.965


def test_strata_with_one_sample_are_left_out_and_said_so():
    counts = OLOFSSON.copy()
    counts.loc[1] = [1, 0, 0, 0]
    found = estimate_areas(counts, MAPPED_PIXELS)
    assert found.coverage == pytest.approx(0.98)
    assert np.isnan(found.classes.iloc[0]["users_accuracy"])
    with pytest.raises(InputError, match="no map class has two"):
        estimate_areas(OLOFSSON * 0, MAPPED_PIXELS)
    with pytest.raises(InputError, match=r"no mapped area for classes \[4\]"):
        estimate_areas(OLOFSSON, {1: 1, 2: 1, 3: 1})
    with pytest.raises(InputError, match="stands twice"):
        estimate_areas(OLOFSSON.rename(columns={1: 2}), MAPPED_PIXELS)


def test_classes_of_the_map_alone_and_of_the_reference_alone_are_legal():
    """By hand: 100 ha mapped as 1, of which 2 of 4 are 9; 300 ha of 2, all right; 9 is never mapped, 1 half right."""
    counts = pd.DataFrame([[2, 0, 2], [0, 6, 0]], index=[1, 2], columns=[1, 2, 9])
    rows = estimate_areas(counts, {1: 100.0, 2: 300.0}).classes.set_index("code")
    assert rows["area_ha"].to_dict() == pytest.approx({1: 50, 2: 300, 9: 50})
    assert rows["users_accuracy"].to_list()[:2] == [0.5, 1]
    assert rows.loc[9, "producers_accuracy"] == 0
    assert np.isnan(rows.loc[9, "users_accuracy"])
    fewer = estimate_areas(counts.drop(columns=1), {1: 100.0, 2: 300.0}).classes.set_index("code")
    assert np.isnan(fewer.loc[1, "producers_accuracy"])
