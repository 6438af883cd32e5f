"""What the tests of windows share: observations, and rules in round numbers."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from schemas.window import Observation
from streams.drift.windows import WindowRules

MakeObservation = Callable[..., Observation]


@pytest.fixture
def rules() -> WindowRules:
    """Windows of 10 s, 5 s of lateness, 3 s of quiet, a minute of future and an hour of past."""
    return WindowRules(size_ms=10_000, lateness_ms=5_000, max_future_ms=60_000, max_past_ms=3_600_000, idle_ms=3_000)


@pytest.fixture
def observe() -> MakeObservation:
    """Makes an observation of an image of `tenant` at `at_s` seconds after the epoch."""

    def make(
        at_s: float,
        *,
        outcome_id: str | None = None,
        tenant: str = "acme",
        source: str | None = "flux",
        probs: dict[str, float] | None = None,
        model: str = "m1",
    ) -> Observation:
        return Observation(
            outcome_id=outcome_id or f"outcome-{at_s}",
            tenant=tenant,
            event_time=datetime.fromtimestamp(at_s, UTC),
            verdict="inconclusive" if source is None else "real" if source == "real" else "ai_generated",
            predicted_source=source,
            per_class_probs=probs,
            model_version=model,
        )

    return make
