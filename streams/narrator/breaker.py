"""Leaves an API alone that fails: for a while, and longer each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permit:
    """One request may go out. It ends with `answered`, `failed` or `gave_up`."""

    is_trial: bool


class Breaker:
    """Closed while the API answers. After so many failures in a row it opens for a pause; then one request at a time is a trial, and only an
    answer closes it again, while a trial's failure doubles the pause up to the longest. Not thread-safe: it lives on the event loop.
    """

    def __init__(
        self,
        *,
        failures_in_a_row: int,
        pause_first_s: float,
        pause_last_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures_in_a_row
        self._first_s = pause_first_s
        self._last_s = max(pause_first_s, pause_last_s)
        self._clock = clock
        self._failures = 0
        self._pauses = 0  # since the last answer
        self._open_until: float | None = None
        self._trial: Permit | None = None
        self._why = ""

    @property
    def why_open(self) -> str | None:
        """What the last failure was, or None while requests go out."""
        return None if self._open_until is None else self._why

    @property
    def is_pausing(self) -> bool:
        """Whether no request would be let out now."""
        return self._open_until is not None and (self._trial is not None or self._clock() < self._open_until)

    def permit(self) -> Permit | None:
        """Return the permit for a request, or None while there is a pause or a trial."""
        if self.is_pausing:
            return None
        permit = Permit(is_trial=self._open_until is not None)
        if permit.is_trial:
            self._trial = permit
        return permit

    def answered(self) -> None:
        """Note an answer, whatever it was worth: the API is well."""
        self._failures = self._pauses = 0
        self._open_until = self._trial = None

    def failed(self, permit: Permit, why: str, *, retry_after_s: float | None = None) -> None:
        """Note a failure. One that asks for a wait of `retry_after_s` opens the breaker at once."""
        if self._open_until is not None and permit is not self._trial:
            return  # sent before it opened: this says nothing new
        self._why = why
        self._failures += 1
        if permit.is_trial or retry_after_s is not None or self._failures >= self._limit:
            grown_s = self._first_s * 2.0 ** min(self._pauses, 30)
            self._open_until = self._clock() + min(max(grown_s, retry_after_s or 0.0), self._last_s)
            self._pauses += 1
            self._failures = 0
        self.gave_up(permit)

    def gave_up(self, permit: Permit) -> None:
        """Note that the request was not sent, or that nobody waited for its end; does nothing after its end."""
        if permit is self._trial:
            self._trial = None
