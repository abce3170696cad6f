"""Start a real Dask Gateway on this machine, to try or to test ``ceiba run --cluster gateway`` without a hub.

    python environments/local/start_gateway.py

prints the settings that a client needs and runs until Ctrl-C. It listens on 127.0.0.1, with a password.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

CONFIG = Path(__file__).with_name("dask_gateway_config.py")


class GatewayError(RuntimeError):
    """The gateway did not start."""


@dataclass(frozen=True)
class LocalGateway:
    """A running gateway.

    Attributes
    ----------
    address
        What ``dask_gateway.Gateway`` takes, ``http://127.0.0.1:PORT``.
    password
        Password of its simple authentication.
    process
        The server's process.
    """

    address: str
    password: str
    process: subprocess.Popen

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which ``Gateway()`` finds this gateway in another process."""
        return {
            "DASK_GATEWAY__ADDRESS": self.address,
            "DASK_GATEWAY__AUTH__TYPE": "basic",
            "DASK_GATEWAY__AUTH__KWARGS__PASSWORD": self.password,
        }

    @property
    def settings(self) -> dict[str, object]:
        """The same for ``dask.config.set`` in this process."""
        return {
            "gateway.address": self.address,
            "gateway.auth.type": "basic",
            "gateway.auth.kwargs": {"password": self.password},
        }


@contextmanager
def run_gateway(
    *, start_timeout_s: float = 120.0, environment: dict[str, str] | None = None
) -> Iterator[LocalGateway]:
    """Run a gateway for the time of a ``with`` block; at its end no process, port or file of it is left.

    Parameters
    ----------
    start_timeout_s
        Longest wait for the first answer [s].
    environment
        Variables for its workers, beside ``CEIBA_*`` and ``AWS_*`` of this process.

    Raises
    ------
    GatewayError
        If the server ends or does not answer in time; the message holds the end of its log.
    """
    state = Path(tempfile.mkdtemp(prefix="ceiba-gateway-"))
    port, api_port = find_free_ports(2)
    password = secrets.token_urlsafe(16)
    log = state / "gateway.log"
    (state / "clusters").mkdir()
    variables = os.environ | (environment or {})
    variables |= {
        "GATEWAY_STATE": str(state),
        "GATEWAY_PORT": str(port),
        "GATEWAY_API_PORT": str(api_port),
        "GATEWAY_PASSWORD": password,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    with log.open("wb") as log_file:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("dask-gateway-server")), "-f", str(CONFIG)],
            cwd=state,
            env=variables,
            stdout=log_file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    gateway = LocalGateway(f"http://127.0.0.1:{port}", password, process)
    try:
        wait_until_healthy(gateway, log, start_timeout_s)
        yield gateway
    finally:
        stop_processes(process)
        shutil.rmtree(state, ignore_errors=True)


def find_free_ports(count: int) -> list[int]:
    """Ports on loopback that nothing listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def wait_until_healthy(gateway: LocalGateway, log: Path, timeout_s: float) -> None:
    """Return once the gateway answers; raises :class:`GatewayError` if it ends or stays silent."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if gateway.process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{gateway.address}/api/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.2)
    last_words = log.read_text(errors="replace")[-3000:]
    raise GatewayError(f"the gateway did not start within {timeout_s:.0f} s:\n{last_words}")


def stop_processes(process: subprocess.Popen, *, timeout_s: float = 30.0) -> None:
    """End the server, which ends its clusters; whatever outlives it is killed by its process number."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for each in psutil.wait_procs(family, timeout=5)[1]:
        each.kill()
    psutil.wait_procs(family, timeout=5)


def main() -> None:
    """Run until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with run_gateway() as gateway:
        print("Dask Gateway is running; Ctrl-C ends it. In another terminal:")
        print("\n".join(f"export {name}={value}" for name, value in gateway.environment.items()))
        print("ceiba run --cluster gateway", flush=True)
        try:
            gateway.process.wait()
        except KeyboardInterrupt:
            print("ending")


if __name__ == "__main__":
    main()
