"""6S and its tables: a run against published optics, the tables against runs between their nodes, and the gases."""

import datetime
import functools
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ceiba.ard.atmosphere_radiation import surface_reflectance
from ceiba.ard.atmosphere_sixs import Optics, format_input, parse_output, print_sixs, run_sixs, save_aerosol
from ceiba.ard.atmosphere_table import (
    Sky,
    bands_of,
    find_instrument,
    gases_of,
    load_instruments,
    pressure_hpa,
    sky_above,
)
from ceiba.errors import SceneError

CATALOG = Path(__file__).parents[2] / "catalogs" / "atmosphere"
OUTPUT = """\
*      water   "     "    :     0.98636        0.98916        0.97930         *
*      ozone   "     "    :     1.00000        1.00000        0.99000         *
*      co2     "     "    :     0.99396        0.99529        0.99052         *
*      oxyg    "     "    :     1.00000        1.00000        1.00000         *
*      no2     "     "    :     1.00000        1.00000        1.00000         *
*      ch4     "     "    :     0.98966        0.99212        0.98291         *
*      co      "     "    :     1.00000        1.00000        1.00000         *
*      total  sca.   "    :     0.98811        0.99175        0.97996         *
*      spherical albedo   :     0.00112        0.00776        0.00883         *
*      optical depth total:     0.00113        0.02765        0.02877         *
*      reflectance I      :     0.00044        0.00120        0.00169         *
"""


@pytest.fixture(scope="module")
def sixs_folder(tmp_path_factory):
    """Folder where 6S has saved the optics of the tables' aerosol, or a skip that says what is missing."""
    folder = tmp_path_factory.mktemp("sixs")
    try:
        save_aerosol(yaml.safe_load((CATALOG / "aerosol.yml").read_text("utf-8")), folder)
    except SceneError as error:
        pytest.skip(str(error))
    return folder


@pytest.fixture(scope="module")
def sixs(sixs_folder):
    """6S, run in that folder."""
    return functools.partial(run_sixs, sixs_folder)


def test_output_is_read():
    optics = parse_output(OUTPUT)
    assert optics == Optics(0.00169, 0.97996, 0.00883, 0.00113, 0.02765, 0.97930, 0.99, pytest.approx(0.99052 * 0.98291))


@pytest.mark.parametrize("line", range(OUTPUT.count("\n")))
def test_output_cut_short_names_the_line(line):
    lines = OUTPUT.splitlines()
    with pytest.raises(SceneError, match="6S printed no line"):
        parse_output("\n".join(lines[:line] + lines[line + 1 :]))


@given(st.text(alphabet="*:. 0159aE-+NInf\"\n", max_size=300))
def test_garbage_is_refused(text):
    with pytest.raises(SceneError):
        parse_output(text)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(SceneError, match="where three numbers"):
        parse_output(OUTPUT.replace("0.98636", "*******"))


def test_input_of_a_clear_and_a_hazy_sky():
    sky = {"sun_zenith_deg": 40, "altitude_km": 2, "water_g_cm2": 3, "ozone_cm_atm": 0.3}
    assert format_input(aot_550=0, band=25, **sky).splitlines()[4:8] == ["0", "-1", "-2.00000", "-1000"]
    hazy = format_input(aot_550=0.2, band=(0.5, [0.1, 1.0]), **sky).splitlines()
    assert hazy[4:8] == ["12", "aerosol.mie", "0", "0.20000"]
    assert hazy[10:13] == ["1", "0.5000 0.5025", "0.100000 1.000000"]


def test_rayleigh_optical_depth_of_6s_is_that_of_bodhaine(sixs):
    # Bodhaine et al. 1999, doi:10.1175/1520-0426(1999)016<1854:ORODC>2.0.CO;2, eq. 30, at sea level and 550 nm:
    # 0.0021520 (1.0455996 - 341.29061 / w^2 - 0.90230850 w^2) / (1 + 0.0027059889 / w^2 - 85.968563 w^2) = 0.09707.
    # 6S has older constants.
    narrow = sixs(sun_zenith_deg=30, aot_550=0, altitude_km=0, water_g_cm2=0, ozone_cm_atm=0, band=(0.5475, [1, 1, 1]))
    assert narrow.rayleigh_optical_depth == pytest.approx(0.09707, rel=0.02)


def test_the_aerosol_scatters_as_that_of_its_paper(sixs_folder):
    # Dubovik et al. 2002, table 1, Goddard Space Flight Center: single scattering albedo 0.97 at 670 nm, 0.96 at 870 nm.
    for band, albedo in ((0.6675, 0.97), (0.8675, 0.96)):
        text = print_sixs(
            sixs_folder, sun_zenith_deg=30, aot_550=0.2, altitude_km=0, water_g_cm2=0, ozone_cm_atm=0, band=(band, [1, 1, 1])
        )
        printed = [line for line in text.splitlines() if "sing. scat. albedo" in line][-1].split()
        assert float(printed[6]) == pytest.approx(albedo, abs=0.01)


def test_path_reflectance_by_single_scattering(sixs):
    # One scattering by molecules, black ground, seen from nadir: P(138.24) = 3/4 (1 + cos^2) = 1.1672,
    # P / (4 (mu_s + mu_v)) (1 - exp(-tau (1/mu_s + 1/mu_v))); light scattered again adds some percent in the red.
    mu, depth = np.cos(np.radians(41.76)), 0.0479
    once = 1.1672 / (4 * (mu + 1)) * (1 - np.exp(-depth * (1 / mu + 1)))
    red = sixs(sun_zenith_deg=41.76, aot_550=0, altitude_km=0, water_g_cm2=0, ozone_cm_atm=0, band=(0.65, [1, 1, 1]))
    assert red.rayleigh_optical_depth == pytest.approx(depth, rel=0.03)
    assert once < red.path_reflectance < 1.15 * once


@pytest.mark.slow
@pytest.mark.parametrize("instrument", load_instruments())
@pytest.mark.parametrize(
    ("sun_zenith_deg", "altitude_km", "aot_550", "water", "ozone"),
    [(41.76, 0.3, 0.15, 4.12, 0.247), (20.0, 2.0, 0.06, 2.0, 0.3), (61.0, 1.2, 0.7, 1.0, 0.36)],
)
def test_the_table_between_its_nodes(sixs, instrument, sun_zenith_deg, altitude_km, aot_550, water, ozone):
    bands = {name: band for name, band in sixs_bands(instrument).items() if name in ("blue", "red", "nir", "swir_2")}
    for name, band in bands.items():
        run = sixs(
            sun_zenith_deg=sun_zenith_deg, aot_550=aot_550, altitude_km=altitude_km, water_g_cm2=water, ozone_cm_atm=ozone,
            band=band,
        )  # fmt: skip
        sky = sky_above(
            instrument, name, sun_zenith_deg=sun_zenith_deg, altitude_km=np.array([altitude_km]),
            aot_550=np.array([aot_550]), water_g_cm2=np.array([water * np.exp(-altitude_km / 2)]), ozone_cm_atm=ozone,
        )  # fmt: skip
        assert sky.path_reflectance[0] == pytest.approx(run.path_reflectance, abs=0.001)
        assert sky.transmittance[0] == pytest.approx(run.transmittance, abs=0.004)
        assert sky.spherical_albedo[0] == pytest.approx(run.spherical_albedo, abs=0.002)
        assert sky.water_transmittance[0] == pytest.approx(run.water_transmittance, abs=0.002)
        assert sky.gas_transmittance[0] == pytest.approx(run.ozone_transmittance * run.other_transmittance, abs=0.001)


def sixs_bands(instrument: str) -> dict:
    """What 6S is told of each band, as the script that makes the tables does."""
    specification = importlib.util.spec_from_file_location("make_table", CATALOG / "make_table.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return dict(module.read_bands(instrument))


def test_every_band_of_every_instrument_has_a_table():
    for instrument in load_instruments():
        for band in bands_of(instrument):
            sky = sky_above(
                instrument, band, sun_zenith_deg=30, altitude_km=np.array([0.0, 1.0]), aot_550=np.array([0.1, 0.1]),
                water_g_cm2=np.array([2.0, 1.0]), ozone_cm_atm=0.3,
            )  # fmt: skip
            for name, values in vars(sky).items():
                assert ((values >= 0) & (values <= 1)).all(), (instrument, band, name)


def test_instruments_by_sensor():
    assert find_instrument("landsat_9_l1_c2") == "oli"
    assert find_instrument("landsat_7_l1_c1") == "etm"
    assert find_instrument("sentinel_2_l1c") == "msi"
    assert find_instrument("rapideye") is None


def test_surface_reflectance_by_hand():
    # toa = 0.95 [0.05 + (0.08 - 0.05) 0.98 + 0.8 * 0.9 * 0.2 / (1 - 0.1 * 0.2)] = 0.95 (0.0794 + 0.1469388)
    sky = Sky(
        path_reflectance=0.08, rayleigh_reflectance=0.05, transmittance=0.8, spherical_albedo=0.1,
        water_transmittance=0.9, half_water_transmittance=0.98, gas_transmittance=0.95,
    )  # fmt: skip
    found = surface_reflectance(0.215022, sky)
    assert found == pytest.approx(0.2, abs=1e-6)


def test_the_equation_of_6s_is_solved(sixs, sixs_folder):
    # 6S itself, over ground of 0.1 in the green band of OLI, prints the reflectance at the top of the atmosphere.
    sky = {"sun_zenith_deg": 41.76, "aot_550": 0.2, "altitude_km": 0.5, "water_g_cm2": 3.0, "ozone_cm_atm": 0.3, "band": 167}
    text = print_sixs(sixs_folder, **sky)
    printed = float(text.split("apparent reflectance")[1].split()[0])
    optics, clear = parse_output(text), sixs(**sky | {"aot_550": 0})
    half = sixs(**sky | {"aot_550": 0, "water_g_cm2": 1.5})
    ground = surface_reflectance(printed, Sky(
        path_reflectance=optics.path_reflectance, rayleigh_reflectance=clear.path_reflectance,
        transmittance=optics.transmittance, spherical_albedo=optics.spherical_albedo,
        water_transmittance=optics.water_transmittance, half_water_transmittance=half.water_transmittance,
        gas_transmittance=optics.ozone_transmittance * optics.other_transmittance,
    ))  # fmt: skip
    assert ground == pytest.approx(0.1, abs=0.0005)


def test_gases_of_a_place_and_season():
    # FLAASH User's Guide, table 2-2; columns of the standard atmospheres of 6S.
    assert gases_of(latitude_deg=12.4, time=datetime.datetime(2015, 12, 5)) == ("tropical", 4.12, 0.247)
    assert gases_of(latitude_deg=32, time=datetime.datetime(2015, 1, 5)) == ("midlatitude_summer", 2.93, 0.319)
    assert gases_of(latitude_deg=70, time=datetime.datetime(2015, 2, 28))[0] == "subarctic_winter"
    with pytest.raises(SceneError, match="latitude 91"):
        gases_of(latitude_deg=91, time=datetime.datetime(2015, 1, 1))


def test_pressure_of_the_standard_atmosphere():
    # US Standard Atmosphere 1976: 1013.25, 898.76 and 540.48 hPa at 0, 1 and 5 km.
    np.testing.assert_allclose(pressure_hpa(np.array([0, 1, 5])), [1013.25, 898.76, 540.48], atol=0.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sun_zenith_deg": 80}, "80.0 degrees from the zenith"), ({"aot_550": np.array([2.0])}, "optical depths from 2.00 to 2.00")],
)
def test_skies_beyond_the_table_are_refused(changes, message):
    sky = {
        "sun_zenith_deg": 30, "altitude_km": np.array([0.0]), "aot_550": np.array([0.1]),
        "water_g_cm2": np.array([2.0]), "ozone_cm_atm": 0.3,
    }  # fmt: skip
    with pytest.raises(SceneError, match=message):
        sky_above("oli", "blue", **sky | changes)
