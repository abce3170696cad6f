"""The database of reactions: its tables, how it is opened and brought up to date, and locks between server processes.

No table has a column for a point, an address, a browser or a time of day: what is not there cannot leak.
"""

import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Column, Date, Engine, Index, Integer, LargeBinary, MetaData, SmallInteger, String, Table, event
from sqlalchemy.dialects import postgresql, sqlite

from ceiba.locks import exclusive, exclusive_if_free

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 30
"""How long SQLite waits for another process that writes [s]."""
DIGEST = 32
"""Length of HMAC-SHA256 [bytes]."""
NAME = String(100)
CELL = String(15)
WORD = String(20)

tables = MetaData()

keys = Table("keys", tables, Column("term", WORD, primary_key=True), Column("secret", LargeBinary(DIGEST), nullable=False))
"""The secret of each term that is not over: without it no device can be recognized in the other tables."""

votes = Table(
    "votes",
    tables,
    Column("term", WORD, primary_key=True),
    Column("device", LargeBinary(DIGEST), primary_key=True),
    Column("subject", String(16), primary_key=True),
    Column("region", NAME, nullable=False),
    Column("layer", NAME, nullable=False),
    Column("first", WORD, nullable=False),
    Column("last", WORD, nullable=False),
    Column("cell", CELL, nullable=False),
    Column("near", CELL),
    Column("day", Date, nullable=False),
    Column("reaction", SmallInteger, nullable=False),
    Index("votes_by_cell", "term", "region", "layer", "cell", "device"),
)
"""One replaceable vote of a device on a subject; ``reaction`` is 1 or -1."""

counted = Table(
    "counted",
    tables,
    Column("term", WORD, primary_key=True),
    Column("region", NAME, primary_key=True),
    Column("layer", NAME, primary_key=True),
    Column("cell", CELL, primary_key=True),
    Column("device", LargeBinary(DIGEST), primary_key=True),
    Column("unit", CELL, nullable=False),
    Column("cohort", Integer, nullable=False),
    Column("verdict", SmallInteger, nullable=False),
)
"""Which opinions are in which published figure, see :mod:`ceiba.react2eo.reactions.publication`; gone with the term."""

requests = Table(
    "requests",
    tables,
    Column("id", LargeBinary(DIGEST), primary_key=True),
    Column("subject", String(16), nullable=False),
    Column("reaction", SmallInteger, nullable=False),
    Column("day", Date, nullable=False, index=True),
)
"""Requests of the last days under keyed ids, so that one sent twice changes nothing."""

animation_log = Table(
    "animation_log",
    tables,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False),
    Column("region", NAME, nullable=False, index=True),
    Column("layer", NAME, nullable=False),
    Column("first", WORD, nullable=False),
    Column("last", WORD, nullable=False),
    Column("cell", CELL, nullable=False),
    Column("near", CELL),
    Column("reaction", SmallInteger, nullable=False),
    Column("count", Integer, nullable=False),
)
"""Animations made (``reaction`` 0) and, once a term is over, its reactions without their devices."""

published = Table(
    "published",
    tables,
    Column("term", WORD, primary_key=True),
    Column("region", NAME, primary_key=True),
    Column("layer", NAME, primary_key=True),
    Column("cell", CELL, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("likes", Integer, nullable=False),
    Column("dislikes", Integer, nullable=False),
    Column("devices", Integer, nullable=False),
)
"""Figures of each unit at the end of each day on which they changed; ``cell`` is empty for the rest of the region."""

publications = Table(
    "publications",
    tables,
    Column("id", Integer, primary_key=True),
    Column("day", Date, nullable=False),
    Column("rolled_up", Integer, nullable=False),
)
"""Runs of the publication that changed a figure or rolled up."""


def open_database(url: str) -> Engine:
    """Connect to the database at a SQLAlchemy address and bring its tables up to date; safe from several processes at once.

    Raises :class:`sqlalchemy.exc.SQLAlchemyError` where it cannot be reached.
    """
    address = sa.make_url(url)
    # Messages of errors must not repeat the values of a statement.
    options = {"hide_parameters": True, "pool_pre_ping": True}
    if address.get_backend_name() == "sqlite":
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(address, connect_args={"timeout": BUSY_S}, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        engine = sa.create_engine(address, **options)
    migrate(engine)
    return engine


def _prepare_sqlite(connection, _record) -> None:
    # Transactions are begun below, in the way each of them needs.
    connection.isolation_level = None
    for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    # VACUUM cannot be within a transaction.
    if options.get("isolation_level") != "AUTOCOMMIT":
        # A transaction that reads first and writes later could not wait for another process.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def writing(engine: Engine) -> Engine:
    """The same database, for transactions that write."""
    return engine.execution_options(writes=True)


def reading(engine: Engine) -> Engine:
    """The same database, for transactions all of whose queries see one moment."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="REPEATABLE READ")


def migrate(engine: Engine, *, revision: str = "head") -> None:
    """Bring the tables to a revision, one process at a time; earlier revisions than that of the database take tables away."""
    config = AlembicConfig()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with alone(engine, "migration"), writing(engine).connect() as connection:
        config.attributes["connection"] = connection
        known = sa.inspect(connection).has_table("alembic_version")
        newer = revision == "head" or not known
        connection.rollback()
        (command.upgrade if newer else command.downgrade)(config, revision)


@contextmanager
def alone(engine: Engine, name: str, *, wait: bool = True) -> Iterator[bool]:
    """Do something in one process at a time; yields whether it is this one's turn, which it always is after waiting.

    Nothing is left behind by a process that is killed: the operating system or PostgreSQL holds the lock.
    """
    if engine.dialect.name == "sqlite":
        path = Path(engine.url.database).with_suffix(f".{name}.lock")
        if wait:
            with exclusive(path):
                yield True
        else:
            with exclusive_if_free(path) as obtained:
                yield obtained
        return
    number = zlib.crc32(f"ceiba reactions {name}".encode())
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        function = sa.func.pg_advisory_lock if wait else sa.func.pg_try_advisory_lock
        obtained = connection.scalar(sa.select(function(number)))
        try:
            yield bool(wait or obtained)
        finally:
            if wait or obtained:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(number)))


def insert(engine: Engine, table: Table):
    """An INSERT that knows ON CONFLICT, which SQLAlchemy words a database."""
    return (sqlite if engine.dialect.name == "sqlite" else postgresql).insert(table)


def forget(engine: Engine) -> None:
    """Overwrite on disk what was deleted: free pages, and for SQLite also the log of what was written."""
    if engine.dialect.name == "sqlite":
        # Not through the engine, which begins a transaction, and these two cannot be in one.
        with closing(engine.raw_connection()) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for table in (keys, votes, counted, requests):
            connection.exec_driver_sql(f"VACUUM (FULL) {table.name}")
