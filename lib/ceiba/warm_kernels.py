"""Kernels forked from a process that has imported the libraries already.

Importing the data cube and its libraries costs several seconds of CPU, more than the work of most units, and a national
run has a hundred thousand units. One process imports them once and then forks a kernel for each unit. It holds no
threads, connections or data, so a forked kernel is as fresh as a new one. Where forking is not to be had, kernels start
in the ordinary way.
"""

import contextlib
import importlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager

log = logging.getLogger(__name__)

PRELOADED = (
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "matplotlib.figure",
    "pandas",
    "xarray",
    "odc.geo.xr",
    "ceiba.quick_imports",
    "ceiba.tasks",
    "ceiba.file_sources",
    "ceiba.catalog",
    "ceiba.ard",
    "ceiba.mosaics.composites",  # with Numba, which most notebooks compute with
    "ceiba.mosaics.streaming",
)
START_TIMEOUT_S = 120
# matplotlib reads its backend when it is imported, which for a forked kernel is before ipykernel would set it.
BACKEND = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
# A process with threads cannot be forked safely. One thread for linear algebra is enough: the units fill the cores.
SINGLE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
LAUNCHER = Path(__file__).with_name("warm_kernel_launcher.py")
PID_SUFFIX = ".pid"

_socket_path: str | None = None


class WarmKernelManager(AsyncKernelManager):
    """Starts a kernel through :func:`warm_kernels` where they are on, in the ordinary way otherwise."""

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """The command of the kernel spec, sent to the forking process instead of a new interpreter."""
        command = super().format_kernel_cmd(extra_arguments)
        if _socket_path is None or "ipykernel_launcher" not in command:
            return command
        arguments = command[command.index("ipykernel_launcher") + 1 :]
        return [sys.executable, "-S", "-I", str(LAUNCHER), _socket_path, *arguments]


def kernel_pid(manager: AsyncKernelManager) -> int:
    """Process number of the kernel itself, 0 where it is not known."""
    note = Path(f"{manager.connection_file}{PID_SUFFIX}")
    if note.exists():
        return int(note.read_text())
    return getattr(manager.provisioner, "pid", None) or 0


@contextlib.contextmanager
def warm_kernels() -> Iterator[None]:
    """Fork the kernels of this process from a warm one for the time of a run."""
    global _socket_path
    with tempfile.TemporaryDirectory(prefix="ceiba-kernels-") as folder:
        path = f"{folder}/socket"
        environment = os.environ | SINGLE_THREAD | BACKEND
        process = subprocess.Popen(
            [sys.executable, "-m", "ceiba.warm_kernels", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        try:
            ready = select.select([process.stdout], [], [], START_TIMEOUT_S)[0] and process.stdout.readline()
            if ready:
                _socket_path = path
            else:
                log.warning("no warm kernels: the forking process did not start; kernels start in the ordinary way")
            yield
        finally:
            _socket_path = None
            process.stdin.close()
            process.terminate()
            process.wait(30)
            process.stdout.close()


def main(path: str) -> None:
    """Import the libraries, then fork a kernel for each request until the process that asked for us ends."""
    for name in PRELOADED:
        importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task")) if Path("/proc/self/task").exists() else threading.active_count()
    if threads > 1:
        sys.exit(f"{threads} threads after the imports; forking would not be safe")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel of the system buries the kernels of ours
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        readable, _, _ = select.select([server, sys.stdin], [], [])
        if sys.stdin in readable:
            return
        connection, _ = server.accept()
        request = receive_line(connection)
        if request and os.fork() == 0:
            server.close()
            run_kernel(json.loads(request), connection)
        connection.close()


def receive_line(connection: socket.socket) -> bytes:
    """Bytes up to a line end, empty where the other side went away."""
    data = b""
    while not data.endswith(b"\n"):
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    return data


def run_kernel(request: dict, connection: socket.socket) -> None:
    """Become a kernel: take over the asker's environment and folder, and end when the asker does."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(null, stream)
    arguments = request["arguments"]
    connection_file = Path(arguments[arguments.index("-f") + 1])
    Path(f"{connection_file}{PID_SUFFIX}").write_text(str(os.getpid()))
    connection.sendall(f"{os.getpid()}\n".encode())
    threading.Thread(target=end_with, args=(connection,), daemon=True).start()
    # ipykernel ends itself when its parent changes, and the parent of a forked kernel is the forking process.
    sys.argv = ["ipykernel_launcher", *arguments, f"--IPKernelApp.parent_handle={os.getppid()}"]
    from ipykernel.kernelapp import launch_new_instance

    try:
        launch_new_instance()
    finally:
        Path(f"{connection_file}{PID_SUFFIX}").unlink(missing_ok=True)
        os._exit(0)


def end_with(connection: socket.socket) -> None:
    """End this process when the launcher at the other side of ``connection`` is gone."""
    with contextlib.suppress(OSError):
        while connection.recv(1024):
            pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
