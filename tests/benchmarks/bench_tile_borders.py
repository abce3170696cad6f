"""Do borders of tiles and states show? How often classes change across them and inside, on simulated countries cut into tiles.

Each tile is mapped as notebook 03_classification/02_map_land_cover does: its features with those of the tiles around it, of its own
area only, no data beyond. "Alone" is the same without the tiles around it.
"""

import json

import numpy as np
import xarray as xr
from affine import Affine
from bench_land_cover_maps import LEGEND, SAMPLES, SIDE_PX, make_case
from odc.geo.geobox import GeoBox

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.maps.blocks import MapSettings, map_by_blocks
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.simulation.country import PIXEL_M

SEEDS, TILE_PX, DRAWS = tuple(range(301, 311)), 48, 4000
# The first is what the notebook does where nothing else is asked for.
SETTINGS = {
    "window 5": MapSettings(window_px=5, smoothness=5.0),
    "window 5, unit 0.5 ha": MapSettings(window_px=5, smoothness=5.0, unit_ha=0.5),
}
GEOBOX = GeoBox((SIDE_PX, SIDE_PX), Affine(PIXEL_M, 0, 4e6, 0, -PIXEL_M, 1.2e6), "EPSG:6372")
ROWS, COLUMNS = np.mgrid[:SIDE_PX, :SIDE_PX]
# A border that runs through tiles, as those of states do, and the same drawn elsewhere.
STATES = [COLUMNS + 0.37 * ROWS > 0.62 * SIDE_PX + shift for shift in (0, *range(-45, -4), *range(5, 60))]
IN_STATE = STATES[0]


def main() -> dict[str, object]:
    """Every figure by name."""
    shares: dict[str, list[dict[str, list[float]]]] = {}
    differing: dict[str, int] = {}
    for seed in SEEDS:
        for name, (codes, whole) in make_maps(seed).items():
            differing[name] = differing.get(name, 0) + int((codes != whole).sum())
            shares.setdefault(name, []).append(changes(codes))
    figures = {name: compare(each) | {"pixels that differ from the map of the whole": differing[name]} for name, each in shares.items()}
    print(json.dumps(figures, indent=1))
    return figures


def make_maps(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Maps of one country by name, each with the map of the whole to which it is to be equal; the truth with itself."""
    model, features, truth, areas, held_out = make_case(seed)
    states = {True: IN_STATE, False: ~IN_STATE}
    everything = np.ones_like(IN_STATE)
    maps = {"truth": (truth, truth)}
    for name, settings in SETTINGS.items():
        whole = map_by_blocks(model, features, LEGEND, areas, settings=settings)["land_cover"].values
        maps[f"{name}, whole"] = (whole, whole)
        halo = settings.halo_px(float(areas.min()))
        for margin, pixels in (("with neighbors", halo), ("alone", 0)):
            maps[f"{name}, tiles {margin}"] = (map_tiles(model, features, settings, everything, pixels), whole)
            two = {side: map_tiles(model, features, settings, inside, pixels) for side, inside in states.items()}
            maps[f"{name}, two states {margin}"] = (np.where(IN_STATE, two[True], two[False]), whole)
    own = {}
    for side, inside in states.items():
        own_model = train(features, truth, inside & ~held_out, model, seed)
        own[side] = map_tiles(own_model, features, settings, inside, halo)
    maps[f"{name}, two states, each with a model of its own"] = (np.where(IN_STATE, own[True], own[False]), whole)
    return maps


def train(features: xr.Dataset, truth: np.ndarray, where: np.ndarray, like: LandCoverModel, seed: int) -> LandCoverModel:
    """A model as ``like`` from samples of a part of the country."""
    columns = np.stack([layer.values for layer in features.values()], axis=-1)
    seen = np.flatnonzero((where & np.isfinite(columns).all(axis=-1)).ravel())
    at = np.random.default_rng(seed).choice(seen, min(SAMPLES, len(seen)), replace=False)
    codes = truth.ravel()[at]
    trees = fit_classifier("extra_trees", columns.reshape(truth.size, -1)[at], codes, seed=seed, options={"trees": 60})
    return LandCoverModel(trees, like.names, like.legend_name, like.legend_fingerprint, Softening(1.0, 0.01))


def map_tiles(model: LandCoverModel, features: xr.Dataset, settings: MapSettings, area: np.ndarray, halo: int) -> np.ndarray:
    """The tiles that touch an area, each mapped by itself; 0 elsewhere."""
    starts = range(0, SIDE_PX, TILE_PX)
    tiles = [(top, left) for top in starts for left in starts if area[top : top + TILE_PX, left : left + TILE_PX].any()]
    made = np.zeros_like(area)
    for top, left in tiles:
        made[top : top + TILE_PX, left : left + TILE_PX] = True
    near = features.where(xr.DataArray(made, dims=("y", "x"))).pad(y=halo, x=halo)
    pixels = pixel_areas(GEOBOX.pad(halo))
    codes = np.zeros(area.shape, dtype="uint8")
    for top, left in tiles:
        rows, columns = slice(top, top + TILE_PX + 2 * halo), slice(left, left + TILE_PX + 2 * halo)
        part = map_by_blocks(
            model, near.isel(y=rows, x=columns), LEGEND, pixels[rows, columns], settings=settings, rim_px=halo
        )["land_cover"]
        codes[top : top + TILE_PX, left : left + TILE_PX] = part.values
    return codes


def changes(codes: np.ndarray) -> dict[str, list[float]]:
    """Share of neighboring pixels of another class [%]: inside, and across borders, first the real ones, then some drawn elsewhere."""
    lines = [differences(codes), differences(codes.T)]
    at_border = [np.arange(TILE_PX - 1, SIDE_PX - 1, TILE_PX) - shift for shift in range(TILE_PX)]
    tiles = [np.mean([differ[each].mean() for differ in lines]) for each in at_border]
    not_at_border = ~np.isin(np.arange(SIDE_PX - 1), at_border[0])[:, None]
    borders = [(crossing(state), crossing(state.T)) for state in STATES]
    inside = [differ[not_at_border & ~across] for differ, across in zip(lines, borders[0], strict=True)]
    states = [np.concatenate([differ[across] for differ, across in zip(lines, border, strict=True)]).mean() for border in borders]
    shares = {"inside": [np.concatenate(inside).mean()], "tile borders": tiles, "state border": states}
    return {kind: [100 * float(share) for share in values] for kind, values in shares.items()}


def differences(codes: np.ndarray) -> np.ndarray:
    """Where a pixel has another class than the one below it."""
    return codes[1:] != codes[:-1]


def crossing(state: np.ndarray) -> np.ndarray:
    """Where a border lies between a pixel and the one below it."""
    return state[1:] != state[:-1]


def compare(countries: list[dict[str, list[float]]]) -> dict[str, object]:
    """Share of changes inside and across borders [%], and the difference [points] with its 95 % interval.

    The interval comes from borders drawn elsewhere on the same maps, at random in each country: they tell how far the difference
    goes by chance where there is no border.
    """
    random = np.random.default_rng(0)
    inside = np.array([country["inside"][0] for country in countries])
    out: dict[str, object] = {"inside [%]": round(float(inside.mean()), 2)}
    for kind in ("tile borders", "state border"):
        found = np.array([country[kind] for country in countries])
        elsewhere = np.stack([random.choice(each[1:], DRAWS) for each in found - inside[:, None]]).mean(axis=0)
        difference = float((found[:, 0] - inside).mean())
        by_chance = np.percentile(elsewhere - elsewhere.mean(), [97.5, 2.5])
        out[f"{kind} [%]"] = round(float(found[:, 0].mean()), 2)
        out[f"{kind} - inside, with 95 % interval [points]"] = np.round([difference, *(difference - by_chance)], 2).tolist()
    return out


if __name__ == "__main__":
    main()
