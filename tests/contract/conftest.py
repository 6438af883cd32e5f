"""The stores that a contract is held against: in memory, and real servers."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
from minio import Minio
from minio.commonconfig import ENABLED
from minio.versioningconfig import VersioningConfig

from storage.by_bucket import ByBucket
from storage.memory import MemoryStore
from storage.minio_store import MinioStore
from storage.store import ObjectStore

JPEG = b"\xff\xd8\xff\xe0 not really an image \x00\r\n\r\n"


@dataclass(frozen=True)
class Server:
    """A store under test: `bucket` exists, `missing` does not, both are allowed. `connect` makes another client."""

    name: str
    store: ObjectStore
    bucket: str
    missing: str
    connect: Callable[[], ObjectStore] = field(repr=False)  # it holds the credentials
    enable_versions: Callable[[], None] | None = field(repr=False)

    def put(self, key: str, data: bytes = JPEG, content_type: str = "image/jpeg"):
        return self.store.put(self.bucket, key, data, content_type=content_type, deadline_s=10)

    def put_if_absent(self, key: str, data: bytes):
        return self.store.put_if_absent(self.bucket, key, data, content_type="application/json", deadline_s=10)

    def get(self, key: str, *, max_bytes: int = 1 << 20, **pins):
        return self.store.get(self.bucket, key, max_bytes=max_bytes, deadline_s=10, **pins)

    def keys(self, prefix: str = "") -> list[str]:
        return [info.key for info in self.store.list(self.bucket, prefix)]


@pytest.fixture(
    params=[
        "memory",
        "by_bucket",
        pytest.param("s3proxy", marks=pytest.mark.integration),
        pytest.param("minio", marks=[pytest.mark.integration, pytest.mark.timeout(1200)]),  # it may have to be built
    ]
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    bucket, missing = (f"deeptrace-test-{secrets.token_hex(6)}" for _ in range(2))
    name = request.param
    if request.param == "by_bucket":
        name = "memory"  # what lies behind it
        one, other = (MemoryStore([owned], create_buckets=False) for owned in (bucket, missing))
        connect = partial(ByBucket, {bucket: one, missing: other})
        enable_versions = lambda: None  # noqa: E731  # as below
    elif request.param == "memory":
        connect = partial(MemoryStore, [bucket, missing], create_buckets=False)
        enable_versions = lambda: None  # noqa: E731  # it always has them
    else:
        real = request.getfixturevalue(request.param)
        keys = {"access_key": real.access_key, "secret_key": real.secret_key, "secure": False}
        connect = partial(MinioStore, real.endpoint, allowed_buckets=[bucket, missing], **keys)
        sdk = Minio(real.endpoint, region="us-east-1", **keys)
        enable_versions = (
            partial(sdk.set_bucket_versioning, bucket, VersioningConfig(ENABLED)) if real.name == "minio" else None
        )
    store = connect()
    store.ensure_bucket(bucket)
    yield Server(name, store, bucket, missing, connect, enable_versions)
    store.close()


@pytest.fixture
def versioned(server: Server) -> Server:
    if server.enable_versions is None:
        pytest.skip(f"{server.name} keeps no versions")
    server.enable_versions()
    return server
