"""`python -m streams.stack.lock_jars` resolves the servers' dependencies anew and writes `jars.lock`."""

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from streams.stack.jar_lock import LOCK_FILE, Jar, write_lock

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
S3PROXY = "org.gaul:s3proxy:4.1.0"
# Added as single jars, in place of what the server's own tree says. Not as roots of one resolution: jgo lets every
# root manage the versions of the others, and log4j's parent then turns kafka-clients 4.4.0 into 3.9.1.
EXTRAS = {
    # Kafka's jar names no logging back end; without one the broker starts and dies in silence.
    KAFKA: ("org.apache.logging.log4j:log4j-slf4j-impl:2.25.5",),
    # S3Proxy's XML mapper needs it; without it the start dies of a missing class.
    S3PROXY: ("com.fasterxml.jackson.core:jackson-annotations:2.21",),
}


def main() -> None:
    """Resolve, download and hash every jar; nothing but coordinates, sizes and hashes is written."""
    with tempfile.TemporaryDirectory() as repository:
        jars = [*_resolve("kafka", KAFKA, Path(repository)), *_resolve("s3proxy", S3PROXY, Path(repository))]
    LOCK_FILE.write_text(write_lock(jars, comment="Made by `python -m streams.stack.lock_jars`."), encoding="utf-8")
    sys.stdout.write(f"{len(jars)} jars, {sum(jar.size_bytes for jar in jars) / 1e6:.0f} MB\n")


def _resolve(bundle: str, root: str, repository: Path) -> list[Jar]:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=repository)
    extras = [context.create_dependency(coordinate) for coordinate in EXTRAS[root]]
    replaced = {(extra.groupId, extra.artifactId) for extra in extras}
    roots, transitive = context.resolver.resolve([context.create_dependency(root)])
    needed = [
        dependency
        for dependency in [*roots, *transitive]
        if dependency.scope in {None, "compile", "runtime"}
        and dependency.type == "jar"
        and (dependency.groupId, dependency.artifactId) not in replaced
    ]
    with ThreadPoolExecutor(8) as pool:
        return sorted(pool.map(lambda each: _jar(bundle, each), [*needed, *extras]), key=lambda jar: jar.coordinate)


def _jar(bundle: str, dependency: Any) -> Jar:
    assert not dependency.classifier, "the lock's coordinates have no place for a classifier"
    content = Path(dependency.artifact.resolve()).read_bytes()
    coordinate = f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}"
    return Jar(bundle, coordinate, len(content), hashlib.sha256(content).hexdigest())


if __name__ == "__main__":
    main()
