"""``/api/slices``: a layer in time at a point, its statistics in a polygon, and parts of it as files."""

import csv
import functools
import io
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from shapely.geometry.base import BaseGeometry

from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.react2eo.animations.workers import Workers
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.credits import source_line
from ceiba.react2eo.layers import Layer
from ceiba.react2eo.slices import clips, ground_areas, polygon_statistics
from ceiba.react2eo.slices.point_series import Row, read_series
from ceiba.react2eo.slices.polygon_statistics import Summary
from ceiba.react2eo.slices.slice_answers import (
    ClassArea,
    MeasurementFacts,
    PeriodStatistics,
    PointPeriod,
    PointValue,
    Series,
    Statistics,
    StatisticsRequest,
    ValueStatistics,
    Words,
)

router = APIRouter(prefix="/api/slices", tags=["slices"])

ALL = "all"
MEDIA_TYPES = {"csv": "text/csv", "tif": "image/tiff", "nc": "application/x-netcdf"}
NUMBER = r"-?[0-9]{1,3}(\.[0-9]{1,20})?"
BOUNDS = f"^{NUMBER}(,{NUMBER}){{3}}$"
FILE = {"schema": {"type": "string", "format": "binary"}}


def make_workers() -> Workers:
    """What reads much is done by a few threads of its own."""
    return Workers("slices")


def find_shown(request: Request, region: Annotated[str, Query(max_length=60)], layer: Annotated[str, Query(max_length=60)]) -> Layer:
    """The layer that a request names."""
    return request.app.state.snapshots.current().find_layer(region, layer)


Shown = Annotated[Layer, Depends(find_shown)]


@router.get(
    "/series",
    summary="All years at a point",
    response_model=Series,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}} | describe_errors(404, 422, 503),
)
def get_series(
    shown: Shown,
    lon: Annotated[float, Query(ge=-180, le=180, allow_inf_nan=False, description="Longitude [degrees, WGS 84].", examples=[22.152])],
    lat: Annotated[float, Query(ge=-90, le=90, allow_inf_nan=False, description="Latitude [degrees, WGS 84].", examples=[45.204])],
    format: Literal["json", "csv"] = "json",
) -> Response | Series:
    """Every measurement of the layer's product in the pixel that holds the point, in every period."""
    rows = read_series(shown, lon, lat)
    if format == "csv":
        name = f"ceiba_{shown.region.name}_{shown.name}_series.csv"
        return _download(write_csv(shown, rows).encode(), name, "csv")
    return Series(
        region=shown.region.name, layer=shown.name, product=shown.definition.name, lon=lon, lat=lat, source=_source(shown),
        measurements=[
            MeasurementFacts(measurement=each.name, title=_words(each.title), units=each.units)
            for each in shown.definition.measurements
        ],
        series=[_describe_row(shown, row) for row in rows],
    )  # fmt: skip


def _describe_row(shown: Layer, row: Row) -> PointPeriod:
    values = []
    for measurement in shown.definition.measurements:
        value = row.values[measurement.name]
        found = row.classes.get(measurement.name)
        name = Words(es=found.name_es, en=found.name_en) if found else None
        values.append(PointValue(measurement=measurement.name, value=_finite(value), class_name=name))
    return PointPeriod(period=str(row.period), values=values)


def write_csv(shown: Layer, rows: list[Row]) -> str:
    """A line a period and measurement."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["period", "measurement", "value", "units", "class_es", "class_en"])
    for row in rows:
        for measurement in shown.definition.measurements:
            value, found = row.values[measurement.name], row.classes.get(measurement.name)
            names = (found.name_es, found.name_en) if found else ("", "")
            shown_value = "" if math.isnan(value) else f"{value:.9g}"
            writer.writerow([row.period, measurement.name, shown_value, measurement.units, *names])
    return text.getvalue()



@dataclass(frozen=True)
class StatisticsPlan:
    """A request for statistics that was found good; ``part`` is what lies in the region, in the CRS of its files."""

    layer: Layer
    periods: tuple[Period, ...]
    part: BaseGeometry
    polygon_area_ha: float


def plan_statistics(request: Request, asked: StatisticsRequest) -> StatisticsPlan:
    """Check a request; raises :class:`InputError` that says what is allowed."""
    layer = request.app.state.snapshots.current().find_layer(asked.region, asked.layer)
    periods = choose_periods(layer, asked.first, asked.last)
    polygon = ground_areas.read_polygon(asked.polygon.model_dump())
    part = ground_areas.bring_into(polygon, layer.region.place.crs, within=layer.bounds)
    if part.is_empty:
        raise InputError(f"the polygon lies beside {layer.region.name}, which lies in {list(layer.bounds)}")
    polygon_statistics.check_size(layer, periods, part)
    return StatisticsPlan(layer, periods, part, ground_areas.polygon_area_ha(polygon))


def choose_periods(layer: Layer, first: str, last: str) -> tuple[Period, ...]:
    """Periods of a layer between two, which are included; raises :class:`InputError`."""
    lowest = layer.find_period(first) if first else layer.periods[0]
    highest = layer.find_period(last) if last else layer.periods[-1]
    if highest < lowest:
        raise InputError(f"periods {first} to {last}: give the earlier one first")
    return tuple(period for period in layer.periods if lowest <= period <= highest)


@router.post("/statistics", summary="Statistics in a polygon", responses=describe_errors(404, 422, 503))
async def make_statistics(request: Request, plan: Annotated[StatisticsPlan, Depends(plan_statistics)]) -> Statistics:
    """Mean, spread and percentiles of each measurement, or area of each class, period by period.

    A pixel counts where its middle lies in the polygon. Areas are true: each pixel has its own area on the ellipsoid WGS 84, which
    is not that of its CRS.
    """
    return await request.app.state.slices.run(uuid.uuid4(), functools.partial(summarize, plan))


def summarize(plan: StatisticsPlan) -> Statistics:
    """Read and describe all periods."""
    layer = plan.layer
    found = {period: polygon_statistics.summarize(layer, period, plan.part) for period in plan.periods}
    return Statistics(
        region=layer.region.name,
        layer=layer.name,
        source=_source(layer),
        polygon_area_ha=plan.polygon_area_ha,
        periods=[_describe_summary(plan, period, summary) for period, summary in found.items()],
    )


def _describe_summary(plan: StatisticsPlan, period: Period, summary: Summary) -> PeriodStatistics:
    known_ha = polygon_statistics.to_ha(summary.known_m2)
    values = [
        ValueStatistics(measurement=name, **{key: _finite(value) for key, value in numbers.items()})
        for name, numbers in summary.values.items()
    ]
    classes = []
    for code, (area_m2, _) in sorted(summary.classes.items(), key=lambda item: -item[1][0]):
        found = plan.layer.legend.find(code)
        classes.append(
            ClassArea(
                code=code, class_name=Words(es=found.name_es, en=found.name_en), color=found.color,
                area_ha=polygon_statistics.to_ha(area_m2), share=area_m2 / summary.known_m2,
            )  # fmt: skip
        )
    return PeriodStatistics(
        period=str(period),
        pixels=summary.pixels,
        valid_pixels=summary.known_pixels,
        # Whole pixels are not quite the polygon.
        valid_share=min(1.0, known_ha / plan.polygon_area_ha) if known_ha else 0.0,
        valid_area_ha=known_ha,
        values=values,
        classes=classes,
    )


@dataclass(frozen=True)
class ClipPlan:
    """A request for a file."""

    layer: Layer
    periods: tuple[Period, ...]
    bounds: tuple[float, float, float, float]
    format: str


def plan_clip(
    shown: Shown,
    bounds: Annotated[
        str,
        Query(
            max_length=120, pattern=BOUNDS, description="West,south,east,north [degrees, WGS 84].",
            examples=["22.146,45.2,22.15,45.204"],
        ),
    ],
    period: Annotated[str, Query(max_length=12, description="A period, or all.", examples=["2018"])] = ALL,
    format: Annotated[Literal["tif", "nc"], Query(description="GeoTIFF (COG) or NetCDF (CF).")] = "tif",
) -> ClipPlan:
    """Check a request; raises :class:`InputError` that says what is allowed."""
    periods = shown.periods if period == ALL else (shown.find_period(period),)
    return ClipPlan(shown, periods, tuple(float(part) for part in re.split(",", bounds)), format)


@router.get(
    "/clip",
    summary="A part as a file",
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPES["tif"]: FILE, MEDIA_TYPES["nc"]: FILE}, "description": "The file."}}
    | describe_errors(404, 422, 503),
)
async def get_clip(request: Request, plan: Annotated[ClipPlan, Depends(plan_clip)]) -> Response:
    """Pixels and CRS of the files, nothing resampled; no data as in the files. GeoTIFF has a band a period and measurement."""
    content, name = await request.app.state.slices.run(uuid.uuid4(), functools.partial(make_clip, plan))
    return _download(content, name, plan.format)


def make_clip(plan: ClipPlan) -> tuple[bytes, str]:
    """The file and its name."""
    clip = clips.cut(plan.layer, plan.periods, plan.bounds)
    content = clips.to_geotiff(clip) if plan.format == "tif" else clips.to_netcdf(clip)
    return content, clips.file_name(clip, plan.format)


def _download(content: bytes, name: str, format: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _words(texts: Mapping[str, str]) -> Words:
    return Words(es=texts["es"], en=texts["en"])


def _source(layer: Layer) -> Words:
    return Words(es=source_line(layer, "es"), en=source_line(layer, "en"))
