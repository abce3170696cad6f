"""``/api/animations``: what is on the screen as a GIF, WebP or MP4, made once and kept by its content."""

import functools
import json
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from ceiba.config import Config
from ceiba.errors import NotFoundError
from ceiba.react2eo.animations import animation_frames
from ceiba.react2eo.animations.animation_frames import View
from ceiba.react2eo.animations.file_cache import FileCache
from ceiba.react2eo.animations.workers import Workers
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.layers import Snapshot
from ceiba.react2eo.subjects import Subject, find_subject

router = APIRouter(prefix="/api", tags=["animations"])

CACHE_BYTES = 2_000_000_000
FOREVER = "public, max-age=31536000, immutable"
MEDIA_TYPES = {"gif": "image/gif", "webp": "image/webp", "mp4": "video/mp4"}
FRAME_MS = (100, 5000)

Format = Literal["gif", "webp", "mp4"]
Degrees = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]


class AnimationRequest(BaseModel):
    """What is on the screen."""

    model_config = ConfigDict(extra="forbid")

    region: str = Field(max_length=60, description="Name of a region.", examples=["romania"])
    layer: str = Field(max_length=60, description="Name of a layer of it.", examples=["ndvi"])
    first: str = Field(max_length=12, description="First period shown.", examples=["2016"])
    last: str = Field(max_length=12, description="Last period shown.", examples=["2020"])
    bounds: tuple[Degrees, Degrees, Degrees, Degrees] = Field(
        description="West, south, east, north [degrees, WGS 84].", examples=[[22.145, 45.2, 22.159, 45.209]]
    )
    width: int = Field(
        640, ge=animation_frames.WIDTHS_PX[0], le=animation_frames.WIDTHS_PX[1], description="Width of a frame [pixels]."
    )
    format: Format = "gif"
    frame_ms: int = Field(800, ge=FRAME_MS[0], le=FRAME_MS[1], description="Time of a frame [ms].")
    language: Literal["es", "en"] = "es"


class Animation(BaseModel):
    """An animation that was made."""

    id: str = Field(description="32 hexadecimal digits.")
    url: str = Field(description="Where the file is, for as long as there is room for it.")
    format: Format
    bytes: int
    periods: list[str] = Field(description="Periods shown, a frame each.")
    without_data: list[str] = Field(description="Those of them without data here; their frames say so.")
    width: int
    height: int = Field(description="Of a frame with its words below the map [pixels].")
    subject: str = Field(description="What a reaction to it is about.")


@dataclass(frozen=True)
class Plan:
    """A request that was found good."""

    view: View
    subject: Subject
    key: str
    format: str
    frame_ms: int


class Animations:
    """Makes animations and keeps their files; the folder is ``react2eo/animations`` below the local folder of the store."""

    def __init__(self, *, max_bytes: int = CACHE_BYTES):
        self.files = FileCache(Config.from_environment().local / "react2eo" / "animations", max_bytes=max_bytes)
        self.workers = Workers("animations")

    def find(self, plan: Plan) -> Animation | None:
        """An animation made before, or None."""
        file, facts = self.files.find(f"{plan.key}.{plan.format}"), self.files.find(f"{plan.key}.json")
        if file is None or facts is None:
            return None
        return describe(plan, size=file.stat().st_size, **json.loads(facts.read_text("utf-8")))

    def make(self, plan: Plan) -> Animation:
        """Render, encode and keep."""
        frames, empty = animation_frames.render(plan.view)
        content = animation_frames.encode(plan.view, frames, format=plan.format, frame_ms=plan.frame_ms)
        width, height = next(iter(frames.values())).size
        facts = {"width": width, "height": height, "without_data": [str(period) for period in empty]}
        self.files.save(f"{plan.key}.json", json.dumps(facts).encode())
        self.files.save(f"{plan.key}.{plan.format}", content)
        return describe(plan, size=len(content), **facts)


def describe(plan: Plan, *, size: int, width: int, height: int, without_data: list[str]) -> Animation:
    """The answer to a request."""
    return Animation(
        id=plan.key, url=f"{router.prefix}/animations/{plan.key}.{plan.format}", format=plan.format, bytes=size,
        periods=[str(period) for period in plan.view.periods], without_data=without_data, width=width, height=height,
        subject=plan.subject.key,
    )  # fmt: skip


def plan_animation(request: Request, asked: AnimationRequest) -> Plan:
    """Check a request; raises :class:`InputError` that says what is allowed."""
    snapshot: Snapshot = request.app.state.snapshots.current()
    view_of = {"region": asked.region, "layer": asked.layer, "first": asked.first, "last": asked.last, "bounds": asked.bounds}
    subject = find_subject(snapshot, **view_of)
    layer = snapshot.find_layer(asked.region, asked.layer)
    first, last = layer.find_period(asked.first), layer.find_period(asked.last)
    periods = tuple(period for period in layer.periods if first <= period <= last)
    view = View(layer, periods, asked.bounds, asked.width, asked.language)
    view.check()
    key = view.key(format=asked.format, frame_ms=asked.frame_ms)
    return Plan(view, subject, key, asked.format, asked.frame_ms)


@router.post(
    "/animations",
    status_code=201,
    summary="Make an animation",
    responses={200: {"model": Animation, "description": "It was made before."}} | describe_errors(404, 422, 503),
)
async def create_animation(request: Request, response: Response, plan: Annotated[Plan, Depends(plan_animation)]) -> Animation:
    """Frames of all periods from the first to the last, as the map shows them, with year, scale, colors and source."""
    animations: Animations = request.app.state.animations
    made = animations.find(plan)
    request.app.state.metrics.count_cache("animations", hit=made is not None)
    if made:
        response.status_code = 200
    else:
        made = await animations.workers.run(plan.key, functools.partial(animations.make, plan))
    request.app.state.reactions.log_animation(plan.subject)
    return made


@router.get(
    "/animations/{id}.{format}",
    summary="The file of an animation",
    response_class=FileResponse,
    responses={200: {"content": {name: {} for name in MEDIA_TYPES.values()}}} | describe_errors(404, 422),
)
def get_animation(
    request: Request, id: Annotated[str, Path(pattern="^[0-9a-f]{32}$")], format: Format
) -> FileResponse:
    """GIF, WebP or MP4; it never changes."""
    path = request.app.state.animations.files.find(f"{id}.{format}")
    if path is None:
        raise NotFoundError(f"no animation {id}.{format} any more; make it again with POST {router.prefix}/animations")
    headers = {"Cache-Control": FOREVER}
    return FileResponse(
        path, media_type=MEDIA_TYPES[format], headers=headers, filename=f"react2eo_{id}.{format}", content_disposition_type="inline"
    )
