"""What of people's votes is published, and why nobody can be made out in it.

**What is counted.** The opinion of a device on a layer in a cell: whether it likes more than it dislikes there, over whatever years
it was shown; who does both equally often has none. So a device counts once in a cell, however often it votes.

**Units.** A published figure belongs to a unit: an H3 cell of a region and layer, or what is left of the region (its cell is empty).
A unit that is the parent of others holds what is *not* in them: each counted opinion is in exactly one unit and every total that is
offered is a sum of units. There is no second table of the same opinions (by years shown, by the people's own places), because the
difference of two such tables singles out those who are in one of them only.

**Cohorts.** Opinions enter in cohorts. At a refresh those of a cell that are not counted yet enter its unit together if they come from
at least :data:`K` devices; else they wait. Once a day those that wait are passed on from cell to parent, up to the region, until they
are enough; what is not enough in the whole region is not counted. An opinion never moves to another unit. It leaves (withdrawn or
changed) only together with others of *its own cohort* from at least :data:`K` devices, and only if at least :data:`K` devices, or none,
remain of the cohort. A changed opinion is then a new one, which waits for a cohort like any other.

**The argument.** Take an adversary who keeps every download there ever was and knows who voted where and when. What it has are sums
over opinions; what it can derive from them are sums and differences of such sums. Call two opinions alike if they are in the same of
all these figures. A cohort enters one figure of one unit as a whole, and what leaves is a part of one cohort; hence opinions that are
alike are either all that remain of a cohort or all that left it at one refresh. Both are from at least :data:`K` devices. A sum or
difference, with whatever factors, has the same factor for opinions that are alike. Therefore it holds at least :data:`K` devices, all
of each such group or none of it: parent minus children, total minus cells, new minus old, one layer minus another, a coarser display
minus a finer one. ``tests/react2eo/test_publication.py`` checks this on random histories for all figures ever published.

The simpler rule "a unit is published again after five further changes" is not enough: of five who came, four leave together with a
sixth who comes, and first figure + third figure - second figure are the one who stayed and the one who came.

When a figure changes depends on votes too: that it does not change tells that fewer than :data:`K` devices wait in a cell. Passing on
happens by the calendar and not by the age of a vote, so that it tells nothing more.

**What this cannot do.** Who knows how all others of a cohort voted knows the last one's vote: exact figures cannot prevent that, and
someone may make four devices up in order to learn a fifth's vote. Where a whole cohort is of one opinion, the figure tells the opinion
of everyone known to be in it. A refresh each hour tells that a cohort was complete in that hour. Tokens are random numbers of the
device, so a person with two browsers is two devices. A withdrawn vote is deleted at once, but its opinion leaves the
published figure late, or never where too few of its cohort leave; until then, and to the end of the term, ``counted`` remembers it
under the device's hash, because nobody could tell otherwise what the figure is made of.

**The end of a term** (a calendar quarter by default). What can still be published is; then figures stay as they are for good, votes
become counts without device in the log, and the secret is deleted with all that was made with it and overwritten on disk
(:func:`ceiba.react2eo.reactions.reaction_store.forget`). Backups of the database and copies of its write-ahead log that an operator keeps
elsewhere are beyond this program: keep them shorter than a term.
"""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain

import h3
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from ceiba.errors import StoreError
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions.terms import last_day, today
from ceiba.react2eo.reactions.votes import Votes
from ceiba.react2eo.subjects import COARSEST, FINEST

log = logging.getLogger(__name__)

K = 5
"""Devices in a cohort at least."""
REGION = ""
"""Cell of the unit that holds what is left of a region."""
REFRESH_S = 3600.0
REQUESTS_D = 7
"""How long the keyed id of a request is remembered [days]."""


@dataclass(frozen=True)
class Opinion:
    """What a device thinks of a layer in a cell: ``verdict`` 1 or -1, 0 for none (any more)."""

    region: str
    layer: str
    cell: str
    device: bytes
    verdict: int

    @property
    def key(self) -> dict:
        """Columns that name it in the table ``counted`` of a term."""
        return {"region": self.region, "layer": self.layer, "cell": self.cell, "device": self.device}


Cohort = tuple[str, str, str, int]
"""Region, layer, unit and number."""


def publish(engine: sa.Engine, *, length: str = "quarter", roll_up: bool | None = None, day: date | None = None) -> int | None:
    """Bring the published figures up to date, and end the terms that are over.

    Parameters
    ----------
    length
        Length of a term.
    roll_up
        Whether what is too little in its cell is passed on to the parent; by default at the first refresh of a day.
    day
        Day of the publication, today by default.

    Returns
    -------
    int or None
        Units that changed; None where another process is at it.
    """
    day = day or today()
    with store.alone(engine, "publication", wait=False) as mine:
        if not mine:
            return None
        with engine.connect() as connection:
            terms = connection.scalars(sa.union(sa.select(store.keys.c.term), sa.select(store.votes.c.term))).all()
            if roll_up is None:
                done = sa.select(store.publications.c.id).where(store.publications.c.day == day, store.publications.c.rolled_up == 1)
                roll_up = connection.scalar(done.limit(1)) is None
        changed = 0
        for term in sorted(terms):
            over = last_day(term) < day
            # What is published of a term that is over is of its last day: later ones are none of its votes' business.
            changed += _publish_term(engine, term, min(day, last_day(term)), roll_up=roll_up or over)
            if over:
                end_term(engine, term)
        with store.writing(engine).begin() as connection:
            connection.execute(sa.delete(store.requests).where(store.requests.c.day < day - timedelta(days=REQUESTS_D)))
            if roll_up:
                connection.execute(sa.insert(store.publications).values(day=day, rolled_up=1))
    log.info("published reactions: %d units changed", changed)
    return changed


def _publish_term(engine: sa.Engine, term: str, day: date, *, roll_up: bool) -> int:
    # What is read is of one moment, and only this process writes `counted`; votes go on meanwhile and are seen next time.
    with store.reading(engine).connect() as connection:
        joining, leaving = _read_changes(connection, term)
        ready = {cohort: opinions for cohort, opinions in leaving.items() if _devices(opinions) >= K}
        members = _read_members(connection, term, ready)
    gone = {cohort: whole for cohort, opinions in ready.items() if (whole := find_leavers(members[cohort], opinions))}
    joining += [opinion for opinion in chain.from_iterable(gone.values()) if opinion.verdict]
    groups: dict[tuple[str, str], list[Opinion]] = defaultdict(list)
    for opinion in joining:
        groups[opinion.region, opinion.layer].append(opinion)
    come = {
        (*where, unit): opinions for where, group in groups.items() for unit, opinions in gather(group, roll_up=roll_up).items()
    }
    touched = set(come) | {cohort[:3] for cohort in gone}
    if not touched:
        return 0
    with store.writing(engine).begin() as connection:
        cohort = connection.scalar(sa.insert(store.publications).values(day=day, rolled_up=0).returning(store.publications.c.id))
        _leave(connection, term, chain.from_iterable(gone.values()))
        rows = [
            opinion.key | {"term": term, "unit": unit, "cohort": cohort, "verdict": opinion.verdict}
            for (_, _, unit), opinions in come.items()
            for opinion in opinions
        ]
        if rows:
            connection.execute(sa.insert(store.counted), rows)
        _write_figures(connection, term, day, touched)
    return len(touched)


def gather(opinions: Iterable[Opinion], *, roll_up: bool) -> dict[str, list[Opinion]]:
    """Opinions of a region and layer that may enter, by unit; each is in one unit at most, and each unit's come from :data:`K` devices.

    Parameters
    ----------
    roll_up
        Whether those that are too few in their cell are joined in its parent, and so on up to the region.
    """
    levels: dict[int, dict[str, list[Opinion]]] = defaultdict(lambda: defaultdict(list))
    for opinion in opinions:
        levels[h3.get_resolution(opinion.cell)][opinion.cell].append(opinion)
    enough, rest = {}, []
    for resolution in range(FINEST, COARSEST - 1, -1):
        for cell, group in levels[resolution].items():
            if _devices(group) >= K:
                enough[cell] = group
            elif resolution > COARSEST and roll_up:
                levels[resolution - 1][h3.cell_to_parent(cell)] += group
            else:
                rest += group
    if roll_up and _devices(rest) >= K:
        enough[REGION] = rest
    return enough


def find_leavers(members: Iterable[bytes], leaving: Sequence[Opinion]) -> list[Opinion]:
    """Those of ``leaving`` that may leave their cohort now: all of them or none, without devices of which an opinion stays.

    Parameters
    ----------
    members
        Devices of all opinions of the cohort, one an opinion.
    """
    staying = Counter(members)
    staying.subtract(opinion.device for opinion in leaving)
    devices = {device for device, count in staying.items() if count > 0}
    whole = [opinion for opinion in leaving if opinion.device not in devices]
    return whole if _devices(whole) >= K and (not devices or len(devices) >= K) else []


def _devices(opinions: Iterable[Opinion]) -> int:
    return len({opinion.device for opinion in opinions})


def _read_changes(connection: sa.Connection, term: str) -> tuple[list[Opinion], dict[Cohort, list[Opinion]]]:
    """Opinions that are not counted, and those counted that are not what they were, by cohort."""
    votes, counted = store.votes.c, store.counted.c
    names = ("region", "layer", "cell", "device")
    total = sa.func.sum(votes.reaction)
    verdict = sa.case((total > 0, 1), (total < 0, -1), else_=0).label("verdict")
    who = [votes[name] for name in names]
    now = sa.select(*who, verdict).where(votes.term == term).group_by(*who).subquery()
    of_term = sa.select(store.counted).where(counted.term == term).subquery()
    same = sa.and_(*(now.c[name] == of_term.c[name] for name in names))
    differ = sa.func.coalesce(of_term.c.verdict, 0) != now.c.verdict
    changed = sa.select(now, of_term.c.unit, of_term.c.cohort).select_from(now.outerjoin(of_term, same)).where(differ)
    withdrawn = sa.select(*(of_term.c[name] for name in names), sa.literal(0), of_term.c.unit, of_term.c.cohort)
    withdrawn = withdrawn.select_from(of_term.outerjoin(now, same)).where(now.c.device.is_(None))
    joining: list[Opinion] = []
    leaving: dict[Cohort, list[Opinion]] = defaultdict(list)
    for region, layer, cell, device, verdict, unit, cohort in chain(connection.execute(changed), connection.execute(withdrawn)):
        opinion = Opinion(region, layer, cell, bytes(device), verdict)
        if cohort is None:
            joining.append(opinion)
        else:
            leaving[region, layer, unit, cohort].append(opinion)
    return joining, leaving


def _read_members(connection: sa.Connection, term: str, cohorts: Iterable[Cohort]) -> Mapping[Cohort, list[bytes]]:
    """Devices of each cohort, one an opinion."""
    members: dict[Cohort, list[bytes]] = {cohort: [] for cohort in cohorts}
    for region, layer in sorted({cohort[:2] for cohort in members}):
        for row in _read_counted(connection, term, region, layer):
            if (region, layer, row.unit, row.cohort) in members:
                members[region, layer, row.unit, row.cohort].append(bytes(row.device))
    return members


def _read_counted(connection: sa.Connection, term: str, region: str, layer: str) -> sa.Result:
    columns = store.counted.c
    its = sa.select(columns.unit, columns.cohort, columns.device, columns.verdict)
    return connection.execute(its.where(columns.term == term, columns.region == region, columns.layer == layer))


def _leave(connection: sa.Connection, term: str, opinions: Iterable[Opinion]) -> None:
    columns = store.counted.c
    rows = [{f"of_{name}": value for name, value in opinion.key.items()} for opinion in opinions]
    if rows:
        its = sa.and_(*(columns[name] == sa.bindparam(f"of_{name}") for name in ("region", "layer", "cell", "device")))
        connection.execute(sa.delete(store.counted).where(columns.term == term, its), rows)


def _write_figures(connection: sa.Connection, term: str, day: date, units: Iterable[tuple[str, str, str]]) -> None:
    """Put the figures of units as they are now into the published table."""
    members: dict[tuple[str, str, str], list[sa.Row]] = {unit: [] for unit in sorted(units)}
    # One pass over each layer: asking for each unit by itself would read the layer as often as it has units.
    for region, layer in sorted({unit[:2] for unit in members}):
        for row in _read_counted(connection, term, region, layer):
            if (region, layer, row.unit) in members:
                members[region, layer, row.unit].append(row)
    rows = []
    for (region, layer, unit), found in members.items():
        likes = sum(1 for row in found if row.verdict > 0)
        figures = {
            "likes": likes,
            "dislikes": len(found) - likes,
            # Counted by cohort: how many of a cohort were in the unit before would be a number about fewer than all of them.
            "devices": len({(row.cohort, bytes(row.device)) for row in found}),
        }
        rows.append({"term": term, "region": region, "layer": layer, "cell": unit, "day": day} | figures)
    statement = store.insert(connection.engine, store.published)
    changed = {name: statement.excluded[name] for name in ("likes", "dislikes", "devices")}
    key = ["term", "region", "layer", "cell", "day"]
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), rows)


def end_term(engine: sa.Engine, term: str) -> None:
    """Turn the votes of a term into counts without device, and delete its secret and all that was made with it."""
    votes = store.votes.c
    with store.writing(engine).begin() as connection:
        rows = connection.execute(sa.select(store.votes).where(votes.term == term)).all()
        if rows:
            connection.execute(sa.insert(store.animation_log), list(freeze(rows)))
        for table in (store.votes, store.counted, store.keys):
            connection.execute(sa.delete(table).where(table.c.term == term))
        connection.execute(sa.delete(store.requests).where(store.requests.c.day <= last_day(term)))
    store.forget(engine)
    log.info("term %s of reactions ended", term)


def freeze(rows: Sequence) -> Iterator[dict]:
    """Entries of the log for votes: counts, people's own places told by cells with at least :data:`K` of the devices that told one."""
    placed: dict[tuple[str, str], list[Opinion]] = defaultdict(list)
    for row in rows:
        if row.near:
            placed[row.region, row.layer].append(Opinion(row.region, row.layer, row.near, bytes(row.device), row.reaction))
    coarser = {
        (*where, opinion.cell, opinion.device): unit or None
        for where, opinions in placed.items()
        for unit, group in gather(opinions, roll_up=True).items()
        for opinion in group
    }
    names = ("day", "region", "layer", "first", "last", "cell", "near", "reaction")
    counts = Counter(
        (row.day, row.region, row.layer, row.first, row.last, row.cell,
         coarser.get((row.region, row.layer, row.near, bytes(row.device))), row.reaction)
        for row in rows
    )  # fmt: skip
    # In an order that says nothing about the one in which they came.
    for entry in sorted(counts, key=str):
        yield dict(zip(names, entry, strict=True)) | {"count": counts[entry]}


def remove_region(engine: sa.Engine, region: str) -> dict[str, int]:
    """Delete everything about a region, published figures too; returns rows by table."""
    with store.alone(engine, "publication"):
        with store.writing(engine).begin() as connection:
            tables = (store.votes, store.counted, store.published, store.animation_log)
            rows = {table.name: connection.execute(sa.delete(table).where(table.c.region == region)).rowcount for table in tables}
        store.forget(engine)
    return rows


class Refresher:
    """Publishes at start and every hour, in a thread of its own; several processes may each have one."""

    def __init__(self, votes: Votes, *, every_s: float = REFRESH_S):
        self._votes, self._every_s = votes, every_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publication", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, after the refresh that is under way."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                publish(self._votes.engine, length=self._votes.keys.length)
            except (SQLAlchemyError, StoreError) as error:
                # The next hour may find the database again; figures stay what they were.
                log.error("reactions could not be published: %s", type(error).__name__)
            self._ending.wait(self._every_s)
