import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from streams.stack.broker import prepare_broker
from streams.stack.cache import default_cache_dir
from streams.stack.file_lock import exclusive
from streams.stack.launch import Launch, started
from streams.stack.minio_binary import find_minio
from streams.stack.object_store import Credentials, StoreKind, prepare_minio, prepare_s3proxy
from streams.stack.ports import LOOPBACK, free_ports, is_free
from streams.stack.process import ProcessRef
from streams.stack.progress import Progress, silent
from streams.stack.readiness import broker_is_ready, store_is_ready
from streams.stack.server import Server
from streams.stack.state_file import ServerRecord, StackRecord, read_record, write_record

DEFAULT_STATE_DIR = Path(".deeptrace")
_STOP_GRACE_S = 20.0
_LOCK_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A running stack: what clients need to reach it, and what a person needs to look into it."""

    bootstrap_servers: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str = field(repr=False)
    s3_server: StoreKind
    broker_pid: int
    store_pid: int
    state_dir: Path
    broker_log: Path
    store_log: Path


class LocalStack:
    """A real broker and a real S3 server on loopback, their data under `state_dir`.

    Bound (the default): both end with this process, however it ends, SIGKILL included.
    Detached: they live on until `down`, from this or any other process.
    One state folder holds one stack; whoever comes second finds the first.
    As a context manager it stops only what it started.
    """

    def __init__(
        self,
        state_dir: Path = DEFAULT_STATE_DIR,
        *,
        store: Literal["auto", "minio", "s3proxy"] = "auto",
        detached: bool = False,
        cache_dir: Path | None = None,
    ) -> None:
        self.state_dir = state_dir.resolve()
        self._store = store
        self._detached = detached
        self._cache_dir = cache_dir
        self._record_file = self.state_dir / "stack.json"
        self._servers: list[Server] = []

    def up(self, progress: Progress = silent) -> StackInfo:
        """Return the running stack, started when it was not; both servers have answered when this returns.

        Started again, it has the data, ports and credentials of before. Raises StackUnavailable; whatever it raises
        (Ctrl-C too), nothing that it started is left running.
        """
        launch = Launch(cache_dir=self._cache_dir or default_cache_dir(), bound=not self._detached, progress=progress)
        with self._exclusive("start the local stack"):
            record = read_record(self._record_file)
            if record is not None and record.is_alive and _answers(record):
                return self._info(record)
            if record is not None:
                self._stop(record)  # half a stack, or one that hangs
            try:
                return self._info(self._start(self._new_record(record, launch.cache_dir), launch))
            except BaseException:
                left = read_record(self._record_file)
                if left is not None:
                    self._stop(left)
                raise

    def down(self) -> bool:
        """Stop the stack, if it runs, and return whether it did. Its data, ports and credentials are kept.

        The broker goes first: nothing that it acknowledged may point to an object that the store has yet to keep.
        """
        with self._exclusive("stop the local stack"):
            record = read_record(self._record_file)
            return record is not None and self._stop(record)

    def status(self) -> StackInfo | None:
        """Return the running stack, or None when one of its servers does not run."""
        record = read_record(self._record_file)
        return self._info(record) if record is not None and record.is_alive else None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._servers:
            self.down()

    def _new_record(self, former: StackRecord | None, cache_dir: Path) -> StackRecord:
        """Keep what the data of the former run needs, and its ports unless somebody else listens there now."""
        kind: StoreKind
        if self._store != "auto":
            kind = self._store
        elif former is not None:
            kind = former.store_kind  # the other kind of store would not see the objects
        else:
            kind = "minio" if find_minio(cache_dir) else "s3proxy"
        broker_port, store_port = free_ports(2)
        if former is not None:
            broker_port = former.broker.port if is_free(former.broker.port) else broker_port
            store_port = former.store.port if is_free(former.store.port) else store_port
        credentials = former.credentials if former is not None else Credentials.random()
        return StackRecord(credentials, kind, ServerRecord(broker_port), ServerRecord(store_port))

    def _start(self, record: StackRecord, launch: Launch) -> StackRecord:
        """Start both at once; each process is on record before anything waits for it to become ready."""
        mutex = threading.Lock()

        def broker() -> None:
            self._run(prepare_broker(self.state_dir, port=record.broker.port, launch=launch), note_broker, launch)

        def store() -> None:
            prepare = prepare_minio if record.store_kind == "minio" else prepare_s3proxy
            server = prepare(self.state_dir, port=record.store.port, credentials=record.credentials, launch=launch)
            self._run(server, note_store, launch)

        def note_broker(process: ProcessRef) -> None:
            nonlocal record
            with mutex:
                record = replace(record, broker=replace(record.broker, process=process))
                write_record(self._record_file, record)

        def note_store(process: ProcessRef) -> None:
            nonlocal record
            with mutex:
                record = replace(record, store=replace(record.store, process=process))
                write_record(self._record_file, record)

        write_record(self._record_file, record)
        with ThreadPoolExecutor(2, thread_name_prefix="stack") as pool:
            try:
                done, _ = wait([pool.submit(broker), pool.submit(store)], return_when=FIRST_EXCEPTION)
                for task in done:
                    task.result()
            except BaseException:
                launch.cancelled.set()  # the other one must not go on; leaving the pool waits for it
                raise
        return record

    def _run(self, server: Server, note: Callable[[ProcessRef], None], launch: Launch) -> None:
        self._servers.append(server)
        started(server, launch, note=note)

    def _stop(self, record: StackRecord) -> bool:
        """Stop what the record names, the broker first; forget the processes and return whether one ran."""
        ran = record.broker.is_alive or record.store.is_alive
        for server in (record.broker, record.store):
            if server.process is not None:
                server.process.stop(grace_s=_STOP_GRACE_S)
        for held in self._servers:
            held.stop()  # gone already; this lets go of its guardian
        self._servers.clear()
        write_record(self._record_file, replace(record, broker=record.broker.stopped(), store=record.store.stopped()))
        return ran

    def _info(self, record: StackRecord) -> StackInfo:
        assert record.broker.process, "only a running stack is shown"
        assert record.store.process, "only a running stack is shown"
        return StackInfo(
            bootstrap_servers=f"{LOOPBACK}:{record.broker.port}",
            s3_endpoint=f"{LOOPBACK}:{record.store.port}",
            s3_access_key=record.credentials.access_key,
            s3_secret_key=record.credentials.secret_key,
            s3_server=record.store_kind,
            broker_pid=record.broker.process.pid,
            store_pid=record.store.process.pid,
            state_dir=self.state_dir,
            broker_log=self.state_dir / "logs" / "broker.log",
            store_log=self.state_dir / "logs" / f"{record.store_kind}.log",
        )

    def _exclusive(self, purpose: str) -> AbstractContextManager[None]:
        return exclusive(self.state_dir / "stack.lock", timeout_s=_LOCK_TIMEOUT_S, purpose=purpose)


def _answers(record: StackRecord) -> bool:
    keys = record.credentials
    return broker_is_ready(record.broker.port) and store_is_ready(record.store.port, keys.access_key, keys.secret_key)
