import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from streams.stack.object_store import Credentials, StoreKind
from streams.stack.process import ProcessRef


@dataclass(frozen=True, slots=True)
class ServerRecord:
    """Where one server of the stack listens, and its process while it is up."""

    port: int
    process: ProcessRef | None = None

    @property
    def is_alive(self) -> bool:
        """Tell whether its process runs."""
        return self.process is not None and self.process.is_alive()

    def stopped(self) -> "ServerRecord":
        """Return the record of the same server without its process."""
        return replace(self, process=None)


@dataclass(frozen=True, slots=True)
class StackRecord:
    """What a state folder remembers: kept while the stack is down, so that it comes up with the same data and ports."""

    credentials: Credentials
    store_kind: StoreKind
    broker: ServerRecord
    store: ServerRecord

    @property
    def is_alive(self) -> bool:
        """Tell whether both processes run."""
        return self.broker.is_alive and self.store.is_alive


def read_record(path: Path) -> StackRecord | None:
    """Read the record; None when there is none, or when it is not one of ours."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return StackRecord(
            credentials=Credentials(**content["credentials"]),
            store_kind=content["store_kind"],
            broker=_server(content["broker"]),
            store=_server(content["store"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_record(path: Path, record: StackRecord) -> None:
    """Replace the record at once; readable by its owner only, since it holds the store's secret."""
    incoming = path.with_name(f"{path.name}.new")
    incoming.unlink(missing_ok=True)
    with os.fdopen(os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(record), file, indent=2)
    incoming.replace(path)


def _server(content: dict[str, Any]) -> ServerRecord:
    process = content["process"]
    return ServerRecord(int(content["port"]), ProcessRef(**process) if process else None)
