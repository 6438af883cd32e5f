"""`deeptrace narrate`: verdicts in words, beside the service."""

import typer

from streams.cli.console import settings as read_settings
from streams.logs import configure_logs
from streams.narrator.claude import require_key
from streams.runner import run_service


def narrate() -> None:
    """Put uncertain verdicts into words with Claude, until told to stop. Needs a key; sends numbers and labels only."""
    settings = read_settings()
    require_key(settings.narrator)
    configure_logs(settings.log)
    from streams.narrator.app import NarratorService

    raise typer.Exit(run_service(lambda: NarratorService(settings)))
