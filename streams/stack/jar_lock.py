import hashlib
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("jars.lock")


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar; `bundle` is the server that needs it."""

    bundle: str
    coordinate: str
    size_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        """Where the jar lies below the cache's `jars` folder: the layout of a Maven repository."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")

    def is_intact(self, root: Path) -> bool:
        """Tell whether the jar lies under `root` with exactly the pinned bytes."""
        file = root / self.path
        try:
            if file.stat().st_size != self.size_bytes:
                return False
            with file.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256
        except FileNotFoundError:
            return False


def read_lock(text: str) -> tuple[Jar, ...]:
    """Read the lock: a line a jar, `bundle group:artifact:version size sha256`; `#` starts a comment."""
    lines = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(Jar(bundle, coordinate, int(size), sha256) for bundle, coordinate, size, sha256 in lines)


def write_lock(jars: list[Jar], *, comment: str) -> str:
    """Write the text that `read_lock` reads."""
    lines = (f"{jar.bundle} {jar.coordinate} {jar.size_bytes} {jar.sha256}" for jar in jars)
    return "\n".join([f"# {comment}", *lines, ""])


def pinned(bundle: str) -> tuple[Jar, ...]:
    """Return the jars of one server, as committed."""
    return tuple(jar for jar in read_lock(LOCK_FILE.read_text(encoding="utf-8")) if jar.bundle == bundle)
