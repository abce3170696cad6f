"""A light client of tile servers: asks for paths one after the other on one connection, as JSON on the standard input says."""

import http.client
import json
import sys
import time


def main() -> None:
    """Ask until the time is over; prints what came as JSON."""
    asked = json.load(sys.stdin)
    connection = http.client.HTTPConnection("127.0.0.1", asked["port"], timeout=120)
    end = asked["start"] + asked["seconds"]
    time.sleep(max(0.0, asked["start"] - time.time()))
    took, size, wrong = [], 0, []
    place = 0
    while time.time() < end:
        path = asked["paths"][place % len(asked["paths"])]
        place += 1
        start = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        content = answer.read()
        took.append(time.perf_counter() - start)
        size += len(content)
        if answer.status != 200 or not (answer.getheader("Content-Type") or "").startswith("image/"):
            wrong.append(f"{answer.status} {path}: {content[:300]!r}")
    print(json.dumps({"took": took, "bytes": size, "wrong": wrong[:3], "over_s": time.time() - end}))


if __name__ == "__main__":
    main()
