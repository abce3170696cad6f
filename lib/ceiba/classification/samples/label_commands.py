"""The command ``ceiba labels``: a file of labels becomes the training samples of an area, checked."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ceiba.errors import InputError, ParameterError, StoreError

RASTERS = (".tif", ".tiff")


def add_command(app: typer.Typer, console: Console) -> None:
    """Add the command, which tells what it does on ``console``."""

    @app.command(
        "labels",
        epilog="Examples: `ceiba labels plots.gpkg --area mexico --to samples.csv --column label=clase --year 2018` · "
        "`ceiba labels usv_6.zip --area mexico --to samples.csv --column label=CVE_UNION --crosswalk inegi_usv --year 2014`",
    )
    def read_labels(
        file: Annotated[Path, typer.Argument(help="Points or polygons of any format of GDAL, CSV, Parquet, or a GeoTIFF of codes.")],
        area: Annotated[str, typer.Option(help="Area whose legend and pixels the samples get.")],
        to: Annotated[Path, typer.Option(help="CSV file to write; it must not exist yet.")],
        column: Annotated[
            list[str] | None, typer.Option(help="Our name of a column and the file's: label=clase, year=anio; several times.")
        ] = None,
        layer: Annotated[str, typer.Option(help="Layer of a file that has several.")] = "",
        crs: Annotated[str, typer.Option(help="CRS of the positions where the file does not say it, EPSG:6372.")] = "",
        crosswalk: Annotated[str, typer.Option(help="Scheme of the labels, of `ceiba legend list`, where it is not the legend.")] = "",
        year: Annotated[int, typer.Option(help="Year of the labels where the file has none.")] = 0,
        source: Annotated[str, typer.Option(help="Where the labels come from, kept with each.")] = "",
        per_polygon: Annotated[int, typer.Option(min=0, help="Pixels drawn of each polygon; all if 0.")] = 0,
        number: Annotated[int, typer.Option(min=1, help="Of a raster: samples drawn, rare classes more densely.")] = 10_000,
        pixel_m: Annotated[float, typer.Option(min=0, help="Pixel of the features [m]; that of the area if 0.")] = 0.0,
        seed: Annotated[int, typer.Option(help="Seed of draws.")] = 0,
    ) -> None:
        """Check labels of points, polygons or a raster, and write them as training samples, one a pixel."""
        from ceiba.classification.samples.points import locate
        from ceiba.crosswalks import load_crosswalk
        from ceiba.grids import find_area
        from ceiba.legends import load_legend

        place = find_area(area).place("classification")
        settings = place.settings.get("classification", {})
        legend = load_legend(str(settings["legend"]))
        walk = load_crosswalk(crosswalk, legend.name) if crosswalk else None
        if to.exists():
            raise StoreError(f"{to} exists already; name another file, so that no labels are lost")
        geobox = place.whole.geobox(pixel_m or float(settings["land_cover_resolution_m"]))
        if file.suffix.lower() in RASTERS:
            table, facts = _draw(file, legend, walk, number=number, year=year, source=source, seed=seed)
        else:
            pairs = dict(_pair(text) for text in column or [])
            defaults = {name: value for name, value in (("year", year), ("source", source)) if value}
            table, facts = _read(
                file, legend, geobox, columns=pairs, layer=layer, crs=crs, crosswalk=walk, defaults=defaults,
                per_polygon=per_polygon, seed=seed,
            )  # fmt: skip
        outside = int((~locate(table, geobox)["inside"]).sum()) if len(table) else 0
        if outside == len(table):
            where = f"; the first is at longitude {table['longitude'].iloc[0]:g}, latitude {table['latitude'].iloc[0]:g}" if outside else ""
            raise InputError(f"{file}: none of {len(table)} samples lies in area {area}{where}")
        try:
            table.assign(label=table["code"].map(legend.names("es"))).to_csv(to, index=False)
        except OSError as error:
            raise StoreError(f"{to} cannot be written: {error}") from error
        console.print(_count(table, legend))
        for what, count in {**facts, "beyond the area, kept": outside}.items():
            if count:
                console.print(f"{count} {what}")
        console.print(f"{len(table)} samples in {to}; name it as urlpath of training_samples in the catalogue of {area}", soft_wrap=True)


def _pair(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (equals and ours and theirs):
        raise ParameterError(f"--column {text}: write ours=theirs, as label=clase")
    return ours.strip(), theirs.strip()


def _read(file, legend, geobox, *, columns, layer, crs, crosswalk, defaults, per_polygon, seed):
    from ceiba.classification.samples.label_files import read_label_file
    from ceiba.classification.samples.polygons import samples_of_labels

    labels = read_label_file(file, legend, columns=columns, layer=layer, crs=crs, crosswalk=crosswalk, defaults=defaults)
    found = samples_of_labels(labels, geobox, per_polygon=per_polygon or None, seed=seed)
    facts = {f"labels left out: {why}": count for why, count in labels.attrs.get("without_class", {}).items()}
    facts |= {
        "polygons without the center of a pixel": found.without_pixel,
        "pixels left out, since labels of one year differ there": found.contradicted,
        "labels left out, since another says the same of the pixel": found.repeated,
    }
    return found.table, facts


def _draw(file, legend, walk, *, number, year, source, seed):
    from ceiba.classification.samples.training_rasters import (
        count_raster_classes,
        draw_from_raster,
        semibalanced_numbers,
    )

    if not year:
        raise ParameterError("a raster does not say the year of its labels; give --year")
    codes = None
    if walk is not None:
        whole = [link.from_code for link in walk.links if link.from_code.isdecimal()]
        codes = {int(code): int(walk.target_of(code)) if walk.targets_of(code) else "" for code in whole}
    counts = count_raster_classes(file, legend, crosswalk=codes)
    numbers = semibalanced_numbers(counts, number)
    return draw_from_raster(file, legend, numbers, year=year, source=source or file.name, crosswalk=codes, seed=seed), {}


def _count(table, legend) -> Table:
    shown = Table("code", "es", "en", "samples", "years", title=f"samples of {legend.name}")
    for code, part in table.groupby("code"):
        entry, years = legend.find(int(code)), part["year"]
        span = f"{years.min()}" if years.nunique() == 1 else f"{years.min()}--{years.max()}"
        shown.add_row(str(code), entry.name_es, entry.name_en, str(len(part)), span)
    return shown
