"""Where units run: a local Dask cluster by default, Dask Gateway by configuration."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import dask
from distributed import Client, LocalCluster, as_completed

from ceiba.errors import ParameterError
from ceiba.warm_kernels import warm_kernels

log = logging.getLogger(__name__)

KINDS = ("local", "gateway")


class Cluster:
    """A Dask client that runs units."""

    def __init__(self, client: Client):
        self.client = client

    def submit(self, function: Callable, *arguments: object):
        """Send a call to the cluster; calls are never taken for equal, since what they do lies in the store."""
        return self.client.submit(function, *arguments, pure=False)

    def gather(self, futures: Iterable) -> Iterator:
        """Results as they come."""
        for future in as_completed(list(futures)):
            yield future.result()


@contextmanager
def open_cluster(kind: str = "local", *, jobs: int = 0) -> Iterator[Cluster]:
    """A cluster with ``jobs`` workers for the time of a run.

    Parameters
    ----------
    kind
        "local", or "gateway": the Dask Gateway of ``DASK_GATEWAY__ADDRESS`` and Dask's other settings.
    jobs
        Units at a time; all cores but none less than one where 0 (gateway: 2).

    Raises
    ------
    ParameterError
        On another kind, or a gateway without an address.
    """
    if kind not in KINDS:
        raise ParameterError(f"cluster {kind!r}: allowed are {', '.join(KINDS)}")
    if jobs < 0:
        raise ParameterError(f"jobs {jobs}: give 1 or more, or 0 for all cores")
    if kind == "gateway":
        with _open_gateway(jobs or 2) as cluster:
            yield cluster
        return
    # Every unit has a kernel process of its own, so threads are enough here and start at once.
    logging.getLogger("distributed").setLevel(logging.ERROR)
    with (
        warm_kernels(),
        dask.config.set({"distributed.worker.memory.terminate": False, "distributed.worker.memory.pause": False}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=jobs or os.cpu_count() or 1,
            processes=False,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster) as client,
    ):
        yield Cluster(client)


@contextmanager
def _open_gateway(jobs: int) -> Iterator[Cluster]:
    from dask_gateway import Gateway

    if not dask.config.get("gateway.address", None):
        raise ParameterError(
            "cluster gateway: no address; set DASK_GATEWAY__ADDRESS or gateway.address in Dask's configuration"
        )
    with Gateway() as gateway, gateway.new_cluster(shutdown_on_close=True) as cluster:
        cluster.scale(jobs)
        with cluster.get_client() as client:
            log.info("cluster %s: waiting for %d workers", cluster.name, jobs)
            client.wait_for_workers(jobs)
            yield Cluster(client)
