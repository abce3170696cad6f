"""Dask Gateway on loopback with local processes, without a hub; ``start_gateway.py`` starts it.

For tests and trials only: schedulers and workers run as the user who started the gateway.
"""

import os
import sys
from pathlib import Path

from dask_gateway_server.backends.local import UnsafeLocalBackend
from dask_gateway_server.options import Mapping, Options


# LocalBackend, run as root, would change the owner of "/": it adds a path letter by letter.
class LoopbackBackend(UnsafeLocalBackend):
    """Local processes, where what a client asks for goes before what the gateway itself runs with."""

    def get_env(self, cluster):
        """Variables of schedulers and workers."""
        return super().get_env(cluster) | dict(cluster.config.environment)


c = get_config()  # noqa: F821
state = Path(os.environ["GATEWAY_STATE"])
dask = str(Path(sys.executable).with_name("dask"))

c.DaskGateway.log_level = "INFO"
c.DaskGateway.address = f"127.0.0.1:{os.environ['GATEWAY_API_PORT']}"
c.Proxy.address = f"127.0.0.1:{os.environ['GATEWAY_PORT']}"  # clients, and by TLS the schedulers too

c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = os.environ["GATEWAY_PASSWORD"]

c.DaskGateway.backend_class = LoopbackBackend
# Clients set variables by gateway.cluster.options of their Dask configuration: {environment: {NAME: value}}.
c.Backend.cluster_options = Options(Mapping("environment", label="Environment variables"))
c.LocalBackend.clusters_directory = str(state / "clusters")
# Workers run notebooks: they need the project's settings, which the gateway would not pass on by itself.
c.LocalBackend.inherited_environment = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "VIRTUAL_ENV",
    "XDG_DATA_HOME",
    "KERAS_BACKEND",
    "OMP_NUM_THREADS",
    "COVERAGE_PROCESS_START",
    *sorted(name for name in os.environ if name.startswith(("CEIBA_", "AWS_", "COVERAGE_PROCESS_"))),
]

# distributed ships no dask-scheduler and dask-worker scripts any more, which are the gateway's defaults.
c.ClusterConfig.scheduler_cmd = [dask, "scheduler"]
c.ClusterConfig.worker_cmd = [dask, "worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_threads = 1
c.ClusterConfig.worker_memory = os.environ.get("GATEWAY_WORKER_MEMORY", "4 G")
c.ClusterConfig.cluster_max_workers = 4
c.ClusterConfig.idle_timeout = 600
