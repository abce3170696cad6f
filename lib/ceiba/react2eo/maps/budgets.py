"""Budgets of requests to other servers: what is spent is counted on disk before each request, so that no restart forgets it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ceiba.errors import CeibaError, StoreError

PATIENCE_S = 5.0
"""How long another process may hold the file [s]."""


class BudgetError(CeibaError):
    """A budget is spent; ``renewed_s`` tells in how many seconds there is a new one."""

    def __init__(self, message: str, *, renewed_s: int):
        super().__init__(message)
        self.renewed_s = renewed_s


class Budgets:
    """Counts requests by day and month of UTC in an SQLite file, safe for several threads and processes.

    Where the file cannot be written nothing may be spent: :class:`StoreError`.
    """

    def __init__(self, path: Path):
        self._path = path

    def spend(self, name: str, *, per_day: int, per_month: int, now: datetime | None = None) -> None:
        """Count one request more; raises :class:`BudgetError`, without counting it, where day or month allow none."""
        now = now or datetime.now(UTC)
        with self._open() as connection:
            connection.execute("begin immediate")
            for period, most, renewed in _periods(now, per_day, per_month):
                if _count(connection, name, period) >= most:
                    raise BudgetError(
                        f"layer {name}: its budget of {most} requests for {period} is spent; there is a new one on {renewed:%Y-%m-%d}",
                        renewed_s=max(1, int((renewed - now).total_seconds())),
                    )
            for period, _, _ in _periods(now, per_day, per_month):
                connection.execute(
                    "insert into spent values (?, ?, 1) on conflict (name, period) do update set requests = requests + 1", (name, period)
                )
            connection.execute("commit")

    def count(self, name: str, period: str) -> int:
        """Requests of a day ("2026-05-31") or month ("2026-05")."""
        with self._open() as connection:
            return _count(connection, name, period)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Closing rolls back what was not committed.
            with closing(sqlite3.connect(self._path, timeout=PATIENCE_S, isolation_level=None)) as connection:
                connection.execute(
                    "create table if not exists spent (name text, period text, requests integer not null, primary key (name, period))"
                )
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"the budgets in {self._path} cannot be used: {error}") from error


def _count(connection: sqlite3.Connection, name: str, period: str) -> int:
    row = connection.execute("select requests from spent where name = ? and period = ?", (name, period)).fetchone()
    return row[0] if row else 0


def _periods(now: datetime, per_day: int, per_month: int) -> tuple[tuple[str, int, datetime], ...]:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (f"{now:%Y-%m-%d}", per_day, day + timedelta(days=1)), (f"{now:%Y-%m}", per_month, month)
