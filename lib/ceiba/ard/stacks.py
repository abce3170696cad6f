"""Scenes of a tile and period as a stack that is read block by block, never as a whole.

Files on the tile's own grid are read straight into the arrays that a mosaic is computed from; others are warped on the
way. Overpasses of one platform on one day are one date: neighbouring granules overlap, and the same look at the ground
must not count twice.
"""

import functools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import rasterio
import rasterio.errors
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from ceiba.ard.mask_growth import cover_numbers, drop_near_cover, margin_px
from ceiba.ard.sensors import Encoding, Sensor, known_names
from ceiba.ard.stack_blocks import StackBlock
from ceiba.ard.stacked_scenes import StackedScene, date_key, describe_scene, stored_type
from ceiba.errors import InputError
from ceiba.providers import hide_tokens, sign_address

BLOCK_PX = 1024
SMALLEST_BLOCK_PX = 128
BLOCK_BYTES = 340_000_000  # of stored numbers: 24 dates of 6 bands on 1024 x 1024 pixels are 302 MB
OPEN_FILES = 200  # of each thread
CACHE_MB = 32  # of GDAL: blocks are read once, so that keeping them is of no use
SIGNED_SHIFT = 32768
ALIGNED = 1e-3  # pixels by which two grids may differ and count as one


class SceneStack:
    """Scenes of a tile and period, not yet read.

    Parameters
    ----------
    datasets
        Scenes of the cube; they may be of several sensors that have all the measurements.
    measurements
        Bands of reflectance.
    geobox
        Grid of the tile.
    classes
        Scene product to the quality classes that are clear, for sensors with classes; the sensor's own by default.
    shifts_m
        Dataset id to how far that scene lies too far east and north [m]; it is moved back by cubic interpolation.
    adjust
        Sensor to ``{measurement: (gain, lift)}``, which make its reflectance like that of another sensor.
    resampling
        How files on another grid are warped: "nearest", "bilinear" or "cubic".
    grow_cloud_m
        Distance [m] around clouds and their shadows that is not clear either, within each scene, and beyond the tile's border
        too: a scene's cloud there reaches in.

    Raises
    ------
    InputError
        Where there is no scene, one lacks a measurement, or the distance is negative.
    """

    def __init__(
        self,
        datasets: Iterable,
        *,
        measurements: Sequence[str],
        geobox: GeoBox,
        classes: Mapping[str, Iterable[str]] | None = None,
        shifts_m: Mapping[str, tuple[float, float]] | None = None,
        adjust: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
        resampling: str = "nearest",
        grow_cloud_m: float = 0.0,
    ):
        self.measurements, self.geobox = tuple(measurements), geobox
        self._resampling = Resampling[resampling]
        scenes = [describe_scene(dataset, self.measurements, geobox, shifts_m or {}, adjust or {}) for dataset in datasets]
        if not scenes:
            raise InputError("a stack needs at least one scene, and none was given")
        self._grow_m, self._pixel_m = grow_cloud_m, abs(geobox.affine.a)
        self._margin = margin_px(grow_cloud_m, self._pixel_m)
        self._masks, self._covers = {}, {}
        for sensor in {scene.sensor.name: scene.sensor for scene in scenes}.values():
            chosen = (classes or {}).get(sensor.product)
            self._masks[sensor.name] = _clear_numbers(sensor, chosen)
            self._covers[sensor.name] = cover_numbers(sensor, chosen)
        dates: dict[tuple, list[StackedScene]] = {}
        for scene in sorted(scenes, key=lambda scene: (scene.time, scene.dataset_id)):
            dates.setdefault(date_key(scene), []).append(scene)
        # of one ground under two processing baselines the later is taken, which is the one with the lower offset
        self.dates = tuple(
            tuple(sorted(scenes, key=lambda scene: scene.encoding.offset)) for scenes in dates.values()
        )
        types = {np.dtype(stored_type(scene, self.measurements)) for scene in scenes}
        self.dtype = _common_type(types)
        self._handles = threading.local()

    @property
    def times(self) -> np.ndarray:
        """Time of each date, that of its earliest scene, datetime64."""
        return np.array([min(scene.time for scene in scenes) for scenes in self.dates])

    def blocks(self, *, block_bytes: int = BLOCK_BYTES) -> list[Window]:
        """Windows of the grid, rows first: as large as ``block_bytes`` of all dates allow, at most 1024 pixels square."""
        side = BLOCK_PX
        pixel_bytes = len(self.dates) * (len(self.measurements) * self.dtype.itemsize + 1)
        while side > SMALLEST_BLOCK_PX and side * side * pixel_bytes > block_bytes:
            side //= 2
        height, width = self.geobox.shape
        return [
            Window(x, y, min(side, width - x), min(side, height - y))
            for y in range(0, height, side)
            for x in range(0, width, side)
        ]

    def read(self, window: Window | None = None, *, all_dates: bool = False) -> StackBlock:
        """Read the dates that reach a block, all of the grid by default; safe from several threads at once.

        With ``all_dates`` those that do not reach it are there too, as no data. Raises :class:`InputError` naming the file
        that cannot be read.
        """
        if window is None:
            window = Window(0, 0, self.geobox.width, self.geobox.height)
        extent = _window_extent(self.geobox, window)
        reaching = [
            (whole, [scene for scene in whole if scene.extent.intersects(extent)] or list(whole[: int(all_dates)]))
            for whole in self.dates
        ]
        reaching = [(whole, scenes) for whole, scenes in reaching if scenes]
        shape = (len(reaching), int(window.height), int(window.width))
        bands = np.empty((len(self.measurements), *shape), self.dtype)
        clear = np.empty(shape, bool)
        for position, (whole, scenes) in enumerate(reaching):
            self._read_date(scenes, whole[0].encoding, window, bands[:, position], clear[position])
        # how a date is stored is that of its first scene of the whole grid: numbers must not depend on the block
        first = [whole[0] for whole, _ in reaching]
        shifts = np.array([self._shift(scene) for scene in first], np.int64)
        scale = np.array([[s.encoding.scale * s.gain[m] for m in self.measurements] for s in first])
        lift = np.array([[s.encoding.offset * s.gain[m] + s.lift[m] for m in self.measurements] for s in first])
        return StackBlock(
            bands=bands,
            clear=clear,
            nodata=np.array([scene.encoding.nodata for scene in first], np.int64) + shifts,
            scale=scale.reshape(-1, len(self.measurements)),
            offset=lift.reshape(-1, len(self.measurements)) - scale.reshape(-1, len(self.measurements)) * shifts[:, None],
            times=np.array([min(scene.time for scene in whole) for whole, _ in reaching], "datetime64[ns]"),
            measurements=self.measurements,
            geobox=self.geobox[window.toslices()],
        )

    def _shift(self, scene: StackedScene) -> int:
        """What is added to the numbers of a scene so that they fit the type of the stack."""
        return SIGNED_SHIFT if self.dtype == np.uint16 and stored_type(scene, self.measurements) == "int16" else 0

    def _read_date(
        self, scenes: list[StackedScene], stored: Encoding, window: Window, bands: np.ndarray, clear: np.ndarray
    ) -> None:
        """Fill one date from its scenes, each pixel from the first that is clear and whole there, stored as ``stored``."""
        self._read_scene(scenes[0], stored, window, bands, clear)
        nodata = stored.nodata + self._shift(scenes[0])
        for scene in scenes[1:]:
            lacking = ~clear | (bands == nodata).any(axis=0)
            if not lacking.any():
                return
            more, more_clear = np.empty_like(bands), np.empty_like(clear)
            self._read_scene(scene, stored, window, more, more_clear)
            better = lacking & more_clear
            np.copyto(bands, more, where=better)
            np.copyto(clear, more_clear, where=better)

    def _read_scene(
        self, scene: StackedScene, stored: Encoding, window: Window, bands: np.ndarray, clear: np.ndarray
    ) -> None:
        """Read a scene as if it were stored like ``stored``.

        Its bands stay on the disk, and are no data here, where no pixel of the window is clear.
        """
        address, band = scene.places["quality"]
        margin, grid, around = self._margin, self.geobox, window
        if margin:
            grid = self.geobox.pad(margin)
            around = Window(window.col_off, window.row_off, window.width + 2 * margin, window.height + 2 * margin)
        quality = self._read_file(address, [band], around, None, None, Resampling.nearest, scene.shift_m, grid)[0]
        inner = quality[margin : margin + int(window.height), margin : margin + int(window.width)]
        np.take(self._masks[scene.sensor.name], inner, out=clear)
        if margin:
            covered = self._covers[scene.sensor.name][quality]
            drop_near_cover(clear, covered, grow_m=self._grow_m, resolution_m=self._pixel_m)
        nodata = scene.encoding.nodata
        if not clear.any():
            bands[...] = nodata + self._shift(scene)
            return
        files: dict[str, list[tuple[int, int]]] = {}
        for position, name in enumerate(self.measurements):
            address, band = scene.places[name]
            files.setdefault(address, []).append((position, band))
        shift = self._shift(scene)
        raised = round((scene.encoding.offset - stored.offset) / stored.scale)
        for address, wanted in files.items():
            positions = [position for position, _ in wanted]
            numbers = [band for _, band in wanted]
            straight = not shift and not raised and positions == list(range(positions[0], positions[0] + len(positions)))
            out = bands[positions[0] : positions[0] + len(positions)] if straight else None
            resampling = Resampling.cubic if any(scene.shift_m) else self._resampling
            read = self._read_file(address, numbers, window, out, nodata, resampling, scene.shift_m)
            if not straight:
                fitted = np.where(read == nodata, nodata, read.astype(np.int64) + raised) + shift
                bands[positions] = np.minimum(fitted, np.iinfo(self.dtype).max)

    def _read_file(
        self,
        address: str,
        numbers: list[int],
        window: Window,
        out: np.ndarray | None,
        fill: int | None,
        resampling: Resampling,
        shift_m: tuple[float, float],
        grid: GeoBox | None = None,
    ) -> np.ndarray:
        """Bands of a file on a window of the stack's grid or another, ``(band, y, x)``; ``fill`` lies outside the file."""
        grid = self.geobox if grid is None else grid
        shape = (len(numbers), int(window.height), int(window.width))
        try:
            with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
                file = self._open(address)
                source_fill = file.nodata if fill is None else fill
                if fill is None:  # of a quality band: all bits set, or no class, so that nothing outside is clear
                    fill = np.iinfo(file.dtypes[numbers[0] - 1]).max
                place = None if any(shift_m) else _place_in(file, grid, window)
                if out is None:
                    out = np.empty(shape, file.dtypes[numbers[0] - 1])
                if place is None:
                    options = {"crs": str(grid.crs), "transform": grid.affine, "resampling": resampling}
                    options |= {"src_transform": Affine.translation(-shift_m[0], -shift_m[1]) @ file.transform}
                    height, width = grid.shape
                    with WarpedVRT(file, height=height, width=width, src_nodata=source_fill, nodata=fill, **options) as warped:
                        warped.read(numbers, window=window, out=out)
                    return out
                inside = place.intersection(Window(0, 0, file.width, file.height)) if _touches(place, file) else None
                if inside is None:
                    out[...] = fill
                elif inside == place:
                    file.read(numbers, window=place, out=out)
                else:
                    out[...] = fill
                    top, left = int(inside.row_off - place.row_off), int(inside.col_off - place.col_off)
                    part = (slice(None), slice(top, top + int(inside.height)), slice(left, left + int(inside.width)))
                    out[part] = file.read(numbers, window=inside)
                return out
        except (rasterio.errors.RasterioError, OSError, ValueError) as error:
            # The cause would stand in the traceback, with the token of the address.
            raise InputError(f"{address} cannot be read: {hide_tokens(str(error))}") from None

    def _open(self, address: str) -> rasterio.DatasetReader:
        """The file, kept open by this thread: opening costs as much as reading a block."""
        handles: OrderedDict[str, rasterio.DatasetReader] = getattr(self._handles, "files", None) or OrderedDict()
        self._handles.files = handles
        address = sign_address(address)  # with a newer token it is another one, and is opened again
        if address not in handles:
            handles[address] = rasterio.open(address)
            if len(handles) > OPEN_FILES:
                handles.popitem(last=False)[1].close()
        handles.move_to_end(address)
        return handles[address]


def _common_type(types: set[np.dtype]) -> np.dtype:
    if len(types) == 1:
        return next(iter(types))
    if types == {np.dtype("int16"), np.dtype("uint16")}:
        return np.dtype("uint16")
    raise InputError(f"scenes stored as {', '.join(sorted(map(str, types)))} cannot be in one stack; int16 and uint16 can")


def _clear_numbers(sensor: Sensor, classes: Iterable[str] | None) -> np.ndarray:
    """Whether a number of the quality band is clear, for all 65536 of them."""
    numbers = np.arange(65536, dtype=np.uint32)
    if sensor.quality_kind == "classes":
        names = known_names(sensor.clear if classes is None else classes, sensor.quality_classes)
        return np.isin(numbers, [sensor.quality_classes[name] for name in names])
    names = known_names(sensor.unwanted if classes is None else classes, sensor.quality_classes)
    mask = sum(1 << sensor.quality_classes[name] for name in names)
    return (numbers & np.uint32(mask)) == 0


def _window_extent(geobox: GeoBox, window: Window):
    left, top = geobox.affine * (window.col_off, window.row_off)
    right, bottom = geobox.affine * (window.col_off + window.width, window.row_off + window.height)
    return box(min(left, right), min(top, bottom), max(left, right), max(top, bottom), geobox.crs)


def _place_in(file: rasterio.DatasetReader, geobox: GeoBox, window: Window) -> Window | None:
    """The window in the pixels of a file on the same grid; None where the file has another."""
    own, wanted = file.transform, geobox.affine
    same_size = abs(own.a / wanted.a - 1) < 1e-6 and abs(own.e / wanted.e - 1) < 1e-6
    if not same_size or own.b or own.d or not _same_crs(file.crs.to_wkt(), str(geobox.crs)):
        return None
    column, row = (wanted.c - own.c) / own.a, (wanted.f - own.f) / own.e
    if abs(column - round(column)) > ALIGNED or abs(row - round(row)) > ALIGNED:
        return None
    return Window(round(column) + window.col_off, round(row) + window.row_off, window.width, window.height)


@functools.cache
def _same_crs(first: str, second: str) -> bool:
    return rasterio.crs.CRS.from_user_input(first) == rasterio.crs.CRS.from_user_input(second)


def _touches(place: Window, file: rasterio.DatasetReader) -> bool:
    return (
        place.col_off < file.width
        and place.row_off < file.height
        and place.col_off + place.width > 0
        and place.row_off + place.height > 0
    )
