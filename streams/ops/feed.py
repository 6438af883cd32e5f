"""All that the page knows, folded from records in any order; reading a record again changes nothing but rates.

Nothing here knows of Kafka or HTTP; the time is an argument. What comes from a topic is not trusted: a record that cannot be read is counted.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from schemas import topics
from schemas.dead_letter import DeadLetter
from schemas.errors import MessageInvalid
from schemas.incoming import Record
from schemas.verdict import is_simulated
from schemas.window import CANDIDATE_SCHEMA, DriftAlert, GeneratorCandidate, WindowSummary
from streams.ops.latest import LatestVerdicts, Offer
from streams.ops.rates import Rates
from streams.ops.shelf import Kept, Shelf, WindowShelf
from streams.ops.shown import alert_json, candidate_json, milliseconds, spec_of, text, window_json
from streams.ops.tokens import Place

MOST_ALERTS: Final = 300
MOST_CANDIDATES: Final = 100
MOST_MODELS: Final = 32
MOST_TIMINGS: Final = 2_000
MOST_VERDICT_NAMES: Final = 8
STAGES: Final = ("queue_ms", "fetch_ms", "decode_ms", "infer_ms", "overlay_ms", "processing_ms")


@dataclass(slots=True)
class Model:
    """One model that judges, or did."""

    version: str
    kind: str
    training_data: str
    calibration_id: str
    verdicts: int = 0
    first_ms: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class Behind:
    """How far a consumer group is behind: `seconds` is the age of what it has to read next. `why` says what is not known."""

    group: str
    messages: int | None = None
    seconds: float | None = None
    why: str | None = None


@dataclass(slots=True)
class Contact:
    """Whether the broker answers, and when it last did."""

    fault: str | None = None
    last_ms: int | None = None
    since_ms: int | None = None


class Feed:
    """What the page shows. `revision` grows with each change, so that a reader can ask for what is new since one."""

    def __init__(
        self, *, history_ms: int, latest_verdicts: int, clock: Callable[[], float], notice: str | None = None
    ) -> None:
        """Take `notice`, which the page shows above all: that what is to be seen is simulated, for instance."""
        self.revision = 1
        self.notice = notice
        self.history_ms = history_ms
        self.windows = WindowShelf()
        self.alerts = Shelf(MOST_ALERTS)
        self.candidates: dict[str, tuple[int, GeneratorCandidate]] = {}
        self.rates = Rates(history_ms)
        self.models: dict[str, Model] = {}
        self.behind: tuple[Behind, ...] = ()
        self.contact = Contact()
        self.waits: dict[str, str] = {}
        self.unreadable: Counter[str] = Counter()
        self.cut: set[str] = set()
        self.latest = LatestVerdicts(latest_verdicts)
        self._names: set[str] = set()
        self._timings: deque[tuple[float, ...]] = deque(maxlen=MOST_TIMINGS)
        self._clock = clock

    @property
    def now_ms(self) -> int:
        """The time of the clock, in milliseconds since 1970."""
        return round(self._clock() * 1000)

    def take(self, record: Record) -> None:
        """Fold one record of a topic. Raises nothing."""
        try:
            changed = _TAKERS[record.topic](self, record)
        except (MessageInvalid, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            self.unreadable[record.topic] += 1
            changed = True
        self.revision += changed

    def heard(self, *, fault: str | None = None) -> None:
        """Take note that the broker answered, or of why it does not."""
        was = self.contact
        if fault is None:
            self.contact = Contact(last_ms=self.now_ms)
            self.revision += was.fault is not None or was.last_ms is None
        else:
            self.contact = Contact(fault, was.last_ms, was.since_ms if was.fault else self.now_ms)
            self.revision += was.fault != fault

    def lags(self, behind: tuple[Behind, ...]) -> None:
        """Take note of how far the consumer groups are behind."""
        for one in behind:
            if one.messages is not None:
                self.rates.lag(one.group, one.messages, now_ms=self.now_ms)
        self.behind = behind
        self.revision += 1

    def waiting(self, topic: str, why: str | None) -> None:
        """Take note that a topic is not read, and why; None: it is."""
        if why is None:
            self.revision += self.waits.pop(topic, None) is not None
        elif self.waits.get(topic) != why:
            self.waits[topic] = why
            self.revision += 1

    def left_out(self, topic: str) -> None:
        """Take note that a topic held more of the history than is read, so that the beginning of it is not counted."""
        if topic not in self.cut:
            self.cut.add(topic)
            self.revision += 1

    def prune(self) -> None:
        """Forget what is older than the history."""
        before_ms = self.now_ms - self.history_ms
        self.windows.forget_before(before_ms)
        self.alerts.forget_before(before_ms)
        self.rates.prune(self.now_ms)
        self.candidates = {name: one for name, one in self.candidates.items() if milliseconds(one[1].end) >= before_ms}

    def shown_candidates(self, *, after: int, offer: Offer) -> list[dict[str, Any]]:
        """Return the candidates for new generators that came after a revision."""
        return [
            candidate_json(one, [offer(Place("image", e.bucket, e.key)) for e in one.exemplars[:8]])
            for revision, one in self.candidates.values()
            if revision > after
        ]

    def stages(self) -> dict[str, Any]:
        """Return p50, p95 and p99 of each stage over the last verdicts."""
        found = {
            stage: _exact([timing[at] for timing in self._timings]) for at, stage in enumerate(STAGES) if self._timings
        }
        return {"verdicts": len(self._timings), "stages": found}

    def _take_window(self, record: Record) -> bool:
        window = WindowSummary.from_bytes(record.value or b"")
        series = (window.tenant[:64], spec_of(window))
        kept = Kept(self.revision + 1, milliseconds(window.end), series[0], _dumped(window_json(window)))
        if kept.at_ms < self.now_ms - self.history_ms:
            return False
        return self.windows.put(series, window.window_id[:64], kept)

    def _take_alert(self, record: Record) -> bool:
        value = record.value or b""
        if orjson.loads(value).get("schema") == CANDIDATE_SCHEMA:
            return self._take_candidate(GeneratorCandidate.from_bytes(value))
        alert = DriftAlert.from_bytes(value)
        kept = Kept(self.revision + 1, milliseconds(alert.end), alert.tenant[:64], _dumped(alert_json(alert)))
        return self.alerts.put(alert.alert_id[:64], kept)

    def _take_candidate(self, candidate: GeneratorCandidate) -> bool:
        name = candidate.candidate_id[:64]
        _dumped(candidate_json(candidate, ()))  # raises here what would end each answer: a number beyond 64 bits
        if name in self.candidates and self.candidates[name][1] == candidate:
            return False
        self.candidates[name] = (self.revision + 1, candidate)
        if len(self.candidates) > MOST_CANDIDATES:
            del self.candidates[next(iter(self.candidates))]
        return True

    def _take_verdict(self, record: Record) -> bool:
        """Count a verdict from a few of its fields; only those that are shown are read in full, when somebody looks."""
        value = record.value or b""
        found: Mapping[str, Any] = orjson.loads(value)
        at_ms = min(milliseconds(record.timestamp), self.now_ms)
        timing = tuple(float(found["timing"].get(stage) or 0.0) for stage in STAGES)
        self._count_model(found["model"], at_ms)
        self.rates.verdict(at_ms, self._name(found["verdict"]), timing[-1], now_ms=self.now_ms)
        self._timings.append(timing)
        self.latest.take(at_ms, value, self.revision + 1)
        return True

    def _take_letter(self, record: Record) -> bool:
        self.rates.letter(milliseconds(record.timestamp), DeadLetter.read(record).code, now_ms=self.now_ms)
        return True

    def _count_model(self, stamp: Mapping[str, Any], at_ms: int) -> None:
        version = text(str(stamp["version"]), 64) or ""
        if (model := self.models.get(version)) is None:
            if len(self.models) >= MOST_MODELS:
                oldest = min(self.models.values(), key=lambda one: one.last_ms)
                del self.models[oldest.version]
            kind, training, calibration = (
                text(str(stamp.get(name, "")), 64) or "" for name in ("kind", "training_data", "calibration_id")
            )
            model = self.models[version] = Model(version, kind, training, calibration, first_ms=at_ms)
        model.verdicts += 1
        model.first_ms, model.last_ms = min(model.first_ms, at_ms), max(model.last_ms, at_ms)

    def _name(self, verdict: object) -> str:
        name = str(verdict)[:32]
        if name not in self._names and len(self._names) >= MOST_VERDICT_NAMES:
            return "other"
        self._names.add(name)
        return name


def model_json(model: Model) -> dict[str, Any]:
    """Return a model as the page gets it; of one trained on simulated images the page says that its verdicts mean nothing."""
    return {
        "version": model.version,
        "kind": model.kind,
        "training_data": model.training_data,
        "simulated": is_simulated(model.training_data),
        "calibration": model.calibration_id,
        "verdicts": model.verdicts,
        "first": model.first_ms,
        "last": model.last_ms,
    }


def _dumped(shown: dict[str, Any]) -> bytes:
    """Return JSON in as many bytes as it has: what orjson returns sits in a block of 8 KiB, which would be kept with it."""
    return bytes(memoryview(orjson.dumps(shown)))


def _exact(values: list[float]) -> list[float]:
    ranked = sorted(values)
    return [round(ranked[min(len(ranked) - 1, int(share * len(ranked)))], 1) for share in (0.5, 0.95, 0.99)]


_TAKERS: Final[Mapping[str, Callable[[Feed, Record], bool]]] = {
    topics.WINDOWS: Feed._take_window,  # noqa: SLF001  # the table of the class's own methods
    topics.DRIFT_ALERTS: Feed._take_alert,  # noqa: SLF001
    topics.VERDICTS: Feed._take_verdict,  # noqa: SLF001
    topics.DEAD_LETTERS: Feed._take_letter,  # noqa: SLF001
}
