"""How many tokens a UTC day may cost, and what is spent of it: a small file that survives the process.

Before a request its most possible cost is written as spent, and the file is safe on disk; afterwards the difference comes back. A process that
dies in between has spent too much on paper, never too little.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.errors import ConfigError

FILE: Final = "budget.json"
LOCK: Final = "budget.lock"
SETTING: Final = "DEEPTRACE_NARRATOR__STATE_DIR"


class Spent(BaseModel):
    """The file: a UTC day, and the tokens spent or set aside in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: date
    tokens: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens set aside for one request."""

    day: date
    tokens: int


class DailyBudget:
    """The budget of all narrators that share a folder; each call locks the file, so they may be threads or processes.

    The file's day never goes back: after a clock that was ahead, what was spent on that day stays spent until it has come and gone.
    """

    def __init__(
        self, folder: Path, tokens_per_day: int, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Open it.

        Raises:
            ConfigError: the folder cannot be written, or the file is not one of ours or of a day to come.
        """
        self._folder = folder
        self._tokens_per_day = tokens_per_day
        self._now = now
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with self._locked():
                spent = self._read()
                self._write(spent)
        except (OSError, ValidationError) as error:
            raise ConfigError(
                f"what is spent of the token budget cannot be kept in {folder / FILE}",
                why=(isinstance(error, OSError) and error.strerror) or "it is not in the form that we write",
                remedy=f"Set {SETTING} to a folder that can be written and outlives the narrator, or remove a file that is damaged.",
            ) from None
        if spent.day > self._today() + timedelta(days=1):
            raise ConfigError(
                f"{folder / FILE} is of {spent.day}, a day to come",
                why="a clock was ahead when it was written",
                remedy="Set the clock, then remove the file: the day's count begins anew.",
            )

    def reserve(self, tokens: int) -> Reservation | None:
        """Set `tokens` aside; None when less is left of the day. On return it is on disk.

        Raises:
            OSError: it could not be written, so nothing may be spent.
        """
        with self._locked():
            spent = self._read()
            if spent.tokens + tokens > self._tokens_per_day:
                return None
            self._write(Spent(day=spent.day, tokens=spent.tokens + tokens))
            return Reservation(spent.day, tokens)

    def settle(self, reservation: Reservation, used: int) -> None:
        """Put `used` in the place of what was set aside; of a day that is over nothing is to be put right.

        Raises:
            OSError: it could not be written; the reservation stands.
        """
        with self._locked():
            spent = self._read()
            if spent.day == reservation.day:
                self._write(Spent(day=spent.day, tokens=max(0, spent.tokens + used - reservation.tokens)))

    def left(self) -> int:
        """Return how many tokens are left of the day."""
        with self._locked():
            return max(0, self._tokens_per_day - self._read().tokens)

    def _today(self) -> date:
        return self._now().astimezone(UTC).date()

    def _read(self) -> Spent:
        today = self._today()
        try:
            spent = Spent.model_validate_json((self._folder / FILE).read_bytes())
        except FileNotFoundError:
            return Spent(day=today, tokens=0)
        return spent if spent.day >= today else Spent(day=today, tokens=0)

    def _write(self, spent: Spent) -> None:
        fresh = self._folder / f"{FILE}.new"
        with fresh.open("wb") as file:
            file.write(spent.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._folder / FILE)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when the process dies, however it dies
            yield
