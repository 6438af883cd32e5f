"""One run of a replay, and the next, with a store in memory, a fake classifier and a past of its own."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rescoring import BUCKET, DAY, OVERLAYS, SETTINGS, Killed, Scene, old_verdict

from model.fake import FakeClassifier
from schemas.errors import CheckFailed, DependencyDownTooLong, UsageError
from streams.rescoring.flips import Flips
from streams.rescoring.replayed import opinion_of
from streams.rescoring.report import keep, report
from streams.rescoring.selection import Selection
from streams.rescoring.throttle import Throttle

NEVER = asyncio.Event


async def replayed(scene: Scene, **options):
    """Run to the end and return what was published."""
    run = await scene.begun(**options)
    ending = await run.go_on(NEVER())
    return run, ending


async def test_every_verdict_is_judged_again_and_published_as_a_replay(scene):
    """Of both partitions, each once, with its old id; the live topic is not written."""
    olds = [scene.judged(number, partition=number % 2) for number in range(20)]
    run, ending = await replayed(scene)
    assert ending == "complete"
    assert {verdict.replay_of for verdict in scene.topic.verdicts} == {old.outcome_id for old in olds}
    assert {record.topic for record in scene.topic.records} == {"deeptrace.verdicts.replay.v1"}
    assert {verdict.reason for verdict in scene.topic.verdicts} == {"replay"}
    assert run.counts.total() == {"replayed": 20}
    assert {number: offset for number, (offset, _) in scene.past.places.items()} == {0: 10, 1: 10}
    assert list(scene.store.list(OVERLAYS)) == []


async def test_only_what_was_chosen_is_judged(scene):
    """The rest is counted as left out, and what cannot be read as that."""
    for number in range(6):
        scene.judged(number, tenant="acme" if number % 3 else "other")
    scene.past.write(b"{}")
    run, _ = await replayed(scene, selection=Selection(tenant="other"))
    assert [verdict.tenant for verdict in scene.topic.verdicts] == ["other", "other"]
    assert run.counts.total() == {"replayed": 2, "left_out": 4, "unreadable": 1}


async def test_what_is_gone_changed_or_no_image_is_counted_and_stops_nothing(scene):
    """By the code of the error; a verdict on a bucket that is not configured, too."""
    scene.judged(1)
    scene.past.write(old_verdict(2).to_bytes())  # never uploaded
    scene.judged(3, object={"sha256": "0" * 64})
    text = b"hello, world"
    scene.store.put(BUCKET, "a/4.png", text, content_type="text/plain", deadline_s=1)
    scene.past.write(old_verdict(4, text).to_bytes())
    scene.past.write(old_verdict(5, object={"bucket": "elsewhere"}).to_bytes())
    scene.past.write(old_verdict(6, tenant="not a tenant").to_bytes())
    scene.judged(7)
    run, ending = await replayed(scene)
    assert ending == "complete"
    assert run.counts.total() == {
        "replayed": 2,
        "object_not_found": 1,
        "object_changed": 1,
        "not_an_image": 1,
        "bucket_forbidden": 1,
        "message_invalid": 1,
    }


async def test_a_repeated_verdict_is_replayed_once(scene):
    """A worker that died publishes its last verdicts again."""
    old = scene.judged(1)
    scene.past.write(old.to_bytes())
    run, _ = await replayed(scene)
    assert len(scene.topic.records) == 1
    assert run.counts.total() == {"replayed": 1, "repeated": 1}


async def test_the_end_is_fixed_at_the_first_run(scene):
    """What is judged later is history, too, but not of this replay."""
    scene.judged(1)
    await replayed(scene, limit=1)
    scene.judged(2)
    run, ending = await replayed(scene)
    assert ending == "complete"
    assert run.counts.total() == {"replayed": 1}
    scene.past.places = {}  # another replay's group
    await replayed(scene, name="another")
    assert len(scene.topic.records) == 1 + 2


async def test_what_the_broker_drops_between_two_runs_is_counted_as_expired(scene):
    """And not looked for; what was replayed before is none of it."""
    for number in range(9):
        scene.judged(number)
    await replayed(scene, limit=2)
    scene.past.expired = 5
    run, ending = await replayed(scene)
    assert ending == "complete"
    assert (run.counts.total(), run.counts.expired) == ({"replayed": 6}, 3)
    assert (await replayed(scene))[0].counts.expired == 3


async def test_a_limit_ends_a_run_and_the_next_goes_on(scene):
    """Nothing is judged twice, and the counts are of all runs."""
    for number in range(9):
        scene.judged(number, partition=number % 2)
    endings = []
    for _ in range(3):
        run, ending = await replayed(scene, limit=4)
        endings.append(ending)
    assert endings == ["limit", "limit", "complete"]
    assert len({verdict.outcome_id for verdict in scene.topic.verdicts}) == len(scene.topic.records) == 9
    assert run.counts.total() == {"replayed": 9}


async def test_after_a_death_nothing_is_missing_and_nothing_is_published_twice(scene):
    """The process died after it had published and before it had committed: its commit is the one it began with."""
    for number in range(12):
        scene.judged(number)
    run = await scene.begun()
    begun_with = dict(scene.past.places)
    await run.go_on(NEVER())
    scene.past.places = begun_with
    del scene.topic.records[7:]  # the others were never sent
    published = list(scene.topic.records)
    run, ending = await replayed(scene)
    assert ending == "complete"
    assert scene.topic.records[:7] == published
    assert len({verdict.replay_of for verdict in scene.topic.verdicts}) == len(scene.topic.records) == 12
    assert run.counts.total() == {"replayed": 12}


async def test_a_repeat_is_byte_identical(scene):
    """A replay of the same name and model whose topic was emptied publishes the same records again."""
    for number in range(5):
        scene.judged(number)
    await replayed(scene)
    first = sorted((record.key, record.value, record.headers) for record in scene.topic.records)
    scene.topic.records.clear()
    scene.past.places = {}
    await replayed(scene)
    assert sorted((record.key, record.value, record.headers) for record in scene.topic.records) == first


async def test_told_to_stop_it_finishes_what_is_under_way_and_commits(scene):
    """The throttle has let three begin; the fourth waits, and is not begun."""
    for number in range(9):
        scene.judged(number)
    stop = asyncio.Event()

    class Three(Throttle):
        taken = 0

        async def take(self):
            self.taken += 1
            if self.taken > 3:
                stop.set()
                await asyncio.Event().wait()

    run = await scene.begun(throttle=Three(None))
    assert await run.go_on(stop) == "stopped"
    assert run.counts.total() == {"replayed": 3}
    offset, mark = scene.past.places[0]
    assert (offset, mark.is_open) == (3, False)
    assert (await replayed(scene))[1] == "complete"
    assert len(scene.topic.records) == 9


async def test_a_store_that_is_down_is_waited_for_and_nothing_is_skipped(scene):
    """No image counts as failed for it."""
    for number in range(8):
        scene.judged(number)
    run = await scene.begun()
    with scene.store.outage():
        going = asyncio.create_task(run.go_on(NEVER()))
        while scene.rejudgings[-1].why_waiting is None:
            await asyncio.sleep(0.001)
        assert scene.topic.records == []
    assert await going == "complete"
    assert run.counts.total() == {"replayed": 8}


async def test_a_broker_that_takes_nothing_for_a_while_is_waited_for(scene):
    """Each verdict is sent until it is taken."""
    for number in range(4):
        scene.judged(number)
    scene.topic.failures = 6
    run, ending = await replayed(scene)
    assert (ending, len(scene.topic.records)) == ("complete", 4)
    assert run.counts.total() == {"replayed": 4}


async def test_a_broker_that_is_away_while_it_is_read_is_read_on_where_it_was(scene):
    """Nothing is begun twice."""
    for number in range(9):
        scene.judged(number)

    class Once(Throttle):
        taken = 0

        async def take(self):
            self.taken += 1
            if self.taken == 2:
                scene.past.away = True
                asyncio.get_running_loop().call_later(0.05, lambda: setattr(scene.past, "away", False))

    run, ending = await replayed(scene, throttle=Once(None))
    assert ending == "complete"
    assert run.counts.total() == {"replayed": 9}
    assert len(scene.topic.records) == 9


async def test_what_no_image_is_at_fault_for_ends_the_run_and_keeps_what_was_finished(scene):
    """A store that stays away longer than a worker may wait: exit 75, and the same command goes on."""
    for number in range(4):
        scene.judged(number)
    run = await scene.begun(limit=2)
    await run.go_on(NEVER())
    impatient = SETTINGS.pipeline.model_copy(update={"dependency_give_up_s": 0.01})
    run = await scene.begun(settings=SETTINGS.model_copy(update={"pipeline": impatient}))
    scene.topic.failures = 10**6
    with pytest.raises(DependencyDownTooLong):
        await run.go_on(NEVER())
    assert scene.past.places[0][0] == 2
    assert not scene.past.places[0][1].is_open


async def test_other_terms_under_the_same_name_are_refused(scene):
    """Another selection, and another model."""
    scene.judged(1)
    await replayed(scene)
    with pytest.raises(UsageError, match="begun otherwise"):
        await scene.begun(Selection(tenant="acme"))
    with pytest.raises(UsageError, match="the model that judges"):
        await scene.begun(classifier=FakeClassifier(classes=("real", "flux")))


async def test_two_processes_do_not_do_one_replay(scene):
    """Marks that are open and change are somebody's at work."""
    scene.judged(1)
    run = await scene.begun()
    with pytest.raises(CheckFailed, match="another process"):
        await scene.begun(watch_s=0.1)
    await run.close()  # killed: its mark is open, and stands still
    await scene.begun()


async def test_who_is_taken_over_lets_go_and_leaves_the_commits_alone(scene):
    """A process that was paused for long finds another's marks."""
    for number in range(3):
        scene.judged(number)

    class Never(Throttle):
        async def take(self):
            await asyncio.Event().wait()

    paused = await scene.begun(throttle=Never(None), beat_s=0.5)
    await replayed(scene)
    theirs = dict(scene.past.places)
    with pytest.raises(CheckFailed, match="another process"):
        await paused.go_on(NEVER())
    assert scene.past.places == theirs


async def test_the_flip_matrix_is_of_all_runs(scene):
    """Old against new, though most were judged by a process that is gone."""
    for number in range(10):
        scene.judged(number, predicted_source="midjourney")
    await replayed(scene, limit=7)
    run, _ = await replayed(scene)
    flips = scene.rejudgings[-1].flips
    said = report("again", run.terms, run.counts, flips, seconds=1.0)
    assert (said["compared"], said["replayed"], said["complete"]) == (10, 10, True)
    assert set(said["matrix"]) == {"midjourney"}
    assert sum(said["matrix"]["midjourney"].values()) == 10
    assert said["before"] == {"m-1": 10}
    assert said["flips"] == 10 - said["matrix"]["midjourney"].get("midjourney", 0)
    key = keep(scene.store, BUCKET, "again", said)
    assert key == "replays/again.json"
    assert b'"compared": 10' in scene.store.get(BUCKET, key, max_bytes=1 << 20, deadline_s=1).data


async def test_where_reviewers_have_spoken_gains_are_told_from_losses(scene):
    """By the id of the old verdict, which is what they looked at."""
    flips = Flips({f"{number:040x}": number < 3 for number in range(1, 5)}.get)
    olds = [scene.judged(number, verdict="ai_generated" if number % 2 else "real") for number in range(6)]
    for old in olds:
        new = old.model_copy(
            update={"outcome_id": f"new-{old.outcome_id}", "verdict": "real", "replay_of": old.outcome_id}
        )
        flips.take(new, opinion_of(old), written_at=DAY)
    assert (flips.pairs.labelled, flips.pairs.gained, flips.pairs.lost) == (4, 1, 1)


async def test_another_replays_verdicts_are_not_counted(scene):
    """They lie on the same topic."""
    scene.judged(1)
    await replayed(scene, name="one")
    flips = Flips()
    found = await flips.take_all(scene.topic.read(), name="two", sha256=FakeClassifier().info.sha256, beyond={})
    assert (found, flips.pairs.n) == (set(), 0)
    found = await flips.take_all(scene.topic.read(), name="one", sha256=FakeClassifier().info.sha256, beyond={0: 0})
    assert (found, flips.pairs.n) == ({(0, 0)}, 1)
    sha256 = FakeClassifier().info.sha256
    assert await flips.take_all(scene.topic.read(), name="one", sha256=sha256, beyond={0: 1}) == set()


async def test_a_record_of_the_topic_that_cannot_be_read_is_passed_over(scene):
    """Whoever may write there may write anything."""
    scene.judged(1)
    await replayed(scene)
    [record] = scene.topic.records
    headers = dict(record.headers)
    scene.topic.records = [
        replace(record, value=b"{}"),
        replace(record, headers=(("dt-replay-name", b"again"),)),
        replace(record, headers=tuple({**headers, "dt-replay-at": b"x"}.items())),
        replace(record, headers=tuple({**headers, "dt-replay-before": None}.items())),
    ]
    flips = Flips()
    assert (
        await flips.take_all(scene.topic.read(), name="again", sha256=FakeClassifier().info.sha256, beyond={}) == set()
    )
    assert flips.pairs.n == 0


@settings(max_examples=40, deadline=None)
@given(
    deaths=st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1)), max_size=4),
    faulty=st.sets(st.integers(0, 13), max_size=4),
    repeated=st.lists(st.integers(0, 13), max_size=4),
)
async def test_whenever_it_dies_everything_is_replayed_once_and_counted_once(deaths, faulty, repeated):
    """It dies after so many records are sent; of its commits, the last ones never arrived."""
    scene = Scene()
    olds = [scene.judged(number, partition=number % 2) for number in range(14)]
    for number in faulty:
        scene.store.delete(BUCKET, f"a/{number}.png")
    for number in repeated:
        scene.past.write(olds[number].to_bytes(), number % 2)
    for sent, lost in deaths:
        scene.topic.lives = sent
        run = await scene.begun()
        since = len(scene.past.kept)
        with suppress(Killed):
            await run.go_on(NEVER())
        arrived = scene.past.kept[since - 1 :]
        scene.past.places = arrived[round((len(arrived) - 1) * lost)]
    scene.topic.lives = None
    run, ending = await replayed(scene)
    await scene.close()
    assert ending == "complete"
    expected = {old.outcome_id for number, old in enumerate(olds) if number not in faulty}
    found = [verdict.replay_of for verdict in scene.topic.verdicts]
    assert (set(found), len(found)) == (expected, len(expected))
    total = run.counts.total()
    assert total["replayed"] == len(expected)
    assert sum(total.values()) == len(olds) + len(repeated)
    assert {number: offset for number, (offset, _) in scene.past.places.items()} == {
        number: len(records) for number, records in enumerate(scene.past.partitions)
    }
