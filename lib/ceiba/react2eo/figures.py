"""``/api/reactions/summary``, ``/cells``, ``/trend`` and ``/animations``: what is published of people's reactions."""

import csv
import io
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import h3
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from shapely import box
from shapely.geometry import mapping

from ceiba import labels
from ceiba.errors import NotFoundError
from ceiba.react2eo import published
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.publication import REGION, K, Refresher
from ceiba.react2eo.published import Figures, Unit
from ceiba.react2eo.subjects import COARSEST, FINEST

FIVE_MINUTES = {"Cache-Control": "public, max-age=300"}
COLUMNS = (
    "region", "layer", "cell", "resolution", "likes", "dislikes", "devices", "share", "interval_low", "interval_high", "published", "rule",
    "attribution",
)  # fmt: skip
RegionName = Annotated[str, Query(max_length=100, description="Name of a region; all if empty.")]
LayerName = Annotated[str, Query(max_length=100, description="Name of a layer; all if empty.")]
Term = Annotated[str, Query(pattern=r"^(\d{4}(-Q[1-4]|-\d{2})?)?$", description="Publication term, as 2026-Q4; all if empty.")]


@asynccontextmanager
async def keep_fresh(app: FastAPI):
    """Publish while the application runs."""
    refresher = Refresher(app.state.reactions)
    refresher.start()
    yield
    refresher.close()
    app.state.reactions.close()


router = APIRouter(prefix="/api/reactions", tags=["reactions"], lifespan=keep_fresh)


class Published(BaseModel):
    """Figures of at least five devices, or zeros."""

    likes: int
    dislikes: int
    devices: Annotated[int, Field(description="Distinct devices of a cell and layer in a term; summed in sums.")]
    share: Annotated[float | None, Field(description="Likes of all reactions [1].")]
    interval: Annotated[tuple[float, float] | None, Field(description="Of the share, 95 %, Wilson [1].")]
    published: Annotated[str | None, Field(description="Day of the last change.")]


class LayerFigures(Published):
    """Figures of a layer."""

    region: str
    layer: str


class TermFigures(Published):
    """Figures of a publication term."""

    term: str


class DayFigures(Published):
    """Figures at the end of a day."""

    day: str


class Summary(Published):
    """Figures of all that was asked for, and of its parts, which add up to it."""

    rule: str
    attribution: str
    layers: list[LayerFigures]
    terms: list[TermFigures]


@router.get("/summary", summary="Published figures", responses=describe_errors(404, 422, 503))
def summarize(request: Request, response: Response, region: RegionName = "", layer: LayerName = "", term: Term = "") -> Summary:
    """Likes and dislikes of regions and layers: the sum of what is published of their cells, never more."""
    units = find_units(request, region, layer, term)
    response.headers.update(FIVE_MINUTES)
    return Summary(
        **published.total(units.values()).describe(),
        **describe_source(),
        layers=[
            LayerFigures(region=where, layer=name, **figures.describe())
            for (where, name), figures in published.sum_by(units, "region", "layer").items()
        ],
        terms=[TermFigures(term=name, **figures.describe()) for (name,), figures in published.sum_by(units, "term").items()],
    )


@router.get("/trend", summary="Published figures by day", responses=describe_errors(404, 422, 503))
def show_trend(request: Request, response: Response, region: RegionName = "", layer: LayerName = "") -> list[DayFigures]:
    """What was published in all at the end of each day on which something changed."""
    check_region(request, region)
    history = published.read_history(request.app.state.reactions.engine, region=region, layer=layer)
    response.headers.update(FIVE_MINUTES)
    return [DayFigures(day=day.isoformat(), **figures.describe()) for day, figures in published.sum_by_day(history).items()]


class AnimationCount(BaseModel):
    """Animations made of the same years."""

    region: str
    layer: str
    first: str
    last: str
    count: Annotated[int, Field(description="In steps of five.")]


@router.get("/animations", summary="Animations made", responses=describe_errors(404, 422, 503))
def list_animations(request: Request, response: Response, region: RegionName = "", layer: LayerName = "") -> list[AnimationCount]:
    """How many animations were made of which years."""
    check_region(request, region)
    response.headers.update(FIVE_MINUTES)
    counts = published.count_animations(request.app.state.reactions.engine, region=region, layer=layer)
    return [AnimationCount(**row) for row in counts]


@router.get(
    "/cells",
    summary="Published figures by cell",
    responses={200: {"content": {"application/geo+json": {}, "text/csv": {}}}} | describe_errors(404, 422, 503),
    response_class=Response,
)
def list_cells(
    request: Request,
    region: RegionName = "",
    layer: LayerName = "",
    term: Term = "",
    format: Literal["geojson", "csv"] = "geojson",
    resolution: Annotated[int, Query(ge=COARSEST, le=FINEST, description="H3 resolution in whose cells finer ones are summed.")] = FINEST,
) -> Response:
    """Published units as H3 hexagons, the coarse ones first: these hold what is not in the finer ones within them."""
    units = published.coarsen(find_units(request, region, layer, term), resolution)
    sums = published.sum_by(units, "region", "layer", "cell")
    rows = sorted((describe_unit(Unit(term, *key), figures) for key, figures in sums.items()), key=lambda row: row["resolution"] or 0)
    if format == "csv":
        return Response(write_csv(rows), media_type="text/csv; charset=utf-8", headers=FIVE_MINUTES)
    regions = request.app.state.snapshots.current().regions
    bounds = {name: each.bounds for name, each in regions.items()}
    return JSONResponse(write_geojson(rows, bounds), media_type="application/geo+json", headers=FIVE_MINUTES)


def find_units(request: Request, region: str, layer: str, term: str) -> dict[Unit, Figures]:
    """Published units; raises :class:`NotFoundError` on a region that neither is nor was."""
    units = published.read_units(request.app.state.reactions.engine, region=region, layer=layer, term=term)
    if not units:
        check_region(request, region)
    return units


def check_region(request: Request, region: str) -> None:
    """Raise :class:`NotFoundError` where a region is named that has neither data nor figures."""
    if region and not published.read_units(request.app.state.reactions.engine, region=region):
        regions = request.app.state.snapshots.current().regions
        if region not in regions:
            raise NotFoundError(f"no region {region!r}; there are {', '.join(regions) or 'none yet'}")


def describe_unit(unit: Unit, figures: Figures) -> dict:
    """A row of the table."""
    row = {"region": unit.region, "layer": unit.layer, "cell": unit.cell or None}
    row["resolution"] = None if unit.cell == REGION else h3.get_resolution(unit.cell)
    return row | figures.describe()


def describe_source() -> dict[str, str]:
    """The rule of publication, and whose the figures are."""
    rule = labels.both("react2eo.reactions_rule").format(devices=K)
    return {"rule": rule, "attribution": labels.both("react2eo.reactions_attribution")}


def write_csv(rows: list[dict]) -> str:
    """Rows as a table that explains itself."""
    content = io.StringIO()
    table = csv.DictWriter(content, COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    table.writeheader()
    for row in rows:
        low, high = row["interval"]
        table.writerow(row | describe_source() | {"interval_low": low, "interval_high": high})
    return content.getvalue()


def write_geojson(rows: list[dict], bounds: dict[str, tuple]) -> dict:
    """Rows as features: hexagons, and the region's rectangle for what is left of it (no geometry where the region is no more)."""
    features = []
    for row in rows:
        if row["cell"]:
            geometry = published.draw_cell(row["cell"])
        else:
            geometry = mapping(box(*bounds[row["region"]])) if row["region"] in bounds else None
        low, high = row["interval"]
        properties = {key: value for key, value in row.items() if key != "interval"} | {"interval_low": low, "interval_high": high}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {
        "type": "FeatureCollection",
        "features": features,
        **describe_source(),
        "published": max((row["published"] for row in rows), default=None),
    }
