"""The option that all commands share whose work is spread over cores."""

from typing import Annotated

import typer

Processes = Annotated[int | None, typer.Option(min=1, help="Worker processes; unset: one a core.")]
