"""How the command line speaks: results on standard output, everything else on standard error, errors with a remedy."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from schemas.errors import DeepTraceError
from streams.settings import Settings
from streams.settings_sources import STATE_DIR, Layer, Loaded, load
from streams.stack.local_stack import LocalStack

WIDE = 200  # columns where nobody looks: a pipe must not get wrapped text
LAYOUT = "\n\t"

out = Console(width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines instead of text.")]


def state_dir() -> Path:
    """Return where the local stack keeps its data and its state file."""
    return Path(os.environ.get(STATE_DIR, ".deeptrace"))


def load_settings(overrides: Layer | None = None) -> Loaded:
    """Read the settings; where nothing else is configured, a running local stack says where broker and store are."""
    return load(dev_stack=_dev_stack(), overrides=overrides)


def settings(overrides: Layer | None = None) -> Settings:
    """Read the settings, without their origins."""
    return load_settings(overrides).settings


def print_json(value: Any) -> None:
    """Print one line of JSON on standard output."""
    out.file.write(orjson.dumps(value, default=str).decode() + "\n")
    out.file.flush()


def print_error(error: DeepTraceError) -> None:
    """Say what, why and what to do, and the stable code."""
    _print_failure(error.message)
    if error.why:
        err.print(f"  why: {printable(error.why, keep=LAYOUT)}", highlight=False, markup=False, soft_wrap=True)
    if error.remedy:
        err.print(f"  do:  {printable(error.remedy, keep=LAYOUT)}", highlight=False, markup=False, soft_wrap=True)
    err.print(f"  code {error.code}", style="dim", highlight=False)


def print_unexpected(error: Exception) -> None:
    """Say in one line what kind of error it is, and for an OSError the file; its text may hold what was being worked on."""
    what = f"{type(error).__name__}, which is unexpected; `deeptrace --debug ...` shows where"
    if isinstance(error, OSError) and error.filename is not None:
        what = f"{type(error).__name__}: {os.fsdecode(error.filename)}: {error.strerror}"
    _print_failure(what)


def printable(text: str, *, keep: str = "") -> str:
    """Return `text` with everything that is not to be seen escaped: a record must not steer the terminal it is shown on."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def _print_failure(what: str) -> None:
    err.print("[bold red]error[/]", end=" ")
    err.print(printable(what), highlight=False, markup=False, soft_wrap=True)


def _dev_stack() -> Layer:
    stack = LocalStack(state_dir()).status()
    if stack is None:
        return {}
    return stack_layer(stack.bootstrap_servers, stack.s3_endpoint, stack.s3_access_key, stack.s3_secret_key)


def stack_layer(bootstrap_servers: str, s3_endpoint: str, access_key: str, secret_key: str) -> Layer:
    """Return a local stack's addresses as settings."""
    return {
        "kafka": {"bootstrap_servers": bootstrap_servers},
        "store": {"endpoint": s3_endpoint, "access_key": access_key, "secret_key": secret_key},
    }
