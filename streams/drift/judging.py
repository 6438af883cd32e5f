"""The judge of the settings: its references, profiles, rules of episodes, and where reports lie."""

from streams.drift.candidates import CandidateRules
from streams.drift.episodes import EpisodeRules
from streams.drift.judge import WindowJudge
from streams.drift.metrics import DriftMetrics
from streams.drift.profiles import load_profiles
from streams.drift.reference import FixedReferences, References, load_reference
from streams.drift.references import StoredReferences
from streams.drift.slow_drift import require_river
from streams.drift.specs import clustered_spec, parse_specs
from streams.settings import Settings


def stored_references(settings: Settings, metrics: DriftMetrics) -> StoredReferences | None:
    """Return the references of the object store; None where the settings give one, or no key to a store.

    Raises:
        ConfigError: the reference of the settings cannot be used.
    """
    is_given = load_reference(settings.drift) is not None
    return None if is_given or not settings.store.access_key else StoredReferences.of_settings(settings, metrics)


def make_judge(settings: Settings, references: References | None = None) -> WindowJudge:
    """Return the judge; without `references` it knows the one of the settings.

    Raises:
        ConfigError: the reference or the profile that the settings name cannot be used, or river is asked for and not installed.
    """
    if settings.drift.slow:
        require_river()
    specs = parse_specs(settings.drift.windows)
    return WindowJudge(
        references=references or FixedReferences(load_reference(settings.drift)),
        profiles=load_profiles(settings),
        rules=EpisodeRules.of(settings.drift),
        pane=specs.pane.name,
        clustered=clustered_spec(specs).name,
        candidates=CandidateRules(settings.drift.candidate_min_images, settings.drift.candidate_min_cohesion),
        slow=settings.drift.slow,
        report_bucket=settings.store.drift_bucket if settings.drift.reports else None,
    )
