"""Radiance and reflectance at the top of the atmosphere against hand-worked values and other programs."""

import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr

from ceiba.ard.calibration import (
    fill_mask,
    radiance,
    reflectance_of_numbers,
    reflectance_of_radiance,
    saturation_masks,
    toa_reflectance,
)
from ceiba.ard.landsat_metadata import read_mtl
from ceiba.ard.sensors import find_sensor
from ceiba.errors import SceneError

sys.path.insert(0, str(Path(__file__).parent))
from landsat_scenes import mtl_groups, mtl_text  # noqa: E402

OLI, TM = find_sensor("landsat_8_l1_c2"), find_sensor("landsat_5_l1_c1")


def numbers(**bands) -> xr.Dataset:
    dtype = "uint16" if max(np.max(values) for values in bands.values()) > 255 else "uint8"
    return xr.Dataset({name: (("y", "x"), np.array([values], dtype)) for name, values in bands.items()})


def test_formulas_by_hand():
    band = numbers(red=[10_000, 5_000])["red"]
    # (2e-5 * 10000 - 0.1) / sin(30 deg) = 0.1 / 0.5 = 0.2; (2e-5 * 5000 - 0.1) = 0
    toa = reflectance_of_numbers(band, multiplier=2e-5, addend=-0.1, sun_elevation_deg=30)
    assert toa.values == pytest.approx(np.array([[0.2, 0.0]]), abs=1e-6) and toa.attrs["units"] == "1"
    # Landsat 5 TM band 3, number 60: 1.044 * 60 - 2.21398 = 60.42602 W/(m2 sr um);
    # pi * 60.42602 * 1.0128**2 / (1536 * sin(49.75588889 deg)) = 194.7261 / 1172.3877 = 0.16609
    at_sensor = radiance(numbers(red=[60])["red"], multiplier=1.044, addend=-2.21398)
    assert at_sensor.item() == pytest.approx(60.42602, rel=1e-6)
    toa = reflectance_of_radiance(at_sensor, esun=1536, distance_au=1.0128, sun_elevation_deg=49.75588889)
    assert toa.item() == pytest.approx(0.16609, abs=2e-5)


def test_a_sun_by_pixel_is_used():
    sun = xr.DataArray([[30.0, 90.0]], dims=("y", "x"))
    toa = reflectance_of_numbers(numbers(red=[10_000, 10_000])["red"], multiplier=2e-5, addend=-0.1, sun_elevation_deg=sun)
    assert toa.values == pytest.approx(np.array([[0.2, 0.1]]), abs=1e-6)


def test_fill_of_one_band_drops_the_pixel_and_saturation_the_band():
    metadata = read_mtl(mtl_text(mtl_groups(name="X")))
    scene = numbers(red=[10_000, 0, 65_535, 9_000], nir=[20_000, 20_000, 20_000, 0])
    assert fill_mask(scene).values.tolist() == [[False, True, False, True]]
    assert saturation_masks(scene, metadata, OLI)["red"].values.tolist() == [[False, False, True, False]]
    toa = toa_reflectance(scene, metadata, OLI)
    assert np.isnan(toa["red"].values).tolist() == [[False, True, True, True]]
    assert np.isnan(toa["nir"].values).tolist() == [[False, True, False, True]]


def test_a_band_without_a_scale_is_an_error():
    metadata = read_mtl(mtl_text(mtl_groups(name="X", reflectance=False)))
    with pytest.raises(SceneError, match=r"X: .* band 4 \(red\)"):
        toa_reflectance(numbers(red=[10_000]), metadata, OLI)
    with pytest.raises(SceneError, match="no band 'swir_9'"):
        toa_reflectance(numbers(swir_9=[1]), metadata, OLI)


def test_tm_without_reflectance_coefficients_goes_by_radiance_and_the_formula_of_distance(sample_folder):
    folder = sample_folder / "eo/landsat5_l1_para_brazil_1988"
    metadata = read_mtl((folder / "LT52240631988227CUB02_MTL.txt").read_bytes())
    # Distance on 14 August: 1.0129 (Chander et al. 2009, table 6, day 227). Band 4, number 60:
    # 0.876 * 60 - 2.38602 = 50.17398; pi * 50.17398 * 1.0129**2 / (1031 * 0.763274) = 0.20550
    toa = toa_reflectance(numbers(nir=[60]), metadata, TM)
    assert toa["nir"].item() == pytest.approx(0.2055, abs=1e-4)


def test_rio_toa_gives_the_same_within_a_count(sample_folder):
    folder = sample_folder / "eo/landsat8_toa_reference_rio_toa"
    name = "tiny_LC81390452014295LGN00_B5"
    metadata = read_mtl((folder / "LC81390452014295LGN00_MTL.json").read_bytes())
    band, expected, at_sensor = (rasterio.open(folder / f"{name}{part}.TIF").read(1) for part in ("", "_refl", "_radl"))
    valid = band != 0
    assert valid.mean() > 0.5
    toa = toa_reflectance(xr.Dataset({"nir": (("y", "x"), band)}), metadata, find_sensor("landsat_8_l1_c1"))["nir"].values
    counts = np.clip(np.nan_to_num(toa) * 55_000, 1, 65_535)
    assert np.abs(counts - expected)[valid].max() <= 1
    assert np.isnan(toa[~valid]).all()


def test_momotombo_equals_an_independent_calculation_and_the_published_medians(sample_folder):
    folder = sample_folder / "eo/landsat8_l1_l2_momotombo_nicaragua/L1TP"
    name = "LC08_L1TP_017051_20151205_20200908_02_T1"
    metadata = read_mtl((folder / f"{name}_MTL.txt").read_bytes())
    medians = {"blue": 0.1036, "green": 0.0903, "red": 0.0621, "nir": 0.3451, "swir_1": 0.1538, "swir_2": 0.0587}
    bands = {
        band: (("y", "x"), rasterio.open(folder / f"{name}_B{number}.TIF").read(1))
        for number, band in enumerate(medians, 2)
    }
    toa = toa_reflectance(xr.Dataset(bands), metadata, OLI)
    for band, (_, values) in bands.items():
        # by hand, in float64, with the numbers of the MTL file written out
        expected = (values.astype("float64") * 2.0e-5 - 0.1) / np.sin(48.24450155 * np.pi / 180)
        assert np.nanmax(np.abs(toa[band].values - expected)) < 1e-6
        # the medians are of what the level-2 crop has too: one row and one column less
        assert np.nanmedian(toa[band].values[:-1, 1:]) == pytest.approx(medians[band], abs=6e-5)
