"""Where a small tile of one image lies in another, below a pixel and over valid pixels alone.

First by masked correlation at whole pixels (Padfield 2012, doi:10.1109/TIP.2011.2181402), from there by least squares
(Lucas and Kanade 1981, with gain and offset; Baker and Matthews 2004, doi:10.1023/B:VISI.0000011205.11775.fd). Both
leave out what is no data or cloud, which phase correlation cannot: the edge of a mask would correlate with itself.
"""

import numpy as np
from scipy import ndimage, signal

# A tile counts where so much of it can be compared, and where the aligned images correlate at least so well.
LEAST_OVERLAP, LEAST_CORRELATION = 0.3, 0.6
# Interpolation reaches this far: pixels as near to no data are left out.
REACH_PX = 3
SMOOTHING_PX = 0.7
ITERATIONS, CONVERGED_PX = 20, 1e-3


def tile_shift(
    image: np.ndarray, seen: np.ndarray, base: np.ndarray, known: np.ndarray, *, search_px: int
) -> tuple[tuple[float, float], float] | None:
    """Shift of a tile in a window of the reference.

    Parameters
    ----------
    image, seen
        Tile and its valid pixels, dims ``(y, x)``.
    base, known
        Reference and its valid pixels, ``search_px`` wider on each side, dims ``(y, x)``.

    Returns
    -------
    tuple or None
        Rows down and columns right [pixel] by which the tile's image lies from the reference's, and the correlation of the
        aligned images [1]; None where it cannot be told.
    """
    if seen.sum() < LEAST_OVERLAP * seen.size or known.sum() < LEAST_OVERLAP * known.size:
        return None
    image, base = _fill(image, seen), _fill(base, known)
    correlation = masked_correlation(base, known, image, seen, least=LEAST_OVERLAP * seen.size)
    if not np.isfinite(correlation).any():
        return None
    start = np.array(np.unravel_index(np.nanargmax(correlation), correlation.shape), dtype=np.float64)
    if (start == 0).any() or (start == 2 * search_px).any():
        return None  # The best at the edge of the search is not known to be the best.
    smooth_image, smooth_base = (ndimage.gaussian_filter(values, SMOOTHING_PX, mode="nearest") for values in (image, base))
    inner = ndimage.binary_erosion(seen, iterations=REACH_PX, border_value=1)
    trusted = ndimage.binary_erosion(known, iterations=REACH_PX, border_value=1)
    found = _refine(smooth_image, inner, ndimage.spline_filter(smooth_base, order=3, mode="nearest"), trusted, start)
    if found is None or np.abs(found[0] - start).max() > 1.5 or found[1] < LEAST_CORRELATION:
        return None
    # The tile was found `place` into the window. Where the same ground lies further down in the reference, the scene lies
    # higher up.
    place = search_px - found[0]
    return (float(place[0]), float(place[1])), float(found[1])


def _fill(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Values less their mean, and 0 where they are not valid."""
    return np.where(valid, values - values[valid].mean(), 0.0)


def masked_correlation(base: np.ndarray, known: np.ndarray, image: np.ndarray, seen: np.ndarray, *, least: float) -> np.ndarray:
    """Correlation [1] of ``image`` with ``base`` at each place where it fits in, over pixels valid in both (Padfield 2012).

    NaN where fewer than ``least`` pixels are. Values must be 0 where they are not valid.
    """

    def sums(window: np.ndarray, tile: np.ndarray) -> np.ndarray:
        return signal.correlate(window, tile, mode="valid", method="fft")

    known, seen = known.astype(np.float64), seen.astype(np.float64)
    count = np.round(sums(known, seen))
    enough = np.maximum(count, 1)
    of_base, of_image = sums(base, seen), sums(known, image)
    spread = (sums(base**2, seen) - of_base**2 / enough) * (sums(known, image**2) - of_image**2 / enough)
    together = sums(base, image) - of_base * of_image / enough
    usable = (count >= max(least, 2)) & (spread > 1e-12 * (base**2).sum() * (image**2).sum())
    return np.where(usable, together / np.sqrt(np.where(usable, spread, 1)), np.nan)


def _refine(
    image: np.ndarray, seen: np.ndarray, spline: np.ndarray, trusted: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, float] | None:
    """Place of the tile in the window [pixel] and correlation there, by Gauss-Newton steps from ``start``."""
    rows, columns = np.nonzero(seen)
    values = image[rows, columns]
    place = start.copy()
    for _ in range(ITERATIONS):
        here = np.stack([rows + place[0], columns + place[1]])
        near = trusted[tuple(np.clip(np.round(here).astype(int), 0, np.array(trusted.shape)[:, None] - 1))]
        if near.sum() < LEAST_OVERLAP / 2 * image.size:
            return None
        base, down, right = _interpolate(spline, here[:, near])
        step, correlation = _least_squares_step(values[near], base, down, right)
        if step is None:
            return None
        place = place + np.clip(step, -1, 1)
        if np.abs(step).max() < CONVERGED_PX:
            return place, correlation
    return None


def _interpolate(spline: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value and slopes along rows and columns of a cubic spline at ``places`` ``(2, point)``."""

    def at(down: float, right: float) -> np.ndarray:
        moved = places + np.array([[down], [right]])
        return ndimage.map_coordinates(spline, moved, order=3, prefilter=False, mode="nearest")

    half = 0.5
    return at(0, 0), at(half, 0) - at(-half, 0), at(0, half) - at(0, -half)


def _least_squares_step(
    values: np.ndarray, base: np.ndarray, down: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray | None, float]:
    """Step [pixel] that brings ``gain * base + offset`` nearest to ``values``; None where the ground has no texture."""
    design = np.stack([down, right, base, np.ones_like(base)], axis=1)
    answer, _, rank, _ = np.linalg.lstsq(design, values, rcond=1e-8)
    gain = answer[2]
    if rank < 4 or gain <= 0 or values.std() == 0:
        return None, 0.0
    return answer[:2] / gain, float(np.corrcoef(values, base)[0, 1])
