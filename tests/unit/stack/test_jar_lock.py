import hashlib
from pathlib import Path

import pytest

from streams.stack.jar_lock import LOCK_FILE, Jar, pinned, read_lock, write_lock

JAR = Jar("kafka", "org.example:thing:1.0", 5, hashlib.sha256(b"bytes").hexdigest())


def stored(root: Path, content: bytes) -> Path:
    file = root / "org" / "example" / "thing" / "1.0" / "thing-1.0.jar"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return root


def test_the_pinned_bytes_are_intact(tmp_path: Path) -> None:
    """A jar with the pinned bytes at its Maven path is accepted."""
    assert JAR.is_intact(stored(tmp_path, b"bytes"))


@pytest.mark.parametrize("content", [b"byteS", b"byte", b"bytes!", b""])
def test_other_bytes_are_not_intact(tmp_path: Path, content: bytes) -> None:
    """One changed, missing or added byte is seen."""
    assert not JAR.is_intact(stored(tmp_path, content))


def test_a_missing_jar_is_not_intact(tmp_path: Path) -> None:
    """Nothing is no jar."""
    assert not JAR.is_intact(tmp_path)


def test_the_lock_is_read_as_it_was_written() -> None:
    """Writing and reading the lock gives the same jars."""
    assert read_lock(write_lock([JAR], comment="made by hand")) == (JAR,)


def test_the_committed_lock_holds_both_servers() -> None:
    """Broker and store are pinned at the versions that were measured."""
    assert "org.apache.kafka:kafka_2.13:4.4.0" in {jar.coordinate for jar in pinned("kafka")}
    assert "org.gaul:s3proxy:4.1.0" in {jar.coordinate for jar in pinned("s3proxy")}


def test_the_committed_lock_has_one_version_of_each_jar() -> None:
    """Two versions of a library on one class path would make the behaviour depend on their order."""
    for bundle in ("kafka", "s3proxy"):
        names = [jar.coordinate.rpartition(":")[0] for jar in pinned(bundle)]
        assert len(names) == len(set(names))


def test_all_kafka_jars_have_the_version_of_the_broker() -> None:
    """A resolver that lets another library manage kafka-clients would be seen here."""
    versions = {jar.coordinate.rpartition(":")[2] for jar in pinned("kafka") if "org.apache.kafka:" in jar.coordinate}
    assert versions == {"4.4.0"}


def test_the_committed_lock_names_no_address() -> None:
    """Where jars come from is the user's business; the hashes say what they must be."""
    assert "/" not in LOCK_FILE.read_text(encoding="utf-8")
