"""Intake drivers: each finds what it holds for a tile and period, says by which ids, and loads it."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import fsspec
import numpy as np
import pandas as pd
import rasterio
import xarray as xr
from intake.source.base import DataSource
from odc.geo.geobox import GeoBox

from ceiba import cube as index
from ceiba.checksums import hash_file
from ceiba.config import Config
from ceiba.errors import CatalogError, InputError
from ceiba.grids import Area, Period, Place, Tile
from ceiba.products import content_id, find_definition
from ceiba.providers import hide_tokens, sign_address
from ceiba.samples import find_sample

log = logging.getLogger(__name__)

LARGEST_AT_ONCE_PX = 1_000_000_000  # numbers of a whole area that are loaded into memory, 4 GB; more stay in the files until asked for
CHUNK_PX = 2048
LAZY_BLOCK_PX = 512  # as the blocks of our files: a smaller one would decode a file's block several times


@dataclass(frozen=True)
class Selection:
    """What is asked of a source: a tile (or the whole place) and a period."""

    area: Area
    place: Place
    tile: Tile
    period: Period
    scope: str = "tile"
    any_period: bool = False
    keep_time: bool = False  # a span keeps its time dimension, even where it is of one year
    halo_px: int = 0  # pixels around the tile that are loaded too
    lazy: bool = False  # rasters of the cube are read in blocks, when they are used

    def geobox(self, resolution_m: float) -> GeoBox:
        """Pixel grid of the tile with its halo."""
        return self.tile.geobox(resolution_m).pad(self.halo_px)


@dataclass(frozen=True)
class Found:
    """What a source holds for a selection.

    Attributes
    ----------
    ids
        Ids of the datasets, or of the content of files: they enter the ids of products made from them.
    datasets
        Datasets of the cube, empty for files.
    title
        Where the data come from, for the report; empty for products.
    """

    ids: tuple[str, ...] = ()
    datasets: tuple = ()
    title: Mapping[str, str] = field(default_factory=dict)


class Source(DataSource):
    """Base of Ceiba's intake drivers."""

    container = "python"
    name = "ceiba"
    version = "1"
    partition_access = False
    often_empty = False
    """Whether it is usual that a place has none of it: what cannot be made without is then not planned there."""

    def __init__(self, *, sample: str = "", path: str = "", urlpath: str = "", metadata: Mapping | None = None):
        super().__init__(metadata=metadata)
        self.sample, self.relative, self.urlpath = sample, path, urlpath

    def locate(self) -> Path:
        """Path of the file or folder on this machine; raises :class:`InputError` where no address was filled in."""
        if self.sample:
            return find_sample(self.sample).path(self.relative)
        if not self.urlpath:
            raise InputError(
                f"source {self.name!r} has no address yet; fill in its urlpath in the area's catalogue ({self.cat_file or 'catalogs/'})"
            )
        if "://" not in self.urlpath:
            path = Path(self.urlpath)
            if not path.exists():
                raise InputError(f"source {self.name!r}: {path} does not exist")
            return path
        return fetch(self.urlpath)

    @property
    def cat_file(self) -> str:
        """Catalogue file that describes the source, where it came from one."""
        catalog = getattr(self, "cat", None)
        return str(getattr(catalog, "path", "") or "")

    def find(self, selection: Selection) -> Found:
        """Id of the sample or file; raises :class:`InputError` where it is not there."""
        if self.sample:
            sample = find_sample(self.sample)
            return Found(ids=(content_id(sample.sha256 + self.relative),), title=sample.title)
        path = self.locate()
        sha256 = hash_file(path) if path.is_file() else _hash_listing(path)
        return Found(ids=(content_id(sha256),), title={"es": self.urlpath, "en": self.urlpath})

    def load(self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0):
        """Load what was found; what comes back depends on the driver."""
        raise CatalogError(f"driver {type(self).__name__} cannot load")


def fetch(url: str) -> Path:
    """A local copy of a remote file, fetched once into the store's cache; raises :class:`InputError`."""
    folder = Config.from_environment().local / "cache"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{content_id(url)}-{url.rsplit('/', 1)[-1]}"
    if not target.exists():
        filesystem, path = fsspec.core.url_to_fs(url)
        partial = target.with_name(target.name + ".partial")
        try:
            filesystem.get_file(path, str(partial))
        except OSError as error:
            raise InputError(f"{url} cannot be fetched: {error}") from error
        partial.rename(target)
    return target


def _hash_listing(folder: Path) -> str:
    """Fingerprint of a large folder by names, sizes and times: hashing an archive's content at each look would take hours."""
    lines = [
        f"{path.relative_to(folder).as_posix()} {path.stat().st_size} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class ProductSource(Source):
    """A product of the data cube: scenes, rasters, tables or files."""

    name = "product"

    def __init__(self, *, product: str, metadata: Mapping | None = None):
        super().__init__(metadata=metadata)
        self.definition = find_definition(product)

    def find(self, selection: Selection) -> Found:
        """Datasets that are not archived, of the selection's tile (or area) and period."""
        connection = index.connect()
        if self.definition.per == "scene":
            datasets = self._find_scenes(connection, selection)
        else:
            datasets = []
            for tile in self.tiles_asked(selection):
                of_tile = index.find_datasets(connection, self.definition.name, region_code=tile.region_code)
                datasets += of_period(of_tile, selection)
        return Found(ids=tuple(str(dataset.id) for dataset in datasets), datasets=tuple(datasets))

    def tiles_asked(self, selection: Selection) -> tuple[Tile, ...]:
        """Tiles whose products a selection asks for: its own, or all of the area."""
        if selection.scope != "area":
            return (selection.tile,)
        own = selection.area.place(self.definition.stage) if self.definition.stage else selection.place
        tiles = (*selection.place.tiles, selection.place.whole, *own.tiles, own.whole)
        return tuple(dict.fromkeys(tiles))

    def has_scenes(self, selection: Selection) -> bool:
        """Whether there is any scene for a selection; asks for no more than it takes to know."""
        return next(iter(self._scenes(index.connect(), selection)), None) is not None

    def _scenes(self, connection, selection: Selection) -> Iterator:
        first, last = selection.period.first_year, selection.period.last_year
        # Simulated scenes lie at real coordinates; they must never enter a real map, nor real ones a simulated.
        for dataset in connection.find_datasets_lazy(
            product=self.definition.name, time=(f"{first}-01-01", f"{last}-12-31"), geopolygon=selection.tile.extent
        ):
            if bool(dataset.metadata_doc["properties"].get("ceiba:simulated")) == selection.area.simulated:
                yield dataset

    def _find_scenes(self, connection, selection: Selection) -> list:
        found = list(self._scenes(connection, selection))
        return sorted(found, key=lambda dataset: (dataset.center_time, str(dataset.id)))

    def load(self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0):
        """Rasters as ``xr.Dataset``, a table as ``pd.DataFrame``, files as ``{name: Path}``."""
        if not found.datasets:
            raise InputError(
                f"no {self.definition.name} for tile {selection.tile.region_code}, {selection.period}; "
                f"run 'ceiba run {self.definition.notebook or self.definition.stage}' first"
            )
        if self.definition.is_raster:
            return self._load_raster(selection, found, measurements, resolution_m)
        files: dict[str, Path] = {}
        tables = []
        for dataset in found.datasets:
            paths = asset_paths(dataset)
            files.update(paths)
            tables += [pd.read_parquet(path) for name, path in paths.items() if name.endswith(".parquet")]
        return pd.concat(tables, ignore_index=True) if tables else files

    def _load_raster(
        self, selection: Selection, found: Found, measurements: Sequence[str], resolution_m: float
    ) -> xr.Dataset:
        known = [band.name for band in self.definition.measurements]
        unknown = sorted(set(measurements) - set(known))
        if unknown:
            raise InputError(
                f"{self.definition.name} has no measurement {', '.join(unknown)}; it has {', '.join(known)}"
            )
        geobox = selection.geobox(resolution_m or self.own_resolution(found))
        coarser = abs(geobox.affine.a) > 1.01 * self.own_resolution(found)
        resampling = {
            band.name: "average" if coarser and band.dtype.startswith("float") else "nearest"
            for band in self.definition.measurements
        }
        if coarser:
            resampling |= {band.name: "mode" for band in self.definition.measurements if band.units == "class"}
        try:
            loaded = index.connect().load(
                datasets=list(found.datasets),
                measurements=list(measurements or known),
                like=geobox,
                resampling=resampling,
                patch_url=sign_address,
                dask_chunks=self._chunks(selection, found, len(measurements or known), geobox),
            )
        except (rasterio.errors.RasterioError, OSError, ValueError) as error:
            # The cause would stand in the traceback, with the tokens of addresses.
            raise InputError(
                f"{self.definition.name}, tile {selection.tile.region_code}, {selection.period}: {hide_tokens(str(error))}"
            ) from None
        if self.definition.per == "scene":
            return loaded
        if loaded.sizes["time"] == 1 and not (selection.keep_time and self.definition.per == "tile year"):
            return loaded.isel(time=0, drop=True)
        starts = sorted({dataset.metadata_doc["properties"]["dtr:start_datetime"][:10] for dataset in found.datasets})
        return loaded.assign_coords(time=np.array(starts, dtype="datetime64[ns]"))

    def _chunks(self, selection: Selection, found: Found, bands: int, geobox: GeoBox) -> dict[str, int] | None:
        """Chunks of what memory cannot hold, as the mosaics of a country that samples are looked up in; None to load at once."""
        if selection.lazy:
            return {"time": 1} | dict.fromkeys(geobox.dimensions, LAZY_BLOCK_PX)
        dates = len({dataset.metadata_doc["properties"]["dtr:start_datetime"] for dataset in found.datasets})
        pixels = geobox.shape[0] * geobox.shape[1] * bands * dates
        if selection.scope != "area" or pixels <= LARGEST_AT_ONCE_PX:
            return None
        return {"time": 1} | dict.fromkeys(geobox.dimensions, CHUNK_PX)

    def own_resolution(self, found: Found) -> float:
        """Pixel size of the stored rasters [units of their CRS]."""
        grids = found.datasets[0].metadata_doc["grids"]
        return abs(grids["default"]["transform"][0])


def load_block(data: xr.Dataset) -> xr.Dataset:
    """What was opened lazily, in memory; raises :class:`InputError` where a file cannot be read."""
    try:
        return data.compute()
    except (rasterio.errors.RasterioError, OSError) as error:
        # As above: the cause would show the tokens of addresses.
        raise InputError(f"a block cannot be read: {hide_tokens(str(error))}") from None


def asset_paths(dataset) -> dict[str, Path]:
    """Files beside a dataset's document, ``{file name: local path}``, fetched where the store is remote."""
    uri = dataset.uri
    paths = {}
    for accessory in dataset.metadata_doc.get("accessories", {}).values():
        address = (
            urljoin(uri, accessory["path"])
            if uri.startswith("file:")
            else f"{uri.rsplit('/', 1)[0]}/{accessory['path']}"
        )
        paths[accessory["path"]] = (
            Path(address.removeprefix("file://")) if address.startswith("file:") else fetch(address)
        )
    return paths


def dataset_period(dataset) -> Period:
    """First and last year of a product dataset."""
    properties = dataset.metadata_doc["properties"]
    return Period(int(properties["dtr:start_datetime"][:4]), int(properties["dtr:end_datetime"][:4]))


def of_period(datasets: list, selection: Selection) -> list:
    """Those of one tile's datasets that a selection asks for: the latest, those of exactly its period, or else within it."""
    if selection.any_period:
        return sorted(datasets, key=lambda dataset: (dataset_period(dataset).last_year, str(dataset.id)))[-1:]
    wanted = selection.period
    exact = [dataset for dataset in datasets if dataset_period(dataset) == wanted]
    if exact:
        return exact
    years = (dataset_period(dataset) for dataset in datasets)
    return [
        dataset
        for dataset, period in zip(datasets, years, strict=True)
        if wanted.first_year <= period.first_year and period.last_year <= wanted.last_year
    ]


class ProductStackSource(Source):
    """Measurements of several products side by side, named ``<product>_<measurement>``: the features of a map."""

    name = "product_stack"

    def __init__(self, *, products: Mapping[str, Sequence[str]], metadata: Mapping | None = None):
        super().__init__(metadata=metadata)
        self.parts = {product: (ProductSource(product=product), tuple(bands)) for product, bands in products.items()}

    def find(self, selection: Selection) -> Found:
        """Datasets of all the products; nothing where one of them has none."""
        return join_found([source.find(selection) for source, _ in self.parts.values()])

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> xr.Dataset:
        """One ``xr.Dataset`` with dims ``(y, x)`` for a year or ``(time, y, x)`` for a span."""
        variables = {}
        for product, (source, bands) in self.parts.items():
            own = Found(datasets=tuple(dataset for dataset in found.datasets if dataset.product.name == product))
            part = source.load(selection, own, measurements=bands, resolution_m=resolution_m)
            variables |= {f"{product}_{name}": part[name] for name in part.data_vars if name != "spatial_ref"}
        stack = xr.Dataset(variables)
        return stack[list(measurements)] if measurements else stack


def join_found(parts: Sequence[Found]) -> Found:
    """What several products hold together; nothing where one of them has none."""
    if not all(part.ids for part in parts):
        return Found()
    return Found(
        ids=tuple(value for part in parts for value in part.ids),
        datasets=tuple(value for part in parts for value in part.datasets),
    )


def made_from(source: Source) -> set[str]:
    """Names of the products that a source reads; none for files."""
    if isinstance(source, ProductSource):
        return {source.definition.name}
    return set(source.parts) if isinstance(source, ProductStackSource) else set()
