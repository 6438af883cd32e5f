"""What `drift_truth.py` reports, as figures: simulated streams through the worker's own statistics. Nothing here knows how it is printed."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from support.simulated_answers import CLASSES, Drawn, SimulatedModel
from support.simulated_windows import LARGER, MINUTE_MS, judged

from schemas.calibration import CalibrationProfile
from schemas.window import Divergences, WindowSummary
from streams.drift.divergence import diverge
from streams.drift.episodes import Episode, EpisodeRules, advance
from streams.drift.prevalence import Corrected, correct
from streams.drift.reference import Reference
from streams.settings import DriftSettings

SETTINGS = DriftSettings()
SAMPLE = SETTINGS.sample_images
RATE_A_MINUTE = 1_000
"""Images in a window of a minute."""
USUAL_AI = 0.02
NEW_AI = 0.10
UNKNOWN_SHARE = 0.10
LARGE_AI = 0.25
PROFILE_IMAGES = 400
THRESHOLDS = (0.02, 0.05, 0.1, 0.25)
SLOW_LOSS = 0.3
"""What the separation of the model loses in the slow change."""
PHASES = ((USUAL_AI, 0.0), (NEW_AI, 0.0), (NEW_AI, UNKNOWN_SHARE))
"""Shares of AI by known generators, and by one nobody knows."""

CALIBRATED = SimulatedModel()


def mix(ai: float) -> dict[str, float]:
    """The shares of the simulated stream."""
    return dict.fromkeys(CLASSES, ai / (len(CLASSES) - 1)) | {"real": 1 - ai}


def raw_ai(counts: dict[str, int]) -> float:
    """The share of the decided that was counted as AI."""
    return 1 - counts["real"] / sum(counts.values())


def corrected_of(drawn: Drawn, profile: CalibrationProfile, seed: int) -> Corrected:
    """The correction of a window, on the sample that a window keeps: images are drawn in no order, so the first are one."""
    kept = drawn.part(slice(SAMPLE))
    return correct([kept.answers()], {"sim": profile}, min_images=SETTINGS.min_images, seed=seed)


def usual_reference(rng: np.random.Generator, model: SimulatedModel) -> Reference:
    """A reference as `deeptrace drift reference build` makes it, from 20,000 images of usual traffic: raw shares, and corrected ones."""
    drawn = model.draw(rng, 20_000, ai=USUAL_AI)
    counts = drawn.counts()
    raw = {name: count / sum(counts.values()) for name, count in counts.items()}
    found = correct([drawn.answers()], {}, min_images=1, seed=0).correction.shares
    assert found is not None
    return Reference(raw, corrected={name: share.value for name, share in found.items()})


@dataclass
class SizeRow:
    """Windows of one size at one share of AI: what raw and corrected shares made of it."""

    images: int
    ai: float
    windows: int
    raw_mean: float = 0.0
    raw_error: float = 0.0
    corrected_mean: float = 0.0
    corrected_error: float = 0.0
    width: float = 0.0
    covered_ai: float = 0.0
    covered_class: float = 0.0
    """Of the class that was covered least."""
    void: float = 0.0


def by_size(model: SimulatedModel, images: int, ai: float, windows: int, seed: int, *, fitted: bool = False) -> SizeRow:
    """Judge independent windows of one size. Errors are roots of mean squares.

    Every twentieth has a fresh profile, and with `fitted` a fresh temperature, both from calibration samples of their own.
    """
    rng = np.random.default_rng(seed)
    row = SizeRow(images, ai, windows)
    raw, values, widths = [], [], []
    hits = np.zeros(len(CLASSES) + 1)
    truth = mix(ai)
    for number in range(windows):
        if number % 20 == 0:
            judging = model.fitted(rng, PROFILE_IMAGES) if fitted else model
            profile = judging.profile(rng, PROFILE_IMAGES)
        drawn = judging.draw(rng, images, ai=ai)
        raw.append(raw_ai(drawn.counts()))
        found = corrected_of(drawn, profile, number).correction
        if found.shares is None or found.ai is None:
            row.void += 1 / windows
            continue
        values.append(found.ai.value)
        widths.append(found.ai.high - found.ai.low)
        covered = [found.shares[name].low <= truth[name] <= found.shares[name].high for name in CLASSES]
        hits += [*covered, found.ai.low <= ai <= found.ai.high]
    row.raw_mean, row.raw_error = float(np.mean(raw)), _root_mean_square(np.array(raw) - ai)
    if values:
        row.corrected_mean, row.corrected_error = float(np.mean(values)), _root_mean_square(np.array(values) - ai)
        row.width = float(np.mean(widths))
        row.covered_ai, row.covered_class = float(hits[-1] / len(values)), float(hits[:-1].min() / len(values))
    return row


@dataclass
class Minute:
    """One window of the stream: what the worker said, and what its raw counts alone would have come to."""

    phase: int
    truth_ai: float
    raw_ai: float
    said: WindowSummary
    raw: Divergences


@dataclass
class TenMinutes:
    """A larger window: how many candidates, and the part of the largest one's exemplars that is of the unknown generator."""

    phase: int
    candidates: int
    unknown: float


@dataclass
class Stream:
    """One simulated stream in three phases: usual, more AI, and a generator nobody knows beside it."""

    minutes: list[Minute] = field(default_factory=list)
    larger: list[TenMinutes] = field(default_factory=list)

    def of(self, phase: int) -> list[Minute]:
        """The windows of a phase."""
        return [minute for minute in self.minutes if minute.phase == phase]

    def statuses(self, phase: int) -> Counter[str]:
        """How many windows of a phase have which status of the correction."""
        return Counter(minute.said.correction.status for minute in self.of(phase) if minute.said.correction)


def stream(seed: int, minutes: Sequence[int]) -> Stream:
    """Send so many minutes of each phase through the worker's windows; profile and reference are independent samples of the same model."""
    rng = np.random.default_rng(seed)
    profile, reference = CALIBRATED.profile(rng, PROFILE_IMAGES), usual_reference(rng, CALIBRATED)
    phases = [phase for phase, count in enumerate(minutes) for _ in range(count)]
    drawn = (CALIBRATED.draw(rng, RATE_A_MINUTE, ai=PHASES[phase][0], unknown=PHASES[phase][1]) for phase in phases)
    made = Stream()
    for words, closed in judged(drawn, profile, reference):
        phase = phases[closed.start_ms // MINUTE_MS]
        if closed.spec.name == LARGER:
            best = words.candidates[0].exemplars if words.candidates else ()
            unknown = sum(one.bucket == "unknown" for one in best) / max(1, len(best))
            made.larger.append(TenMinutes(phase, len(words.candidates), unknown))
            continue
        counts = dict(closed.total.counts)
        raw = diverge(counts, None, reference, seed=0)
        made.minutes.append(Minute(phase, sum(PHASES[phase]), raw_ai(counts), words.summary, raw))
    return made


def alerts(windows: Sequence[Divergences], threshold: float) -> tuple[list[int], int]:
    """The windows that raise an alert at this threshold, and how many are in an episode."""
    rules = EpisodeRules(threshold, SETTINGS.clear_ratio, SETTINGS.clear_windows, SETTINGS.min_images)
    episode, raised, drifting = Episode(), [], 0
    for number, found in enumerate(windows):
        episode, event = advance(episode, found, RATE_A_MINUTE, rules, window_id=str(number))
        drifting += episode.drifting
        if event == "raised":
            raised.append(number)
    return raised, drifting


def first_after(raised: Sequence[int], start: int) -> int | None:
    """Windows from `start` until the first alert, that one included; None where there is none."""
    return next((number - start + 1 for number in raised if number >= start), None)


def step_delay(seed: int, minutes: int = 30) -> int | None:
    """Windows after a step from the usual to `LARGE_AI` until the default threshold tells it; None where it does not in so many minutes."""
    rng = np.random.default_rng(seed)
    profile, reference = CALIBRATED.profile(rng, PROFILE_IMAGES), usual_reference(rng, CALIBRATED)
    windows = []
    for number in range(minutes):
        drawn = CALIBRATED.draw(rng, RATE_A_MINUTE, ai=LARGE_AI)
        windows.append(diverge(drawn.counts(), corrected_of(drawn, profile, number), reference, seed=number))
    return first_after(alerts(windows, SETTINGS.threshold)[0], 0)


@dataclass
class Steady:
    """Days of usual traffic: alerts in all by threshold, on corrected and on raw shares against the true mix, and the part of the time in an episode."""

    days: int
    corrected: dict[float, tuple[int, float]]
    raw: dict[float, tuple[int, float]]
    void_by_day: list[int]
    confidences: list[float]


def steady(seed: int, days: int, minutes_a_day: int) -> Steady:
    """Simulate usual traffic by the minute. Each day has a profile and a reference of its own, for these do not change from minute to minute."""
    rng = np.random.default_rng(seed)
    corrected, raw = (dict.fromkeys(THRESHOLDS, (0, 0.0)) for _ in range(2))
    void, confidences = [], []
    for _ in range(days):
        profile, reference = CALIBRATED.profile(rng, PROFILE_IMAGES), usual_reference(rng, CALIBRATED)
        held, counted, withheld = [], [], 0
        for number in range(minutes_a_day):
            drawn = CALIBRATED.draw(rng, RATE_A_MINUTE, ai=USUAL_AI)
            found = corrected_of(drawn, profile, number)
            withheld += found.correction.status == "void"
            held.append(diverge(drawn.counts(), found, reference, seed=number))
            counted.append(diverge(drawn.counts(), None, Reference(mix(USUAL_AI)), seed=number))
            confidences.append(float(drawn.probs.max(axis=1).mean()))
        void.append(withheld)
        for threshold in THRESHOLDS:
            for sums, windows in ((corrected, held), (raw, counted)):
                raised, drifting = alerts(windows, threshold)
                before, part = sums[threshold]
                sums[threshold] = (before + len(raised), part + drifting / minutes_a_day / days)
    return Steady(days, corrected, raw, void, confidences)


def void_share(seed: int, *, images: int, unknown: float, profile_images: int, windows: int) -> float:
    """The share of windows whose correction is withheld, at 10 % AI of known generators; every fifth has a fresh profile."""
    rng = np.random.default_rng(seed)
    void = 0
    for number in range(windows):
        if number % 5 == 0:
            profile = CALIBRATED.profile(rng, profile_images)
        drawn = CALIBRATED.draw(rng, images, ai=NEW_AI, unknown=unknown)
        found = correct([drawn.answers()], {"sim": profile}, min_images=1, seed=number)
        void += found.correction.status == "void"
    return void / windows


def slow_change(seed: int, before: Sequence[float], minutes: int) -> tuple[int, int | None, float]:
    """Feed the Page-Hinkley detector the steady days, then a slow loss of separation over so many minutes.

    Return how often it told of a change in the steady days, after how many minutes of the change it did, and the fall of the mean confidence till then.
    """
    from streams.drift.slow_drift import SlowDrift

    detector = SlowDrift()
    false = sum(detector.update(value) is not None for value in before)
    rng = np.random.default_rng(seed)
    first, last = float(np.mean(before)), 0.0
    for minute in range(minutes):
        model = SimulatedModel(separation=CALIBRATED.separation - SLOW_LOSS * minute / minutes)
        last = float(model.draw(rng, RATE_A_MINUTE, ai=USUAL_AI).probs.max(axis=1).mean())
        if detector.update(last) is not None:
            return false, minute + 1, first - last
    return false, None, first - last


def cost_ms(windows: int = 100) -> tuple[float, float]:
    """CPU milliseconds for a correction of 1,024 answers, and for the divergences: the medians over so many windows."""
    rng = np.random.default_rng(1)
    profile, reference = CALIBRATED.profile(rng), usual_reference(rng, CALIBRATED)
    corrections, divergences = [], []
    for number in range(windows):
        drawn = CALIBRATED.draw(rng, 1024, ai=USUAL_AI)
        started = time.process_time()
        found = correct([drawn.answers()], {"sim": profile}, min_images=100, seed=number)
        between = time.process_time()
        diverge(drawn.counts(), found, reference, seed=number)
        corrections.append(1000 * (between - started))
        divergences.append(1000 * (time.process_time() - between))
    return median(corrections), median(divergences)


def share_at(threshold: float) -> float:
    """The AI share, spread over the generators as usual, whose true KL from the usual mix is the threshold."""
    low, high = USUAL_AI, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        kl = middle * np.log(middle / USUAL_AI) + (1 - middle) * np.log((1 - middle) / (1 - USUAL_AI))
        low, high = (middle, high) if kl < threshold else (low, middle)
    return low


def _root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))
