"""Each fault that an audit knows, planted alone: it is counted once, under its name, with the id and the place."""

from dataclasses import replace

import orjson
import pytest
from support.planted import altered, id_of, letter_of, notification, reference, settled, verdict_of

from schemas.cloud_event import write_headers
from schemas.incoming import kafka_time
from schemas.retry import retry_headers
from schemas.settled import object_key

VERDICTS, LETTERS, IMAGES = "deeptrace.verdicts.v1", "deeptrace.images.v1.dlq", "deeptrace.images.v1"
A = id_of("a")


def faults(report):
    """Return what is wrong: kind to (count, first example's id and place)."""
    return {
        kind: (report.counts[kind], report.examples[kind][0].outcome_id, report.examples[kind][0].at)
        for kind in report.counts
        if report.counts[kind]
    }


def remove(paper, identity):
    """Take an outcome off its topic."""
    paper.published = [record for record in paper.published if identity not in str(record.headers)]


def test_where_nothing_is_wrong_nothing_is_found(paper):
    """The counts are those of the world, and the stored bytes were not even fetched: their MD5 says enough."""
    report = paper.audit(complete=True)
    assert (report.failed, faults(report)) == ([], {})
    assert (report.records, report.accepted, report.verdicts, report.dead_letters) == (4, 4, 3, 1)
    assert (report.dead_letters_by_code, report.stored, report.repeats) == ({"object_not_found": 1}, 4, 0)
    assert paper.archive.read_ids == []


def test_a_removed_verdict_is_missing(paper):
    """Accepted and committed past; that it is settled is said beside it."""
    remove(paper, A)
    assert faults(paper.audit()) == {
        "missing": (1, A, f"{IMAGES}/0/0"),
        "stored_not_published": (1, A, object_key(A)),
    }


def test_a_removed_dead_letter_is_missing_too(paper):
    """Also where nothing is stored."""
    remove(paper, id_of("x"))
    del paper.archive.objects[object_key(id_of("x"))]
    assert faults(paper.audit()) == {"missing": (1, id_of("x"), f"{IMAGES}/0/3")}


def test_an_identical_repeat_is_counted_and_no_fault(paper):
    """Kafka may hold a record twice: the guarantee allows it."""
    paper.publish(paper.published[0])
    paper.publish(paper.published[3])
    report = paper.audit()
    assert (report.failed, report.repeats, report.verdicts, report.dead_letters) == ([], 2, 3, 1)


@pytest.mark.parametrize(
    "change",
    [
        altered,
        lambda record: replace(record, key=b"other"),
        lambda record: replace(record, key=None),
        lambda record: replace(record, value=record.value.replace(b"0.9", b"0.8")),
        lambda record: replace(record, headers=record.headers[::-1]),
    ],
    ids=["header", "key", "no key", "value", "order of headers"],
)
def test_an_altered_repeat_is_found_whatever_differs(paper, change):
    """Key, value and headers must be byte-equal among all records of one id; one of them is then not what is stored."""
    paper.publish(change(paper.published[0]))
    found = faults(paper.audit())
    assert found.pop("repeats_not_identical") == (1, A, f"{VERDICTS}/0/3")
    assert found.pop("differs_from_stored") == (1, A, object_key(A))
    assert set(found) <= {"unreadable"}  # probabilities that no longer sum to one


def test_an_altered_repeat_is_counted_once_for_its_id(paper):
    """However often it is published."""
    for _ in range(3):
        paper.publish(altered(paper.published[0]))
    report = paper.audit()
    assert (report.counts["repeats_not_identical"], report.repeats) == (1, 3)


def test_without_settling_altered_repeats_are_shown_and_allowed(paper):
    """`outcomes=at_least_once` promises one id, not equal bytes; the store is not asked."""
    paper.publish(altered(paper.published[0]))
    paper.archive.objects.clear()
    report = paper.audit(mode="at_least_once")
    assert (report.failed, report.counts["repeats_not_identical"]) == ([], 1)


@pytest.mark.parametrize("mode", ["settled", "at_least_once"])
def test_a_verdict_beside_a_dead_letter_is_found(paper, mode):
    """In both modes, at the record that came second."""
    paper.publish(letter_of(paper.image("a"), A))
    report = paper.audit(mode=mode)
    assert "both" in report.failed
    assert faults(report)["both"] == (1, A, f"{LETTERS}/0/1")


def test_a_doubled_outcome_under_another_id_is_found(paper):
    """Nobody asked for that id, although its source is a record of ours."""
    other = id_of("somebody else")
    paper.publish(verdict_of(paper.image("a"), "a", outcome_id=other))
    assert faults(paper.audit()) == {
        "nobody_asked": (1, other, f"{VERDICTS}/0/3"),
    }


def test_a_dead_letter_for_nobody_is_found(paper):
    """Stored or not, once however often it is there."""
    nobody = letter_of(reference("nobody", 0, 77), id_of("nobody"))
    paper.publish(nobody, id_of("nobody"))
    paper.publish(nobody)
    found = faults(paper.audit())
    assert found == {"nobody_asked": (1, id_of("nobody"), f"{LETTERS}/0/1")}


def test_a_stored_outcome_for_nobody_is_found(paper):
    """Even where it was never published."""
    paper.archive.put(id_of("nobody"), settled(letter_of(reference("nobody"), id_of("nobody")), id_of("nobody")))
    assert faults(paper.audit()) == {"stored_for_nobody": (1, id_of("nobody"), object_key(id_of("nobody")))}


def test_an_outcome_that_is_not_stored_is_found(paper):
    """It was published without being settled, or somebody deleted it."""
    del paper.archive.objects[object_key(A)]
    assert faults(paper.audit()) == {"not_stored": (1, A, f"{IMAGES}/0/0")}


def test_a_stored_outcome_that_differs_is_found(paper):
    """A bit of a header in the store is enough."""
    paper.archive.put(A, settled(altered(paper.published[0]), A))
    assert faults(paper.audit()) == {"differs_from_stored": (1, A, object_key(A))}
    assert paper.archive.read_ids == [A]


def test_a_stored_outcome_of_the_other_kind_is_found(paper):
    """The dead letter is stored, the verdict is published."""
    paper.archive.put(A, settled(letter_of(paper.image("a"), A), A))
    assert faults(paper.audit()) == {"differs_from_stored": (1, A, object_key(A))}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"{}",
        settled(verdict_of(reference("b", 0, 1), "b"), id_of("b")),
        settled(verdict_of(reference("a"), "a"), A).replace(b'"kind":"verdict"', b'"kind":"dead_letter"'),
    ],
    ids=["empty", "no json", "no outcome", "of another id", "kind against topic"],
)
def test_a_stored_outcome_that_cannot_be_read_is_found(paper, data):
    """Truncated, overwritten, or put under another's key."""
    paper.archive.put(A, data)
    assert faults(paper.audit()) == {"stored_unreadable": (1, A, object_key(A))}


def test_another_spelling_of_the_same_outcome_is_none(paper):
    """Bytes decide only by way of what they say: a later release may store a field more."""
    body = orjson.loads(paper.archive.objects[object_key(A)])
    paper.archive.put(A, orjson.dumps({**body, "brand_new": 1}, option=orjson.OPT_INDENT_2))
    assert paper.audit().failed == []
    assert paper.archive.read_ids == [A]


def test_a_store_without_md5_is_read(paper):
    """An encrypting store shows another ETag: then each outcome is fetched."""
    paper.archive.etags = False
    assert paper.audit().failed == []
    assert sorted(paper.archive.read_ids) == sorted(id_of(name) for name in "abcx")


def test_deep_reads_what_the_md5_vouches_for(paper):
    """Bytes rot under an ETag that was made when they were written."""
    assert paper.audit(deep=True).failed == []
    assert len(paper.archive.read_ids) == 4


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"value": b"no json"}, "unreadable"),
        ({"value": None}, "unreadable"),
        ({"headers": ()}, "unreadable"),
        ({"headers": (("ce_id", b"4" * 39),)}, "unreadable"),
        ({"headers": (("ce_id", A.upper().encode()),)}, "unreadable"),
    ],
    ids=["no json", "no value", "no id", "short id", "upper case"],
)
def test_what_is_no_verdict_is_found(paper, changes, kind):
    """On the topic of the verdicts only verdicts may lie, each under its id."""
    remove(paper, A)
    verdict = verdict_of(paper.image("a"), "a")
    paper.publish(replace(verdict, **changes))
    assert paper.audit(mode="at_least_once").counts[kind] == 1


def test_a_verdict_with_another_id_inside_is_found(paper):
    """`ce_id` and `outcome_id` are one."""
    remove(paper, A)
    paper.publish(replace(verdict_of(paper.image("b"), "b"), headers=verdict_of(paper.image("a"), "a").headers), A)
    assert faults(paper.audit()) == {"unreadable": (1, A, f"{VERDICTS}/0/2")}


def test_a_dead_letter_without_a_code_is_found(paper):
    """A letter must say why."""
    remove(paper, id_of("x"))
    letter = letter_of(paper.image("x"), id_of("x"))
    bare = replace(letter, headers=tuple(h for h in letter.headers if h[0] != "dt-error-code"))
    paper.publish(bare, id_of("x"))
    assert faults(paper.audit()) == {"unreadable": (1, id_of("x"), f"{LETTERS}/0/0")}


@pytest.mark.parametrize(
    "place",
    [
        {"partition": 0, "offset": 1},
        {"partition": 0, "offset": 99},
        {"partition": 7, "offset": 0},
        {"partition": -1, "offset": 0},
        {"partition": 0, "offset": -1},
        {"topic": "elsewhere"},
        {"topic": "deeptrace.images.v1.retry.1"},
    ],
)
def test_a_verdict_that_names_a_source_that_did_not_ask_is_found(paper, place):
    """Its record holds another id, or does not exist."""
    remove(paper, A)
    source = {"topic": IMAGES, "partition": 0, "offset": 0, "format": "native", **place}
    paper.publish(verdict_of(paper.image("a"), "a", source=source), A)
    assert faults(paper.audit()) == {"wrong_source": (1, A, f"{VERDICTS}/0/2")}


def test_a_dead_letter_that_names_another_source_is_found(paper):
    """Its Connect headers are held against the topic as well."""
    remove(paper, id_of("x"))
    paper.publish(letter_of(replace(paper.image("x"), offset=1), id_of("x")), id_of("x"))
    assert faults(paper.audit()) == {"wrong_source": (1, id_of("x"), f"{LETTERS}/0/0")}


def test_the_source_may_be_a_duplicate(paper):
    """The second of two equal references was judged: as good as the first."""
    paper.images.append(reference("a", 0, 4))
    remove(paper, A)
    paper.publish(verdict_of(paper.images[4], "a"), A)
    report = paper.audit()
    assert (report.failed, report.accepted, report.duplicates) == ([], 4, 1)


def test_a_verdict_on_what_may_not_be_accepted_is_found(paper):
    """A reference into a foreign bucket was judged: nothing may be let in."""
    paper.images.append(reference("foreign", 0, 4, bucket="secret"))
    paper.publish(verdict_of(paper.images[4], "foreign"), id_of("foreign"))
    assert faults(paper.audit()) == {"refused_but_judged": (1, id_of("foreign"), f"{VERDICTS}/0/3")}


def test_a_rejected_reference_is_accepted_and_answered_by_a_dead_letter(paper):
    """Garbage has an outcome too: under its place on the topic."""
    garbage = replace(reference("g", 0, 4), value=b"garbage", headers=())
    paper.images.append(garbage)
    report = paper.audit()
    assert report.failed == ["missing"]
    paper.publish(
        letter_of(garbage, report.examples["missing"][0].outcome_id), report.examples["missing"][0].outcome_id
    )
    assert paper.audit().failed == []


def test_a_notification_asks_for_each_of_its_objects(paper):
    """Two uploads are two outcomes; a deletion and our own overlays are ignored."""
    paper.images.append(notification("m.png", "n.png", offset=4))
    paper.images.append(notification("a.png", offset=5, event="s3:ObjectRemoved:Delete"))
    report = paper.audit()
    assert (report.records, report.ignored, report.accepted, report.counts["missing"]) == (6, 1, 6, 2)


def test_what_the_group_has_not_committed_past_is_pending(paper):
    """No fault while workers are at it, one once everything should be done."""
    remove(paper, A)
    paper.committed = 0
    report = paper.audit()
    assert (report.failed, faults(report)) == ([], {"pending": (1, A, f"{IMAGES}/0/0")})
    assert paper.audit(complete=True).failed == ["pending"]


def test_a_commit_ends_right_behind_what_is_due(paper):
    """The committed offset is the next one to be read: 0 is due at 1."""
    remove(paper, A)
    paper.committed = 1
    assert paper.audit().failed == ["missing", "stored_not_published"]


def test_a_duplicate_that_is_not_due_does_not_excuse_the_first(paper):
    """One of the records of this id is committed past."""
    remove(paper, A)
    paper.images.append(reference("a", 0, 4))
    paper.committed = 2
    assert "missing" in paper.audit().failed


def waits(source, identity):
    moment = kafka_time(1_795_000_000)
    headers = retry_headers(
        source, outcome_id=identity, not_before=moment, attempts=4, first_seen=moment, code="object_not_found"
    )
    return replace(source, topic="deeptrace.images.v1.retry.1", partition=0, offset=3, headers=headers)


def test_what_waits_on_a_retry_topic_is_pending(paper):
    """The images topic is committed past; its turn comes later."""
    remove(paper, A)
    del paper.archive.objects[object_key(A)]
    paper.waiting.append(waits(paper.image("a"), A))
    assert faults(paper.audit()) == {"pending": (1, A, f"{IMAGES}/0/0")}


def test_of_a_notification_only_the_object_that_waits_is_pending(paper):
    """The retry names its one reference."""
    paper.images.append(notification("m.png", "n.png", offset=4))
    missing = [example.outcome_id for example in paper.audit().examples["missing"]]
    paper.waiting.append(waits(paper.images[4], missing[0]))
    assert faults(paper.audit()) == {
        "pending": (1, missing[0], f"{IMAGES}/0/4"),
        "missing": (1, missing[1], f"{IMAGES}/0/4"),
    }


def test_strangers_on_a_retry_topic_excuse_nothing(paper):
    """A record without our headers says nothing."""
    remove(paper, A)
    paper.waiting.append(replace(paper.image("a"), topic="deeptrace.images.v1.retry.1"))
    assert "missing" in paper.audit().failed


def test_a_range_ignores_outcomes_of_what_lies_outside(paper):
    """They may have been asked for by records that were not read."""
    paper.first, paper.whole = 2, False
    report = paper.audit()
    assert (report.failed, report.accepted, report.verdicts, report.dead_letters, report.stored) == ([], 2, 1, 1, 2)


def test_a_range_finds_a_stranger_that_claims_to_come_from_it(paper):
    """An id that nobody asks for, with a source within the range."""
    paper.first, paper.whole = 2, False
    other = id_of("somebody else")
    paper.publish(verdict_of(paper.image("c"), "c", outcome_id=other))
    paper.publish(verdict_of(paper.image("a"), "a", outcome_id=id_of("outside")))
    assert faults(paper.audit()) == {"nobody_asked": (1, other, f"{VERDICTS}/0/3")}


def test_a_range_reads_each_stored_outcome_of_its_own(paper):
    """The whole archive is not listed for a few references."""
    paper.first, paper.whole = 2, False
    paper.archive.put(id_of("c"), settled(altered(paper.published[2]), id_of("c")))
    assert faults(paper.audit()) == {"differs_from_stored": (1, id_of("c"), object_key(id_of("c")))}
    assert sorted(paper.archive.read_ids) == sorted([id_of("c"), id_of("x")])


def test_a_source_outside_the_range_is_not_judged(paper):
    """A duplicate may lie there."""
    paper.images.insert(0, reference("c", 0, 0))
    paper.images = [replace(record, offset=offset) for offset, record in enumerate(paper.images)]
    paper.published = []
    for name in "abc":
        source = paper.images[0] if name == "c" else paper.image(name)
        paper.publish(verdict_of(source, name), id_of(name))
    paper.publish(letter_of(paper.image("x"), id_of("x")), id_of("x"))
    paper.first, paper.whole = 3, False
    assert paper.audit().failed == []


def test_only_the_first_few_faults_of_a_kind_are_named(paper):
    """All are counted."""
    paper.published = []
    report = paper.audit(show=2)
    assert (report.counts["missing"], len(report.examples["missing"])) == (4, 2)


def test_the_report_is_json_and_names_no_key(paper):
    """Ids and offsets only: keys may be people's names."""
    paper.published = [*paper.published[1:], altered(paper.published[1])]
    text = orjson.dumps(paper.audit().to_json()).decode()
    body = orjson.loads(text)
    assert (body["ok"], body["accepted"], body["missing"], body["repeats_not_identical"]) == (False, 4, 1, 1)
    assert body["failed"] == ["missing", "repeats_not_identical", "differs_from_stored", "stored_not_published"]
    assert body["examples"]["missing"] == [{"outcome_id": A, "at": f"{IMAGES}/0/0"}]
    assert ".png" not in text


def test_headers_of_a_verdict_are_those_of_its_event(paper):
    """The last ce_id counts, as for every reader that makes a table of the headers."""
    remove(paper, A)
    verdict = verdict_of(paper.image("a"), "a")
    first = write_headers(event_id="other", source="/s", event_type="t", subject="s", time=kafka_time(0))
    paper.publish(replace(verdict, headers=(*first, *verdict.headers)), A)
    assert paper.audit().failed == []
