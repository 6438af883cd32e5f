"""The commands of training, which `deeptrace` finds by the entry point `deeptrace.commands`: serving does not know training.

Nothing heavy is imported here: each command imports what it needs when it runs.
"""

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to `deeptrace`."""
