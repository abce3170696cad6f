"""Sentinel-2 scenes of level 1C: top-of-atmosphere reflectance of all thirteen bands, with the true sky beside them.

Ground, sky and dates are those of the level 2A scenes. What lies between is physics, not taste: the atmosphere is
that of 6S (:mod:`ceiba.simulation.atmosphere`), the clouds are layers of droplets in the two-stream approximation.
"""

from dataclasses import dataclass

import numpy as np

from ceiba.simulation.atmosphere import BANDS_NM, atmosphere_terms, to_toa
from ceiba.simulation.baselines import to_counts
from ceiba.simulation.clouds import Sky
from ceiba.simulation.land_cover import land_cover_on
from ceiba.simulation.layout import block_mean, enlarge, grid_shape, random_stream
from ceiba.simulation.scenes import Plan, add_noise, sun_position_deg, swath_edge
from ceiba.simulation.spectra import BANDS
from ceiba.simulation.world import World, ground_reflectance

# Pixel size [m] to band of ESA and name in Ceiba.
LEVEL_1C_BANDS = {
    10: {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir"},
    20: {"B05": "red_edge_1", "B06": "red_edge_2", "B07": "red_edge_3", "B8A": "nir_narrow", "B11": "swir_1", "B12": "swir_2"},
    60: {"B01": "coastal_aerosol", "B09": "water_vapor", "B10": "cirrus"},
}  # fmt: skip
# Wavelengths [nm] of the ground's spectra; the plateau of the near infrared reaches from 783 to 920 nm.
GROUND_NM = (492.7, 559.8, 664.6, 704.1, 782.8, 920.0, 1613.7, 2202.4)
GROUND_BANDS = ("blue", "green", "red", "red_edge", "nir", "nir", "swir_1", "swir_2")
# Asymmetry of scattering by droplets of 10 um and by ice crystals (Liou 2002, ISBN 978-0-12-451451-5).
DROPLET_ASYMMETRY, CRYSTAL_ASYMMETRY = 0.85, 0.75
DROPLET_RADIUS_M = 10e-6
CLOUD_TOP_KM, CIRRUS_KM = 2.0, 10.0
THICKEST = 100.0
# Imaginary part of the refractive index of water [1] by wavelength [um] (Hale and Querry 1973, doi:10.1364/AO.12.000555).
WATER_INDEX_UM = (0.425, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
WATER_INDEX = (
    1.3e-9, 1.0e-9, 1.96e-9, 1.09e-8, 1.64e-8, 3.35e-8, 1.56e-7, 1.25e-7, 2.93e-7, 4.86e-7, 2.93e-6, 2.89e-6, 9.89e-6,
    1.38e-4, 8.55e-5, 1.15e-4, 1.1e-3, 2.89e-4, 9.56e-4,
)  # fmt: skip
BACKGROUND_AEROSOL, DEPTH_OF_HAZE = 0.1, 6.0


@dataclass(frozen=True)
class SkyTruth:
    """What a mask of a level 1C scene should find, dims ``(y, x)`` at 10 m.

    Attributes
    ----------
    cloud_depth, cirrus_depth
        Optical depth in visible light of low cloud and of cirrus [1], 0 where there is none.
    shadow
        Share of direct sunlight that clouds take from the ground [1].
    land_cover
        Class codes of the ground.
    beyond
        Pixels beyond the swath (bool).
    """

    cloud_depth: np.ndarray
    cirrus_depth: np.ndarray
    shadow: np.ndarray
    land_cover: np.ndarray
    beyond: np.ndarray


def depth_of(share: np.ndarray, asymmetry: float) -> np.ndarray:
    """Optical depth [1] of a layer that sends back ``share`` [1] of visible light, at most :data:`THICKEST`.

    Two-stream approximation without absorption, ``share = (1 - g) t / (1 + (1 - g) t)``: Meador and Weaver 1980,
    doi:10.1175/1520-0469(1980)037<0630:TSATRT>2.0.CO;2, hemispheric mean.
    """
    share = np.asarray(share, dtype=np.float64)
    return np.minimum(share / (np.maximum(1 - share, 1e-6) * (1 - asymmetry)), THICKEST)


def droplet_albedo(wavelength_nm: float) -> float:
    """Single-scattering albedo [1] of droplets of 10 um, ``1 - 0.85 r 4 pi k / wavelength``.

    Twomey and Bohren 1980, doi:10.1175/1520-0469(1980)037<2086:SAFCOA>2.0.CO;2; ``k`` of water after Hale and Querry.
    """
    index = np.exp(np.interp(wavelength_nm / 1000, WATER_INDEX_UM, np.log(WATER_INDEX)))
    return float(1 - 0.85 * DROPLET_RADIUS_M * 4 * np.pi * index / (wavelength_nm * 1e-9))


def layer(depth: np.ndarray, *, albedo: float, asymmetry: float) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance and transmittance [1] of a scattering layer of optical ``depth`` [1] for diffuse light.

    Two-stream approximation, hemispheric mean (Meador and Weaver 1980).
    """
    back, loss = albedo * (1 - asymmetry), 2 - albedo * (1 + asymmetry)
    # Without any absorption the formula is 0 / 0; a billionth of absorption is its limit.
    decay = np.sqrt(max(loss**2 - back**2, 1e-18))
    fade = np.exp(-decay * depth)
    divisor = decay + loss + (decay - loss) * fade**2
    return back * (1 - fade**2) / divisor, 2 * decay * fade / divisor


def ground_in_band(ground: np.ndarray, wavelength_nm: float) -> np.ndarray:
    """Reflectance [1] of the ground at a wavelength, dims ``(y, x)``, between the bands of ``ground`` ``(band, y, x)``.

    Shorter than blue it goes on as from green to blue, but to no less than half of blue.
    """
    spectrum = [ground[BANDS.index(name)] for name in GROUND_BANDS]
    if wavelength_nm < GROUND_NM[0]:
        step = (GROUND_NM[0] - wavelength_nm) / (GROUND_NM[1] - GROUND_NM[0])
        return np.maximum(spectrum[0] - step * (spectrum[1] - spectrum[0]), 0.5 * spectrum[0])
    upper = min(int(np.searchsorted(GROUND_NM, wavelength_nm)), len(GROUND_NM) - 1) or 1
    share = (wavelength_nm - GROUND_NM[upper - 1]) / (GROUND_NM[upper] - GROUND_NM[upper - 1])
    return spectrum[upper - 1] + share * (spectrum[upper] - spectrum[upper - 1])


def toa_in_band(ground: np.ndarray, sky: Sky, band: str, *, sun_zenith_deg: float) -> np.ndarray:
    """Top-of-atmosphere reflectance [1] of one band, dims ``(y, x)``.

    Light that clouds let through twice brings the clear view; what they send back has only the air above them to pass.
    Left out: the absorption of thin cirrus (under 0.01), light from neighboring pixels, the height of the ground.
    """
    wavelength_nm = BANDS_NM[band][0]
    depth = BACKGROUND_AEROSOL + DEPTH_OF_HAZE * sky.haze
    terms = {
        altitude: atmosphere_terms(band, altitude_km=altitude, optical_depth=depth, sun_zenith_deg=sun_zenith_deg)
        for altitude in (0.0, CLOUD_TOP_KM, CIRRUS_KM)
    }
    lit = 1 - (1 - terms[0.0]["diffuse_share"]) * sky.shadow
    seen = to_toa(ground_in_band(ground, wavelength_nm) * lit, terms[0.0])
    layers = (
        (CLOUD_TOP_KM, depth_of(sky.cloud, DROPLET_ASYMMETRY), droplet_albedo(wavelength_nm), DROPLET_ASYMMETRY),
        (CIRRUS_KM, depth_of(sky.cirrus, CRYSTAL_ASYMMETRY), 1.0, CRYSTAL_ASYMMETRY),
    )
    for altitude, thickness, albedo, asymmetry in layers:
        back, through = layer(thickness, albedo=albedo, asymmetry=asymmetry)
        above = terms[altitude]
        seen = to_toa(back, above) + through**2 * (seen - above["path_reflectance"])
    return seen.astype(np.float32)


def sentinel_2_l1c_scene(
    world: World, plan: Plan, sky: Sky, *, baseline: str = "02.07"
) -> tuple[dict[int, dict[str, np.ndarray]], SkyTruth]:
    """A level 1C scene and the truth of its sky.

    Parameters
    ----------
    world, plan, sky
        As for :func:`ceiba.simulation.scenes.sentinel_2_scene`.
    baseline
        Processing baseline: from 04.00 the counts are shifted by 1000.

    Returns
    -------
    bands : dict
        Pixel size [m] to band name to uint16 counts, dims ``(y, x)``, 0 for no data.
    truth : SkyTruth
        What is in the sky.
    """
    date = plan.time.date()
    zenith, azimuth = sun_position_deg(date)
    ground = ground_reflectance(world, date, sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
    random = random_stream(world.seed, f"level 1c noise {plan.name}")
    beyond_20m = swath_edge(world.seed, plan, grid_shape(20))
    beyond = enlarge(beyond_20m, 2, grid_shape(10))
    scene: dict[int, dict[str, np.ndarray]] = {}
    for size, names in LEVEL_1C_BANDS.items():
        outside = block_mean(beyond.astype(np.float32), size // 10) > 0 if size > 10 else beyond
        scene[size] = {}
        for band, name in names.items():
            seen = block_mean(toa_in_band(ground, sky, band, sun_zenith_deg=zenith), size // 10)
            scene[size][name] = to_counts(add_noise(seen, random), outside, baseline)
    return scene, SkyTruth(
        cloud_depth=depth_of(sky.cloud, DROPLET_ASYMMETRY),
        cirrus_depth=depth_of(sky.cirrus, CRYSTAL_ASYMMETRY),
        shadow=sky.shadow,
        land_cover=land_cover_on(world.first_codes, world.changes, date),
        beyond=beyond,
    )
