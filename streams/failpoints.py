"""Places where the fault harness may end this process or make the model fail; nothing here happens unless a setting asks for it.

Grammar of `DEEPTRACE_FAULTS__FAILPOINTS`: `POINT=ACTION[@N][~TEXT]`, several separated by commas. `@N` fires at the N-th hit only (default:
at each), `~TEXT` only for references whose `image_id` holds TEXT. Actions: `kill` (SIGKILL, as the kernel or an operator would),
`abort` (SIGABRT, as a library's crash would), and for the point `judge` `oom>K`: a batch of more than K images runs out of memory, and
`hang`: the batch is never done.
"""

import os
import re
import signal
import time
from dataclasses import dataclass
from typing import Final, Literal

from schemas.errors import BatchFailed, ConfigError

Point = Literal[
    "before_fetch",
    "after_fetch",
    "after_judge",
    "after_overlay",
    "after_settle",
    "after_publish",
    "after_ack",
    "after_commit",
]
POINTS: Final = (
    "before_fetch",
    "after_fetch",
    "after_judge",
    "after_overlay",
    "after_settle",
    "after_publish",
    "after_ack",
    "after_commit",
)
"""The way of a reference, in its order."""

_SPEC = re.compile(
    r"(?P<point>[a-z_]+)=(?:(?P<action>kill|abort)(?:@(?P<nth>\d+))?(?:~(?P<text>[^,]+))?|oom>(?P<most>\d+)|(?P<hang>hang))"
)
HANG_S: Final = 3600.0


@dataclass(slots=True)
class _Armed:
    action: str
    nth: int | None
    text: str
    hits: int = 0


class Failpoints:
    """What is armed; without a specification each call costs one comparison."""

    def __init__(self, specification: str = "") -> None:
        self._armed: dict[str, _Armed] = {}
        self._most: int | None = None
        self._hangs = False
        for part in filter(None, (part.strip() for part in specification.split(","))):
            found = _SPEC.fullmatch(part)
            point = found["point"] if found else ""
            if found is None or (point not in POINTS if found["action"] else point != "judge"):
                raise ConfigError(
                    f"DEEPTRACE_FAULTS__FAILPOINTS: {part} is not a failpoint",
                    why=f"points are {', '.join(POINTS)}, and judge=oom>K or judge=hang",
                    remedy="Unset it: it is for the fault harness only.",
                )
            if found["hang"]:
                self._hangs = True
            elif found["most"]:
                self._most = int(found["most"])
            else:
                nth = int(found["nth"]) if found["nth"] else None
                self._armed[point] = _Armed(found["action"], nth, found["text"] or "")

    def hit(self, point: Point, image_id: str = "") -> None:
        """End the process here if that is asked for."""
        if not self._armed or (armed := self._armed.get(point)) is None or armed.text not in image_id:
            return
        armed.hits += 1
        if armed.nth in {None, armed.hits}:
            os.kill(os.getpid(), signal.SIGKILL if armed.action == "kill" else signal.SIGABRT)

    def is_armed(self, point: Point) -> bool:
        """Whether anything may happen at `point`."""
        return point in self._armed

    def judge(self, images: int) -> None:
        """Raise as a model that runs out of memory does, if a batch of so many is to; or never come back."""
        if self._hangs:
            time.sleep(HANG_S)
        if self._most is not None and images > self._most:
            raise BatchFailed("out of memory, injected by a failpoint")
