"""The command line as a user calls it: help, JSON, exit codes, errors with a remedy."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
import typer
from support.world import ce, native, picture

from streams.cli.main import app

pytestmark = pytest.mark.integration


def deeptrace(*arguments, cwd, **env):
    """Run the command in an empty folder, with no broker or store configured."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DEEPTRACE_")}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        cwd=cwd,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def commands():
    """Every command path, from the code."""

    def walk(command, path):
        children = getattr(command, "commands", None)
        if not children:
            yield path
        for name, child in (children or {}).items():
            yield from walk(child, (*path, name))

    return list(walk(typer.main.get_command(app), ()))


def find(path):
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    return command


@pytest.mark.parametrize("path", commands(), ids=" ".join)
def test_every_command_and_every_option_says_what_it_is_for(path):
    """A command without help, or an option without, fails here."""
    command = find(path)
    assert command.help
    options = [parameter for parameter in command.params if parameter.name != "help"]
    assert [parameter.name for parameter in options if not getattr(parameter, "help", None)] == []


def test_the_promised_commands_are_there():
    """The list that the README and the issue name."""
    assert {" ".join(path) for path in commands()} == {
        *(
            "demo",
            "classify",
            "explain",
            "publish",
            "watch",
            "worker",
            "drift-worker",
            "doctor",
            "audit",
            "outcome",
            "verify",
        ),
        *("dev up", "dev down", "dev status", "topics plan", "topics apply", "storage init"),
        *("dlq list", "dlq show", "dlq replay", "config show", "topics acls", "storage policies"),
        *("model list", "model show", "model publish", "model promote", "model rollback"),
        *("model compare", "model export", "narrate"),
        *("drift reference build", "drift reference show", "drift reference set", "drift reference history"),
        *("drift check", "drift report", "drift recount", "labels send", "labels report", "replay"),
        *("data simulate", "data download", "data manifest", "data split", "data audit"),
        *("train", "finetune", "tune", "calibrate", "evaluate", "gate"),
    }


def test_help_fits_a_terminal(tmp_path):
    """The first thing a newcomer sees names the commands."""
    shown = deeptrace("--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("demo", "classify", "worker", "doctor", "dlq"))


def test_an_unknown_option_is_a_usage_error(tmp_path):
    """Exit 2, as every command line does."""
    assert deeptrace("classify", "--nonsense", cwd=tmp_path).returncode == 2


def test_a_misspelt_setting_stops_every_command_and_names_the_nearest(tmp_path):
    """Exit 78, before anything is done."""
    shown = deeptrace("config", "show", cwd=tmp_path, DEEPTRACE_KAFKA__GROOP="x")
    assert shown.returncode == 78
    assert "did you mean DEEPTRACE_KAFKA__GROUP?" in shown.stderr
    assert "config show" not in shown.stderr.partition("do:")[2]  # it fails with this very error
    assert "Traceback" not in shown.stderr


def test_config_show_names_the_origin_and_masks_secrets(tmp_path):
    """One line a setting; the secret's value is nowhere."""
    shown = deeptrace("config", "show", "--json", cwd=tmp_path, DEEPTRACE_STORE__SECRET_KEY="canary")
    rows = {row["setting"]: row for row in map(json.loads, shown.stdout.splitlines())}
    assert rows["store.secret_key"]["value"] == "********"
    assert rows["store.secret_key"]["origin"] == "environment"
    assert rows["kafka.group"]["origin"] == "default"
    assert "canary" not in shown.stdout + shown.stderr


def test_a_broker_that_is_away_is_said_with_its_remedy(tmp_path):
    """Exit 69, no traceback."""
    shown = deeptrace("topics", "plan", cwd=tmp_path, DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert shown.returncode == 69
    assert "deeptrace dev up" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_dev_status_without_a_stack(tmp_path):
    """Exit 3 and one JSON line."""
    shown = deeptrace("dev", "status", "--json", cwd=tmp_path)
    assert (shown.returncode, json.loads(shown.stdout)) == (3, {"running": False})


def test_classify_judges_files_without_broker_and_store(tmp_path):
    """One verdict a line; a file that is no image has its code and exit 65; overlays are written."""
    (tmp_path / "a.png").write_bytes(picture(1))
    (tmp_path / "b.png").write_text("no image")
    shown = deeptrace("classify", "a.png", "b.png", "--overlay", "out", "--json", cwd=tmp_path)
    assert shown.returncode == 65, shown.stderr
    first, second = map(json.loads, shown.stdout.splitlines())
    assert first["file"] == "a.png"
    assert first["model"]["training_data"].startswith("simulated")
    assert sum(first["per_class_probs"].values()) == pytest.approx(1, abs=1e-5)
    assert {member["name"] for member in first["members"]} == {"cnn", "vit", "fft"}
    assert (second["file"], second["error"]) == ("b.png", "not_an_image")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0000-a.webp"]


def test_classify_goes_on_after_a_file_that_cannot_be_read(tmp_path):
    """That file has its reason, the others their verdicts, in the order given; exit 65."""
    (tmp_path / "unreadable.jpg").symlink_to("/proc/self/mem")  # no permission keeps root from reading, this does
    (tmp_path / "a.png").write_bytes(picture(1))
    names = ["a.png", "unreadable.jpg", "a.png"]
    shown = deeptrace("classify", *names, "--json", cwd=tmp_path, DEEPTRACE_MODEL__CLASSIFIER="fake")
    assert shown.returncode == 65, shown.stderr
    rows = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [row["file"] for row in rows] == names
    assert [row.get("error") for row in rows] == [None, "object_rejected", None]
    assert "Input/output error" in rows[1]["message"]
    assert rows[2]["object"]["key"] == "file-2"


def test_classify_takes_more_files_than_fit_in_flight(tmp_path):
    """Each has its line, in the order of the names, and its own overlay."""
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    env = {"DEEPTRACE_MODEL__CLASSIFIER": "fake", "DEEPTRACE_PIPELINE__IN_FLIGHT": "2"}
    shown = deeptrace("classify", ".", "--overlay", "out", "--json", cwd=tmp_path, **env)
    assert shown.returncode == 0, shown.stderr
    assert [json.loads(line)["file"] for line in shown.stdout.splitlines()] == [f"{n}.png" for n in range(9)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"000{n}-{n}.webp" for n in range(9)]


@pytest.mark.parametrize("name", ["x[/a].jpg", "x[bold]y.jpg"])
def test_an_error_shows_a_name_as_it_is(tmp_path, name):
    """Brackets are no markup: the first crashed, the second was swallowed."""
    shown = deeptrace("classify", name, cwd=tmp_path)
    assert shown.returncode == 2
    assert f"error {name}: no such file or folder" in shown.stderr


def test_an_error_that_is_none_of_ours_is_one_line(tmp_path):
    """Exit 70 with the kind of error and the file; the traceback only on request."""
    (tmp_path / "taken").write_text("a file")
    arguments = ("classify", str(tmp_path / "taken"), "--overlay", "taken/out")
    shown = deeptrace(*arguments, cwd=tmp_path)
    assert shown.returncode == 70
    assert shown.stderr.splitlines() == ["error NotADirectoryError: taken/out: Not a directory"]
    debugged = deeptrace("--debug", *arguments, cwd=tmp_path)
    assert debugged.returncode != 0
    assert "Traceback" in debugged.stderr


def test_classify_says_which_file_does_not_exist(tmp_path):
    """A usage error, not a stack trace."""
    shown = deeptrace("classify", "nowhere.png", cwd=tmp_path)
    assert shown.returncode == 2
    assert "nowhere.png" in shown.stderr


async def test_an_operators_round(world):
    """doctor, publish, worker, watch, dlq list, dlq show: each step's JSON fits the next."""
    (world.folder / "pictures").mkdir()
    (world.folder / "pictures" / "one.png").write_bytes(picture(1))
    doctor = await asyncio.to_thread(world.run, "doctor", "--json")
    assert {row["check"]: row["ok"] for row in map(json.loads, doctor.stdout.splitlines())} == dict.fromkeys(
        (
            *("python", "extensions", "codecs", "decoders", "device", "release", "checkpoint", "certificates"),
            *("broker", "topics", "rights", "store", "outcomes"),
        ),
        True,
    )
    published = await asyncio.to_thread(world.run, "publish", "pictures", "--tenant", "acme", "--json")
    [ref] = map(json.loads, published.stdout.splitlines())
    again = await asyncio.to_thread(world.run, "publish", f"s3://{ref['object']['bucket']}/uploads/", "--json")
    assert json.loads(again.stdout)["object"]["key"] == ref["object"]["key"]
    await world.publish([(b"garbage", ce("bad")), native("gone", "no-such-object")])
    world.worker(DEEPTRACE_PIPELINE__RETRY_FIRST_S="0.02")
    await world.wait_for_outcomes(4, timeout_s=60)
    watched = await asyncio.to_thread(world.run, "watch", "--from-beginning", "--limit", "4", "--json")
    rows = [json.loads(line) for line in watched.stdout.splitlines()]
    assert {row["value"]["tenant"] for row in rows if "value" in row} == {"acme", "default"}
    listed = await asyncio.to_thread(world.run, "dlq", "list", "--code", "message_not_json", "--json")
    [letter] = map(json.loads, listed.stdout.splitlines())
    shown = await asyncio.to_thread(world.run, "dlq", "show", letter["letter"], "--json")
    assert json.loads(shown.stdout)["value"] == "garbage"
    missing = await asyncio.to_thread(world.run, "dlq", "show", "0:999999")
    assert missing.returncode == 3


def test_topics_and_buckets_are_made_once(world):
    """A second apply and init change nothing."""
    planned = [json.loads(line) for line in world.run("topics", "plan", "--json").stdout.splitlines()]
    assert {row["action"] for row in planned} == {"none"}
    first, second = (world.run("storage", "init", "--json").stdout.splitlines() for _ in range(2))
    assert {row["bucket"]: row["created"] for row in map(json.loads, first)}["deeptrace-models"] is True
    assert {row["created"] for row in map(json.loads, second)} == {False}
