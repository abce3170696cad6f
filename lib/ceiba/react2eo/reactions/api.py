"""``/api/reactions``: likes and dislikes of what was on the screen, one a device and subject, changeable and removable."""

from typing import Annotated, Literal
from uuid import UUID

import h3
from fastapi import APIRouter, Header, Path, Request
from pydantic import BaseModel, Field

from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.protection.limits import limit_device
from ceiba.react2eo.reactions.votes import DISLIKE, LIKE, NONE, Answer, Vote, Votes
from ceiba.react2eo.subjects import FINEST, find_subject

router = APIRouter(prefix="/api", tags=["reactions"])

REACTIONS = {"like": LIKE, "dislike": DISLIKE, "none": NONE}
NAMES = {LIKE: "like", DISLIKE: "dislike", NONE: None}
TOKEN = r"^[A-Za-z0-9_-]{22,64}$"

Longitude = Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False)]
Latitude = Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Key = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="Key of a subject, as the answer to a reaction gives it.")]
Device = Annotated[str, Header(alias="X-Device", pattern=TOKEN, description="Token of the device.")]


class View(BaseModel):
    """What was on the screen."""

    region: Name
    layer: Name
    first: Annotated[str, Field(max_length=20, description="First period shown.", examples=["2016"])]
    last: Annotated[str, Field(max_length=20, description="Last period shown.", examples=["2020"])]
    bounds: Annotated[
        tuple[Longitude, Latitude, Longitude, Latitude], Field(description="West, south, east, north [degrees]; only a cell is kept of it.")
    ]


class Reaction(BaseModel):
    """A reaction to a view."""

    id: Annotated[UUID, Field(description="Of this request: sent again it changes nothing.")]
    device: Annotated[str, Field(pattern=TOKEN, description="Random token that the device made for itself; only a keyed hash is kept.")]
    view: View
    reaction: Literal["like", "dislike", "none"]
    near: Annotated[
        tuple[Longitude, Latitude] | None,
        Field(description="The person's own place, rounded, only where offered; only a cell of 5 km² is kept."),
    ] = None


class Kept(BaseModel):
    """What is kept now."""

    subject: str
    reaction: Literal["like", "dislike"] | None


@router.post("/reactions", summary="React to a view", responses=describe_errors(404, 422, 429, 503))
def react(request: Request, reaction: Reaction) -> Kept:
    """Keep a like or dislike in the place of the one before; "none" removes it. Answered after it is safely on disk."""
    limit_device(request, reaction.device)
    view = reaction.view
    subject = find_subject(
        request.app.state.snapshots.current(), region=view.region, layer=view.layer, first=view.first, last=view.last, bounds=view.bounds
    )
    near = h3.latlng_to_cell(reaction.near[1], reaction.near[0], FINEST) if reaction.near else None
    vote = Vote(
        subject.key, REACTIONS[reaction.reaction], device=reaction.device, subject=subject, request=str(reaction.id), near=near
    )
    return describe(votes_of(request).put(vote))


@router.get("/reactions/{subject}", summary="The reaction of a device", responses=describe_errors(422, 503))
def find_reaction(request: Request, subject: Key, device: Device) -> Kept:
    """What is kept of this device for a subject in the present term."""
    return describe(votes_of(request).find(device, subject))


@router.delete("/reactions/{subject}", summary="Remove the reaction of a device", responses=describe_errors(422, 429, 503))
def remove_reaction(request: Request, subject: Key, device: Device) -> Kept:
    """Remove what is kept of this device for a subject; nothing happens where there is nothing."""
    limit_device(request, device)
    return describe(votes_of(request).put(Vote(subject, NONE, device=device)))


def votes_of(request: Request) -> Votes:
    """The votes of the application."""
    return request.app.state.reactions


def describe(answer: Answer) -> Kept:
    """An answer in words."""
    return Kept(subject=answer.subject, reaction=NAMES[answer.reaction])
