"""The real servers that tests talk to; each starts once a session, on loopback, and ends with the session."""

import os
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from support.prometheus import Binaries, NoPrometheus, fetch

from schemas.errors import StackUnavailable
from streams.stack.cache import default_cache_dir
from streams.stack.local_stack import LocalStack, StackInfo
from streams.stack.minio_binary import build_minio, find_minio
from streams.stack.object_store import start_minio, start_s3proxy

_MINIO_BUILD_TIMEOUT_S = 1200
_EXPECTED_SKIPS = ("needs a CUDA device", "s3proxy keeps no versions", "the memory store has one client")


class S3Server(NamedTuple):
    """Where a store listens; `name` says which program it is."""

    endpoint: str
    access_key: str
    secret_key: str
    name: str


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs MinIO may have to wait for its build."""
    for item in items:
        if "minio_binary" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(_MINIO_BUILD_TIMEOUT_S))


_unexpected_skips: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was skipped for a reason that CI must not have."""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if not reason.startswith(_EXPECTED_SKIPS) and not hasattr(report, "wasxfail"):
            _unexpected_skips.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was not run is a failure."""
    if os.environ.get("CI") and _unexpected_skips and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which skips fail the run."""
    if os.environ.get("CI"):
        for skipped in _unexpected_skips:
            terminalreporter.write_line(f"unexpected skip in CI: {skipped}", red=True)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackInfo]:
    """A real broker and an S3Proxy; no topics, no buckets."""
    local_stack = LocalStack(tmp_path_factory.mktemp("stack"), store="s3proxy")
    yield local_stack.up()
    local_stack.down()


@pytest.fixture(scope="session")
def s3proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3Proxy over a folder; no buckets."""
    server = start_s3proxy(tmp_path_factory.mktemp("s3proxy"))
    yield S3Server(server.address, server.access_key, server.secret_key, server.kind)
    server.stop()


@pytest.fixture(scope="session")
def minio_binary() -> None:
    """A MinIO that can be started. Built once with Go into the cache where no binary is found, else skipped."""
    if find_minio(default_cache_dir()) is not None:
        return
    if shutil.which("go") is None:
        pytest.skip("needs MinIO: neither `minio` nor the Go toolchain to build it is on PATH")
    try:
        build_minio(default_cache_dir())
    except StackUnavailable as error:
        pytest.skip(f"needs MinIO: {error}")


@pytest.fixture(scope="session")
def minio(minio_binary: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real MinIO; no buckets."""
    server = start_minio(tmp_path_factory.mktemp("minio"))
    yield S3Server(server.address, server.access_key, server.secret_key, server.kind)
    server.stop()


@pytest.fixture(scope="session")
def prometheus_binaries() -> Binaries:
    """A Prometheus and its promtool that can be started. Debian's package is fetched once into the cache where PATH has none, else skipped."""
    try:
        return fetch(default_cache_dir())
    except (NoPrometheus, StackUnavailable) as error:
        pytest.skip(f"needs Prometheus: {error}")
