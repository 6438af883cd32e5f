import os
import pwd
import tempfile
from pathlib import Path


def default_cache_dir() -> Path:
    """Return `$XDG_CACHE_HOME/deeptrace`, or `~/.cache/deeptrace`; the folder is created and writable.

    An unset or empty HOME falls back to the account's home, and a home that cannot be written to a folder of this
    user under the temporary directory.
    """
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
    # XDG says a relative XDG_CACHE_HOME is invalid and must be ignored.
    wanted = (xdg if xdg.is_absolute() else home / ".cache") / "deeptrace"
    if _writable(wanted):
        return wanted
    fallback = Path(tempfile.gettempdir()) / f"deeptrace-{os.getuid()}"
    fallback.mkdir(mode=0o700, parents=True, exist_ok=True)
    return fallback


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
