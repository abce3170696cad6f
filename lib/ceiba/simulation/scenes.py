"""Satellite scenes of the simulated area: when they are taken and under which sky, and Sentinel-2 like at 10 and 20 m."""

import datetime
from dataclasses import dataclass

import numpy as np

from ceiba.errors import SceneError
from ceiba.simulation.baselines import FORMER_BASELINE, to_counts
from ceiba.simulation.clouds import DEEP_SHADOW, THICK_CLOUD, THIN_CLOUD, Sky, look_through, make_sky
from ceiba.simulation.land_cover import WATER, land_cover_on
from ceiba.simulation.layout import PIXEL_M, YEARS, block_mean, enlarge, grid_shape, random_stream
from ceiba.simulation.spectra import BANDS, ndvi_of
from ceiba.simulation.world import World, ground_reflectance

# Mission to the prefix of its scenes' names and their number a year.
MISSIONS = {
    "sentinel_2": ("s2a", 14), "landsat": ("lc08", 8), "landsat_7": ("le07", 8), "landsat_5": ("lt05", 8),
}  # fmt: skip
OVERPASS = datetime.time(16, 30)
# Standard deviation of sensor noise [1]: a constant part and a share of the reflectance.
NOISE, NOISE_SHARE = 0.0008, 0.0035
SCL = {
    "no_data": 0,
    "shadow": 3,
    "vegetation": 4,
    "bare": 5,
    "water": 6,
    "thin_cloud": 8,
    "thick_cloud": 9,
    "cirrus": 10,
}


@dataclass(frozen=True)
class Plan:
    """When a scene is taken and how much cloud there is; ``missing`` is the share of the area beyond the
    swath [1].
    """

    name: str
    time: datetime.datetime
    cloud_cover: float
    cirrus_cover: float
    haze: float
    missing: float


def sun_position_deg(date: datetime.date) -> tuple[float, float]:
    """Zenith and azimuth [degree, clockwise from north] of the sun at the overpass: low and southern in
    winter.
    """
    winter = 0.5 + 0.5 * np.cos(2 * np.pi * (date.timetuple().tm_yday + 10) / 365.25)
    return 24 + 27 * winter, 92 + 56 * winter


def plan_scenes(seed: int, sensor: str) -> list[Plan]:
    """Scenes of all years in order of time.

    ``sensor`` is one of :data:`MISSIONS`. All fly in the years of the area, which Landsat 5 did not live to see.
    Cloud cover runs from 20 to 60 %, more in the rains (June to October); one or two scenes a year are nearly
    all cloud, and two reach only part of the area.
    """
    random = random_stream(seed, f"{sensor} plan")
    if sensor not in MISSIONS:
        raise SceneError(f"no mission {sensor!r} in the simulation; there are {', '.join(MISSIONS)}")
    prefix, count = MISSIONS[sensor]
    plans = []
    for year in YEARS:
        step = 365 / count
        overcast = set(random.choice(count, size=max(1, count // 8), replace=False).tolist())
        partial = set(random.choice(count, size=2, replace=False).tolist())
        for number in range(count):
            day = int(step * number + random.integers(2, step - 2))
            date = datetime.date(year, 1, 1) + datetime.timedelta(days=day)
            rains = 6 <= date.month <= 10
            cover = 0.2 + 0.4 * random.beta(1.8 if rains else 1.1, 2.4 if rains else 3.5)
            plans.append(Plan(
                name=f"{prefix}_{date:%Y%m%d}",
                time=datetime.datetime.combine(date, OVERPASS),
                cloud_cover=random.uniform(0.93, 0.98) if number in overcast else cover,
                cirrus_cover=random.uniform(0.05, 0.2) if random.random() < 0.25 else 0.0,
                haze=0.02 * random.beta(1.5, 5),
                missing=random.uniform(0.08, 0.3) if number in partial else 0.0,
            ))  # fmt: skip
    return plans


def sky_of(seed: int, plan: Plan) -> Sky:
    """The sky of a planned scene."""
    random = random_stream(seed, f"sky {plan.name}")
    zenith, azimuth = sun_position_deg(plan.time.date())
    return make_sky(
        random,
        grid_shape(PIXEL_M),
        cloud_cover=plan.cloud_cover,
        height_m=random.uniform(250, 700),
        sun_zenith_deg=zenith,
        sun_azimuth_deg=azimuth,
        cirrus_cover=plan.cirrus_cover,
        haze=plan.haze,
    )


def scene_classification(sky: Sky, ndvi: np.ndarray, water: np.ndarray) -> np.ndarray:
    """Sentinel-2 scene classes of what is in the sky and else on the ground, dims ``(y, x)``, uint8.

    ``ndvi`` [1] and ``water`` (bool) describe the ground. The cloud classes tell the truth of the sky but for
    the haze.
    """
    classes = np.where(water, SCL["water"], np.where(ndvi > 0.3, SCL["vegetation"], SCL["bare"]))
    classes[sky.shadow > DEEP_SHADOW] = SCL["shadow"]
    classes[sky.cirrus > 0] = SCL["cirrus"]
    classes[sky.cloud >= THIN_CLOUD] = SCL["thin_cloud"]
    classes[sky.cloud > THICK_CLOUD] = SCL["thick_cloud"]
    return classes.astype(np.uint8)


def swath_edge(seed: int, plan: Plan, shape: tuple[int, int]) -> np.ndarray:
    """Pixels beyond the swath (bool), dims ``(y, x)``: a slanted strip at one side with the planned share."""
    if plan.missing == 0:
        return np.zeros(shape, dtype=bool)
    east = random_stream(seed, f"swath {plan.name}").random() < 0.5
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = x + 0.2 * y if east else -x - 0.2 * y
    return distance > np.quantile(distance, 1 - plan.missing)


def sentinel_2_scene(
    world: World, plan: Plan, sky: Sky, *, baseline: str = FORMER_BASELINE
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Bands of a Sentinel-2 scene at 10 m and at 20 m, uint16 with reflectance times 10 000 and 0 for no
    data; from processing ``baseline`` 04.00 on the counts are shifted by 1000.

    Scene classes are made at 20 m and repeated at 10 m, as in the real product.
    """
    date = plan.time.date()
    zenith, azimuth = sun_position_deg(date)
    ground = ground_reflectance(world, date, sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
    random = random_stream(world.seed, f"noise {plan.name}")
    water = land_cover_on(world.first_codes, world.changes, date) == WATER
    seen = {
        band: look_through(ground[BANDS.index(band)], sky, band) for band in ("blue", "green", "red", "nir", "swir_1")
    }
    beyond_20m = swath_edge(world.seed, plan, grid_shape(20))
    beyond_10m = enlarge(beyond_20m, 2, grid_shape(10))
    sky_20m = Sky(*(block_mean(part, 2) for part in (sky.cloud, sky.shadow, sky.cirrus, sky.haze)))
    classes = scene_classification(sky_20m, block_mean(ndvi_of(ground), 2), block_mean(water, 2) > 0.5)
    classes[beyond_20m] = SCL["no_data"]

    fine = {
        band: to_counts(add_noise(seen[band], random), beyond_10m, baseline) for band in ("blue", "green", "red", "nir")
    }
    fine["quality"] = enlarge(classes, 2, grid_shape(10)).astype(np.uint16)
    coarse_seen = {band: block_mean(seen[band], 2) for band in ("green", "red", "nir", "swir_1")}
    # The narrow band leaves out the water vapour that dims the broad one a little.
    coarse_seen["nir"] *= 1.015
    names = {"green": "green_20m", "red": "red_20m", "nir": "nir_narrow", "swir_1": "swir_1"}
    coarse = {
        names[band]: to_counts(add_noise(values, random), beyond_20m, baseline) for band, values in coarse_seen.items()
    }
    coarse["quality_20m"] = classes.astype(np.uint16)
    return fine, coarse


def add_noise(reflectance: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Reflectance [1] with the noise of a sensor."""
    noise = random.standard_normal(reflectance.shape, dtype=np.float32)
    return reflectance + noise * (NOISE + NOISE_SHARE * reflectance)
