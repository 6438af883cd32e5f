"""One worker's life under load, told once: its model is swapped, a broken candidate is refused, a shadow is compared. The tests read the story."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.tiny_release import write_checkpoint
from support.world import VERDICTS, World, native, picture

from schemas.release import ReleaseMove
from schemas.topics import SHADOW_VERDICTS
from streams.assembly import make_registry
from streams.releases.promotion import promote
from streams.releases.publishing import publish
from streams.settings_sources import load

PICTURES = 40
EVERY_S = 0.1  # a reference each: a load that a busy machine can carry
AFTER = 40  # references after each change, which must all be of the model that judges then
WAIT_S = 90
PORT = "16199"


@dataclass
class Story:
    """What happened. Numbers are of references, in the order in which they were published."""

    world: World
    sent: int = 0
    swapped_at: int = 0  # from this one on the worker had said that it serves 1.1
    broken_at: int = 0  # from this one on it had refused 1.2
    promoted: object = None
    broken: object = None
    compared: object = None
    audited: object = None
    versions: dict[int, str] = field(default_factory=dict)
    outcome_ids: dict[int, str] = field(default_factory=dict)
    metrics: str = ""

    def served(self, begin: int, end: int) -> set[str]:
        """Return the versions that judged the references from `begin` to before `end`."""
        return {self.versions[number] for number in range(begin, end) if number in self.versions}


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases")
    world = World(folder)
    try:
        world.env |= {
            "DEEPTRACE_MODEL__CLASSIFIER": "ensemble",
            "DEEPTRACE_MODEL__RELEASE": "detector@champion",
            "DEEPTRACE_MODEL__SHADOW_RELEASE": "detector@shadow",
            "DEEPTRACE_MODEL__WATCH_S": "0.5",
            "DEEPTRACE_MODEL__THREADS": "1",
        }
        told = Story(world)
        _prepare(world, folder)
        asyncio.run(_tell(told))
        yield told
    finally:
        world.close()


def _prepare(world: World, folder: Path) -> None:
    registry = make_registry(load(world.env).settings)
    registry.create()
    for seed, version in enumerate(("1.0", "1.1", "1.2")):
        path = folder / f"{version}.safetensors"
        write_checkpoint(path, seed=seed, version=version)
        release = publish(registry, path, model="detector", version=version, report=None).release
        if version == "1.0":
            promote(registry, release, "champion")
    registry.close()
    for number in range(PICTURES):
        world.put(f"picture-{number}", picture(number, 64))


async def _tell(told: Story) -> None:
    world = told.world
    world.worker(DEEPTRACE_HTTP__PORT=PORT)
    await world.publish([native("0", "picture-0")])
    told.sent = 1
    await world.wait_for_outcomes(1, timeout_s=WAIT_S)
    load_goes_on = asyncio.create_task(_send_on(told))
    try:
        told.promoted = await asyncio.to_thread(world.run, "model", "promote", "1.1", "--json")
        await _until_metric('deeptrace_model_info{kind="trained",sha256=', 'version="1.1"')
        told.swapped_at = told.sent
        await _sent(told, told.sent + AFTER)

        await asyncio.to_thread(_break, world)
        told.broken = await asyncio.to_thread(world.run, "model", "promote", "1.2")
        await asyncio.to_thread(_point_at_the_broken_one, world)
        await _until_metric('deeptrace_model_swaps_total{result="release_corrupt",role="champion"}')
        told.broken_at = told.sent
        await _sent(told, told.sent + AFTER)

        await asyncio.to_thread(_shadow, world)
        await _until_metric('deeptrace_model_swaps_total{result="swapped",role="shadow"}')
        await _sent(told, told.sent + AFTER)
    finally:
        load_goes_on.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await load_goes_on
    await world.wait_for_all(timeout_s=WAIT_S)
    told.audited = await asyncio.to_thread(world.run, "audit", "--complete", "--json")
    for record in await world.records(VERDICTS):
        verdict = json.loads(record.value)
        told.versions[int(verdict["event_id"])] = verdict["model"]["version"]
        told.outcome_ids[int(verdict["event_id"])] = verdict["outcome_id"]
    told.metrics = await _metrics()
    while not await world.records(SHADOW_VERDICTS):
        await asyncio.sleep(0.2)
    told.compared = await asyncio.to_thread(world.run, "model", "compare", "--json")


async def _send_on(told: Story) -> None:
    """Publish references one after the other, for as long as it is let."""
    while True:
        number = told.sent
        await told.world.publish([native(str(number), f"picture-{number % PICTURES}")])
        told.sent = number + 1
        await asyncio.sleep(EVERY_S)


async def _sent(told: Story, count: int) -> None:
    while told.sent < count:
        await asyncio.sleep(0.05)


async def _metrics() -> str:
    def ask() -> str:
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=10) as answer:
            return answer.read().decode()

    return await asyncio.to_thread(ask)


async def _until_metric(*parts: str) -> None:
    """Wait until a line of the worker's metrics holds all the parts."""
    deadline = time.monotonic() + WAIT_S
    while not any(all(part in line for part in parts) for line in (await _metrics()).splitlines()):
        if time.monotonic() > deadline:
            pytest.fail(f"no metric with {parts} within {WAIT_S} s")
        await asyncio.sleep(0.2)


def _break(world: World) -> None:
    """Flip a byte of 1.2 after it was published."""
    settings = load(world.env).settings
    registry = make_registry(settings)
    key = "models/detector/1.2/model.safetensors"
    data = bytearray(registry._store.get(registry.bucket, key, max_bytes=1 << 30, deadline_s=30).data)
    data[len(data) // 2] ^= 1
    registry._store.put(registry.bucket, key, bytes(data), content_type="application/octet-stream", deadline_s=30)
    registry.close()


def _point_at_the_broken_one(world: World) -> None:
    """As if it had broken after the promotion, which refuses it by now."""
    registry = make_registry(load(world.env).settings)
    release = registry.manifest("detector", "1.2")
    last = registry.pointer("detector", "champion").move
    registry.move(
        ReleaseMove(
            name="detector",
            alias="champion",
            number=last.number + 1,
            action="promote",
            version="1.2",
            sha256=release.sha256,
            previous=(last.version, *last.previous),
            moved=datetime.now(UTC),
        )
    )
    registry.close()


def _shadow(world: World) -> None:
    registry = make_registry(load(world.env).settings)
    promote(registry, registry.manifest("detector", "1.0"), "shadow")
    registry.close()
