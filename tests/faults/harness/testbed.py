"""Broker, store and the proxies before them, for one case: what workers talk to, and what the case breaks."""

import asyncio
import io
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from faults.harness.http_proxy import HttpProxy
from faults.harness.load import BUCKET, Picture
from faults.harness.tcp_proxy import TcpProxy
from PIL import Image
from support.cluster import Cluster

from storage.minio_store import MinioStore
from streams import topics
from streams.settings_sources import load
from streams.stack.broker import Front, start_broker
from streams.stack.cache import default_cache_dir
from streams.stack.minio_binary import find_minio
from streams.stack.object_store import start_minio, start_s3proxy
from streams.stack.ports import free_ports
from streams.stack.server import Server

OVERLAYS, OUTCOMES = "deeptrace-overlays", "deeptrace-outcomes"
PICTURES = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """What a case needs built. With `proxied` each slot has a proxy of its own to broker and store, so that one can be cut off alone.

    `minio` is taken where there is a binary, for cases with many objects: S3Proxy reads a whole folder for each page of a listing.
    """

    brokers: Literal[1, 3] = 1
    proxied: bool = False
    lying: bool = False
    partitions: int = 4
    store: Literal["s3proxy", "minio"] = "s3proxy"
    settings: Mapping[str, str] = field(default_factory=dict)
    small_disks: Mapping[str, int] = field(default_factory=dict)
    """Folders under the stack's that get a file system of so many MiB; `Case.private_mounts` goes with it."""


@dataclass(frozen=True, slots=True)
class Links:
    """A slot's ways to broker and store, where they go through proxies."""

    broker: TcpProxy
    store: TcpProxy


class Testbed:
    """Starts everything that `plan` names; `close` ends it, in the order that loses nothing."""

    def __init__(self, folder: Path, plan: Plan, *, slots: int, seed: int) -> None:
        self.folder = folder
        self.plan = plan
        self.links: list[Links] = []
        self.liar: HttpProxy | None = None
        self.cluster: Cluster | None = None
        self.broker: Server | None = None
        state = folder / "stack"
        state.mkdir(parents=True, exist_ok=True)
        for place, mib in plan.small_disks.items():
            mount_small_disk(state / place, mib)
        try:
            use_minio = plan.store == "minio" and find_minio(default_cache_dir()) is not None
            self.store_server = start_minio(state) if use_minio else start_s3proxy(state)
            store_port = self.store_server.port
            if plan.lying:
                self.liar = HttpProxy(store_port, seed=seed)
                store_port = self.liar.port
            fronts: list[Front] = []
            if plan.proxied:
                ports = free_ports(slots)
                self.links = [Links(TcpProxy(port), TcpProxy(store_port)) for port in ports]
                fronts = [Front(port, link.broker.port) for port, link in zip(ports, self.links, strict=True)]
            if plan.brokers == 1:
                self.broker = start_broker(state, fronts=fronts)
                self.bootstrap = self.broker.address
            else:
                self.cluster = Cluster(state)
                self.bootstrap = self.cluster.bootstrap_servers
            self._store_port = store_port
            self.settings = load(self.environment(None)).settings
            asyncio.run(topics.apply(self.settings.kafka))
            self.store = MinioStore(
                self.store_server.address,
                access_key=self.store_server.access_key,
                secret_key=self.store_server.secret_key,
                secure=False,
                allowed_buckets={BUCKET, OVERLAYS, OUTCOMES},
            )
            for bucket in (BUCKET, OVERLAYS, OUTCOMES):
                self.store.ensure_bucket(bucket)
        except BaseException:
            self.close()
            raise

    def environment(self, slot: int | None) -> dict[str, str]:
        """Return what a worker in `slot` is told; None: our own tools, which go past all proxies."""
        broker, store = self.bootstrap, self.store_server.address
        if slot is not None:
            store = f"127.0.0.1:{self._store_port}"
            if self.links:
                broker, store = self.links[slot].broker.address, self.links[slot].store.address
        environment = {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": broker,
            "DEEPTRACE_KAFKA__PARTITIONS": str(self.plan.partitions),
            "DEEPTRACE_KAFKA__REPLICATION_FACTOR": str(self.plan.brokers),
            "DEEPTRACE_KAFKA__SESSION_TIMEOUT_S": "10",
            "DEEPTRACE_STORE__ENDPOINT": store,
            "DEEPTRACE_STORE__ACCESS_KEY": self.store_server.access_key,
            "DEEPTRACE_STORE__SECRET_KEY": self.store_server.secret_key,
            "DEEPTRACE_MODEL__CLASSIFIER": "fake",
            "DEEPTRACE_MODEL__THREADS": "1",
            "DEEPTRACE_HTTP__PORT": "0",
            "DEEPTRACE_HTTP__DRIFT_PORT": "0",
            **self.plan.settings,
        }
        if slot is not None:
            environment["DEEPTRACE_KAFKA__INSTANCE_ID"] = f"slot-{slot}"
        return environment

    def put(self, key: str, data: bytes) -> Picture:
        """Store an object, past all proxies."""
        info = self.store.put(BUCKET, key, data, content_type="image/png", deadline_s=20)
        return Picture.of(key, data, info.etag)

    def pictures(self, seed: int) -> list[Picture]:
        """Store the pool of good images."""
        return [self.put(f"good/{n}.png", picture(seed * 1000 + n)) for n in range(PICTURES)]

    def logs(self) -> list[Path]:
        """Return the logs of the servers."""
        return sorted((self.folder / "stack").rglob("*.log"))

    def close(self) -> None:
        """End the broker first, as nothing that it acknowledged may point to an object that the store has yet to keep."""
        for ending in (self.broker, self.cluster):
            if ending is not None:
                ending.stop()
        store = getattr(self, "store", None)
        if store is not None:
            store.close()
        if (server := getattr(self, "store_server", None)) is not None:
            server.stop()
        for link in self.links:
            link.broker.close()
            link.store.close()
        if self.liar is not None:
            self.liar.close()


def mount_small_disk(folder: Path, mib: int) -> None:
    """Mount a file system of so many MiB on `folder`; it goes with the mount namespace that this process was started in."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", str(folder)], check=True)


def picture(seed: int, side: int = 96) -> bytes:
    """Return a small PNG: noise of few colours, some kilobytes."""
    pixels = np.random.default_rng(seed).integers(0, 8, (side, side, 3), dtype=np.uint8) * 36
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()
