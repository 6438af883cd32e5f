"""Who wants to know how far an audit is."""

from typing import Protocol


class Progress(Protocol):
    """Hears of each step; called often, so it must be cheap."""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say that `done` of about `total` are done."""


def silent(what: str, done: int, total: int) -> None:
    """Say nothing."""
