"""What a closed window means: its summary with correction and divergences, the alerts it calls for, the candidates found in it."""

from dataclasses import dataclass, field
from typing import Any

import structlog

from schemas.window import DriftAlert, GeneratorCandidate, StoredObject, WindowSummary
from streams.drift.alerts import episode_alert, slow_alert
from streams.drift.candidates import CandidateRules
from streams.drift.divergence import diverge, kl_nats, smoothed_shares
from streams.drift.episodes import Episode, EpisodeRules, advance, told
from streams.drift.new_generators import new_generators
from streams.drift.prevalence import correct
from streams.drift.profiles import Profiles
from streams.drift.reference import Reference, References
from streams.drift.reports.placing import report_object
from streams.drift.slow_drift import SlowDrift
from streams.drift.summary import DIGITS, Words, answers_of, counted
from streams.drift.windows import ClosedWindow

log = structlog.get_logger(__name__)

Memory = dict[str, Any]


@dataclass(frozen=True, slots=True)
class WindowJudge:
    """Makes summaries and alerts. Ids follow from tenant, kind and start alone, and so do random draws: a repeat is recognised as one.

    `memory` holds, as JSON, the episode of each kind of window, and the detector of slow drift where `slow` is on, which takes in panes of
    `pane`; new generators are looked for in windows of the kind `clustered`. `report_bucket` is where a report of a window that raised an alert will lie, if anywhere.
    """

    references: References
    profiles: Profiles
    rules: EpisodeRules
    pane: str
    clustered: str = ""
    candidates: CandidateRules = field(default_factory=CandidateRules)
    slow: bool = False
    report_bucket: str | None = None

    def judge(self, tenant: str, closed: ClosedWindow, memory: Memory) -> tuple[Words, Memory]:
        """Return the words on a window, and the new memory. Without a reference there is no divergence and no episode.

        Where the statistics fail, what was counted is said without them: a fault in them must not keep windows from being published.
        """
        reference = self.references.of(tenant)
        summary = counted(tenant, closed)
        try:
            words, remembered = self._weighed(summary, closed, reference, memory)
            words.require_readable()
        except Exception:
            log.exception(
                "the statistics of a window failed", tenant=tenant, window=summary.window, start=summary.start
            )
            return Words(summary), memory
        return words, remembered

    def _weighed(
        self, summary: WindowSummary, closed: ClosedWindow, reference: Reference | None, memory: Memory
    ) -> tuple[Words, Memory]:
        counts, decided = closed.total.counts, closed.total.counts.total()
        seed = int(summary.window_id[:15], 16)
        profiles = self.profiles.beside(reference)
        sample = answers_of(closed.total.sample)
        corrected = correct(sample, profiles, min_images=self.rules.min_images, seed=seed)
        divergences = diverge(counts, corrected, reference, seed=seed) if reference and decided else None
        before, episodes = _episode(memory, closed.spec.name)
        episode, event = advance(before, divergences, decided, self.rules, window_id=summary.window_id)
        if divergences is not None:
            divergences = told(divergences, episode, event, decided, self.rules)
        summary = self._compared(summary, reference).model_copy(
            update={"correction": corrected.correction, "divergences": divergences}
        )
        memory = {**memory, "episodes": {**episodes, closed.spec.name: episode.to_json()}}
        alerts: list[DriftAlert] = []
        if event and reference:
            report = self._report(summary) if event == "raised" else None
            alerts.append(episode_alert(summary, event, reference, threshold=self.rules.threshold, report=report))
        if self.slow and closed.spec.name == self.pane and closed.total.rated >= self.rules.min_images:
            changed, memory = _slow(summary, memory)
            alerts += changed
        found: tuple[GeneratorCandidate, ...] = ()
        if closed.spec.name == self.clustered:
            found = new_generators(summary, closed.total, profiles, self.candidates)
            summary = summary.model_copy(update={"candidates": tuple(one.candidate_id for one in found)})
        return Words(summary, tuple(alerts), found), memory

    def _compared(self, summary: WindowSummary, reference: Reference | None) -> WindowSummary:
        """Add the reference, and the divergence of the raw counts from it where there are enough."""
        if reference is None:
            return summary
        changes: dict[str, Any] = {"reference": dict(reference.shares)}
        if reference.corrected:
            changes["reference_corrected"] = dict(reference.corrected)
        if sum(summary.counts.values()) >= self.rules.min_images:
            known = reference.over(summary.counts)
            current = smoothed_shares(summary.counts, known)
            changes["kl_current_reference_nats"] = round(kl_nats(current, known), DIGITS)
            changes["kl_reference_current_nats"] = round(kl_nats(known, current), DIGITS)
        return summary.model_copy(update=changes)

    def _report(self, summary: WindowSummary) -> StoredObject | None:
        if self.report_bucket is None:
            return None
        return report_object(self.report_bucket, summary.tenant, summary.window_id)


def _episode(memory: Memory, kind: str) -> tuple[Episode, Memory]:
    episodes: Memory = memory.get("episodes", {})
    return (Episode.from_json(episodes[kind]) if kind in episodes else Episode()), episodes


def _slow(summary: WindowSummary, memory: Memory) -> tuple[list[DriftAlert], Memory]:
    detector = SlowDrift.from_json(memory["slow"]) if "slow" in memory else SlowDrift()
    assert summary.mean_confidence is not None, "enough images have a confidence"
    value = detector.update(summary.mean_confidence)
    return ([] if value is None else [slow_alert(summary, value)]), {**memory, "slow": detector.to_json()}
