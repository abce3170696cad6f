"""Which of many thousand scenes lie on which tile: the cube's own question, asked for all tiles of a place at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyproj
import shapely
from odc.geo.geom import Geometry, intersects, lonlat_bounds

from ceiba.grids import Period, Tile

SEGMENTS_A_SIDE = 8
SURE_M = 20.0
"""What lies nearer to a tile's edge than this, and a term for the bend of the outlines, is decided by the cube's own test."""
BEND_M = 10.0
BEND_AT_M = 100e3


@dataclass
class Footprints:
    """Scenes of one product, an element a scene.

    Attributes
    ----------
    ids
        Ids in the cube.
    starts, ends
        First and last moment, UTC, ``datetime64[us]``.
    simulated
        Whether the scene is simulated.
    outlines, crs
        Outline in the scene's own CRS, None where its document has none.
    lonlat
        West, south, east, north [degrees], dims ``(scene, 4)``.
    """

    ids: Sequence[str]
    starts: np.ndarray
    ends: np.ndarray
    simulated: np.ndarray
    outlines: np.ndarray
    crs: Sequence[str]
    lonlat: np.ndarray
    _on_tile: dict[Tile, np.ndarray] = field(default_factory=dict)

    def __post_init__(self):
        centers = self.starts + (self.ends - self.starts) // 2
        order = np.lexsort((np.array(self.ids, dtype=str), centers)) if len(self.ids) else np.zeros(0, dtype=int)
        self._rank = np.empty(len(order), dtype=int)
        self._rank[order] = np.arange(len(order))

    def ids_of(self, tile: Tile, period: Period, *, simulated: bool, beside: Iterable[Tile] = ()) -> tuple[str, ...]:
        """Scenes that overlap a tile within a period, by time, as ``Datacube.find_datasets`` gives them.

        ``beside`` names tiles that will be asked for next: all are looked up together the first time.
        """
        if tile not in self._on_tile:
            beside = tuple(beside)
            self._on_tile |= self.on_tiles(beside if tile in beside else (tile,))
        found = self._on_tile[tile]
        first = np.datetime64(f"{period.first_year}-01-01", "us")
        after = np.datetime64(f"{period.last_year + 1}-01-01", "us")
        asked = (self.starts[found] < after) & (self.ends[found] >= first) & (self.simulated[found] == simulated)
        return tuple(self.ids[scene] for scene in found[asked])

    def on_tiles(self, tiles: Sequence[Tile]) -> dict[Tile, np.ndarray]:
        """Numbers of the scenes on each tile, by time; the tiles may differ in CRS."""
        found = {}
        for crs in dict.fromkeys(tile.crs for tile in tiles):
            of_crs = [tile for tile in tiles if tile.crs == crs]
            tile_numbers, scenes = self._pairs(of_crs)
            order = np.lexsort((self._rank[scenes], tile_numbers))
            scenes, cuts = scenes[order], np.searchsorted(tile_numbers[order], np.arange(len(of_crs) + 1))
            for number, tile in enumerate(of_crs):
                found[tile] = scenes[cuts[number] : cuts[number + 1]]
        return found

    def _pairs(self, tiles: Sequence[Tile]) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of tiles and scenes that overlap by more than an edge; tiles of one CRS."""
        bounds = np.array([lonlat_bounds(tile.extent, resolution="auto").bbox for tile in tiles])
        west, south, east, north = *bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)
        near = boxes_overlap(self.lonlat, np.array([west, south, east, north]))
        near = np.flatnonzero(near & ~shapely.is_missing(self.outlines))
        outlines = np.empty(len(near), dtype=object)
        for crs in dict.fromkeys(self.crs[scene] for scene in near):
            of_crs = np.array([self.crs[scene] == crs for scene in near], dtype=bool)
            outlines[of_crs] = project_roughly(self.outlines[near[of_crs]], crs, tiles[0].crs)
        extents = np.array([tile.extent.geom for tile in tiles], dtype=object)
        margin = SURE_M + BEND_M * (shapely.area(outlines).max(initial=0.0) / BEND_AT_M**2)
        tile_numbers, places = shapely.STRtree(outlines).query(shapely.buffer(extents, margin, join_style="mitre"), "intersects")
        in_both = boxes_overlap(self.lonlat[near[places]], bounds[tile_numbers])
        tile_numbers, places = tile_numbers[in_both], places[in_both]
        inner = shapely.buffer(extents, -margin, join_style="mitre")
        shapely.prepare(inner)
        sure = shapely.intersects(inner[tile_numbers], outlines[places])
        if not tiles[0].extent.crs.projected:
            sure[:] = False  # the margin is in metres
        for pair in np.flatnonzero(~sure):
            tile, scene = tiles[tile_numbers[pair]], near[places[pair]]
            own = Geometry(self.outlines[scene], crs=self.crs[scene])
            sure[pair] = intersects(tile.extent, own.to_crs(tile.extent.crs, resolution="auto"))
        return tile_numbers[sure], near[places[sure]]


def boxes_overlap(boxes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether boxes of west, south, east, north (last dim) share a point; False where one is NaN."""
    return (
        (boxes[..., 0] <= other[..., 2])
        & (boxes[..., 2] >= other[..., 0])
        & (boxes[..., 1] <= other[..., 3])
        & (boxes[..., 3] >= other[..., 1])
    )


def project_roughly(outlines: np.ndarray, crs: str, to: str) -> np.ndarray:
    """Outlines in another CRS, all by one call, with a few points a side: exact enough where the edge is not near."""
    source, target = pyproj.CRS.from_user_input(crs), pyproj.CRS.from_user_input(to)
    if source == target:
        return outlines
    longest = np.sqrt(shapely.area(outlines)) / SEGMENTS_A_SIDE
    dense = shapely.segmentize(outlines, np.where(longest > 0, longest, 1.0))
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return shapely.transform(dense, lambda points: np.column_stack(transformer.transform(points[:, 0], points[:, 1])))
