"""Objects of an image: segments that are the same whether a tile is segmented or the whole image.

The image is cut into cells of a lattice that is fixed on the ground. Each cell is segmented alone, so that its segments depend on
its pixels only; then two segments that touch across a seam of the lattice become one where each is the other's most similar
across any seam. That looks two cells far: a tile with a halo of two whole cells gives the segments of the whole image, pixel
for pixel and number for number. The price: a segment never spans more than two cells, and at seams more segments end than inside.
"""

import warnings
from collections.abc import Callable

import numpy as np
import xarray as xr
from skimage import graph, measure, segmentation

from ceiba.errors import InputError

CELL_PX = 64
HALO_CELLS = 2
NO_OBJECT = 0
PIXELS_A_SEGMENT = 40
MERGED_FROM = 4  # region merging begins with segments so many times smaller


def segment_objects(
    features: xr.Dataset,
    *,
    method: str = "felzenszwalb",
    pixels_a_segment: int = PIXELS_A_SEGMENT,
    cell_px: int = CELL_PX,
    origin: tuple[int, int] = (0, 0),
) -> xr.DataArray:
    """Segments of alike pixels that touch.

    Parameters
    ----------
    features
        What pixels are compared by, dims ``(y, x)``, brought to comparable scales before by factors fixed for all tiles; NaN is
        no data.
    method
        "slic" (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120), "felzenszwalb" (2004, doi:10.1023/B:VISI.0000022288.19776.77) or
        "region_merging" (SLIC segments of a quarter of the size, the most alike neighbors joined first).
    pixels_a_segment
        Mean size of a segment [pixels] that is aimed at.
    cell_px
        Side of a cell of the lattice [pixels].
    origin
        Row and column of the first pixel, counted from the origin of the grid: the same for all tiles of a grid.

    Returns
    -------
    xr.DataArray
        Numbers of segments, int64, dims ``(y, x)``, 0 is no data. They come from the place of the segment's first pixel on the
        grid: unique over all tiles, the same in each run.

    Raises
    ------
    InputError
        On an unknown method, a size below 2, a cell smaller than a segment or an origin before that of the grid.
    """
    if method not in METHODS:
        raise InputError(f"no segmentation {method!r}; there are {', '.join(METHODS)}")
    if pixels_a_segment < 2 or cell_px**2 < pixels_a_segment:
        raise InputError(f"segments of {pixels_a_segment} pixels in cells of {cell_px} x {cell_px}; give 2 or more, and larger cells")
    if min(origin) < 0:
        raise InputError(f"the first pixel lies at {origin}; rows and columns are counted from 0 at the grid's origin")
    first = next(iter(features.values()))
    stack = np.stack([features[name].values for name in features.data_vars], axis=-1).astype("float64")
    numbers = np.zeros(first.shape, dtype="int64")
    for rows in _cells(origin[0], first.shape[0], cell_px):
        for columns in _cells(origin[1], first.shape[1], cell_px):
            numbers[rows, columns] = _segment_cell(
                stack[rows, columns], METHODS[method], pixels_a_segment, (origin[0] + rows.start, origin[1] + columns.start)
            )
    _join_across_seams(numbers, stack, cell_px, origin)
    return xr.DataArray(numbers, dims=first.dims, coords=first.coords, attrs={"units": "1", "nodata": NO_OBJECT})


def tile_window(tile: tuple[slice, slice], shape: tuple[int, int], *, cell_px: int = CELL_PX) -> tuple[slice, slice]:
    """Rows and columns to segment so that ``tile`` gets the segments of the whole grid of ``shape`` [pixels]."""
    window = []
    for part, length in zip(tile, shape, strict=True):
        start = max(0, (part.start // cell_px - HALO_CELLS) * cell_px)
        window.append(slice(start, min(length, (-(-part.stop // cell_px) + HALO_CELLS) * cell_px)))
    return window[0], window[1]


def _cells(origin: int, length: int, cell_px: int) -> list[slice]:
    edges = [0, *range(cell_px - origin % cell_px, length, cell_px), length]
    return [slice(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def _segment_cell(stack: np.ndarray, segment: Callable, pixels_a_segment: int, corner: tuple[int, int]) -> np.ndarray:
    seen = np.isfinite(stack).all(axis=-1)
    if not seen.any():
        return np.zeros(seen.shape, dtype="int64")
    filled = np.where(seen[..., None], stack, stack[seen].mean(axis=0))
    parts = segment(filled, pixels_a_segment) + 1
    # A segment is in one piece, also where missing pixels cut it.
    pieces = measure.label(np.where(seen, parts, 0), background=0, connectivity=1)
    names, firsts = np.unique(pieces, return_index=True)
    row, column = np.divmod(firsts, seen.shape[1])
    # Rows and columns of the grid, 30 bits each.
    number = ((row + corner[0]).astype("int64") << 30) + column + corner[1] + 1
    number[names == 0] = NO_OBJECT
    return number[np.searchsorted(names, pieces)]


def _slic(stack: np.ndarray, pixels_a_segment: int) -> np.ndarray:
    wanted = max(1, round(stack.shape[0] * stack.shape[1] / pixels_a_segment))
    spread = float(np.ptp(stack)) or 1.0
    # skimage scales each image to 0 to 1: dividing by the same spread keeps the balance of likeness and nearness fixed.
    return segmentation.slic(
        stack, n_segments=wanted, compactness=1.0 / spread, channel_axis=-1, convert2lab=False, start_label=0, slic_zero=False
    )


def _felzenszwalb(stack: np.ndarray, pixels_a_segment: int) -> np.ndarray:
    # The scale grows with the size aimed at; segments under half of it join the nearest.
    smallest = max(2, pixels_a_segment // 2)
    with warnings.catch_warnings():
        # It asks whether other than three channels are meant: they are.
        warnings.filterwarnings("ignore", message="Got image with third dimension", category=RuntimeWarning)
        return segmentation.felzenszwalb(stack, scale=pixels_a_segment / 10, sigma=0.0, min_size=smallest, channel_axis=-1)


def _region_merging(stack: np.ndarray, pixels_a_segment: int) -> np.ndarray:
    parts = _slic(stack, max(2, pixels_a_segment // MERGED_FROM))
    wanted = max(1, round(parts.size / pixels_a_segment))
    regions = graph.RAG(parts)
    flat = parts.ravel()
    count = np.bincount(flat)
    totals = np.stack([np.bincount(flat, weights=layer.ravel()) for layer in np.moveaxis(stack, -1, 0)], axis=-1)
    for node in regions.nodes:
        regions.nodes[node].update(labels=[node], total=totals[node], count=count[node])
    for one, other in regions.edges:
        regions.edges[one, other]["weight"] = _unlike(regions, None, one, other)["weight"]
    limit = _merging_limit(regions, wanted)
    return graph.merge_hierarchical(
        parts, regions, thresh=limit, rag_copy=False, in_place_merge=True, merge_func=_merge, weight_func=_unlike
    )


def _merging_limit(regions: graph.RAG, wanted: int) -> float:
    """Unlikeness up to which neighbors join: that of the share of pairs whose joining leaves about ``wanted`` segments."""
    weights = np.sort([weight for _, _, weight in regions.edges.data("weight")])
    joins = len(regions) - wanted
    if joins <= 0 or not len(weights):
        return -1.0
    return float(weights[min(len(weights) - 1, round(len(weights) * joins / len(regions)))])


def _unlike(regions: graph.RAG, _, one: int, other: int) -> dict[str, float]:
    """Growth of the squared error where two segments join (Ward 1963), per pixel of the smaller."""
    first, second = regions.nodes[one], regions.nodes[other]
    apart = first["total"] / first["count"] - second["total"] / second["count"]
    return {"weight": float((apart**2).sum() * first["count"] * second["count"] / (first["count"] + second["count"]))}


def _merge(regions: graph.RAG, source: int, target: int) -> None:
    gone, left = regions.nodes[source], regions.nodes[target]
    left["total"] = left["total"] + gone["total"]
    left["count"] = left["count"] + gone["count"]


METHODS: dict[str, Callable] = {"slic": _slic, "felzenszwalb": _felzenszwalb, "region_merging": _region_merging}


def _join_across_seams(numbers: np.ndarray, stack: np.ndarray, cell_px: int, origin: tuple[int, int]) -> None:
    """Join pairs of segments that are each other's most alike across seams, in place."""
    names, place = np.unique(numbers, return_inverse=True)
    place = place.reshape(numbers.shape)
    pairs = []
    for cell in _cells(origin[0], numbers.shape[0], cell_px)[1:]:
        pairs.append(np.stack([place[cell.start - 1], place[cell.start]], axis=-1))
    for cell in _cells(origin[1], numbers.shape[1], cell_px)[1:]:
        pairs.append(np.stack([place[:, cell.start - 1], place[:, cell.start]], axis=-1))
    if not pairs:
        return
    touching = np.unique(np.concatenate(pairs), axis=0)
    touching = touching[(names[touching] != NO_OBJECT).all(axis=1)]
    if not len(touching):
        return
    count = np.bincount(place.ravel())
    seen = np.where(np.isfinite(stack).all(axis=-1, keepdims=True), stack, 0.0)
    mean = np.stack([np.bincount(place.ravel(), weights=seen[..., layer].ravel()) for layer in range(stack.shape[-1])], axis=-1)
    mean /= count[:, None]
    apart = ((mean[touching[:, 0]] - mean[touching[:, 1]]) ** 2).sum(axis=1)
    # Both ways round; the most alike first, then the smaller number: no tie is left to chance.
    both = np.concatenate([touching, touching[:, ::-1]])
    order = np.lexsort((both[:, 1], np.concatenate([apart, apart]), both[:, 0]))
    starts, first = np.unique(both[order, 0], return_index=True)
    best = np.full(len(names), -1)
    best[starts] = both[order[first], 1]
    mutual = starts[best[best[starts]] == starts]
    joined = np.arange(len(names))
    joined[mutual] = np.minimum(mutual, best[mutual])
    numbers[:] = names[joined[place]]
