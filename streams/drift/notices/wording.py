"""An alert or a candidate as a notice: what Slack shows. Names come from producers, so they are escaped; object keys are never told."""

import re
from dataclasses import dataclass
from typing import Final

import orjson

from schemas import topics
from schemas.errors import MessageInvalid
from schemas.window import ALERT_SCHEMA, CANDIDATE_SCHEMA, OVERALL, DriftAlert, GeneratorCandidate

MAX_NAME: Final = 80
IN_DIGEST: Final = 5

_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f`]")


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to be told once. `text` is Slack's mrkdwn; `line` is the same in a digest."""

    id: str
    text: str
    line: str


def notice_of(value: bytes) -> Notice:
    """Return the notice of a record on the alerts topic.

    Raises:
        MessageInvalid: it is neither an alert nor a candidate.
    """
    try:
        found = orjson.loads(value)
        schema = found.get("schema") if isinstance(found, dict) else None
    except orjson.JSONDecodeError:
        schema = None
    if schema == CANDIDATE_SCHEMA:
        return _of_candidate(GeneratorCandidate.from_bytes(value))
    if schema == ALERT_SCHEMA:
        return _of_alert(DriftAlert.from_bytes(value))
    raise MessageInvalid("neither an alert nor a candidate", why="its schema is not known")


def digest(notices: list[Notice]) -> str:
    """Return one message for several notices: the first of them in a line each, and how many more there are."""
    lines = [f"*{len(notices)} drift notices*", *(f"• {one.line}" for one in notices[:IN_DIGEST])]
    if len(notices) > IN_DIGEST:
        lines.append(f"and {len(notices) - IN_DIGEST} more, on the topic {_name(topics.DRIFT_ALERTS)}")
    return "\n".join(lines)


def _of_alert(alert: DriftAlert) -> Notice:
    whose, when = _whose(alert.tenant), f"{_kind(alert.window)} to {alert.end:%Y-%m-%d %H:%M}Z"
    slow = alert.statistic == "page_hinkley_confidence"
    if alert.state == "resolved":
        head = f"*Drift is over* {whose}"
    else:
        head = f"*Confidence changes slowly* {whose}" if slow else f"*Drift* {whose}"
    value = (
        f"{alert.value:.3g}"
        if slow
        else f"KL(current || reference) {alert.value:.3f} nats{_range(alert)} on {alert.basis} shares"
    )
    against = "under" if alert.state == "resolved" else "over"
    lines = [f"{head}, {when}: {value}, {against} {alert.threshold:g}"]
    lines += [_moved(alert)] if _moved(alert) else []
    lines.append(
        f"{alert.images:,} images; window {_name(alert.window_id)}"
        + (f", episode {_name(alert.episode_id)}" if alert.episode_id else "")
    )
    if alert.report is not None:
        lines.append(f"report {_name(f'{alert.report.bucket}/{alert.report.key}', longest=400)}")
    return Notice(alert.alert_id, "\n".join(lines), lines[0])


def _of_candidate(found: GeneratorCandidate) -> Notice:
    nearest = f", nearest to {_name(found.nearest_class)}" if found.nearest_class else ""
    head = (
        f"*Perhaps a new generator* {_whose(found.tenant)}, {_kind(found.window)} to {found.end:%Y-%m-%d %H:%M}Z: "
        f"{found.images:,} of {found.rejected:,} rejected images are alike (cohesion {found.cohesion:.2f}){nearest}"
    )
    rest = f"candidate {_name(found.candidate_id)}, with {len(found.exemplars)} examples on the topic {_name(topics.DRIFT_ALERTS)}"
    return Notice(found.candidate_id, f"{head}\n{rest}", head)


def _moved(alert: DriftAlert) -> str:
    moves = [
        f"{_name(name)} {verb} from {alert.reference.get(name, 0):.1%} to {alert.shares.get(name, 0):.1%}"
        for name, verb in ((alert.most_grown, "grew"), (alert.most_shrunk, "shrank"))
        if name is not None and alert.state == "raised"
    ]
    return ", ".join(moves)


def _range(alert: DriftAlert) -> str:
    return f" ({alert.low:.3f} to {alert.high:.3f})" if alert.low is not None and alert.high is not None else ""


def _whose(tenant: str) -> str:
    return "over all tenants" if tenant == OVERALL else f"of tenant {_name(tenant)}"


def _kind(window: str | None) -> str:
    return f"window {_name(window)}" if window else "window"


def _name(text: str, *, longest: int = MAX_NAME) -> str:
    """Return a name as code, which Slack does not interpret: no mention, no link, no line of its own."""
    shown = _NOT_SHOWN.sub("?", text)
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
    return f"`{escaped(shown)}`"


def escaped(text: str) -> str:
    """Return `text` as Slack asks for it: `&`, `<` and `>` as entities.

    >>> escaped("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
