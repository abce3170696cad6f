"""Publication terms: how long a device can be told from another, and the secret by which."""

import hmac
import secrets
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from ceiba.react2eo.reactions import reaction_store as store

LENGTHS = ("quarter", "month", "year")


def today() -> date:
    """The day now, UTC."""
    return datetime.now(UTC).date()


def term_of(day: date, length: str) -> str:
    """Name of the term that a day is in: "2026-Q4", "2026-11" or "2026"; names of one length sort by time."""
    if length == "year":
        return f"{day.year}"
    return f"{day.year}-Q{(day.month + 2) // 3}" if length == "quarter" else f"{day.year}-{day.month:02}"


def last_day(term: str) -> date:
    """Last day of a term, by its name."""
    year, _, part = term.partition("-")
    months = 12 if not part else 3 * int(part[1:]) if part.startswith("Q") else int(part)
    return date(int(year) + months // 12, months % 12 + 1, 1) - timedelta(days=1)


class Keys:
    """The secret of the present term, made once in the database and remembered."""

    def __init__(self, length: str = "quarter"):
        self.length = length
        self._known: tuple[str, bytes] | None = None

    def present(self, connection: sa.Connection, day: date | None = None) -> tuple[str, bytes]:
        """Term and secret of a day, today by default; made where there is none, in a transaction that writes."""
        term = term_of(day or today(), self.length)
        known = self._known
        if known is None or known[0] != term:
            statement = store.insert(connection.engine, store.keys).values(term=term, secret=secrets.token_bytes(store.DIGEST))
            connection.execute(statement.on_conflict_do_nothing())
            known = term, read_secret(connection, term)
            # Kept only once the transaction is: else a secret could be used that nobody finds again.
            sa.event.listen(connection, "commit", lambda _: setattr(self, "_known", known), once=True)
        return known


def read_secret(connection: sa.Connection, term: str) -> bytes | None:
    """Secret of a term, None where there is none or it is over."""
    return connection.scalar(sa.select(store.keys.c.secret).where(store.keys.c.term == term))


def hide_device(secret: bytes, device: str) -> bytes:
    """HMAC-SHA256 of a device's token: all that is kept of it."""
    return hmac.digest(secret, f"device\n{device}".encode(), "sha256")


def hide_request(secret: bytes, device: str, request: str) -> bytes:
    """HMAC-SHA256 of a request's id, which two devices may share by chance or malice without harm."""
    return hmac.digest(secret, f"request\n{device}\n{request}".encode(), "sha256")
