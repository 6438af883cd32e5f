"""A limit on dead letters, by partition: a worker that suddenly refuses nearly everything is more likely at fault than all producers at once."""

from collections import defaultdict, deque
from dataclasses import dataclass, field

from streams.settings import PipelineSettings


@dataclass(slots=True)
class _Lately:
    """What the last references of one partition came to."""

    in_a_row: int = 0
    letters: int = 0
    window: deque[bool] = field(default_factory=deque)


class LetterLimit:
    """Trips when a partition has too many dead letters in a row, or too large a share of them among its last references.

    Once tripped it stays so for the life of the process: what refuses them now would refuse them in a minute, too.
    """

    def __init__(self, settings: PipelineSettings) -> None:
        self._in_a_row = settings.dead_letters_in_a_row
        self._share = settings.dead_letter_share
        self._of_last = settings.dead_letter_window
        self._partitions: defaultdict[int, _Lately] = defaultdict(_Lately)
        self.tripped: str | None = None

    def admits(self, partition: int, *, is_letter: bool) -> bool:
        """Note what a reference of the partition came to; return whether that may be settled. A verdict always may."""
        lately = self._partitions[partition]
        if is_letter:
            if self.tripped is None:
                self.tripped = self._fault(partition, lately)
            if self.tripped is not None:
                return False
        lately.in_a_row = lately.in_a_row + 1 if is_letter else 0
        lately.window.append(is_letter)
        lately.letters += is_letter
        if len(lately.window) > self._of_last:
            lately.letters -= lately.window.popleft()
        return True

    def _fault(self, partition: int, lately: _Lately) -> str | None:
        if self._in_a_row and lately.in_a_row >= self._in_a_row:
            return f"partition {partition}: {lately.in_a_row} dead letters in a row"
        if self._share < 1 and len(lately.window) == self._of_last and lately.letters >= self._share * self._of_last:
            return f"partition {partition}: {lately.letters} dead letters among the last {self._of_last} references"
        return None
