"""What a case is: what it builds, what it does, how long it may take. `faults.cases` holds them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from faults.harness.testbed import Plan

if TYPE_CHECKING:
    from faults.harness.trial import Trial

DEFAULT_PLAN = Plan()
Scale = Literal["fast", "full"]
Design = Literal["deeptrace", "naive"]


@dataclass(frozen=True, slots=True)
class Case:
    """One fault. `name` is its stable id, `what` the line in the report.

    `naive` says whether the naive design is run under the same fault: where it has nothing to do with the fault, that would say nothing.
    `quiet_claims` are left to the case where dead letters of good references are part of it.
    """

    name: str
    what: str
    run: "Callable[[Trial], Awaitable[None]]"
    plan: Plan = DEFAULT_PLAN
    workers: int = 2
    naive: bool = False
    naive_workers: int = 1
    good_stay_good: bool = True
    private_mounts: bool = False
    audited: bool = True
    fast_limit_s: float = 240
    full_limit_s: float = 480

    def limit_s(self, scale: Scale) -> float:
        """Return after how long the case has failed, whatever it is at."""
        return self.fast_limit_s if scale == "fast" else self.full_limit_s
