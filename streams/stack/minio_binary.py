import os
import shutil
from pathlib import Path

from schemas.errors import StackUnavailable
from streams.stack.file_lock import exclusive
from streams.stack.process import spawn
from streams.stack.progress import Progress, silent

# The last commit of the archived repository; Go's checksum database holds its bytes.
MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
_BUILD_TIMEOUT_S = 1200.0


def find_minio(cache_dir: Path) -> Path | None:
    """Return a `minio` binary from PATH, else the one built into the cache, else None."""
    on_path = shutil.which("minio")
    if on_path is not None:
        return Path(on_path)
    built = _built(cache_dir)
    return built if os.access(built, os.X_OK) else None


def build_minio(cache_dir: Path, *, progress: Progress = silent) -> Path:
    """Return a `minio` binary, built from source with Go into the cache when there is none.

    Takes minutes the first time. Raises StackUnavailable when there is no Go, or the build fails.
    """
    with exclusive(cache_dir / "minio.lock", timeout_s=_BUILD_TIMEOUT_S, purpose="build MinIO"):
        found = find_minio(cache_dir)
        if found is not None:
            return found
        go = shutil.which("go")
        if go is None:
            raise StackUnavailable(
                "There is no MinIO binary and it cannot be built",
                why="neither `minio` nor `go` is on PATH",
                remedy="Install one of them, or use S3Proxy.",
            )
        progress("build minio", 0, 1)
        target = _built(cache_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = target.parent / ".build"
        shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed
        folder.mkdir()
        _install(go, folder, cache_dir)
        (folder / "minio").replace(target)
        shutil.rmtree(folder)
        progress("build minio", 1, 1)
        return target


def _install(go: str, folder: Path, cache_dir: Path) -> None:
    env = {**os.environ, "GOBIN": str(folder)}
    if not env.get("HOME"):  # Go has no default for its caches then
        env |= {"GOPATH": str(cache_dir / "go"), "GOCACHE": str(cache_dir / "go-build")}
    command = [go, "install", f"github.com/minio/minio@{MINIO_VERSION}"]
    log = folder / "build.log"
    build = spawn(command, work_dir=folder, log=log, env=env, bound=True)
    finished = build.process.wait_gone(_BUILD_TIMEOUT_S)
    build.release()  # ends the build if it has not ended
    if not (folder / "minio").exists():
        raise StackUnavailable(
            "MinIO could not be built",
            why=log.read_text(errors="replace").strip()[-500:] if finished else "it took too long",
            remedy="Connect to the network, or use S3Proxy.",
        )


def _built(cache_dir: Path) -> Path:
    return cache_dir / "bin" / f"minio-{MINIO_VERSION}"
