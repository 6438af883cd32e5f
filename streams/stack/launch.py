import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from streams.stack.cache import default_cache_dir
from streams.stack.process import ProcessRef
from streams.stack.progress import Progress, silent
from streams.stack.server import Server

AnyServer = TypeVar("AnyServer", bound=Server)


@dataclass(frozen=True, slots=True)
class Launch:
    """How servers are started: where downloads are kept, whom to tell, whether they end with this process."""

    cache_dir: Path = field(default_factory=default_cache_dir)
    bound: bool = True
    progress: Progress = silent
    cancelled: threading.Event = field(default_factory=threading.Event)


def started(server: AnyServer, launch: Launch, *, note: Callable[[ProcessRef], None] = lambda _: None) -> AnyServer:
    """Start a prepared server; it is ready when this returns, and stopped when this raises.

    `note` hears of its process before anything waits for it.
    """
    launch.progress(f"start {server.name}", 0, 1)
    try:
        server.start()
        note(server.process)
        server.wait_ready(cancelled=launch.cancelled)
    except BaseException:
        server.stop(grace_s=1.0)
        raise
    launch.progress(f"start {server.name}", 1, 1)
    return server
