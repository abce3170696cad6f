"""Votes on their way into the database: many are written in one transaction, and each is acknowledged after it is on disk."""

import logging
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass, field
from datetime import date

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ceiba.errors import StoreError
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions.terms import Keys, hide_device, hide_request, read_secret, term_of, today
from ceiba.react2eo.subjects import Subject

log = logging.getLogger(__name__)

LIKE, DISLIKE, NONE = 1, -1, 0
BATCH = 1000
"""Votes that are written together at most."""
WAITING = 20_000
"""Votes that wait at most; further ones are refused at once."""
PATIENCE_S = 40.0
"""How long one waits for its acknowledgement [s]: a little longer than SQLite waits for another process."""
ATTEMPTS = 3


@dataclass(frozen=True)
class Answer:
    """What is kept of a device for a subject: 1, -1 or 0 for none."""

    subject: str
    reaction: int


@dataclass(frozen=True)
class Vote:
    """One thing to write.

    Attributes
    ----------
    key
        Key of the subject.
    subject
        The subject itself; None where a vote is only removed.
    request
        Id of the request, or empty where sending twice does no harm.
    device
        Token of the device; it never gets further than to :func:`ceiba.react2eo.reactions.terms.hide_device`. Empty for an animation made.
    near
        H3 cell of the person's own place where it was offered.
    """

    key: str
    reaction: int
    device: str = field(default="", repr=False)
    subject: Subject | None = None
    request: str = field(default="", repr=False)
    near: str | None = field(default=None, repr=False)


class Votes:
    """Reads and writes votes; one thread writes for all that ask. Safe from any thread, and beside other processes.

    Parameters
    ----------
    url
        SQLAlchemy address of the database.
    term
        Length of a term, of :data:`ceiba.react2eo.reactions.terms.LENGTHS`.
    """

    def __init__(self, url: str, *, term: str = "quarter"):
        self.url = url
        self.keys = Keys(term)
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()
        self._waiting: queue.Queue[tuple[Vote, Future] | None] = queue.Queue(WAITING)
        self._writer: threading.Thread | None = None

    @property
    def engine(self) -> sa.Engine:
        """The database, opened at first use; raises :class:`StoreError` where it cannot be."""
        with self._opening:
            if self._engine is None:
                try:
                    self._engine = store.open_database(self.url)
                except (SQLAlchemyError, OSError) as error:
                    raise StoreError(f"the database of reactions cannot be opened ({type(error).__name__})") from error
            return self._engine

    @property
    def waiting(self) -> int:
        """How many votes are not written yet."""
        return self._waiting.qsize()

    def put(self, vote: Vote) -> Answer:
        """Write a vote and return what is kept, after the transaction is on disk; raises :class:`StoreError`."""
        try:
            return self.offer(vote).result(PATIENCE_S)
        except Late as error:
            raise StoreError(f"no acknowledgement of the database of reactions within {PATIENCE_S:.0f} s") from error

    def offer(self, vote: Vote) -> Future:
        """Have a vote written without waiting; the future ends when it is on disk. Raises :class:`StoreError`."""
        engine = self.engine
        with self._opening:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write_all, args=(engine,), name="votes", daemon=True)
                self._writer.start()
        future: Future = Future()
        try:
            self._waiting.put_nowait((vote, future))
        except queue.Full as error:
            raise StoreError(f"{WAITING} votes wait already for the database of reactions") from error
        return future

    def log_animation(self, subject: Subject) -> None:
        """Note that an animation was made: subject and day, nothing of who made it. Neither waits nor fails."""
        try:
            self.offer(Vote(subject.key, NONE, subject=subject))
        except StoreError as error:
            log.warning("an animation is missing in the log: %s", error)

    def find(self, device: str, key: str) -> Answer:
        """The vote of a device on the subject with this key, in the present term; raises :class:`StoreError`."""
        term, columns = term_of(today(), self.keys.length), store.votes.c
        try:
            with self.engine.connect() as connection:
                secret = read_secret(connection, term)
                if secret is None:
                    return Answer(key, NONE)
                mine = (columns.term == term) & (columns.device == hide_device(secret, device)) & (columns.subject == key)
                return Answer(key, connection.scalar(sa.select(columns.reaction).where(mine)) or NONE)
        except SQLAlchemyError as error:
            raise StoreError(f"the database of reactions cannot be read ({type(error).__name__})") from error

    def close(self) -> None:
        """Write what waits, then end."""
        if self._writer is not None and self._writer.is_alive():
            self._waiting.put(None)
            self._writer.join(PATIENCE_S)
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
            self._engine = self._writer = None

    def _write_all(self, engine: sa.Engine) -> None:
        ending = False
        while not ending:
            jobs = [self._waiting.get()]
            while len(jobs) < BATCH and not self._waiting.empty():
                jobs.append(self._waiting.get_nowait())
            ending = None in jobs
            self._answer(engine, [job for job in jobs if job is not None])

    def _answer(self, engine: sa.Engine, jobs: Sequence[tuple[Vote, Future]]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answers = write(engine, self.keys, [vote for vote, _ in jobs])
            except SQLAlchemyError as error:
                # Another process may have been in the way. Writing again is safe: requests have ids, the rest can be repeated.
                if attempt < ATTEMPTS and isinstance(error, OperationalError):
                    continue
                log.error("%d votes could not be written: %s", len(jobs), type(error).__name__)
                failure = StoreError(f"the database of reactions cannot be written ({type(error).__name__})")
                for _, future in jobs:
                    future.set_exception(failure)
            else:
                for (_, future), answer in zip(jobs, answers, strict=True):
                    future.set_result(answer)
            return


def write(engine: sa.Engine, keys: Keys, votes: Sequence[Vote], *, day: date | None = None) -> list[Answer]:
    """Write votes of a day, today by default, in their order and in one transaction; returns what is kept for each."""
    day = day or today()
    with store.writing(engine).begin() as connection:
        term, secret = keys.present(connection, day)
        made = [vote for vote in votes if not vote.device]
        if made:
            connection.execute(sa.insert(store.animation_log), [_parts(vote) | {"day": day, "reaction": NONE, "count": 1} for vote in made])
        ids = [hide_request(secret, vote.device, vote.request) if vote.request else None for vote in votes]
        new, earlier = _note_requests(connection, {id: vote for id, vote in zip(reversed(ids), reversed(votes), strict=True) if id}, day)
        answers, last = [], {}
        for id, vote in zip(ids, votes, strict=True):
            if id in earlier:
                answers.append(earlier[id])
                continue
            if id in new:
                new.remove(id)
                earlier[id] = Answer(vote.key, vote.reaction)
            answers.append(Answer(vote.key, vote.reaction))
            if vote.device:
                last[hide_device(secret, vote.device), vote.key] = vote
        _keep(connection, term, day, last)
    return answers


def _note_requests(connection: sa.Connection, found: dict[bytes, Vote], day) -> tuple[set[bytes], dict[bytes, Answer]]:
    """Ids that are new, and the answers of those that are not."""
    if not found:
        return set(), {}
    # In one order everywhere, so that two processes never wait for each other.
    rows = [{"id": id, "subject": found[id].key, "reaction": found[id].reaction, "day": day} for id in sorted(found)]
    columns = store.requests.c
    statement = store.insert(connection.engine, store.requests).on_conflict_do_nothing().returning(columns.id)
    new = {bytes(id) for id in connection.scalars(statement, rows)}
    repeated = sorted(found.keys() - new)
    if not repeated:
        return new, {}
    rows = connection.execute(sa.select(columns.id, columns.subject, columns.reaction).where(columns.id.in_(repeated)))
    return new, {bytes(id): Answer(subject, reaction) for id, subject, reaction in rows}


def _keep(connection: sa.Connection, term: str, day, last: dict[tuple[bytes, str], Vote]) -> None:
    """Put the last vote of each device and subject into the place of the one before."""
    columns = store.votes.c
    kept = [
        _parts(vote) | {"term": term, "device": device, "subject": key, "day": day, "reaction": vote.reaction}
        for (device, key), vote in sorted(last.items(), key=lambda item: item[0])
        if vote.reaction != NONE
    ]
    if kept:
        statement = store.insert(connection.engine, store.votes)
        changed = {name: statement.excluded[name] for name in ("near", "day", "reaction")}
        connection.execute(statement.on_conflict_do_update(index_elements=["term", "device", "subject"], set_=changed), kept)
    removed = [{"of": device, "about": key} for (device, key), vote in sorted(last.items(), key=lambda item: item[0]) if not vote.reaction]
    if removed:
        mine = (columns.term == term) & (columns.device == sa.bindparam("of")) & (columns.subject == sa.bindparam("about"))
        connection.execute(sa.delete(store.votes).where(mine), removed)


def _parts(vote: Vote) -> dict:
    about = vote.subject
    return {
        "region": about.region, "layer": about.layer, "first": about.first, "last": about.last, "cell": about.cell, "near": vote.near,
    }  # fmt: skip
