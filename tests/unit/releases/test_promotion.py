"""Where an alias may point, and the way back."""

from datetime import UTC, datetime

import pytest

from schemas.errors import CheckFailed, CheckpointRefused, ReleaseCorrupt, ReleaseMissing
from schemas.release import ReleaseMove, move_key
from streams.releases.name import ReleaseName
from streams.releases.promotion import promote, roll_back
from streams.releases.registry import Registry

BUCKET = "deeptrace-models"
CHAMPION = ReleaseName("detector", alias="champion")


def test_an_alias_points_where_it_was_promoted_to(registry, published):
    """By the version and the hash that were checked."""
    promote(registry, published["1.0"], "champion")
    assert registry.resolve(CHAMPION) == published["1.0"]
    move = promote(registry, published["1.1"], "champion")
    assert registry.resolve(CHAMPION) == published["1.1"]
    assert (move.number, move.previous, move.sha256) == (2, ("1.0",), published["1.1"].sha256)


def test_rollbacks_go_back_one_promotion_each(registry, published):
    """The second does not return to what the first undid; behind the first promotion there is nothing."""
    for version in ("1.0", "1.1", "five-crops"):
        promote(registry, published[version], "champion")
    assert [roll_back(registry, "detector", "champion").version for _ in range(2)] == ["1.1", "1.0"]
    with pytest.raises(CheckFailed, match="nothing to go back to"):
        roll_back(registry, "detector", "champion")
    assert registry.resolve(CHAMPION).version == "1.0"


def test_a_rollback_and_a_promotion_are_both_kept(registry, store, published):
    """The moves are the record; none is overwritten."""
    promote(registry, published["1.0"], "champion")
    promote(registry, published["1.1"], "champion")
    roll_back(registry, "detector", "champion")
    moves = [
        ReleaseMove.from_bytes(store.get(BUCKET, info.key, max_bytes=9999, deadline_s=1).data)
        for info in store.list(BUCKET, "models/detector/aliases/champion/")
    ]
    assert [(move.number, move.action, move.version) for move in moves] == [
        (1, "promote", "1.0"),
        (2, "promote", "1.1"),
        (3, "rollback", "1.0"),
    ]


def test_a_shadow_that_was_the_first_points_at_nothing_after_a_rollback(registry, published):
    """The trial is over."""
    promote(registry, published["1.1"], "shadow")
    assert roll_back(registry, "detector", "shadow").version is None
    assert registry.aliases("detector") == {}
    with pytest.raises(ReleaseMissing, match="points at no release"):
        registry.resolve(ReleaseName("detector", alias="shadow"))


def test_a_simulated_model_is_promoted_only_on_purpose(registry, published):
    """Its verdicts mean nothing."""
    with pytest.raises(CheckpointRefused, match="simulated"):
        promote(registry, published["simulated"], "champion")
    assert promote(registry, published["simulated"], "champion", allow_simulated=True).version == "simulated"


def test_a_release_whose_bytes_have_changed_is_not_promoted(registry, store, published):
    """Bit rot, or somebody with the right to write; the alias stays where it was."""
    promote(registry, published["1.0"], "champion")
    flip(store, "1.1")
    with pytest.raises(ReleaseCorrupt, match="not what was published"):
        promote(registry, published["1.1"], "champion")
    assert registry.resolve(CHAMPION).version == "1.0"


def test_a_release_whose_weights_are_gone_is_not_promoted(registry, store, published):
    """A manifest alone serves nobody."""
    store.delete(BUCKET, "models/detector/1.1/model.safetensors")
    with pytest.raises(ReleaseMissing, match=r"has no model\.safetensors"):
        promote(registry, published["1.1"], "champion")


def test_a_manifest_that_changes_after_the_promotion_is_not_believed(registry, store, published):
    """The move pins the hash."""
    promote(registry, published["1.0"], "champion")
    forged = published["1.1"].model_copy(update={"version": "1.0"})
    store.put(BUCKET, "models/detector/1.0/manifest.json", forged.to_bytes(), content_type="x", deadline_s=1)
    with pytest.raises(ReleaseCorrupt, match="not the release that was promoted"):
        registry.resolve(CHAMPION)


def test_where_it_points_already_nothing_is_promoted(registry, published):
    """A second move would make the next rollback go nowhere."""
    promote(registry, published["1.0"], "champion")
    with pytest.raises(CheckFailed, match="already"):
        promote(registry, published["1.0"], "champion")


class Raced(Registry):
    """Somebody else promotes between our look and our move."""

    def move(self, move):
        theirs = move.model_copy(update={"version": "five-crops"})
        self._store.put(
            BUCKET, move_key("detector", "champion", move.number), theirs.to_bytes(), content_type="x", deadline_s=1
        )
        super().move(move)


def test_of_two_who_promote_at_once_one_is_told(store, registry, published):
    """And what the other has done stands."""
    with pytest.raises(CheckFailed, match="somebody else has just moved"):
        promote(Raced(store, BUCKET), published["1.0"], "champion")
    pointer = registry.pointer("detector", "champion")
    assert pointer is not None
    assert pointer.move.version == "five-crops"


def test_the_newest_move_counts_also_after_a_thousand(registry, store):
    """Keys sort as numbers do."""
    for number in (9, 10, 999, 1000):
        move = ReleaseMove(
            name="d", alias="shadow", number=number, action="promote", version=f"v{number}", moved=datetime.now(UTC)
        )
        registry.move(move)
    assert registry.pointer("d", "shadow").move.version == "v1000"


def flip(store, version):
    """Turn one byte of the stored weights."""
    key = f"models/detector/{version}/model.safetensors"
    data = bytearray(store.get(BUCKET, key, max_bytes=1 << 30, deadline_s=1).data)
    data[-1] ^= 0xFF
    store.put(BUCKET, key, bytes(data), content_type="x", deadline_s=1)
