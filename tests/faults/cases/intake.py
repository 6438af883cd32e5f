"""What is let in: hostile images, poison, garbage, duplicates, too much at once."""

import asyncio
import json
import random
from collections.abc import Iterator

from faults.harness.case import Case
from faults.harness.load import BUCKET, Item, Picture, ce, reference
from faults.harness.testbed import Plan
from faults.harness.trial import Trial
from support.hostile import VERDICT, hostile_images

from schemas.errors import ImageTruncated

RATE = 100
NO_LIMIT = {"DEEPTRACE_PIPELINE__DEAD_LETTERS_IN_A_ROW": "0", "DEEPTRACE_PIPELINE__DEAD_LETTER_SHARE": "1"}
SOON = {"DEEPTRACE_KAFKA__RETRY_DELAYS_S": "[1, 3]"}
HOSTILE_SHARE = 0.1
POISON = "poison"
CRASHES = 3
"""A poisoned image may end a worker so often before it is a dead letter."""


async def hostile(trial: Trial) -> None:
    """One image in ten is a bomb, a forgery, broken, or slow on purpose."""
    await _with_hostile(trial)


async def out_of_memory(trial: Trial) -> None:
    """The model runs out of memory for more than four images at once, and some images are bombs for the decoder."""
    await _with_hostile(trial, only="bomb", environment={"DEEPTRACE_FAULTS__FAILPOINTS": "judge=oom>4"})


async def _with_hostile(trial: Trial, *, only: str = "", environment: dict[str, str] | None = None) -> None:
    made = [one for one in hostile_images() if only in one[0]] or hostile_images()
    stored = await asyncio.to_thread(lambda: [trial.bed.put(f"hostile/{name}", data) for name, data, _ in made])
    # Of a file that ends behind its header a worker says that it cannot be assessed: what is an error to a decoder is a verdict here.
    codes = {
        picture.key: expected | ({VERDICT} if ImageTruncated.code in expected else set())
        for picture, (_, _, expected) in zip(stored, made, strict=True)
    }
    await trial.start_workers(lambda _slot, _life: environment or {})
    references = trial.pick(fast=500, full=4000, naive=600)
    await trial.publish(trial.mix(hostile=stored, hostile_share=HOSTILE_SHARE), at_least=references, rate=RATE)
    trial.faults["hostile images"] = sum(item.kind == "hostile" for item in trial.expected.values())
    if not trial.is_naive:
        trial.owed.append(lambda: _reasons(trial, codes))


def _reasons(trial: Trial, codes: dict[str, frozenset[str]]) -> None:
    wrong = {
        f"{item.picture.key}: {seen.code or VERDICT}"
        for name, item in trial.expected.items()
        if item.kind == "hostile" and (seen := trial.watch.seen.get(name)) and item.picture
        if (seen.code or VERDICT) not in codes[item.picture.key]
    }
    trial.claim("each hostile image has one of its expected outcomes", not wrong, ", ".join(sorted(wrong)[:5]))


async def poison(trial: Trial) -> None:
    """Some images abort the process that judges them, every time."""
    poisons = trial.pick(fast=1, full=3, naive=1)
    environment = {"DEEPTRACE_FAULTS__FAILPOINTS": f"after_judge=abort~{POISON}"}
    await trial.start_workers(lambda _slot, _life: environment)
    references = trial.pick(fast=400, full=2500, naive=400)
    poisoned = {f"p{n}": references * (n + 1) // (poisons + 1) for n in range(poisons)}

    def items() -> Iterator[Item]:
        good = trial.mix()
        for n in range(references):
            for name, at in poisoned.items():
                if n == at:
                    yield reference(name, trial.pictures[0], image_id=f"image-{POISON}-{name}", kind=POISON)
            yield next(good)

    await trial.publish(items(), at_least=references + poisons, rate=RATE)
    trial.faults["poisoned images"] = poisons
    if not trial.is_naive:
        trial.owed.append(lambda: _poisoned(trial, poisons))


def _poisoned(trial: Trial, poisons: int) -> None:
    found = {name: trial.watch.seen.get(name) for name, item in trial.expected.items() if item.kind == POISON}
    codes = {seen.code for seen in found.values() if seen}
    trial.claim("each poisoned image is a dead letter `crash_suspect`", codes == {"crash_suspect"}, codes)
    trial.claim(f"at most {CRASHES} crashes for each", trial.deaths <= CRASHES * poisons, trial.deaths)


async def duplicates(trial: Trial) -> None:
    """Three in ten references are published twice or more; some come again under the same id but name another object."""
    await trial.start_workers()
    references = trial.pick(fast=500, full=5000, naive=600)
    draw = random.Random(f"{trial.seed}-duplicates")

    def items() -> Iterator[Item]:
        recent: list[tuple[str, Item]] = []
        for n in range(references):
            if recent and draw.random() < 0.3:
                event_id, again = draw.choice(recent)
                if draw.random() < 0.2:
                    again = reference(event_id, draw.choice(trial.pictures), kind="same id")
                    trial.faults["same id, other bytes"] += 1
                trial.faults["duplicates"] += 1
                yield again
            event_id = f"e{trial.seed}-{n}"
            item = reference(event_id, draw.choice(trial.pictures))
            recent = [*recent[-200:], (event_id, item)]
            yield item

    everything = list(items())
    await trial.publish(iter(everything), at_least=len(everything), rate=RATE)


async def burst(trial: Trial) -> None:
    """Ten times as much for a while, far beyond what the workers can do; then as before, until all is done."""
    await trial.start_workers()
    seconds, rate = trial.pick(fast=5, full=20, naive=5), 40
    await trial.publish(at_least=rate * 5, rate=rate)
    before = {slot.name: slot.lives[-1].rss_max_mib for slot in trial.slots}
    trial.fault("burst")
    await trial.publish(trial.mix(seed=trial.seed + 1), at_least=10 * rate * seconds, rate=10 * rate)
    trial.healed("burst")
    await trial.publish(trial.mix(seed=trial.seed + 2), at_least=rate * 5, rate=rate)
    if not trial.is_naive:
        trial.owed.append(lambda: _bounded(trial, before))


def _bounded(trial: Trial, before: dict[str, float]) -> None:
    grown = {slot.name: round(slot.lives[-1].rss_max_mib - before[slot.name]) for slot in trial.slots}
    trial.figures["rss_grown_mib"] = grown
    trial.claim("memory grew by less than 200 MiB", max(grown.values()) < 200, grown)
    lives = {slot.name: len(slot.lives) for slot in trial.slots}
    trial.claim("no worker ended", all(count == 1 for count in lives.values()), lives)


def garbage_items(trial: Trial, count: int, share: float) -> Iterator[Item]:
    """Yield good references and, among them, what is none: each kind of it."""
    draw = random.Random(f"{trial.seed}-garbage")
    good = trial.mix()
    for n in range(count):
        yield next(good) if draw.random() >= share else garbage_item(draw, n, trial.pictures[0])


def garbage_item(draw: random.Random, n: int, good: Picture) -> Item:
    """Return one record that is no reference."""
    name = f"g{n}"
    whole = reference(name, good)

    def changed(**fields: object) -> bytes:
        return json.dumps(json.loads(whole.value) | fields).encode()

    kind = draw.randrange(11)
    value = (
        draw.randbytes(draw.randrange(1, 400)),
        whole.value[: draw.randrange(1, len(whole.value) - 1)],
        b"",
        b"null",
        changed(schema="deeptrace.image/9"),
        changed(object={"bucket": "somebody-elses", "key": "a.png"}),
        changed(
            object={"bucket": BUCKET, "key": draw.choice(["../../etc/passwd", "/etc/passwd", "a/../b", "a\u0000b"])}
        ),
        changed(object={"url": "http://169.254.169.254/latest/meta-data/"}),
        changed(labels={"x": "y" * draw.randrange(65 * 1024, 100 * 1024)}),
        changed(labels={"x": "y" * (300 * 1024)}),
        changed(event_id=""),
    )[kind]
    headers = ce(name) if draw.random() < 0.7 else ()
    return Item(value, headers, whole.outcome_id if headers else None, None, "garbage")


async def garbage(trial: Trial) -> None:
    """One record in twenty is no reference: bytes, cut or foreign JSON, forbidden places, 64 KiB and much more."""
    await trial.start_workers()
    count = trial.pick(fast=500, full=4000, naive=600)
    await trial.publish(garbage_items(trial, count, 0.05), at_least=count, rate=RATE)
    made = [name for name, item in trial.expected.items() if item.kind == "garbage"]
    trial.faults["garbage"] = len(made)
    if not trial.is_naive:
        trial.owed.append(
            lambda: trial.claim(
                "only garbage is a dead letter, and all of it is",
                {name for name, seen in trial.watch.seen.items() if seen.code is not None} == set(made),
                f"{sum(trial.watch.codes().values())} dead letters of {len(made)}",
            )
        )


CASES = [
    Case(
        "hostile_images",
        "1 image in 10 is a bomb, a forgery, broken, or slow on purpose",
        hostile,
        plan=Plan(settings=NO_LIMIT | SOON),
        naive=True,
    ),
    Case(
        "out_of_memory",
        "the model out of memory for more than 4 images at once, and decode bombs 1:10",
        out_of_memory,
        plan=Plan(settings=NO_LIMIT | SOON),
    ),
    Case(
        "poison",
        "images that abort the process that judges them",
        poison,
        naive=True,
    ),
    Case("duplicates", "30 % duplicates, some with the same id and other bytes", duplicates, naive=True),
    Case("burst", "10 times the load for 20 s, more than the workers can do", burst, naive=True, full_limit_s=600),
    Case(
        "garbage",
        "5 % of records are no references, up to 300 KiB of them",
        garbage,
        plan=Plan(settings=NO_LIMIT),
        naive=True,
    ),
]
