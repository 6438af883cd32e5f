"""`deeptrace audit` on a real broker and store: a clean run passes, each planted fault is caught and named."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.planted import altered, id_of, letter_of, notification, reference, settled, verdict_of

from schemas.incoming import kafka_time
from schemas.retry import retry_headers
from schemas.settled import object_key

pytestmark = pytest.mark.integration

IMAGES, VERDICTS, LETTERS = "deeptrace.images.v1", "deeptrace.verdicts.v1", "deeptrace.images.v1.dlq"
R0 = id_of("r0")
KINDS = (
    *("missing", "both", "repeats_not_identical", "unreadable", "wrong_source", "refused_but_judged", "nobody_asked"),
    *("not_stored", "differs_from_stored", "stored_unreadable", "stored_not_published", "stored_for_nobody", "pending"),
)


async def run(stage, *arguments, **env):
    return await asyncio.to_thread(stage.audit, *arguments, **env)


def wrong(audited):
    """Return the counts of faults that are not zero."""
    return {kind: audited.report[kind] for kind in KINDS if audited.report[kind]}


async def test_a_clean_run_passes(stage):
    """Exit 0; identical repeats, ignored notifications and duplicates in the input are counted and are no fault."""
    await stage.clean_run()
    await stage.write(verdict_of(stage.images[0], "r0"), letter_of(stage.images[9], id_of("r9")))
    await stage.write(
        stage.ask(reference("r0", 3)), stage.ask(notification("gone.png", event="s3:ObjectRemoved:Delete", partition=1))
    )
    await stage.commit()
    audited = await run(stage, "--complete")
    assert (audited.code, wrong(audited), audited.report["ok"], audited.stderr) == (0, {}, True, "")
    counts = ("records", "ignored", "accepted", "duplicates", "verdicts", "dead_letters", "repeats", "stored")
    assert [audited.report[name] for name in counts] == [12, 1, 10, 1, 8, 2, 2, 10]
    assert audited.report["dead_letters_by_code"] == {"object_not_found": 2}
    assert audited.report["whole"] is True
    assert (await run(stage, "--complete", "--deep")).code == 0


async def removed(stage):
    """Everything is as in a clean run, but the verdict of one more reference never came."""
    await stage.write(stage.ask(reference("lost", 2)))
    await stage.commit()
    return {"missing": (id_of("lost"), f"{IMAGES}/2/2")}


async def doubled(stage):
    """The same reference has a second verdict, under another id."""
    await stage.write(verdict_of(stage.images[0], "r0", outcome_id=id_of("other")))
    return {"nobody_asked": (id_of("other"), f"{VERDICTS}/0/2")}


async def another_body(stage):
    """The same id has a second verdict, with another body."""
    await stage.write(verdict_of(stage.images[0], "r0", confidence=0.8))
    return {"repeats_not_identical": (R0, f"{VERDICTS}/0/2"), "differs_from_stored": (R0, object_key(R0))}


async def another_header(stage):
    """A repeat of a dead letter differs in the time of its event alone."""
    await stage.write(altered(letter_of(stage.images[8], id_of("r8"))))
    return {
        "repeats_not_identical": (id_of("r8"), f"{LETTERS}/0/1"),
        "differs_from_stored": (id_of("r8"), object_key(id_of("r8"))),
    }


class EitherOf:
    """Equal to one of several places: which of two records is read first is chance."""

    def __init__(self, *places):
        self.places = places

    def __eq__(self, other):
        return other in self.places

    def __hash__(self):
        return hash(self.places)


async def both(stage):
    """A dead letter lies beside a verdict."""
    await stage.write(letter_of(stage.images[0], R0))
    return {"both": (R0, EitherOf(f"{LETTERS}/0/1", f"{VERDICTS}/0/0")), "differs_from_stored": (R0, object_key(R0))}


async def stored_otherwise(stage):
    """The store holds another outcome than the one that was published."""
    await asyncio.to_thread(stage.store, R0, settled(altered(verdict_of(stage.images[0], "r0")), R0))
    return {"differs_from_stored": (R0, object_key(R0))}


async def stored_garbage(stage):
    """The stored object was overwritten."""
    await asyncio.to_thread(stage.store, R0, b"garbage")
    return {"stored_unreadable": (R0, object_key(R0))}


async def not_stored(stage):
    """The stored object was deleted."""
    await asyncio.to_thread(stage.s3.remove_object, stage.bucket, object_key(R0))
    return {"not_stored": (R0, f"{IMAGES}/0/0")}


async def settled_only(stage):
    """A worker settled an outcome, committed and never published it."""
    source = stage.ask(reference("silent", 1))
    await stage.write(source)
    await asyncio.to_thread(stage.store, id_of("silent"), settled(verdict_of(source, "silent"), id_of("silent")))
    await stage.commit()
    return {
        "missing": (id_of("silent"), f"{IMAGES}/1/3"),
        "stored_not_published": (id_of("silent"), object_key(id_of("silent"))),
    }


async def for_nobody(stage):
    """A verdict, settled and published, that no record asks for."""
    await stage.settle(verdict_of(reference("nobody", 0, 500), "nobody"), id_of("nobody"))
    return {"nobody_asked": (id_of("nobody"), f"{VERDICTS}/0/2")}


async def stored_for_nobody(stage):
    """An object in the store alone."""
    await asyncio.to_thread(stage.store, id_of("n"), settled(verdict_of(reference("n", 0, 5), "n"), id_of("n")))
    return {"stored_for_nobody": (id_of("n"), object_key(id_of("n")))}


async def wrong_source(stage):
    """A verdict names the record of another reference as its source."""
    source = stage.ask(reference("w", 0))
    await stage.write(source)
    await stage.settle(verdict_of(replace(source, offset=0), "w"), id_of("w"))
    await stage.commit()
    return {"wrong_source": (id_of("w"), f"{VERDICTS}/0/2")}


async def let_in(stage):
    """A reference into a bucket that is not allowed was judged."""
    source = stage.ask(reference("foreign", 0, bucket="secret-bucket"))
    await stage.write(source)
    await stage.settle(verdict_of(source, "foreign"), id_of("foreign"))
    await stage.commit()
    return {"refused_but_judged": (id_of("foreign"), f"{VERDICTS}/0/2")}


async def no_verdict(stage):
    """Something else lies on the topic of the verdicts."""
    await stage.write(replace(verdict_of(stage.images[0], "r0"), headers=()))
    return {"unreadable": ("", f"{VERDICTS}/0/2")}


PLANTED = (
    *(removed, doubled, another_body, another_header, both, stored_otherwise, stored_garbage, not_stored),
    *(settled_only, for_nobody, stored_for_nobody, wrong_source, let_in, no_verdict),
)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
async def test_a_planted_fault_is_caught_and_named(stage, plant):
    """Exit 3, the fault under its kind with its id and its place, and no other fault."""
    await stage.clean_run()
    expected = await plant(stage)
    audited = await run(stage)
    assert audited.code == 3
    assert wrong(audited) == dict.fromkeys(expected, 1)
    found = {kind: (named["outcome_id"], named["at"]) for kind, [named] in audited.report["examples"].items()}
    assert found == expected
    assert all(f"{kind} 1" in audited.stderr for kind in expected)
    assert ".png" not in audited.stderr + str(audited.report)


async def test_what_is_not_committed_past_is_pending(stage):
    """No fault while workers may still be at it; with --complete it is one."""
    await stage.clean_run()
    await stage.write(stage.ask(reference("later", 0)), stage.ask(notification("much-later.png", partition=1)))
    audited = await run(stage)
    assert (audited.code, wrong(audited)) == (0, {"pending": 2})
    complete = await run(stage, "--complete")
    assert (complete.code, complete.report["failed"]) == (3, ["pending"])


async def test_what_waits_on_a_retry_topic_is_pending_until_the_group_has_passed_it(stage):
    """On the images topic it is committed past; on the retry topic not yet, and once it is, an outcome must be there."""
    await stage.clean_run()
    source = stage.ask(reference("waits", 0))
    moment = kafka_time(1_795_000_000)
    headers = retry_headers(
        source, outcome_id=id_of("waits"), not_before=moment, attempts=4, first_seen=moment, code="object_not_found"
    )
    waiting = replace(source, topic=f"{IMAGES}.retry.2", partition=3, headers=headers)
    await stage.write(source, waiting)
    await stage.commit()
    assert wrong(await run(stage)) == {"pending": 1}
    await stage.commit({(f"{IMAGES}.retry.2", 3): 1})
    assert wrong(await run(stage)) == {"missing": 1}


async def test_what_waits_where_nobody_is_told_to_read_is_a_fault(stage):
    """There are fewer delays than there were when it was put aside: it would be pending for ever."""
    await stage.clean_run()
    source = stage.ask(reference("waits", 0))
    moment = kafka_time(1_795_000_000)
    headers = retry_headers(
        source, outcome_id=id_of("waits"), not_before=moment, attempts=4, first_seen=moment, code="object_not_found"
    )
    await stage.write(source, replace(source, topic=f"{IMAGES}.retry.2", partition=3, headers=headers))
    await stage.commit()
    audited = await run(stage, DEEPTRACE_KAFKA__RETRY_DELAYS_S="[10]")
    assert (audited.code, audited.report["failed"], audited.report["stranded"]) == (3, ["stranded"], 1)


async def test_what_retention_took_away_unread_is_a_fault(stage):
    """Nobody can say any more what lay there; that there was something shows in the offsets."""
    await stage.clean_run()
    await stage.write(stage.ask(reference("expired", 0)), stage.ask(reference("left", 0)))
    committed = sum(image.partition == 0 for image in stage.images) - 2
    await stage.commit({(IMAGES, 0): committed})
    await stage.forget(IMAGES, 0, before=committed + 1)
    audited = await run(stage)
    assert (audited.code, audited.report["expired_unread"]) == (3, 1)
    assert f"{IMAGES}/0/{committed}" in str(audited.report["examples"]["expired_unread"])


async def test_a_group_that_has_committed_nothing_is_pointed_out(stage):
    """Another group's name in the settings would make everything pending: that must not pass for good news unseen."""
    await stage.write(stage.ask(reference("r0", 0)))
    audited = await run(stage)
    assert (audited.code, wrong(audited)) == (0, {"pending": 1})
    assert "has committed nothing" in audited.report["notes"][0]


async def test_a_range_is_audited_alone(stage):
    """By offsets and by time; what lies outside, missing or not, is not looked at."""
    await stage.write(stage.ask(reference("lost", 0)))
    await stage.clean_run()
    await stage.write(stage.ask(reference("lost too", 0)))
    await stage.commit()
    inner = await run(stage, "--from", "0:1", "--to", "0:4")
    assert (inner.code, inner.report["range"]["0"], inner.report["accepted"]) == (0, [1, 4], 10)
    assert inner.report["stored"] == 10
    assert (await run(stage, "--from", "0:1")).report["missing"] == 1
    since = datetime.now(UTC).isoformat()
    await stage.write(stage.ask(reference("last", 0)))
    recent = await run(stage, "--since", since)
    assert (recent.report["accepted"], recent.report["pending"], recent.report["whole"]) == (1, 1, False)


async def test_transactions_leave_holes_and_do_not_stop_it(stage):
    """Commit markers take offsets, also the last one of a partition; positions, not records, say when all was read."""
    for n in range(3):
        source = stage.ask(reference(f"t{n}", 0))
        stage.images.append(stage.images[-1])  # its marker takes the next offset
        source = replace(source, offset=2 * n)
        await stage.write(source, transaction="images")
        outcome = verdict_of(source, f"t{n}")
        await asyncio.to_thread(stage.store, id_of(f"t{n}"), settled(outcome, id_of(f"t{n}")))
        await stage.write(outcome, transaction="outcomes")
    await stage.commit()
    audited = await run(stage, "--complete")
    assert (audited.code, wrong(audited), audited.report["records"]) == (0, {}, 3)
    assert audited.report["range"]["0"] == [0, 6]


async def test_without_settling_the_store_is_not_asked(stage):
    """`outcomes=at_least_once`: repeats may differ, verdict and dead letter of one id are still a fault."""
    await stage.clean_run()
    await stage.write(altered(verdict_of(stage.images[0], "r0")))
    mode = {"DEEPTRACE_PIPELINE__OUTCOMES": "at_least_once", "DEEPTRACE_STORE__ENDPOINT": "127.0.0.1:9"}
    audited = await run(stage, **mode)
    assert (audited.code, wrong(audited), audited.report["stored"]) == (0, {"repeats_not_identical": 1}, 0)
    await stage.write(letter_of(stage.images[0], R0))
    assert (await run(stage, **mode)).report["failed"] == ["both"]


async def test_a_person_is_shown_counts_and_places(stage):
    """The table, the ids, and the remedy on standard error."""
    await stage.clean_run()
    await removed(stage)
    shown = await asyncio.to_thread(stage.deeptrace, "audit")
    assert shown.returncode == 3
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["accepted", "11"] in [line[:2] for line in lines]
    assert ["missing", "1"] in [line[:2] for line in lines]
    assert ["missing", id_of("lost"), f"{IMAGES}/2/2"] in lines
    assert "deeptrace outcome ID" in shown.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "code", "said"),
    [
        (["--from", "9:0"], {}, 2, "has no partition 9"),
        (["--from", "x"], {}, 2, "not a place"),
        (["--since", "2h", "--to", "0:1"], {}, 2, "--since goes with neither"),
        ([], {"DEEPTRACE_STORE__OUTCOME_BUCKET": "nobody-made-this"}, 78, "deeptrace storage init"),
        ([], {"DEEPTRACE_STORE__SECRET_KEY": "wrong"}, 69, "may list and read the bucket"),
        ([], {"DEEPTRACE_STORE__ENDPOINT": "127.0.0.1:9"}, 69, "See that the store answers"),
        ([], {"DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}, 69, "deeptrace dev up"),
    ],
)
async def test_what_keeps_it_from_an_answer_is_said(stage, arguments, env, code, said):
    """No answer is not a good answer: another exit code, and a remedy."""
    audited = await run(stage, *arguments, **env)
    assert (audited.code, audited.report) == (code, {})
    assert said in audited.stderr
    assert "Traceback" not in audited.stderr
