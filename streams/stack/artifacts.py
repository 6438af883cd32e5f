"""Gets the pinned jars into the cache and refuses every byte that was not pinned."""

import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import StackUnavailable
from streams.stack.file_lock import exclusive
from streams.stack.jar_lock import Jar, pinned
from streams.stack.progress import Progress, silent

_PARALLEL_DOWNLOADS = 8
_ATTEMPTS = 3
_WAIT_S = 1.0
_LOCK_TIMEOUT_S = 600.0


def missing_jars(bundle: str, cache_dir: Path) -> tuple[Jar, ...]:
    """Return the jars of a server that the cache lacks or holds with other bytes than pinned."""
    return tuple(jar for jar in pinned(bundle) if not jar.is_intact(cache_dir / "jars"))


def ensure_jars(
    bundle: str,
    cache_dir: Path,
    *,
    progress: Progress = silent,
    cancelled: threading.Event | None = None,
) -> tuple[Path, ...]:
    """Return the paths of a server's jars, every one verified against its pinned sha256 in this very call.

    What is missing or damaged is downloaded first. Two processes may call this at once; one of them downloads.
    Raises StackUnavailable naming what is missing when a download fails, or when its bytes are not the pinned ones.
    """
    root = cache_dir / "jars"
    with exclusive(cache_dir / f"{bundle}.lock", timeout_s=_LOCK_TIMEOUT_S, purpose=f"get the jars of {bundle}"):
        missing = missing_jars(bundle, cache_dir)
        if missing:
            _download(missing, root, progress=progress, cancelled=cancelled or threading.Event())
    return tuple(root / jar.path for jar in pinned(bundle))


def _download(missing: tuple[Jar, ...], root: Path, *, progress: Progress, cancelled: threading.Event) -> None:
    from requests import RequestException

    count = _Counter(f"download {missing[0].bundle}", sum(jar.size_bytes for jar in missing), progress)
    # Beside the jars, so that the move into place is a rename: a killed download never leaves half a jar there.
    incoming = root / f".incoming-{missing[0].bundle}"
    shutil.rmtree(incoming, ignore_errors=True)  # of a download that was killed
    incoming.mkdir(parents=True)
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS, thread_name_prefix="jar") as pool:
        fetch = _fetcher(incoming, count, cancelled)
        tasks = [pool.submit(_download_one, jar, fetch, root, cancelled) for jar in missing]
        try:
            for task in as_completed(tasks):
                task.result()
        except (RequestException, RuntimeError) as error:  # jgo raises RuntimeError when no repository has the file
            raise _unavailable([jar for jar in missing if not jar.is_intact(root)], error, root) from error
        finally:
            pool.shutdown(cancel_futures=True)
            shutil.rmtree(incoming)


def _download_one(jar: Jar, fetch: Callable[[Jar], Path], root: Path, cancelled: threading.Event) -> None:
    if cancelled.is_set():
        return
    fetched = fetch(jar)
    target = root / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not jar.is_intact(_root_of(fetched, jar)):
        raise StackUnavailable(
            f"The jar {jar.coordinate} is not the pinned one",
            why=f"sha256 or size differ from {jar.sha256} ({jar.size_bytes} bytes)",
            remedy="The repository or a proxy on the way changed the file; use another network or repository.",
        )
    fetched.replace(target)


def _root_of(file: Path, jar: Jar) -> Path:
    return file.parents[len(jar.path.parts) - 1]


def _fetcher(incoming: Path, count: "_Counter", cancelled: threading.Event) -> Callable[[Jar], Path]:
    """Return a function that brings one jar into `incoming` by jgo, from the repositories of jgo's own settings."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext, PythonResolver
    from requests import ConnectionError as NoConnection
    from requests import Timeout
    from requests.exceptions import ProxyError, SSLError

    context = MavenContext(resolver=PythonResolver(progress_callback=count.part), repo_cache=incoming)
    context.remote_repos = {**GlobalSettings.load().repositories, **context.remote_repos}

    def fetch(jar: Jar) -> Path:
        # Not stamina: it logs each retry to standard output, where commands print their JSON.
        for _ in range(_ATTEMPTS - 1):
            try:
                return fetch_once(jar)
            except (ProxyError, SSLError):  # a matter of settings; it will not pass
                raise
            except (NoConnection, Timeout):
                cancelled.wait(_WAIT_S)
        return fetch_once(jar)

    def fetch_once(jar: Jar) -> Path:
        (incoming / jar.path).unlink(missing_ok=True)
        artifact = context.create_dependency(jar.coordinate).artifact
        return Path(artifact.resolve())

    return fetch


class _Counter:
    """Adds up the bytes of parallel downloads; jgo hands over one part at a time, from any thread."""

    def __init__(self, name: str, total_bytes: int, progress: Progress) -> None:
        self._name = name
        self._total_bytes = total_bytes
        self._progress = progress
        self._done_bytes = 0
        self._lock = threading.Lock()
        progress(name, 0, total_bytes)

    @contextmanager
    def part(self, _filename: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield self._add

    def _add(self, size_bytes: int) -> None:
        with self._lock:
            # A download that was begun again must not show more than everything.
            self._done_bytes = min(self._done_bytes + size_bytes, self._total_bytes)
            self._progress(self._name, self._done_bytes, self._total_bytes)


def _unavailable(missing: list[Jar], error: Exception, root: Path) -> StackUnavailable:
    first = ", ".join(jar.coordinate for jar in missing[:3])
    size_mb = sum(jar.size_bytes for jar in missing) / 1e6
    return StackUnavailable(
        f"The jars of {missing[0].bundle} are not in the cache and could not be downloaded",
        why=f"{len(missing)} jars are missing ({size_mb:.0f} MB; {first}, ...): {type(error).__name__}",
        remedy=(
            "Connect to the network once (a proxy is taken from HTTPS_PROXY, a Maven mirror from the [repositories] "
            f"section of ~/.config/jgo.conf), or copy the folder {root} from a machine where the stack has run."
        ),
    )
