"""Boundaries, protected areas and incentive areas of the simulated area."""

from pathlib import Path

import numpy as np
import shapely
from scipy import ndimage

from ceiba.simulation.files import write_shapes
from ceiba.simulation.layout import BOUNDS, CELL_M, LEFT_M, TILE_M, TOP_M, YEARS, random_stream
from ceiba.simulation.world import World


def municipalities(world: World) -> list[shapely.Polygon]:
    """Three municipalities that share the area without gap, parted by two winding lines, west to east."""
    random = random_stream(world.seed, "municipalities")
    left, bottom, right, top = BOUNDS
    y = np.linspace(top, bottom, 17)
    lines = [left + (right - left) * share + random.uniform(-150, 150, y.size) for share in (0.36, 0.7)]
    edges = [np.full(y.size, left), *lines, np.full(y.size, right)]
    return [
        shapely.Polygon([*zip(west, y, strict=True), *zip(east[::-1], y[::-1], strict=True)])
        for west, east in zip(edges, edges[1:], strict=False)
    ]


def rectangles_around(mask: np.ndarray, *, count: int, half_m: float) -> list[shapely.Polygon]:
    """Squares of half width ``half_m`` [m] around the most central cells of ``mask``, dims ``(y, x)`` at 80
    m, apart.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    found: list[shapely.Polygon] = []
    for cell in np.argsort(-depth, axis=None, kind="stable"):
        row, column = np.unravel_index(cell, mask.shape)
        x, y = LEFT_M + (column + 0.5) * CELL_M, TOP_M - (row + 0.5) * CELL_M
        square = shapely.box(x - half_m, y - half_m, x + half_m, y + half_m).intersection(shapely.box(*BOUNDS))
        if not any(square.intersects(other) for other in found):
            found.append(square)
        if len(found) == count:
            break
    return found


def in_each_tile(mask: np.ndarray, *, count: int, half_m: float) -> list[shapely.Polygon]:
    """:func:`rectangles_around` in each tile by itself, so that no tile is without, dims of ``mask`` ``(y, x)`` at 80 m."""
    tile_of_column = np.arange(mask.shape[1]) // round(TILE_M / CELL_M)
    return [
        square
        for tile in np.unique(tile_of_column)
        for square in rectangles_around(mask & (tile_of_column == tile), count=count, half_m=half_m)
    ]


def write_vector_files(folder: Path, world: World) -> None:
    """Write boundaries, protected areas and incentive areas as GeoJSON below ``folder``."""
    condition = world.condition[YEARS[0]].states["condition"]
    cover = world.condition[YEARS[0]].states["land_cover"]
    names = ["Municipio Poniente (simulado)", "Municipio Centro (simulado)", "Municipio Oriente (simulado)"]
    _write(folder / "boundaries.geojson", municipalities(world), names, ["municipality"] * 3)
    reserves = in_each_tile((condition <= 1) & (cover <= 1), count=1, half_m=330)
    names = ["Reserva de la Ceiba (simulada)", "Santuario del Jaguar (simulado)"]
    _write(folder / "protected_areas.geojson", reserves, names, ["reserve", "sanctuary"])
    forest = in_each_tile((cover == 0) & (condition >= 1), count=2, half_m=140)
    farms = in_each_tile(cover == 3, count=1, half_m=140)
    names = [f"Servicios ambientales {number + 1} (simulado)" for number in range(len(forest))]
    names += [f"Agroforestería {number + 1} (simulada)" for number in range(len(farms))]
    kinds = ["payment_for_services"] * len(forest) + ["agroforestry"] * len(farms)
    _write(folder / "incentives.geojson", [*forest, *farms], names, kinds)


def _write(path: Path, polygons: list[shapely.Polygon], names: list[str], kinds: list[str]) -> None:
    write_shapes(path, polygons, {"name": names, "kind": kinds})
