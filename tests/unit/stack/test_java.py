import subprocess
from pathlib import Path

from streams.stack.java import java_binary, java_command


def test_the_java_of_the_wheel_is_of_the_pinned_major_version() -> None:
    """No Java of the machine is used."""
    answer = subprocess.run([java_binary(), "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.split()[1].startswith("25.")


def test_paths_with_spaces_quotes_and_backslashes_are_quoted(tmp_path: Path) -> None:
    """A cache in a folder with an unusual name works."""
    jar = Path('/my cache/it\'s "x"\\y.jar')
    command = java_command(tmp_path, "org.example.Main", ["go"], jars=[jar], properties={})
    assert command[1:] == ["@Main.args", "org.example.Main", "go"]
    assert '"/my cache/it\'s \\"x\\"\\\\y.jar"' in (tmp_path / "Main.args").read_text()
