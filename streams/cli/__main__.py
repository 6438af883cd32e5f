"""`python -m streams.cli` is `deeptrace`."""

from streams.cli.main import run

run()
