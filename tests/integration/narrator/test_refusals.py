"""When the narrator does not start, and what `deeptrace doctor` says of it: no broker is needed to see that."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
from support.fake_claude import FakeClaude

pytestmark = pytest.mark.integration

KEY = "sk-canary-0123456789"


@pytest.fixture
async def fake():
    async with FakeClaude() as api:
        yield api


@pytest.fixture
def run(tmp_path, fake):
    """Run `deeptrace` with a key for the fake, and what else is set."""

    async def run(*arguments, **env):
        own = {"DEEPTRACE_NARRATOR__API_KEY": KEY, "DEEPTRACE_NARRATOR__BASE_URL": fake.url}
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "streams.cli", *arguments],
            env=os.environ | own | env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"DEEPTRACE_NARRATOR__API_KEY": ""}, "DEEPTRACE_NARRATOR__API_KEY is not set"),
        ({"DEEPTRACE_NARRATOR__API_KEY": "", "ANTHROPIC_API_KEY": KEY}, "ANTHROPIC_API_KEY is not read"),
        ({"DEEPTRACE_NARRATOR__BASE_URL": "http://gateway.example/claude"}, "must be https, unless it is on loopback"),
        ({"DEEPTRACE_NARRATOR__STATE_DIR": "/dev/null/state"}, "cannot be kept in"),
    ],
    ids=["no_key", "key_of_the_sdk", "plain_http", "no_folder"],
)
async def test_it_refuses_to_start_as_configured(run, fake, env, said):
    """With 78, what is wrong and what to do; the API is not even asked."""
    done = await run("narrate", **env)
    assert (done.returncode, done.stdout) == (78, "")
    assert said in done.stderr
    assert KEY not in done.stderr
    assert fake.requests == []


async def test_it_refuses_to_start_with_a_key_that_is_not_accepted(run, fake, tmp_path):
    """The key comes from a file here, as in a container; neither debug logs nor the error show it."""
    fake.model_status = 401
    (tmp_path / "key").write_text(f"{KEY}\n")
    env = {"DEEPTRACE_NARRATOR__API_KEY_FILE": str(tmp_path / "key"), "DEEPTRACE_LOG__LEVEL": "debug"}
    done = await run("narrate", **env)
    assert done.returncode == 78
    assert "the Claude API does not accept our key" in done.stderr
    assert KEY not in done.stderr


async def test_doctor_asks_the_api_where_there_is_a_key(run, fake):
    """It says which model and how much a day, and what is wrong with the key; the key itself it does not say."""
    [row] = (await run("doctor", "--json", "--only", "narrator")).stdout.splitlines()
    found = json.loads(row)
    assert (found["check"], found["ok"]) == ("narrator", True)
    assert found["detail"] == f"claude-haiku-5-5 at {fake.url}, at most 200,000 tokens a day"
    fake.model_status = 403
    done = await run("doctor", "--json", "--only", "narrator")
    assert done.returncode == 3
    assert "does not accept our key" in done.stdout
    assert KEY not in done.stdout + done.stderr


async def test_settings_are_shown_without_the_key(run):
    """`config show` masks it."""
    done = await run("config", "show")
    assert done.returncode == 0
    assert "claude-haiku-5-5" in done.stdout
    assert KEY not in done.stdout + done.stderr
