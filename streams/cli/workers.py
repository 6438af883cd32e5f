"""`deeptrace worker` and `deeptrace drift-worker`: the running service."""

import typer

from streams.assembly import make_classifier, make_decoders, make_registry, make_store
from streams.cli.console import settings as read_settings
from streams.logs import configure_logs
from streams.runner import run_service


def worker() -> None:
    """Judge the references on the images topic until told to stop (SIGTERM, Ctrl-C)."""
    settings = read_settings()
    configure_logs(settings.log)
    classifier = make_classifier(settings)
    decoders = make_decoders(settings, classifier.info.preprocess_id)
    registry = make_registry(settings) if settings.model.release or settings.model.shadow_release else None
    from streams.scoring_app import ScoringService  # Faust is imported where it runs, and nowhere else

    raise typer.Exit(
        run_service(
            lambda: ScoringService(
                settings, store=make_store(settings), classifier=classifier, decoders=decoders, registry=registry
            )
        )
    )


def drift_worker() -> None:
    """Count verdicts into windows and publish class distributions and drift alerts until told to stop."""
    settings = read_settings()
    configure_logs(settings.log)
    from streams.drift.app import DriftService

    raise typer.Exit(run_service(lambda: DriftService(settings)))
