"""Following an alias, with a clock of its own and a registry in memory."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from schemas.errors import CheckpointRefused
from schemas.release import ReleaseManifest, ReleaseMove
from streams.releases.name import ReleaseName
from streams.releases.watcher import Watcher

BUCKET, EVERY_S = "deeptrace-models", 10.0
SHA256 = {"1.0": "a" * 64, "1.1": "b" * 64}


class Adopter:
    """Takes over what it is given, and refuses while it is told to."""

    def __init__(self):
        self.taken = []
        self.refusal = None

    def __call__(self, release):
        self.taken.append(None if release is None else release.version)
        if self.refusal is not None:
            raise self.refusal
        return "swapped"


class Followed:
    """A watcher, and all that a test moves about it."""

    def __init__(self, registry, store, threads):
        self.registry, self.store = registry, store
        self.adopt, self.noted, self.now, self.moves = Adopter(), [], 0.0, 0
        self.watcher = Watcher(
            registry,
            ReleaseName("detector", alias="champion"),
            every_s=EVERY_S,
            adopt=self.adopt,
            noted=self.noted.append,
            threads=threads,
            clock=lambda: self.now,
        )
        for version, sha256 in SHA256.items():
            release = ReleaseManifest(
                name="detector",
                version=version,
                sha256=sha256,
                size_bytes=1,
                classes=("flux", "real"),
                preprocess_id="p",
                kind="trained",
                training_data="t",
                calibration_id="c",
                created=datetime.now(UTC),
            )
            registry.write("detector", version, "manifest.json", release.to_bytes(), "application/json")

    def point_at(self, version, sha256=None):
        self.moves += 1
        self.registry.move(
            ReleaseMove(
                name="detector",
                alias="champion",
                number=self.moves,
                action="promote",
                version=version,
                sha256=sha256 or SHA256.get(version),
                moved=datetime.now(UTC),
            )
        )

    async def look(self, after_s=0.0):
        self.now += after_s
        return await self.watcher.look()


@pytest.fixture
def followed(registry, store):
    with ThreadPoolExecutor(1) as threads:
        yield Followed(registry, store, threads)


async def test_each_move_is_taken_over_once(followed):
    """Looking again changes nothing until the alias moves."""
    followed.point_at("1.0")
    assert [await followed.look(EVERY_S) for _ in range(3)] == ["swapped", None, None]
    followed.point_at("1.1")
    assert [await followed.look(EVERY_S) for _ in range(2)] == ["swapped", None]
    assert followed.adopt.taken == ["1.0", "1.1"]
    assert followed.noted == ["swapped", "swapped"]


async def test_a_refused_release_is_tried_again_with_growing_waits(followed):
    """After 20, 40, 80 seconds; what is taken in the end is noted as such."""
    followed.point_at("1.0")
    followed.adopt.refusal = CheckpointRefused("it does not fit")
    tried = [followed.now for _ in range(20) if await followed.look(EVERY_S)]
    assert tried == [10.0, 30.0, 70.0, 150.0]
    followed.adopt.refusal = None
    assert await followed.look(160) == "swapped"
    assert followed.noted == ["checkpoint_refused"] * 4 + ["swapped"]


async def test_the_next_move_is_tried_at_once_after_a_refusal(followed):
    """A rollback must not wait for the backoff of what it undoes."""
    followed.point_at("1.0")
    followed.adopt.refusal = CheckpointRefused("it does not fit")
    await followed.look(EVERY_S)
    followed.adopt.refusal = None
    followed.point_at("1.1")
    assert await followed.look(EVERY_S) == "swapped"


async def test_what_nobody_foresaw_does_not_end_the_watching(followed):
    """Whatever a candidate raises, the next one gets its chance."""
    followed.point_at("1.0")
    followed.adopt.refusal = ZeroDivisionError("in a layer")
    assert await followed.look(EVERY_S) == "unexpected"
    followed.adopt.refusal = None
    followed.point_at("1.1")
    assert await followed.look(EVERY_S) == "swapped"


async def test_while_the_registry_is_away_nothing_changes(followed):
    """And the move made meanwhile is seen once it is back."""
    followed.point_at("1.0")
    await followed.look(EVERY_S)
    with followed.store.outage():
        assert [await followed.look(EVERY_S) for _ in range(3)] == [None, None, None]
    followed.point_at("1.1")
    assert await followed.look(EVERY_S) == "swapped"
    assert followed.noted == ["swapped", "swapped"]


async def test_a_move_whose_release_is_missing_or_another_is_refused(followed):
    """Neither reaches the one who takes over."""
    followed.point_at("9.9", sha256="c" * 64)
    assert await followed.look(EVERY_S) == "release_missing"
    followed.point_at("1.0", sha256=SHA256["1.1"])
    assert await followed.look(EVERY_S) == "release_corrupt"
    assert followed.adopt.taken == []


async def test_an_alias_that_is_gone_points_at_nothing(followed):
    """Deleted by hand: said once, as a pointer to nothing is."""
    followed.point_at("1.0")
    await followed.look(EVERY_S)
    followed.store.delete(BUCKET, "models/detector/aliases/champion/000001.json")
    assert [await followed.look(EVERY_S) for _ in range(2)] == ["swapped", None]
    assert followed.adopt.taken == ["1.0", None]


async def test_a_move_undone_by_hand_is_seen(followed):
    """The newest object was deleted, so the one before counts again."""
    followed.point_at("1.0")
    await followed.look(EVERY_S)
    followed.point_at("1.1")
    await followed.look(EVERY_S)
    followed.store.delete(BUCKET, "models/detector/aliases/champion/000002.json")
    await followed.look(EVERY_S)
    assert followed.adopt.taken == ["1.0", "1.1", "1.0"]
