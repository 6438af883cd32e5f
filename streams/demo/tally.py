"""An independent count: what lies on the topics, against what was sent. It shares no state with the workers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from schemas import topics
from schemas.dead_letter import DeadLetter
from schemas.incoming import Intake, Record
from schemas.verdict import Verdict
from schemas.window import CANDIDATE_SCHEMA, OVERALL, DriftAlert, WindowSummary
from streams.demo.sending import JUDGED, Sent

TALLIED = (topics.IMAGES, topics.VERDICTS, topics.DEAD_LETTERS, topics.WINDOWS, topics.DRIFT_ALERTS)


@dataclass(frozen=True, slots=True)
class Surprise:
    """A reference whose outcome is not the one it must have."""

    sent: Sent
    came: str


class Tally:
    """Takes records of the five topics in any order.

    The images topic says which outcome ids must exist, since the same rules that name a worker's outcomes are applied to it here; the
    verdict and dead letter topics say which do exist, and how often.
    """

    def __init__(self, intake: Intake) -> None:
        self.verdicts: dict[str, Verdict] = {}
        self.dead_letters: dict[str, DeadLetter] = {}
        self.windows: dict[str, WindowSummary] = {}
        self.alerts: dict[str, DriftAlert] = {}
        self._intake = intake
        self._sent: dict[bytes, Sent] = {}
        self._ids: dict[bytes | None, set[str]] = {}
        self._outcomes: Counter[str] = Counter()

    def expect(self, sent: Iterable[Sent]) -> None:
        """Every one of `sent` must come to exactly one outcome."""
        self._sent.update((one.key, one) for one in sent)

    def note(self, record: Record) -> None:
        """Take one record into account."""
        value = record.value or b""
        match record.topic:
            case topics.IMAGES:
                found = {incoming.outcome_id for incoming in self._intake.read(record)}
                self._ids.setdefault(record.key, set()).update(found)
            case topics.VERDICTS:
                verdict = Verdict.from_bytes(value)
                self.verdicts[verdict.outcome_id] = verdict
                self._outcomes[verdict.outcome_id] += 1
            case topics.DEAD_LETTERS:
                letter = DeadLetter.read(record)
                self.dead_letters[letter.outcome_id] = letter
                self._outcomes[letter.outcome_id] += 1
            case topics.WINDOWS:
                window = WindowSummary.from_bytes(value)
                if window.tenant != OVERALL:  # the demo has one tenant: over all of them the windows are the same
                    self.windows[window.window_id] = window
            case topics.DRIFT_ALERTS:
                if orjson.loads(value).get("schema") == CANDIDATE_SCHEMA:
                    return
                alert = DriftAlert.from_bytes(value)
                if alert.tenant != OVERALL:
                    self.alerts[alert.alert_id] = alert

    @property
    def sent(self) -> Mapping[bytes, Sent]:
        """What must have an outcome, by record key."""
        return self._sent

    @property
    def settled(self) -> int:
        """How many of the sent references have an outcome."""
        return len(self._sent) - len(self.missing)

    @property
    def missing(self) -> list[Sent]:
        """The sent references without an outcome, or without a place on the images topic."""
        return [sent for key, sent in self._sent.items() if not self._is_settled(key)]

    def _is_settled(self, key: bytes) -> bool:
        ids = self._ids.get(key)
        return bool(ids and ids <= self._outcomes.keys())

    @property
    def duplicate_outcomes(self) -> int:
        """How many outcome records there are beyond one for each id: repeats, and a dead letter beside a verdict alike."""
        return self._outcomes.total() - len(self._outcomes)

    @property
    def strangers(self) -> int:
        """How many outcomes belong to nothing that is on the images topic."""
        return len(self._outcomes.keys() - set().union(*self._ids.values()))

    @property
    def counted_in_windows(self) -> int:
        """How many verdicts the published windows account for."""
        return sum(window.images + window.late for window in self.windows.values())

    @property
    def alerts_to_come(self) -> bool:
        """Whether a published window began an episode whose alert is not there yet: an alert follows its window."""
        begun = {
            window.divergences.episode_id
            for window in self.windows.values()
            if window.divergences is not None and window.divergences.state == "drifting"
        }
        return not begun <= {alert.episode_id for alert in self.alerts.values()}

    def verdict_of(self, sent: Sent) -> Verdict | None:
        """Return the verdict on one reference, if that is what it came to."""
        return next((self.verdicts[id_] for id_ in self._ids.get(sent.key, ()) if id_ in self.verdicts), None)

    def dead_letter_of(self, sent: Sent) -> DeadLetter | None:
        """Return the dead letter of one reference, if that is what it came to."""
        return next((self.dead_letters[id_] for id_ in self._ids.get(sent.key, ()) if id_ in self.dead_letters), None)

    @property
    def surprises(self) -> list[Surprise]:
        """Where something else came than must: another code, a verdict on something bad, a dead letter for something good."""
        found = []
        for sent in self._sent.values():
            letter = self.dead_letter_of(sent)
            came = letter.code if letter else JUDGED if self.verdict_of(sent) else None
            if came is not None and sent.parcel.expected not in {None, came}:
                found.append(Surprise(sent, came))
        return found
