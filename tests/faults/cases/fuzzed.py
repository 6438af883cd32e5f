"""References that were mutated at random, through real workers: every one is an outcome, and nobody falls over."""

import json
import random
from collections.abc import Iterator

from faults.cases.intake import NO_LIMIT
from faults.harness.case import Case
from faults.harness.load import BUCKET, Item, ce, reference
from faults.harness.testbed import Plan
from faults.harness.trial import Trial

RATE = 250
GOOD_EVERY = 10
TOKENS = (
    b"null", b"true", b"{}", b"[]", b'""', b"1e999", b"-0", b"NaN", b"\\ud800", b"\xff\xfe", b"\x00", b"../", b'"schema"',
    b'"Records":[', b"\xe2\x80\xae", b"18446744073709551616", b"{" * 200, b"[" * 2000, b'"a":' * 50, b"\\u0000",
)  # fmt: skip


def seeds(trial: Trial) -> list[bytes]:
    """Return what mutations start from: the reference and the bucket notification, whole and sparse."""
    whole = json.loads(reference("seed", trial.pictures[0]).value)
    whole |= {"tenant": "acme", "labels": {"a": "b"}, "external_id": "x", "event_time": "2026-11-24T10:00:00Z"}
    record = {
        "eventName": "s3:ObjectCreated:Put",
        "s3": {
            "bucket": {"name": BUCKET},
            "object": {"key": "good%2F1.png", "size": 9, "eTag": "ab", "sequencer": "1"},
        },
    }
    return [
        json.dumps(whole).encode(),
        json.dumps({"event_id": "seed", "image_id": "i", "object": {"bucket": BUCKET, "key": "good/2.png"}}).encode(),
        json.dumps({"Records": [record, record]}).encode(),
        json.dumps({"Service": "x", "Event": "s3:TestEvent"}).encode(),
    ]


def mutated(draw: random.Random, value: bytes) -> bytes:
    """Return `value` after one to six random changes."""
    data = bytearray(value)
    for _ in range(draw.randint(1, 6)):
        at, size = draw.randrange(len(data) + 1), draw.randint(1, 24)
        match draw.randrange(7):
            case 0:
                if at < len(data):
                    data[at] ^= 1 << draw.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = draw.randbytes(size)
            case 3:
                data[at:at] = draw.choice(TOKENS)
            case 4:
                data[at : at + size] = draw.choice(TOKENS)
            case 5:
                data[at:at] = data[draw.randrange(len(data) + 1) :][:size]
            case 6:
                del data[at:]
    return bytes(data)


async def fuzz_references(trial: Trial) -> None:
    """Send mutated references among good ones; half are CloudEvents, some of those with broken headers."""
    await trial.start_workers()
    count = trial.pick(fast=600, full=5000, naive=600)
    draw, starts = random.Random(f"{trial.seed}-fuzz"), seeds(trial)

    def items() -> Iterator[Item]:
        good = trial.mix()
        for n in range(count):
            if n % GOOD_EVERY == 0:
                yield next(good)
            headers = ce(f"fuzz-{n}") if draw.random() < 0.5 else ()
            if headers and draw.random() < 0.2:
                headers = tuple((name, mutated(draw, text)) for name, text in headers)
            yield Item(mutated(draw, draw.choice(starts)), headers, None, None, "fuzz")

    everything = list(items())
    await trial.publish(iter(everything), at_least=len(everything), rate=RATE)
    trial.faults["mutated references"] = count
    if not trial.is_naive:
        trial.owed.append(lambda: _nobody_ended(trial))


def _nobody_ended(trial: Trial) -> None:
    lives = {slot.name: len(slot.lives) for slot in trial.slots}
    trial.claim("no worker ended", all(count == 1 for count in lives.values()), lives)


CASES = [
    Case(
        "fuzz_references",
        "references with random mutations, 10 in 11",
        fuzz_references,
        plan=Plan(settings=NO_LIMIT | {"DEEPTRACE_KAFKA__RETRY_DELAYS_S": "[1]"}),
        naive=True,
    )
]
