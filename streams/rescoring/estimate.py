"""What a replay would have to do: read through once beforehand, which costs the broker little and nobody else anything."""

from collections import Counter
from dataclasses import dataclass, field

from schemas import topics
from schemas.errors import MessageInvalid
from schemas.verdict import Verdict
from streams.rescoring.past import Spans
from streams.rescoring.selection import Selection
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics


@dataclass(slots=True)
class Estimate:
    """Verdicts that meet the selection, by the model that gave them; a verdict that lies there twice counts twice."""

    matching: int = 0
    by_model: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0

    def seconds(self, rate: float | None) -> float | None:
        """Return how long they take at so many a second, at least."""
        return None if rate is None else self.matching / rate


async def estimate(settings: KafkaSettings, spans: Spans, selection: Selection) -> Estimate:
    """Count what `selection` takes within `spans`. Raises BrokerUnavailable, ConfigError."""
    found = Estimate()
    starts = {number: begin for number, (begin, end) in spans.items() if begin < end}
    async for record in read_topics(settings, [topics.VERDICTS], starts=starts):
        if record.offset >= spans.get(record.partition, (0, 0))[1]:  # the topic may have got more partitions since
            continue
        try:
            verdict = Verdict.from_bytes(record.value or b"")
        except MessageInvalid:
            found.unreadable += 1
            continue
        if selection.takes(verdict, written_at=record.timestamp):
            found.matching += 1
            found.by_model[verdict.model.version] += 1
    return found


def duration(seconds: float) -> str:
    """Say a time as a person does.

    >>> duration(3725), duration(4.2)
    ('1 h 2 min', '4 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
