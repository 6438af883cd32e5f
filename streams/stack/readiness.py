"""Asks a server in its own protocol whether it is ready to serve; no answer here waits longer than two seconds."""

import asyncio
import socket
import threading
from pathlib import Path

from streams.stack.ports import LOOPBACK

_TIMEOUT_S = 2.0


def broker_is_ready(port: int) -> bool:
    """Tell whether the broker answers ApiVersions and Metadata and counts itself among the live brokers.

    A port that accepts is not enough: until the controller lets the broker in, creating a topic fails.
    """
    if not _accepts(port):  # the client below logs an error for every refused connection
        return False
    answer: list[bool] = []
    # In a thread of its own, because the caller may run inside an event loop.
    thread = threading.Thread(target=lambda: answer.append(asyncio.run(_has_brokers(port))), daemon=True)
    thread.start()
    thread.join()
    return answer == [True]


async def _has_brokers(port: int) -> bool:
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import KafkaError

    client = AIOKafkaClient(bootstrap_servers=f"{LOOPBACK}:{port}", request_timeout_ms=int(_TIMEOUT_S * 1000))
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except KafkaError:
        return False
    finally:
        await client.close()


def store_is_ready(port: int, access_key: str, secret_key: str, *, ca: Path | None = None) -> bool:
    """Tell whether the store answers a signed request (the list of buckets), over TLS when a `ca` is given."""
    if not _accepts(port):
        return False
    import urllib3
    from minio import Minio
    from minio.error import MinioException

    http = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False, ca_certs=None if ca is None else str(ca))
    try:
        client = Minio(
            f"{LOOPBACK}:{port}",
            access_key=access_key,
            secret_key=secret_key,
            secure=ca is not None,
            region="us-east-1",
            http_client=http,
        )
        client.list_buckets()
    except (MinioException, urllib3.exceptions.HTTPError):
        return False
    finally:
        http.clear()
    return True


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True
