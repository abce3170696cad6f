"""Intake drivers for files that are no datasets of the cube: rasters, tables, polygons and recordings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import rioxarray
import xarray as xr
from odc.geo.geobox import GeoBox

from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.sources import Found, Selection, Source


class RasterSource(Source):
    """GeoTIFF files, a variable each, named after the file; several bands are dates where ``times`` names a list of them."""

    name = "raster"

    def __init__(
        self,
        *,
        sample: str = "",
        path: str = "",
        urlpath: str = "",
        files: Sequence[str] = ("*.tif",),
        times: str = "",
        season_start_month: int = 1,
        rename: Mapping[str, str] | None = None,
        metadata: Mapping | None = None,
    ):
        super().__init__(sample=sample, path=path, urlpath=urlpath, metadata=metadata)
        self.patterns, self.times, self.season_start_month, self.rename = files, times, season_start_month, rename or {}

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> xr.Dataset:
        """Dims ``(y, x)`` or ``(time, y, x)``; real units (the files' scale and offset applied), NaN no data; 8-bit files stay classes."""
        folder = self.locate()
        pattern_period = {"year": selection.period.last_year}
        paths = {}
        for pattern in self.patterns:
            for path in sorted(folder.glob(pattern.format(**pattern_period))) if folder.is_dir() else [folder]:
                stem = path.stem.removesuffix(f"_{selection.period.last_year}")
                paths[self.rename.get(stem, stem)] = path
        unknown = sorted(set(measurements) - set(paths))
        if unknown or not paths:
            raise InputError(
                f"{folder} has no raster {', '.join(unknown)}; it has {', '.join(paths)} ({', '.join(self.patterns)})"
            )
        geobox = selection.geobox(resolution_m) if resolution_m else None
        return xr.Dataset({name: self._read(paths[name], geobox, selection) for name in (measurements or paths)})

    def _read(self, path: Path, geobox: GeoBox | None, selection: Selection) -> xr.DataArray:
        try:
            raster = rioxarray.open_rasterio(path).load()
        except rasterio.errors.RasterioError as error:
            raise InputError(f"{path} cannot be read: {error}") from error
        nodata = raster.rio.nodata
        if raster.dtype != np.uint8:
            scale, offset = float(raster.attrs.get("scale_factor", 1)), float(raster.attrs.get("add_offset", 0))
            values = raster.where(raster != nodata) if nodata is not None else raster
            raster = (values * scale + offset).astype("float32")
            raster.attrs = {"nodata": np.nan}
        else:
            raster.attrs = {"nodata": nodata}
        if self.times:
            raster = self._by_time(raster, path, selection.period)
        else:
            raster = raster.isel(band=0, drop=True)
        if geobox is not None and raster.odc.geobox != geobox:
            attributes = raster.attrs
            raster = raster.odc.reproject(
                geobox, resampling="nearest" if raster.dtype == np.uint8 else "average", dst_nodata=attributes["nodata"]
            )
            raster.attrs |= attributes
            names = {name: axis for name, axis in zip(geobox.dimensions, ("y", "x"), strict=True) if name != axis}
            raster = raster.rename(names)
        return raster.drop_vars("band", errors="ignore")

    def _by_time(self, raster: xr.DataArray, path: Path, period: Period) -> xr.DataArray:
        dates = pd.to_datetime((path.parent / self.times).read_text().split())
        if len(dates) != raster.sizes["band"]:
            raise InputError(f"{path.name} has {raster.sizes['band']} bands, {self.times} {len(dates)} dates")
        raster = raster.rename(band="time").assign_coords(time=dates)
        # A season is named by the year it ends in: with September as its start, 2009 is September 2008 to August 2009.
        back = 0 if self.season_start_month == 1 else 1
        start = pd.Timestamp(period.first_year - back, self.season_start_month, 1)
        end = pd.Timestamp(period.last_year - back + 1, self.season_start_month, 1)
        chosen = raster.sel(time=(dates >= start) & (dates < end))
        if not chosen.sizes["time"]:
            raise InputError(
                f"{path.name} has no date in {period}; its dates run from {dates[0].date()} to {dates[-1].date()}"
            )
        return chosen


class TableSource(Source):
    """A CSV or Parquet table."""

    name = "table"

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """The table; ``measurements`` chooses columns."""
        path = self.locate()
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        return table[list(measurements)] if measurements else table


class VectorSource(Source):
    """Polygons or points in any format of GDAL."""

    name = "vector"

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> gpd.GeoDataFrame:
        """Features that touch the tile, in the tile's CRS."""
        features = gpd.read_file(self.locate()).to_crs(selection.tile.crs)
        return features[features.intersects(selection.tile.extent.geom)].reset_index(drop=True)


class RecordingsSource(Source):
    """Sound recordings: a table of files, or groups of files by pattern, one site a group."""

    name = "recordings"

    def __init__(
        self,
        *,
        sample: str = "",
        path: str = "",
        urlpath: str = "",
        table: str = "",
        groups: Sequence[Mapping[str, str]] = (),
        metadata: Mapping | None = None,
    ):
        super().__init__(sample=sample, path=path, urlpath=urlpath, metadata=metadata)
        self.table, self.groups = table, groups

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """One row a file: ``path`` and what is known of ``site``, ``longitude``, ``latitude``, ``recorded_at``, ``sampling_rate_hz``.

        With a table, only sites inside the tile are given.
        """
        folder = self.locate()
        if self.table:
            rows = pd.read_csv(folder / self.table)
            rows["path"] = [str(folder / name) for name in rows["file"]]
            sites = gpd.GeoSeries(gpd.points_from_xy(rows["longitude"], rows["latitude"]), crs="EPSG:4326").to_crs(
                selection.tile.crs
            )
            return rows[sites.within(selection.tile.extent.geom).to_numpy()].reset_index(drop=True)
        rows = [
            {"path": str(path), "file": path.name, "site": group["site"]}
            for group in self.groups
            for path in sorted(folder.glob(group["files"]))[: int(group.get("at_most", 1_000_000))]
        ]
        if not rows:
            raise InputError(f"{folder} holds no recording that matches {[group['files'] for group in self.groups]}")
        return pd.DataFrame(rows)


class LabelledSoundsSource(Source):
    """Labelled clips: tables with one row a clip, columns renamed to ``group``, ``category`` and ``source_id``."""

    name = "labelled_sounds"

    def __init__(
        self,
        *,
        sample: str = "",
        path: str = "",
        urlpath: str = "",
        tables: Sequence[Mapping[str, str]] = (),
        metadata: Mapping | None = None,
    ):
        super().__init__(sample=sample, path=path, urlpath=urlpath, metadata=metadata)
        self.tables = tables

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """One row a clip: ``path``, ``group``, ``category``, ``source_id`` (clips of one source must not be split apart)."""
        folder = self.locate()
        parts = []
        for entry in self.tables:
            labels = pd.read_csv(folder / entry["labels"])
            base = (folder / entry["labels"]).parent / entry.get("clips", "")
            part = pd.DataFrame(
                {
                    "path": [str(base / name) for name in labels["file"]],
                    "group": labels["group"],
                    "category": labels["category"],
                }
            )
            column = entry.get("source_id")
            part["source_id"] = labels[column].astype(str) if column else [Path(name).stem for name in labels["file"]]
            parts.append(part)
        return pd.concat(parts, ignore_index=True)
