"""Votes offered to a server at a rate, over many connections, and a record of those that were acknowledged."""

import asyncio
import json
import random
import time
import uuid
from dataclasses import dataclass, field

CONNECTIONS = 48
VIEW = {"region": "land", "layer": "ndvi", "first": "2018", "last": "2020", "bounds": [-89.1, 20.0, -89.0, 20.1]}


@dataclass
class Record:
    """What became of the votes.

    Attributes
    ----------
    known
        Reaction by device that was acknowledged last.
    unknown
        Reaction by device that was sent after that and not answered.
    latency_s
        From the moment at which a vote was due to its acknowledgement [s].
    """

    offered: int = 0
    acknowledged: int = 0
    refused: int = 0
    known: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    latency_s: list[float] = field(default_factory=list)
    subject: str = ""


async def offer(port: int, record: Record, *, per_s: float, seconds: float, seed: int = 0) -> None:
    """Offer votes until the time is over or the server is gone; a fifth of them change an earlier one."""
    due = iter(range(int(per_s * seconds)))
    start = time.perf_counter()
    await asyncio.gather(*(_connect(port, record, due, start, per_s, random.Random(seed * 1000 + each)) for each in range(CONNECTIONS)))


async def _connect(port: int, record: Record, due, start: float, per_s: float, chance: random.Random) -> None:
    mine: list[str] = []
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in due:
            when = start + number / per_s
            await asyncio.sleep(max(0.0, when - time.perf_counter()))
            changed = mine and chance.random() < 0.2
            device = chance.choice(mine) if changed else f"{chance.getrandbits(144):036x}"
            mine.append(device)
            reaction = chance.choice(["like", "dislike"])
            number = str(uuid.UUID(int=chance.getrandbits(128), version=4))
            body = json.dumps({"id": number, "device": device, "view": VIEW, "reaction": reaction}).encode()
            head = f"POST /api/reactions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
            record.offered += 1
            record.unknown[device] = reaction
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:] if line)
            content = await reader.readexactly(int(headers[b"content-length"]))
            if answer.startswith(b"HTTP/1.1 200"):
                record.acknowledged += 1
                record.known[device] = reaction
                del record.unknown[device]
                record.latency_s.append(time.perf_counter() - when)
                record.subject = json.loads(content)["subject"]
            else:
                record.refused += 1
        writer.close()
    except (OSError, asyncio.IncompleteReadError):
        return  # the server is gone
