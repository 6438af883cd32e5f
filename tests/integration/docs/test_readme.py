"""The README's commands exist, its code runs, its links lead somewhere."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from support.world import native, picture

from schemas.image_ref import ImageRef
from streams.cli.main import app

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "DECISIONS.md", "CHANGELOG.md")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def documented_commands() -> list[str]:
    """Every `deeptrace ...` in shell blocks and inline code."""
    found = set()
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        found |= set(re.findall(r"^(deeptrace [a-z][^#\n]*)", text, re.MULTILINE))
        found |= set(re.findall(r"`(deeptrace [a-z][^`\n]*)`", text))
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("line", documented_commands())
def test_a_documented_command_exists_with_its_options(line):
    """A renamed command or option fails here."""
    command = typer.main.get_command(app)
    words = line.split()[1:]
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options


def test_documented_make_targets_exist():
    """`make` with a name that is not in the Makefile fails here."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set()
    for name in DOCUMENTS:
        named |= set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / name).read_text(), re.MULTILINE))
    assert named
    assert named <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_named_files_exist(name):
    """Paths in the text are paths in the tree."""
    text = (ROOT / name).read_text()
    links = {link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link}
    paths = set(re.findall(r"`((?:schemas|storage|model|streams|training|docker|tests)/[A-Za-z0-9_./-]+)`", text))
    assert [path for path in links | paths if not (ROOT / path).exists()] == []


def test_the_reference_in_the_readme_is_one():
    """What a producer copies is accepted."""
    [reference] = blocks("json")
    assert ImageRef.from_bytes(reference.encode()).image_id == "post-42/1"


async def test_the_consumer_in_the_readme_prints_verdicts(world):
    """Run as it stands, against a real broker; only the address is replaced."""
    [code] = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    world.put("good", picture(1))
    await world.publish([native("event", "good")])
    world.worker()
    await world.wait_for_outcomes(1, timeout_s=60)
    script = world.folder / "consumer.py"
    script.write_text(code.replace("127.0.0.1:9092", world.info.bootstrap_servers))
    consumer = subprocess.Popen([sys.executable, "-u", str(script)], stdout=subprocess.PIPE, text=True)
    try:
        line = await asyncio.wait_for(asyncio.to_thread(consumer.stdout.readline), 60)
    finally:
        consumer.kill()
        consumer.wait()
        consumer.stdout.close()
    assert line.startswith("image-event ")


def test_the_figures_about_true_images_are_those_of_the_checkpoint():
    """The README quotes demo.json; a new checkpoint must change both."""
    figures = json.dumps(json.loads((ROOT / "model" / "demo" / "demo.json").read_text()))
    text = (ROOT / "README.md").read_text()
    quoted = re.search(r"five-class balanced accuracy \.(\d+).*?AUROC \.(\d+)", text, re.DOTALL)
    assert quoted
    assert all(f"0.{digits}" in figures for digits in quoted.groups())
