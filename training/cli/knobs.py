"""Where the commands find the knobs: the file that was named, else `params.yaml` in this folder, else the defaults."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from training.params import Params

PARAMS: Final = Path("params.yaml")

ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", metavar="FILE", help="The knobs; unset: params.yaml in this folder, else the defaults."),
]


def knobs(path: Path | None) -> "Params":
    """Read the knobs; raises `ConfigError` naming every fault of the file."""
    from training.params import Params, read_params

    if path is None and not PARAMS.is_file():
        return Params()
    return read_params(path or PARAMS)
