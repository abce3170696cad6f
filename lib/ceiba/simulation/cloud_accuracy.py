"""How well a cloud mask finds the clouds that were planted: the figures of a report, and what they are made from."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from ceiba.ard.cloud_detection import cloud_probability, mask_clouds
from ceiba.simulation.baselines import FORMER_BASELINE, count_shift
from ceiba.simulation.land_cover import group_names, group_of
from ceiba.simulation.layout import block_mean, enlarge, grid_shape, grid_transform
from ceiba.simulation.level_1c import SkyTruth, sentinel_2_l1c_scene
from ceiba.simulation.scenes import plan_scenes, sky_of
from ceiba.simulation.world import World

MASK_PIXEL_M = 20
# A cloud is what takes a noticeable part of the light; between open sky and this optical depth a mask may say either.
CLOUD_DEPTH = 1.0
DEPTHS = ((0.0, 1.0), (1.0, 3.0), (3.0, 10.0), (10.0, np.inf))


def toa_on_grid(bands: Mapping[int, Mapping[str, np.ndarray]], *, baseline: str = FORMER_BASELINE) -> xr.Dataset:
    """Reflectance [1] of a simulated level 1C scene on one grid of :data:`MASK_PIXEL_M`, dims ``(y, x)``, NaN for no data."""
    shape, transform = grid_shape(MASK_PIXEL_M), grid_transform(MASK_PIXEL_M)
    values = {}
    for size, names in bands.items():
        for name, counts in names.items():
            reflectance = np.where(counts == 0, np.nan, (counts - float(count_shift(baseline))) / 10_000)
            fitted = block_mean(reflectance, MASK_PIXEL_M // size) if size <= MASK_PIXEL_M else (
                enlarge(reflectance, size // MASK_PIXEL_M, shape)
            )  # fmt: skip
            values[name] = (("y", "x"), fitted.astype(np.float32))
    coords = {
        "y": transform.f + transform.e * (np.arange(shape[0]) + 0.5), "x": transform.c + transform.a * (np.arange(shape[1]) + 0.5),
    }  # fmt: skip
    return xr.Dataset(values, coords=coords)


def mask_scenes(world: World, years: Iterable[int], *, step: int = 1) -> dict[str, np.ndarray]:
    """Every pixel of 20 m inside the swath of simulated scenes: what was there and what the masks said.

    Returns arrays of one length: ``depth`` and ``cirrus`` (optical depth [1]), ``shadow`` [1], ``group`` (land cover),
    ``close`` (probability above 0.4) and ``wide`` (the mask with its averaging and widening), the last two bool.
    """
    wanted = set(years)
    plans = [plan for plan in plan_scenes(world.seed, "sentinel_2") if plan.time.year in wanted][::step]
    parts = []
    for plan in plans:
        bands, truth = sentinel_2_l1c_scene(world, plan, sky_of(world.seed, plan))
        probability = cloud_probability(toa_on_grid(bands))
        close = mask_clouds(probability, resolution_m=MASK_PIXEL_M, averaging_m=0, dilation_m=0)
        wide = mask_clouds(probability, resolution_m=MASK_PIXEL_M)
        parts.append(_pixels(truth, close.values, wide.values))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pixels(truth: SkyTruth, close: np.ndarray, wide: np.ndarray) -> dict[str, np.ndarray]:
    factor = MASK_PIXEL_M // 10
    inside = block_mean(truth.beyond.astype(np.float32), factor) == 0
    found = {
        name: block_mean(values.astype(np.float32), factor)
        for name, values in (("depth", truth.cloud_depth), ("cirrus", truth.cirrus_depth), ("shadow", truth.shadow))
    }
    found |= {"group": group_of(truth.land_cover)[::factor, ::factor], "close": close, "wide": wide}
    return {name: values[inside] for name, values in found.items()}


def mask_figures(pixels: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Shares [1] by name, from :func:`mask_scenes`.

    Accuracy counts open sky and clouds of at least :data:`CLOUD_DEPTH`; thinner cloud and cirrus have their own rows.
    False alarms are pixels without any cloud above them, by land cover those in the sun.
    """
    depth, cirrus, close = pixels["depth"], pixels["cirrus"], pixels["close"]
    no_cirrus = cirrus == 0
    clear, cloud = (depth == 0) & no_cirrus, (depth >= CLOUD_DEPTH) & no_cirrus
    figures = {"accuracy": float((close == cloud)[clear | cloud].mean())}
    for low, high in DEPTHS:
        name = f"clouds found, optical depth {low:g} to {high:g}" if np.isfinite(high) else f"clouds found, optical depth over {low:g}"
        figures[name] = float(close[(depth > low) & (depth <= high) & no_cirrus].mean())
    figures["cirrus found, optical depth over 0.1"] = float(close[(cirrus > 0.1) & (depth == 0)].mean())
    figures["clouds found by the widened mask"] = float(pixels["wide"][cloud].mean())
    # Clouds of the simulated area are a few hundred meters wide: 110 m around each and an average over 220 m take much.
    figures["open sky taken by the widened mask"] = float(pixels["wide"][clear].mean())
    figures["false alarms"] = float(close[clear].mean())
    figures["false alarms, cloud shadow"] = float(close[clear & (pixels["shadow"] > 0.15)].mean())
    for number, name in enumerate(group_names()):
        here = clear & (pixels["group"] == number) & (pixels["shadow"] == 0)
        if here.sum() > 500:
            figures[f"false alarms, {name}"] = float(close[here].mean())
    return figures
