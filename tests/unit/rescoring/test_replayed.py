"""From an old verdict to a reference, and from the new one to the record on the replay topic."""

from dataclasses import replace

import pytest
from support.rescoring import BUCKET, DAY, OVERLAYS, old_verdict

from schemas.errors import MessageInvalid
from schemas.incoming import Intake, Record, Reference
from schemas.shadow import Opinion
from schemas.verdict import Timing, Verdict
from streams.rescoring.replayed import publication, reference_to, replayed, replayed_id

INTAKE = Intake(frozenset({BUCKET}), OVERLAYS, "overlays/", "deeptrace-outcomes")
SHA = "c" * 64
AT = Record("deeptrace.verdicts.v1", 2, 7, b"key", b"", timestamp=DAY)


def reference(old, **changes):
    return reference_to(old, **{"name": "again", "sha256": SHA, "overlay": False, "written_at": DAY, **changes})


def test_the_reference_asks_for_the_very_bytes_under_an_id_of_the_replay():
    """Pinned by version, size and SHA-256, not by the etag; echoed is what was echoed; no overlay."""
    old = old_verdict(3, object={"version_id": "v9"}, external_id="x", labels={"feed": "home"})
    [found] = INTAKE.read(reference(old))
    assert isinstance(found, Reference)
    assert found.outcome_id == replayed_id(old.outcome_id, name="again", sha256=SHA)
    ref = found.ref
    assert (ref.object.key, ref.object.version_id, ref.object.sha256) == ("a/3.png", "v9", old.object.sha256)
    assert (ref.object.size_bytes, ref.object.etag, ref.want.overlay) == (old.object.size_bytes, None, "never")
    assert (ref.tenant, ref.image_id, ref.event_id) == (old.tenant, old.image_id, old.event_id)
    assert (ref.event_time, ref.external_id, ref.labels) == (old.source.event_time, "x", {"feed": "home"})


def test_an_overlay_is_wanted_where_it_was_asked_for():
    """As a producer that says `auto`."""
    [found] = INTAKE.read(reference(old_verdict(3), overlay=True))
    assert found.ref.want.overlay == "auto"


def test_each_replay_and_each_model_has_ids_of_its_own():
    """And none of them is the old one's."""
    ids = {
        replayed_id(old, name=name, sha256=sha)
        for old in ("a" * 40, "b" * 40)
        for name in "xy"
        for sha in (SHA, "d" * 64)
    }
    assert len(ids) == 8
    assert all(len(one) == 40 for one in ids)


def test_a_verdict_that_names_no_referable_object_is_said_to_be_invalid():
    """It may have been written by who may write to the topic."""
    with pytest.raises(MessageInvalid, match="bucket"):
        reference(old_verdict(3, object={"bucket": "Not A Bucket"}))


def test_a_repeat_has_the_same_bytes_however_long_it_took():
    """Times are not kept; the reason, the old id and the source are."""
    old = old_verdict(3)
    judged = old_verdict(3, outcome_id="f" * 40, verdict="real", predicted_source="real")
    slow = Timing(queue_ms=9, fetch_ms=9, decode_ms=9, infer_ms=9, overlay_ms=9, processing_ms=99, batch_size=32)
    verdict, value = replayed(judged, old)
    again = replayed(judged.model_copy(update={"timing": slow}), old)
    assert again == (verdict, value)
    assert (verdict.reason, verdict.replay_of, verdict.source) == ("replay", old.outcome_id, old.source)
    assert Verdict.from_bytes(value).timing.processing_ms == 0
    assert publication(*again, old, name="again", at=AT) == publication(verdict, value, old, name="again", at=AT)


def test_the_record_says_which_replay_it_is_of_and_what_was_said_before():
    """On the replay topic, under the key of the image."""
    old = old_verdict(3)
    record = publication(*replayed(old, old), old, name="again", at=AT)
    headers = dict(record.headers)
    assert (record.topic, record.key) == ("deeptrace.verdicts.replay.v1", b"acme|image-3")
    assert (headers["dt-replay-name"], headers["dt-replay-at"]) == (b"again", b"2:7")
    before = Opinion.from_bytes(headers["dt-replay-before"])
    assert (before.version, before.verdict, before.predicted_source, before.p_ai) == (
        "m-1",
        "ai_generated",
        "flux",
        0.9312,
    )
    assert before.per_class_probs is None
    assert headers["ce_type"] == b"deeptrace.replayed-verdict.v1"


def test_headers_do_not_change_with_the_place_where_it_is_written():
    """Partition and offset of the record are the broker's."""
    old = old_verdict(3)
    record = publication(*replayed(old, old), old, name="again", at=AT)
    assert record == replace(record, partition=0, offset=0)
