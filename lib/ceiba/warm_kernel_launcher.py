"""Stands for a forked kernel: asks for it, passes signals on and ends when it ends. Needs nothing but the standard library."""

import json
import os
import signal
import socket
import sys


def main() -> int:
    """Ask the forking process at ``argv[1]`` for a kernel with the remaining arguments, and wait for it."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(sys.argv[1])
    request = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}
    connection.sendall(json.dumps(request).encode() + b"\n")
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(64)
        if not part:
            return 1
        data += part
    kernel = int(data)

    def pass_on(number, _frame):
        try:
            os.kill(kernel, number)
        except ProcessLookupError:
            sys.exit(0)  # it ended by itself in the meantime

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    while connection.recv(64):
        pass
    return 0


sys.exit(main())
