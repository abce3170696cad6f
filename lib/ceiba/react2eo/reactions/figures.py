"""``/api/reactions/summary``, ``/cells``, ``/trend`` and ``/animations``: what is published of people's reactions."""

from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ceiba.errors import NotFoundError
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.reactions import cell_files, published
from ceiba.react2eo.reactions.publication import Refresher
from ceiba.react2eo.reactions.published import Figures, Unit
from ceiba.react2eo.subjects import COARSEST, FINEST

FIVE_MINUTES = {"Cache-Control": "public, max-age=300"}
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
        **cell_files.describe_source(),
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
    rows = cell_files.make_rows(published.coarsen(find_units(request, region, layer, term), resolution))
    if format == "csv":
        return Response(cell_files.write_csv(rows), media_type="text/csv; charset=utf-8", headers=FIVE_MINUTES)
    regions = request.app.state.snapshots.current().regions
    bounds = {name: each.bounds for name, each in regions.items()}
    return JSONResponse(cell_files.write_geojson(rows, bounds), media_type="application/geo+json", headers=FIVE_MINUTES)


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
