"""What a training tells whoever looks on."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave. Losses are the ensemble's own, in nats; validation is of the averaged weights."""

    index: int  # of the whole training, from 0
    phase: str
    number: int  # of the phase, from 1
    of: int
    learning_rate: float  # of its last step
    loss: float
    validation_loss: float | None
    validation_accuracy: float | None  # mean over the classes
    seconds: float


class Watch(Protocol):
    """Who looks on. May end the training by raising."""

    def epoch_begins(self, phase: str, number: int, of: int, steps: int, done: int) -> None:
        """Epoch `number` of `of` begins with `done` of its `steps` done."""

    def step_ends(self, loss: float) -> None:
        """One batch was learnt from."""

    def epoch_ends(self, epoch: Epoch) -> None:
        """One epoch is over."""


class Quiet:
    """Looks on and says nothing."""

    def epoch_begins(self, phase: str, number: int, of: int, steps: int, done: int) -> None:
        """Say nothing."""

    def step_ends(self, loss: float) -> None:
        """Say nothing."""

    def epoch_ends(self, epoch: Epoch) -> None:
        """Say nothing."""
