import io
from pathlib import Path
from typing import Any

from rich.console import Console

from streams.demo.gallery import Shown
from streams.demo.result import DemoResult
from streams.demo.screen import Screen
from streams.demo.tables import print_tables

Topics = Any  # the fixture of this folder's conftest.py


def test_a_log_file_gets_the_steps_and_no_bars() -> None:
    """What is drawn again and again belongs on a terminal."""
    console = Console(file=(said := io.StringIO()), width=80)

    with Screen(console) as screen:
        screen.bar("uploads", 1, 2)
        screen.step("uploaded")

    assert said.getvalue().split()[-1] == "uploaded"
    assert "uploads" not in said.getvalue()


def test_a_terminal_gets_a_bar_until_it_is_full() -> None:
    """A bar that is begun again after it was full is a new one."""
    console = Console(file=(said := io.StringIO()), width=80, force_terminal=True)

    with Screen(console) as screen:
        screen.bar("uploads", 1, 2)
        screen.bar("uploads", 2, 2)
        screen.bar("uploads", 0, 2)
        screen.clear("uploads")
        screen.clear("uploads")

    assert "uploads" in said.getvalue()


def test_the_tables_fit_80_columns(topic: Topics) -> None:
    """Long names lose their beginning, not their end."""
    name = f"{'folder/' * 12}image-1.jpg"
    sent, image = topic.publish(name, label="flux")
    window = topic.window(images=30, kl=0.9)
    for record in (image, topic.verdict(image), window, topic.alert(window)):
        topic.tally.note(record)
    verdict = topic.tally.verdict_of(sent)
    assert verdict is not None
    result = DemoResult(topic.tally, [Shown(sent, verdict, None, None)], 1.0, Path("report.html"))
    console = Console(file=(said := io.StringIO()), width=80)

    print_tables(result, console)

    row = next(line for line in said.getvalue().splitlines() if "image-1.jpg" in line)
    assert len(row) <= 80
    assert row.startswith("…")
    assert row.split()[1:] == ["flux", "flux", "75%", "14"]
    assert "KL(window || reference) 0.900 nats" in said.getvalue()
