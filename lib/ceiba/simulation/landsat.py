"""Landsat scenes of the simulated area at 30 m: Landsat 8, and Landsat 7 and 5 with their own bands, gaps and quality bits."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ceiba.errors import SceneError
from ceiba.simulation.clouds import DEEP_SHADOW, THIN_CLOUD, Sky, look_through
from ceiba.simulation.land_cover import WATER, land_cover_on
from ceiba.simulation.layout import block_mean, grid_shape, random_stream
from ceiba.simulation.scenes import Plan, add_noise, sun_position_deg, swath_edge
from ceiba.simulation.spectra import BANDS
from ceiba.simulation.world import World, ground_reflectance

LANDSAT_PIXEL_M = 30.0
# Slopes from Sentinel-2A to Landsat 8 bands of the harmonised product (Claverie et al. 2018,
# doi:10.1016/j.rse.2018.09.002).
LANDSAT_GAIN = {"blue": 0.9778, "green": 1.0053, "red": 0.9765, "nir": 0.9983, "swir_1": 0.9987, "swir_2": 1.003}
# Slope and intercept with which Landsat 7 gives Landsat 8: OLI = slope * ETM+ + intercept, reduced major axis regression of
# surface reflectance (Roy et al. 2016, doi:10.1016/j.rse.2015.12.024, table 2). TM is taken for like ETM+.
OLI_OF_ETM = {
    "blue": (0.9785, -0.0095), "green": (0.9542, -0.0016), "red": (0.9825, -0.0022),
    "nir": (1.0073, -0.0021), "swir_1": (1.0171, -0.0030), "swir_2": (0.9949, 0.0029),
}  # fmt: skip
# Whole values of QA_PIXEL as the Collection 2 product guides list them (USGS LSDS-1619 for Landsat 8 and 9, LSDS-1618 for
# 4 to 7): the flag bits 0 to 7 and the confidences.
OLI_QA = {
    "fill": 1, "clear": 21824, "water": 21952, "cloud": 22280, "dilated": 21762, "shadow": 23888, "cirrus": 54596,
}  # fmt: skip
# TM and ETM+ have no cirrus band: thin cirrus goes unseen.
ETM_QA = {
    "fill": 1, "clear": 5440, "water": 5504, "cloud": 5896, "dilated": 5442, "shadow": 7440, "cirrus": 5440,
}  # fmt: skip
QA_PIXEL: Mapping[str, Mapping[str, int]] = {
    "landsat_8_l2_c2": OLI_QA, "landsat_7_l2_c2": ETM_QA, "landsat_5_l2_c2": ETM_QA,
}  # fmt: skip
LANDSAT_SCALE, LANDSAT_OFFSET = 2.75e-5, -0.2
# Gaps of Landsat 7 since its scan line corrector failed on 31 May 2003: they come every 32.8 rows, widen from none at the
# track to 14 rows 93 km beside it, and run across the track, which is tilted against the map (period, width and tilt as
# measured on LE07_L1TP_007059_20161209; the width at the edge also in Scaramuzza et al. 2004, USGS).
GAP_PERIOD_PX, GAP_WIDTH_PX_A_KM, GAP_TILT = 32.78, 0.152, 0.1435


@dataclass(frozen=True)
class GapPlace:
    """Where the area lies in a Landsat 7 scene: ``track_km`` beside the track [km], and the row ``phase_px`` [px] of the first gap."""

    track_km: float
    phase_px: float


def slc_off_gaps(shape: tuple[int, int], place: GapPlace) -> np.ndarray:
    """Pixels that the failed scan line corrector left out (bool), dims ``(y, x)`` at 30 m.

    ``place.track_km`` [km] counts from the track to the left edge of the image, negative west of it.
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    width = GAP_WIDTH_PX_A_KM * np.abs(place.track_km + x * LANDSAT_PIXEL_M / 1000)
    return np.mod(y - GAP_TILT * x - place.phase_px, GAP_PERIOD_PX) < width


def gaps_of(seed: int, plan: Plan) -> GapPlace:
    """Place of a scene's gaps: near the edge of the swath, where they are widest, with a new phase each date."""
    random = random_stream(seed, f"gaps {plan.name}")
    # The orbit holds the track within some 5 km.
    return GapPlace(track_km=float(random.uniform(78, 88)), phase_px=float(random.uniform(0, GAP_PERIOD_PX)))


def qa_pixel(sky: Sky, water: np.ndarray, *, sensor: str = "landsat_8_l2_c2") -> np.ndarray:
    """Landsat Collection 2 QA_PIXEL of the sky and the ground, dims ``(y, x)``, uint16; clouds are dilated by
    two pixels.
    """
    qa = QA_PIXEL[sensor]
    cloud = (sky.cloud >= 0.2) | ((sky.cloud >= THIN_CLOUD) & (sky.cirrus == 0))
    values = np.where(water, qa["water"], qa["clear"])
    values[sky.shadow > DEEP_SHADOW] = qa["shadow"]
    values[sky.cirrus > 0] = qa["cirrus"]
    values[ndimage.binary_dilation(cloud, iterations=2)] = qa["dilated"]
    values[cloud] = qa["cloud"]
    return values.astype(np.uint16)



def landsat_scene(world: World, plan: Plan, sky: Sky, *, sensor: str = "landsat_8_l2_c2") -> dict[str, np.ndarray]:
    """Bands of a Landsat scene at 30 m, uint16 numbers of Collection 2 Level 2.

    Reflectance is number * 2.75e-5 - 0.2; 0 is no data, beyond the swath and in the gaps of Landsat 7. Raises
    :class:`SceneError` on a sensor that is none of :data:`QA_PIXEL`.
    """
    if sensor not in QA_PIXEL:
        raise SceneError(f"no sensor {sensor!r} in the simulation; there are {', '.join(QA_PIXEL)}")
    date = plan.time.date()
    zenith, azimuth = sun_position_deg(date)
    ground = ground_reflectance(world, date, sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
    random = random_stream(world.seed, f"noise {plan.name}")
    water = block_mean(land_cover_on(world.first_codes, world.changes, date) == WATER, 3) > 0.5
    sky_30m = Sky(*(block_mean(part, 3) for part in (sky.cloud, sky.shadow, sky.cirrus, sky.haze)))
    beyond = swath_edge(world.seed, plan, grid_shape(LANDSAT_PIXEL_M))
    if sensor == "landsat_7_l2_c2":
        beyond = beyond | slc_off_gaps(beyond.shape, gaps_of(world.seed, plan))
    bands = {}
    for band, gain in LANDSAT_GAIN.items():
        surface = in_bands_of(ground[BANDS.index(band)] * gain, band, sensor)
        seen = block_mean(look_through(surface, sky, band), 3)
        numbers = np.round((add_noise(seen, random) - LANDSAT_OFFSET) / LANDSAT_SCALE)
        bands[band] = np.where(beyond, 0, np.clip(numbers, 1, 65535)).astype(np.uint16)
    quality = qa_pixel(sky_30m, water, sensor=sensor)
    bands["quality"] = np.where(beyond, QA_PIXEL[sensor]["fill"], quality).astype(np.uint16)
    return bands


def in_bands_of(reflectance: np.ndarray, band: str, sensor: str) -> np.ndarray:
    """Surface reflectance [1] of a band of Landsat 8 as ``sensor`` has it."""
    if sensor == "landsat_8_l2_c2":
        return reflectance
    slope, intercept = OLI_OF_ETM[band]
    return (reflectance - intercept) / slope
