"""What a worker follows: the alias of its model and that of a candidate on trial. Neither ever holds up a reference."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import structlog
from prometheus_client import Gauge

from model.classifier import Classifier, ModelInfo
from schemas.release import ReleaseManifest
from streams.metrics import WorkerMetrics
from streams.producer import Producer
from streams.releases.live import LiveClassifier
from streams.releases.loading import load_release
from streams.releases.name import ReleaseName
from streams.releases.registry import Registry
from streams.releases.shadow import Shadow
from streams.releases.watcher import Watcher
from streams.settings import Settings

log = structlog.get_logger(__name__)


class Following:
    """Holds the model that judges, swaps it when its alias moves, and runs the shadow where one is configured.

    Candidates are loaded one at a time in a thread of their own. It has no lower priority on purpose: a thread that is set back while it
    holds Python's lock would hold up all the others.
    """

    def __init__(
        self, settings: Settings, classifier: Classifier, registry: Registry | None, metrics: WorkerMetrics
    ) -> None:
        """`registry` is there where the settings name a release; a fixed version, or a checkpoint file, is not followed."""
        self._settings = settings
        self._metrics = metrics
        self._registry = registry
        self._preprocess_id = classifier.info.preprocess_id  # what the decoders serve, as long as this process lives
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="releases")
        self._watching: list[asyncio.Task[None]] = []
        self.live = LiveClassifier(classifier)
        self.shadow = _make_shadow(settings, metrics)
        self._watchers = list(self._make_watchers())
        _say(metrics.model_info, classifier.info)

    def start(self) -> None:
        """Begin to follow."""
        for watcher in self._watchers:
            self._watching.append(asyncio.get_running_loop().create_task(watcher.run()))

    async def stop(self) -> None:
        """Follow no more. A candidate that is being loaded is not waited for."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self.shadow is not None:
            with suppress(Exception):
                await self.shadow.close()

    def _make_watchers(self) -> Iterator[Watcher]:
        for role, text, adopt in (
            ("champion", self._settings.model.release, self._take_over),
            ("shadow", self._settings.model.shadow_release, self._take_on_trial),
        ):
            if text is None:
                continue
            assert self._registry is not None, "a release is configured, so there is a registry"
            name = ReleaseName.parse(text)
            if name.alias is None:
                continue
            yield Watcher(
                self._registry,
                name,
                every_s=self._settings.model.watch_s,
                adopt=adopt,
                noted=partial(self._note, role),
                threads=self._threads,
            )

    def _note(self, role: str, result: str) -> None:
        self._metrics.model_swaps.labels(role, result).inc()

    def _take_over(self, release: ReleaseManifest | None) -> str:
        """Load `release` beside the running model, then let it judge. In the thread of the releases."""
        before = self.live.info
        if release is None or (release.sha256, release.version) == (before.sha256, before.version):
            return "same"
        began_at = time.monotonic()
        candidate = self._load(release)
        self.live.swap(candidate)
        _say(self._metrics.model_info, candidate.info)
        log.info(
            "model swapped",
            before=before.version,
            after=release.version,
            sha256=release.sha256,
            loaded_s=round(time.monotonic() - began_at, 3),
        )
        return "swapped"

    def _take_on_trial(self, release: ReleaseManifest | None) -> str:
        assert self.shadow is not None
        there = self.shadow.candidate
        if release is None:
            self.shadow.take(None)
            self._metrics.shadow_info.clear()
            return "none"
        if there is not None and (release.sha256, release.version) == (there.info.sha256, there.info.version):
            return "same"
        candidate = self._load(release)
        self.shadow.take(candidate)
        _say(self._metrics.shadow_info, candidate.info)
        log.info("candidate on trial", version=release.version, sha256=release.sha256)
        return "swapped"

    def _load(self, release: ReleaseManifest) -> Classifier:
        assert self._registry is not None
        return load_release(self._registry, release, self._settings.model, preprocess_id=self._preprocess_id)


def _make_shadow(settings: Settings, metrics: WorkerMetrics) -> Shadow | None:
    if settings.model.shadow_release is None:
        return None
    # A producer of its own: whatever befalls it, the verdicts' goes on.
    sender = Producer(settings.kafka, client_id=f"{settings.kafka.group}-shadow")
    return Shadow(sender, metrics, min_confidence=settings.pipeline.min_confidence)


def _say(gauge: Gauge, info: ModelInfo) -> None:
    gauge.clear()
    gauge.labels(info.version, info.sha256, info.kind, info.training_data).set(1)
