from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called as `(name, done, total)`, from any thread.

`download kafka 4.4.0` counts bytes; `build minio` and `start broker` go from 0 to 1.
"""


def silent(name: str, done: int, total: int) -> None:
    """Show nothing."""
