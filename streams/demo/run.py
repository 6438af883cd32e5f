"""The demo from its first process to its last: stack, pictures, workers, references, verdicts, windows, page.

What takes time overlaps: the pictures are made while broker and store start, and the workers load their model while the pictures are
uploaded.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.incoming import Intake
from storage.store import ObjectStore
from streams import topics
from streams.assembly import make_decoders, make_store
from streams.demo.bad_references import bad_references
from streams.demo.children import Child
from streams.demo.environment import IDLE_CLOSE_S, WINDOW_S, demo_environment
from streams.demo.folder import DemoFolder
from streams.demo.following import Follower
from streams.demo.gallery import Gallery, Shown
from streams.demo.pictures import DEFAULT_COUNT, Picture, pictures_under, samples_in, start_samples
from streams.demo.report import write_report
from streams.demo.result import DemoResult
from streams.demo.screen import Screen
from streams.demo.sending import bad_parcels, parcels_of, publish_all, upload_all
from streams.demo.tally import Tally
from streams.producer import Producer
from streams.settings import Settings
from streams.settings_sources import load
from streams.stack.local_stack import LocalStack

_VERDICTS_STALLED_S = 120.0  # a cold import of torch on a slow disk takes a minute
_WINDOWS_STALLED_S = WINDOW_S + IDLE_CLOSE_S + 30.0
_LOOK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user asked for."""

    out: Path
    images: Path | None = None
    count: int | None = None
    keep: bool = False


def run_demo(options: DemoOptions, screen: Screen, *, environ: Mapping[str, str] = os.environ) -> DemoResult:
    """Run the demo; whatever happens in between, nothing that it started runs when this returns or raises.

    Raises:
        UsageError: the folders do not do.
        ConfigError: the user's own settings are not valid.
        StackUnavailable: broker or store did not start.
        CheckFailed: a process of the demo ended by itself.
    """
    load(environ)  # the demo overrides most settings, but must not hide a misspelt one
    pictures = pictures_under(options.images, options.count) if options.images else None
    folder = DemoFolder(options.out.resolve())
    folder.prepare()
    with ExitStack() as exits, _sigterm_like_ctrl_c():
        if not options.keep:
            exits.callback(folder.drop_state)
        exits.callback(folder.keep_stack_logs)
        painter = None
        if pictures is None:
            count = DEFAULT_COUNT if options.count is None else options.count
            painter = start_samples(folder.samples, count, log=folder.logs / "pictures.log", environ=environ)
            exits.callback(painter.stop)
        stack = LocalStack(folder.state)
        exits.callback(stack.down)
        info = stack.up(progress=screen.bar)
        screen.step(f"Kafka broker at {info.bootstrap_servers}, object store ({info.s3_server}) at {info.s3_endpoint}")
        worker_environ = demo_environment(info, environ)
        run = _Run(folder, load(worker_environ).settings, worker_environ, screen, exits)
        try:
            return asyncio.run(run.drive(pictures, painter))
        except asyncio.CancelledError:  # by SIGTERM
            raise KeyboardInterrupt from None


@dataclass(slots=True)
class _Run:
    """The part of a run that has broker and store."""

    folder: DemoFolder
    settings: Settings
    environ: Mapping[str, str]
    screen: Screen
    exits: ExitStack

    async def drive(self, pictures: Sequence[Picture] | None, painter: Child | None) -> DemoResult:
        self._sigterm_cancels()
        store = make_store(self.settings)
        self.exits.callback(store.close)
        await self._create_topics_and_buckets(store)
        workers = [self._worker("scoring worker", "worker"), self._worker("drift worker", "drift-worker")]
        self.screen.step("scoring worker and drift worker started")
        tally = Tally(_intake(self.settings))
        async with Follower(self.settings.kafka, tally) as follower:
            if painter is not None:
                pictures = await self._made(painter)
            await self._send(store, pictures or [], tally, simulated=painter is not None)
            await self._verdicts(follower, tally, _all_alive(workers))
            shown, _ = await asyncio.gather(
                self._gallery(store, tally), self._windows(follower, tally, _all_alive(workers))
            )
        faults = await self._stop(workers)
        result = DemoResult(tally, shown, self.screen.seconds, self.folder.report, faults)
        write_report(result)
        return result

    async def _create_topics_and_buckets(self, store: ObjectStore) -> None:
        states = await topics.apply(self.settings.kafka)
        own = (self.settings.store.overlay_bucket, self.settings.store.outcome_bucket)
        buckets = list(dict.fromkeys((*self.settings.store.image_buckets, *own)))
        for bucket in buckets:
            await asyncio.to_thread(store.ensure_bucket, bucket)
        self.screen.step(f"{len(states)} topics and {len(buckets)} buckets created")

    def _worker(self, name: str, command: str) -> Child:
        child = Child(
            name,
            ["streams.cli", command],
            log=self.folder.logs / f"{command}.log",
            work_dir=self.folder.state,
            environ=self.environ,
        )
        self.exits.callback(child.stop)
        return child

    async def _made(self, painter: Child) -> list[Picture]:
        while not painter.has_ended:  # noqa: ASYNC110  # another process's end is no event of this loop
            await asyncio.sleep(_LOOK_AGAIN_S)
        painter.check_success()
        made = samples_in(self.folder.samples)
        self.screen.step(f"{len(made)} simulated images made")
        return made

    async def _send(self, store: ObjectStore, pictures: Sequence[Picture], tally: Tally, *, simulated: bool) -> None:
        bad = await asyncio.to_thread(lambda: bad_parcels(bad_references(), self.folder.bad))
        parcels = [*parcels_of(pictures, simulated=simulated), *bad]
        bucket = self.settings.store.image_buckets[0]
        uploads = await upload_all(
            store, bucket, parcels, progress=lambda done: self.screen.bar("uploads", done, len(parcels))
        )
        async with Producer(self.settings.kafka, client_id="deeptrace-demo") as producer:
            tally.expect(await publish_all(producer, parcels, uploads))
        self.screen.step(f"{len(parcels)} images uploaded and references published, {len(bad)} of them bad on purpose")

    async def _verdicts(self, follower: Follower, tally: Tally, check: Callable[[], None]) -> None:
        def all_settled() -> bool:
            self.screen.bar("verdicts and dead letters", tally.settled, len(tally.sent))
            return not tally.missing

        await follower.until(all_settled, stalled_after_s=_VERDICTS_STALLED_S, check=check)
        self.screen.clear("verdicts and dead letters")
        self.screen.step(f"{len(tally.verdicts)} verdicts and {len(tally.dead_letters)} dead letters came in")

    async def _gallery(self, store: ObjectStore, tally: Tally) -> list[Shown]:
        judged = [(sent, verdict) for sent in tally.sent.values() if (verdict := tally.verdict_of(sent)) is not None]
        if not judged:
            return []
        decoders = make_decoders(self.settings, judged[0][1].model.preprocess_id)
        try:
            return await Gallery(self.folder, store, decoders).show(judged)
        finally:
            await asyncio.to_thread(decoders.close)

    async def _windows(self, follower: Follower, tally: Tally, check: Callable[[], None]) -> None:
        def all_counted() -> bool:
            return tally.counted_in_windows >= len(tally.verdicts) and not tally.alerts_to_come

        await follower.until(all_counted, stalled_after_s=_WINDOWS_STALLED_S, check=check)
        self.screen.step(f"windows published: {len(tally.windows)}, drift alerts: {len(tally.alerts)}")

    async def _stop(self, workers: Sequence[Child]) -> list[str]:
        """Stop the workers in the orderly way, both at once; a worker that cannot do so is a fault."""
        statuses = await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in workers))
        return [
            f"the {worker.name} ended with exit code {status}, see {worker.log}"
            for worker, status in zip(workers, statuses, strict=True)
            if status != 0
        ]

    @staticmethod
    def _sigterm_cancels() -> None:
        task = asyncio.current_task()
        assert task is not None, "runs in a task"
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _intake(settings: Settings) -> Intake:
    store = settings.store
    return Intake(frozenset(store.image_buckets), store.overlay_bucket, store.overlay_prefix)


def _all_alive(children: Sequence[Child]) -> Callable[[], None]:
    def check() -> None:
        for child in children:
            child.check_alive()

    return check


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM end the run in the orderly way, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
