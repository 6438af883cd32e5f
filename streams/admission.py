"""Whether the worker takes in references just now, and if not, why: its store is down, or its dead letters are over their limit."""

import asyncio
from collections.abc import Mapping

from streams.gate import Gate
from streams.letter_limit import LetterLimit

STORE, DEAD_LETTERS = "store", "dead_letters"
REASONS = (STORE, DEAD_LETTERS)


class Admission:
    """While the intake rests, Faust's buffers fill and it stops fetching: the partitions are paused, and the group is not left."""

    def __init__(self, gate: Gate, limit: LetterLimit) -> None:
        self._gate = gate
        self._limit = limit

    @property
    def refusals(self) -> Mapping[str, str]:
        """Return why nothing is taken in, by reason; empty while all is well."""
        said = {STORE: self._gate.why_closed, DEAD_LETTERS: self._limit.tripped}
        return {reason: why for reason, why in said.items() if why is not None}

    async def granted(self) -> None:
        """Return when a reference may be taken in; never, once the dead letters are over their limit.

        Raises:
            DependencyDownTooLong: the store stayed away for too long.
        """
        await self._gate.opened()
        if self._limit.tripped is not None:
            await asyncio.get_running_loop().create_future()
