import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from schemas.errors import StackUnavailable
from streams.stack.artifacts import ensure_jars, missing_jars
from streams.stack.cache import default_cache_dir
from streams.stack.jar_lock import pinned

pytestmark = pytest.mark.integration


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty Maven repository on loopback that the downloads try before any other."""
    folder = tmp_path / "repository"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\nours = http://127.0.0.1:{server.server_port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way out leads to a port where nobody listens."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")


def test_without_network_and_cache_the_error_says_what_is_missing_and_what_to_do(
    tmp_path: Path, no_network: None
) -> None:
    """The user learns how many jars are missing, how large they are, and where to copy them from or to."""
    with pytest.raises(StackUnavailable) as refusal:
        ensure_jars("kafka", tmp_path)
    assert "45 jars are missing (45 MB" in refusal.value.why
    assert str(tmp_path / "jars") in refusal.value.remedy


def test_a_copied_cache_needs_no_network(tmp_path: Path, no_network: None) -> None:
    """What the error's remedy advises works."""
    jars = ensure_jars("kafka", default_cache_dir())
    shutil.copytree(default_cache_dir() / "jars", tmp_path / "jars")
    copied = ensure_jars("kafka", tmp_path)
    assert [jar.name for jar in copied] == [jar.name for jar in jars]
    assert all(jar.is_relative_to(tmp_path) for jar in copied)


def test_jars_are_downloaded_with_progress_from_a_repository(tmp_path: Path, repository: Path) -> None:
    """An empty cache is filled; the bytes shown add up to the bytes promised."""
    ensure_jars("kafka", default_cache_dir())
    shutil.copytree(default_cache_dir() / "jars", repository, dirs_exist_ok=True)
    shown: list[tuple[str, int, int]] = []
    ensure_jars("kafka", tmp_path / "cache", progress=lambda *event: shown.append(event))
    assert missing_jars("kafka", tmp_path / "cache") == ()
    assert shown[0][:2] == ("download kafka", 0)
    assert shown[-1][1] == shown[-1][2] == sum(jar.size_bytes for jar in pinned("kafka"))


def test_a_repository_with_other_bytes_is_refused(tmp_path: Path, repository: Path) -> None:
    """A jar that is not the pinned one never reaches the cache."""
    for jar in pinned("kafka"):
        (repository / jar.path).parent.mkdir(parents=True)
        (repository / jar.path).write_bytes(b"x" * 10)
    with pytest.raises(StackUnavailable, match="is not the pinned one"):
        ensure_jars("kafka", tmp_path / "cache")
    assert list((tmp_path / "cache" / "jars").rglob("*.jar")) == []


def test_a_damaged_jar_in_the_cache_is_replaced(tmp_path: Path, repository: Path) -> None:
    """A cache that a full disk or a bad sector hurt heals itself."""
    ensure_jars("kafka", default_cache_dir())
    shutil.copytree(default_cache_dir() / "jars", repository, dirs_exist_ok=True)
    shutil.copytree(default_cache_dir() / "jars", tmp_path / "jars")
    damaged = pinned("kafka")[3]
    (tmp_path / "jars" / damaged.path).write_bytes(b"damaged")
    ensure_jars("kafka", tmp_path)
    assert damaged.is_intact(tmp_path / "jars")
