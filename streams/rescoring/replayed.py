"""From an old verdict to the reference that asks for a new one, and from that to the record on the replay topic. Pure, so that repeats are equal."""

from datetime import datetime
from typing import Final

from pydantic import ValidationError

from schemas import topics
from schemas.base import fault_list
from schemas.cloud_event import write_headers
from schemas.errors import MessageInvalid
from schemas.identity import outcome_id
from schemas.image_ref import ImageRef, ObjectRef, Want
from schemas.incoming import Record
from schemas.shadow import Opinion
from schemas.topics import record_key
from schemas.verdict import Timing, Verdict

REPLAY_NAME: Final = "dt-replay-name"
"""On the replay topic: which replay the verdict is of."""
REPLAY_BEFORE: Final = "dt-replay-before"
"""On the replay topic: what the verdict said that it repeats, as an `Opinion` without its table."""
REPLAY_AT: Final = "dt-replay-at"
"""On the replay topic: partition and offset of the verdict that it repeats, as `3:1200`."""
REPLAYED_TYPE: Final = "deeptrace.replayed-verdict.v1"
SOURCE: Final = "/deeptrace/replay/"
NOT_KEPT: Final = Timing(queue_ms=0, fetch_ms=0, decode_ms=0, infer_ms=0, overlay_ms=0, processing_ms=0, batch_size=1)
"""The timing of a replayed verdict: how long it took is not kept, so that a repeat differs in no more than the last digits of the model's answer."""


def replayed_id(old: str, *, name: str, sha256: str) -> str:
    """Return the id under which the outcome `old` is known once the replay `name` has judged it again with the model `sha256`."""
    return outcome_id("ce", *_identity(old, name=name, sha256=sha256))


def reference_to(old: Verdict, *, name: str, sha256: str, overlay: bool, written_at: datetime) -> Record:
    """Return a reference to what `old` was about, pinned to its version and its very bytes. Its outcome has the id `replayed_id`.

    The etag is left out: bytes that were uploaded again are the same bytes, and may have another.

    Raises:
        MessageInvalid: no reference of today may name such an object.
    """
    place = old.object
    try:
        ref = ImageRef(
            event_id=old.event_id,
            tenant=old.tenant,
            image_id=old.image_id,
            object=ObjectRef(
                bucket=place.bucket,
                key=place.key,
                version_id=place.version_id,
                size_bytes=place.size_bytes,
                sha256=place.sha256,
            ),
            event_time=old.source.event_time,
            want=Want(overlay="auto" if overlay else "never"),
            external_id=old.external_id,
            labels=old.labels,
        )
    except ValidationError as error:
        raise MessageInvalid("the verdict names no object that may be referenced", why=fault_list(error)) from None
    source, event_id = _identity(old.outcome_id, name=name, sha256=sha256)
    headers = write_headers(
        event_id=event_id, source=source, event_type=REPLAYED_TYPE, subject=old.outcome_id, time=written_at
    )
    where = old.source
    return Record(where.topic, where.partition, where.offset, None, ref.to_bytes(), headers, written_at)


def replayed(judged: Verdict, old: Verdict) -> tuple[Verdict, bytes]:
    """Return the verdict that takes the place of `old` in the replay, as it is published, and its bytes.

    It says of its source what `old` said: an image is in the same place of history whoever judges it.
    """
    return judged.model_copy(
        update={"reason": "replay", "replay_of": old.outcome_id, "source": old.source, "timing": NOT_KEPT}
    ).fitted()


def publication(verdict: Verdict, value: bytes, old: Verdict, *, name: str, at: Record) -> Record:
    """Return the record for the replay topic, of a replay of the record `at`; its own partition and offset are not known yet."""
    headers = write_headers(
        event_id=verdict.outcome_id,
        source=f"{SOURCE}{name}",
        event_type=REPLAYED_TYPE,
        subject=verdict.outcome_id,
        time=old.source.event_time or at.timestamp,
    )
    headers += (
        (REPLAY_NAME, name.encode()),
        (REPLAY_AT, b"%d:%d" % (at.partition, at.offset)),
        (REPLAY_BEFORE, opinion_of(old).to_bytes()),
    )
    key = record_key(verdict.tenant, verdict.image_id)
    return Record(topics.REPLAYED_VERDICTS, 0, 0, key, value, headers, at.timestamp)


def opinion_of(verdict: Verdict) -> Opinion:
    """Return what a verdict says, in short."""
    return Opinion(
        version=verdict.model.version,
        sha256=verdict.model.sha256,
        verdict=verdict.verdict,
        predicted_source=verdict.predicted_source,
        confidence=verdict.confidence,
        p_ai=verdict.p_ai,
        reasons=verdict.reasons,
    )


def _identity(old: str, *, name: str, sha256: str) -> tuple[str, str]:
    return f"{SOURCE}{name}", f"{old}/{sha256}"
