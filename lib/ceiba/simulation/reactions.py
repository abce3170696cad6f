"""Invented people who look at a simulated region and react: what published figures should tell is known, and always called simulated."""

import functools
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import h3
import numpy as np
import pandas as pd
import rioxarray
import yaml
from pyproj import Transformer

from ceiba.config import project_root
from ceiba.errors import AreaError
from ceiba.grids import Place, load_areas
from ceiba.react2eo.reactions import reaction_store
from ceiba.react2eo.reactions.publication import publish
from ceiba.react2eo.reactions.reaction_sources import PublishedReactionsSource, read_history
from ceiba.react2eo.reactions.terms import Keys
from ceiba.react2eo.reactions.votes import DISLIKE, LIKE, NONE, Vote, write
from ceiba.react2eo.subjects import FINEST, Subject
from ceiba.samples import find_sample
from ceiba.simulation.integrity import CELL_PX
from ceiba.simulation.land_cover import group_names, group_of
from ceiba.simulation.layout import CELL_M, CRS, YEARS, block_mean, pixel_centers, random_stream
from ceiba.sources import Selection

NATURAL = ("forest", "shrub", "water")
PERIODS = {"change": (f"{YEARS[0]}--{YEARS[-1]}",) * 2}
"""First and last period of layers that have one a span of years; others run over the years."""


@dataclass(frozen=True)
class Crowd:
    """Who takes part.

    Attributes
    ----------
    people
        Devices, each of another person.
    views
        What each reacts to: cells and layers, some of them twice.
    undecided
        Share of the reactions [1] that are withdrawn or changed at the next publication.
    first_day
        Day of the first publication.
    publications
        Number of publications, one each ``every_d`` days; people come evenly between them.
    """

    people: int = 400
    views: int = 8
    undecided: float = 0.1
    first_day: date = date(2021, 1, 4)
    publications: int = 10
    every_d: int = 7
    seed: int = 7


@functools.cache
def liking() -> Mapping[str, object]:
    """How people react, ``catalogs/simulation/reactions.yml``."""
    return yaml.safe_load((project_root() / "catalogs" / "simulation" / "reactions.yml").read_text("utf-8"))


def true_shares(truth: Path) -> pd.DataFrame:
    """What everybody in the simulated area would think: one row a layer and H3 cell.

    Parameters
    ----------
    truth
        Folder of that name of the area.

    Returns
    -------
    pd.DataFrame
        ``layer``, ``cell``, ``area_share`` (part of the area that is in the cell [1]), ``natural`` and ``changed`` (parts of it that
        are forest, shrub or water in the last year, and that changed [1]), ``share`` (of people who like it [1]).
    """
    cells, model = _read_cells(truth), liking()
    tables = []
    for layer, traits in model["layers"].items():
        share = model["start"] + model["natural"] * cells["natural"] + model["changed"] * cells["changed"] + traits["liking"]
        tables.append(cells.assign(layer=layer, share=share.clip(model["least"], model["most"])))
    return pd.concat(tables, ignore_index=True)[["layer", "cell", "area_share", "natural", "changed", "share"]]


def _read_cells(truth: Path) -> pd.DataFrame:
    """What is true of the land of each H3 cell, from blocks of 80 m."""
    names = (f"land_cover_{YEARS[-1]}.tif", f"change_{YEARS[0]}_{YEARS[-1]}.tif")
    codes, changes = (rioxarray.open_rasterio(truth / name).isel(band=0).values for name in names)
    groups, changed = group_of(codes), changes > 0
    natural = block_mean(np.isin(groups, [group_names().index(name) for name in NATURAL]), CELL_PX)
    rows, columns = np.indices(natural.shape)
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    longitudes, latitudes = to_degrees.transform(*pixel_centers(rows.ravel(), columns.ravel(), CELL_M))
    cells = [h3.latlng_to_cell(latitude, longitude, FINEST) for latitude, longitude in zip(latitudes, longitudes, strict=True)]
    blocks = pd.DataFrame({"cell": cells, "natural": natural.ravel(), "changed": block_mean(changed, CELL_PX).ravel()})
    by_cell = blocks.groupby("cell")
    return by_cell.mean().assign(area_share=by_cell.size() / len(blocks)).reset_index()


def draw_opinions(shares: pd.DataFrame, crowd: Crowd) -> pd.DataFrame:
    """What each person thinks of what they look at, and when they say it.

    Parameters
    ----------
    shares
        ``layer``, ``cell``, ``area_share`` and ``share`` as of :func:`true_shares`.

    Returns
    -------
    pd.DataFrame
        One row a person, layer and cell: ``person``, ``layer``, ``cell``, ``verdict`` (1 or -1), ``publication`` (number of the one
        before which they react), ``later`` (their verdict after the next publication: the same, another, or 0 for withdrawn).
    """
    random = random_stream(crowd.seed, "reactions")
    layers = liking()["layers"]
    weights = shares["area_share"] * shares["layer"].map({name: traits["popularity"] for name, traits in layers.items()}).fillna(1)
    chosen = random.choice(len(shares), size=(crowd.people, crowd.views), p=weights / weights.sum())
    # A person looks at some things twice and still has one opinion of them.
    person, row = np.unique([(person, row) for person, rows in enumerate(chosen) for row in rows], axis=0).T
    seen = shares.iloc[row]
    verdict, second = (np.where(random.random(len(seen)) < seen["share"], LIKE, DISLIKE) for _ in range(2))
    later = np.where(random.random(len(seen)) < 0.5, NONE, second)
    return pd.DataFrame(
        {
            "person": person,
            "layer": seen["layer"].to_numpy(),
            "cell": seen["cell"].to_numpy(),
            "verdict": verdict,
            "publication": random.integers(0, crowd.publications, crowd.people)[person],
            "later": np.where(random.random(len(seen)) < crowd.undecided, later, verdict),
        }
    )


def simulate_reactions(url: str, region: str, shares: pd.DataFrame, *, crowd: Crowd | None = None) -> pd.DataFrame:
    """Let people react to a simulated region, in the database of reactions and by the functions that the server uses.

    Parameters
    ----------
    url
        SQLAlchemy address of the database. Nothing but this region's reactions is added to it.
    region
        A place of a simulated area.
    shares
        As of :func:`true_shares`.
    crowd
        Who takes part.

    Returns
    -------
    pd.DataFrame
        What was said, :func:`draw_opinions`.

    Raises
    ------
    AreaError
        Where the region is real: invented reactions must never be among those of people.
    """
    place, crowd = find_simulated_place(region), crowd or Crowd()
    opinions = draw_opinions(shares, crowd)
    engine = reaction_store.open_database(url)
    try:
        for number in range(crowd.publications + 1):
            day = crowd.first_day + timedelta(days=crowd.every_d * number)
            new = opinions[opinions["publication"] == number]
            changing = opinions[(opinions["publication"] == number - 1) & (opinions["later"] != opinions["verdict"])]
            votes = [*_votes(new, "verdict", place), *_votes(changing, "later", place)]
            made = [Vote(vote.key, NONE, subject=vote.subject) for vote in _votes(new, "verdict", place)]
            write(engine, Keys(), [*made, *votes], day=day)
            publish(engine, day=day)
    finally:
        engine.dispose()
    return opinions


def _votes(opinions: pd.DataFrame, column: str, place: Place) -> Sequence[Vote]:
    votes = []
    for row in opinions.itertuples():
        first, last = PERIODS.get(row.layer, (str(place.years.first_year), str(place.years.last_year)))
        subject = Subject(place.name, row.layer, first, last, row.cell)
        # Tokens and ids that nobody can mistake for those of a browser.
        device = f"simulated-{place.name}-{row.person:012d}"
        request = uuid.uuid5(uuid.NAMESPACE_URL, f"{device} {subject.key} {column}")
        votes.append(Vote(subject.key, getattr(row, column), device=device, subject=subject, request=str(request)))
    return votes


def find_simulated_place(region: str) -> Place:
    """Place by name; raises :class:`AreaError` where it is not of a simulated area."""
    simulated = {place.name: place for area in load_areas().values() if area.simulated for place in area.places}
    if region not in simulated:
        raise AreaError(f"{region!r} is no place of a simulated area; reactions can be simulated for {', '.join(simulated)}")
    return simulated[region]


class SimulatedReactionsSource(PublishedReactionsSource):
    """Published figures of the invented people of the simulated area; they are made anew in a database that nobody else sees."""

    name = "simulated_reactions"
    words = "dashboards.reactions_invented"

    def read(self, selection: Selection) -> pd.DataFrame:
        """The table of :func:`ceiba.react2eo.reactions.reaction_sources.read_history`, the same each time."""
        return simulated_history(find_simulated_place(selection.place.name).name)


@functools.lru_cache(maxsize=4)
def simulated_history(region: str) -> pd.DataFrame:
    """Published figures of the simulated area, from a database that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="ceiba-simulated-") as folder:
        url = f"sqlite:///{folder}/reactions.sqlite"
        simulate_reactions(url, region, true_shares(find_sample("simulated").path("truth")))
        engine = reaction_store.open_database(url)
        try:
            return read_history(engine, region=region)
        finally:
            engine.dispose()
