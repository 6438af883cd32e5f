"""What the labels of a range come to."""

from support.labels import BERT, NOON, label, labelled

from schemas.incoming import Record
from streams.labels.report import LabelReport

LABELS, LABELLED = "deeptrace.labels.v1", "deeptrace.labelled.v1"


def report(sent=(), joined=(), raw=(), **asked):
    found = LabelReport(since=NOON, now=NOON, **asked)
    for topic, values in (
        (LABELLED, [labelled(one).to_bytes() for one in joined]),
        (LABELS, [one.to_bytes() for one in sent]),
        (LABELS, raw),
    ):
        for value in values:
            found.take(Record(topic, 0, 0, b"k", value, (), NOON))
    return found


def test_a_label_without_a_pair_has_no_verdict():
    """A repeat of one that has a pair does not count as another."""
    one, other = label(1), label(2)
    found = report(sent=[one, one, other], joined=[one])
    assert (found.unmatched, found.tally.outcomes, found.book.labels) == (1, 1, 1)


def test_only_what_is_asked_for_is_counted():
    """Labels of one tenant, given since a moment."""
    labels = [label(1), label(2, tenant="zoo"), label(3, minute=-1), label(4, reviewer=BERT)]
    found = report(sent=labels, joined=labels[:3], tenant="acme")
    assert (found.tally.outcomes, found.unmatched) == (1, 1)


def test_what_is_no_label_is_counted_by_its_code():
    """Nothing stops at it."""
    found = report(joined=[label()], raw=[b"", b"{}", None])
    assert dict(found.refused) == {"message_not_json": 2, "message_invalid": 1}
    assert found.tally.outcomes == 1


def test_the_json_says_what_was_asked_and_what_was_found():
    """With few labels nothing is said of the calibration."""
    found = report(sent=[label()], joined=[label()])
    said = found.as_json(min_labels=50)
    assert said["calibrations"] == [{"calibration_id": "c", "versions": ("m-1",), "labelled": 1, "proposed": False}]
    assert (said["since"], said["labels"], said["counted"], said["unmatched"]) == (NOON, 1, 1, 0)
