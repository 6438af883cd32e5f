"""What one reference's way through the pipeline has come to: its stage, its tries, its milliseconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from schemas.incoming import Record
from schemas.verdict import Timing


@dataclass(slots=True)
class Passage:
    """Mutable on purpose: the error handler reads from it where the reference stood."""

    queued_s: float
    stage: str = "parse"
    attempts: int = 1
    earlier_attempts: int = 0  # in earlier rounds, before it came off a retry topic
    batch_size: int = 1
    known: bool = False  # its outcome was there already: nothing was judged
    store_down_since: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    @classmethod
    def of(cls, record: Record, *, earlier_attempts: int = 0) -> "Passage":
        """Start the passage of `record`, which waited on the topic until now."""
        queued_s = max(0.0, (datetime.now(UTC) - record.timestamp).total_seconds())
        return cls(queued_s=queued_s, attempts=earlier_attempts + 1, earlier_attempts=earlier_attempts)

    @contextmanager
    def in_stage(self, stage: str, observe: Callable[[str, float], None]) -> Iterator[None]:
        """Note the stage, and the time spent in it if it ends well."""
        self.stage = stage
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start
        observe(stage, self.seconds[stage])

    def timing(self) -> Timing:
        """Return the milliseconds so far."""
        stages = {
            f"{stage}_ms": _millis(self.seconds.get(stage, 0.0)) for stage in ("fetch", "decode", "infer", "overlay")
        }
        return Timing(
            queue_ms=_millis(self.queued_s),
            processing_ms=_millis(time.perf_counter() - self.started),
            batch_size=self.batch_size,
            **stages,
        )


def _millis(seconds: float) -> float:
    return round(seconds * 1000, 3)
