"""What a day may cost."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from streams.narrator.budget import DailyBudget, Reservation

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Now:
    """A clock that stands."""

    def __init__(self, at=NOON):
        self.at = at

    def __call__(self):
        return self.at


@pytest.fixture
def now():
    return Now()


def test_no_more_than_the_budget_is_set_aside(tmp_path, now):
    """What does not fit is refused; what is smaller may still fit."""
    budget = DailyBudget(tmp_path, 1000, now=now)
    assert budget.reserve(700) == Reservation(NOON.date(), 700)
    assert budget.reserve(301) is None
    assert budget.reserve(300) is not None
    assert budget.left() == 0


def test_what_was_not_used_comes_back(tmp_path, now):
    """And what was used beyond the reservation is counted as well."""
    budget = DailyBudget(tmp_path, 1000, now=now)
    budget.settle(budget.reserve(700), 100)
    assert budget.left() == 900
    budget.settle(budget.reserve(100), 250)
    assert budget.left() == 650


def test_it_survives_the_process(tmp_path, now):
    """A reservation that nobody settled counts as spent."""
    DailyBudget(tmp_path, 1000, now=now).reserve(600)
    again = DailyBudget(tmp_path, 1000, now=now)
    assert (again.left(), again.reserve(600)) == (400, None)


def test_a_new_utc_day_begins_at_nothing(tmp_path, now):
    """Midnight is that of UTC, whatever zone the clock speaks of; a reservation of yesterday takes nothing from today."""
    budget = DailyBudget(tmp_path, 1000, now=now)
    old = budget.reserve(1000)
    now.at = datetime(2026, 11, 25, 0, 30, tzinfo=timezone(timedelta(hours=1)))  # 23:30 UTC
    assert budget.left() == 0
    now.at = datetime(2026, 11, 25, 0, 0, tzinfo=UTC)
    assert budget.left() == 1000
    budget.reserve(100)
    budget.settle(old, 0)
    assert budget.left() == 900


def test_a_clock_that_goes_back_brings_no_tokens(tmp_path, now):
    """Else setting the clock to and fro around midnight would pay for any number of requests."""
    budget = DailyBudget(tmp_path, 1000, now=now)
    now.at = NOON + timedelta(days=1)
    budget.reserve(900)
    now.at = NOON
    assert budget.reserve(200) is None


def test_a_file_of_a_day_to_come_is_refused(tmp_path, now):
    """It would hold the narrator for as long as the clock had been ahead."""
    DailyBudget(tmp_path, 1000, now=Now(NOON + timedelta(days=300)))
    with pytest.raises(ConfigError, match="is of 2027-09-20, a day to come"):
        DailyBudget(tmp_path, 1000, now=now)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"day": "2026-11-24"}', '{"day": "2026-11-24", "tokens": -5}'])
def test_a_damaged_file_is_refused(tmp_path, now, content):
    """Taking it for nothing spent could spend the budget twice."""
    (tmp_path / "budget.json").write_text(content)
    with pytest.raises(ConfigError) as caught:
        DailyBudget(tmp_path, 1000, now=now)
    assert "remove a file that is damaged" in caught.value.remedy


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, now):
    """With the name of the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        DailyBudget(tmp_path / "file" / "state", 1000, now=now)
    assert "DEEPTRACE_NARRATOR__STATE_DIR" in caught.value.remedy


def test_a_disk_that_takes_nothing_raises_before_anything_is_spent(tmp_path, now):
    """The caller skips the verdict; the count stays."""
    budget = DailyBudget(tmp_path, 1000, now=now)
    (tmp_path / "budget.json.new").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        budget.reserve(10)
    (tmp_path / "budget.json.new").rmdir()
    assert budget.left() == 1000


def test_narrators_that_share_a_folder_share_the_budget(tmp_path, now):
    """Threads with a client each set aside exactly the budget, together."""
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: DailyBudget(tmp_path, 1000, now=now).reserve(30), range(60)))
    assert sum(reserved is not None for reserved in got) == 33
    assert json.loads((tmp_path / "budget.json").read_text()) == {"day": "2026-11-24", "tokens": 990}


def test_a_process_that_dies_with_the_lock_lets_go_of_it(tmp_path):
    """The kernel holds the lock, not a file that is left over."""
    code = f"""
import os, fcntl
from pathlib import Path
from streams.narrator.budget import DailyBudget
budget = DailyBudget(Path({str(tmp_path)!r}), 1000)
budget.reserve(400)
with budget._locked():
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 9
    assert DailyBudget(tmp_path, 1000).left() == 600


@settings(deadline=None, max_examples=50)  # each step waits for the disk
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 400)), max_size=12))
def test_spent_never_exceeds_the_budget(tmp_path_factory, calls):
    """Property: as long as requests cost no more than was set aside for them, their sum stays within the budget."""
    budget = DailyBudget(tmp_path_factory.mktemp("budget"), 1000, now=Now())
    total = 0
    for most, used in calls:
        if (reserved := budget.reserve(most)) is not None:
            total += min(used, most)
            budget.settle(reserved, min(used, most))
    assert total <= 1000
    assert budget.left() == 1000 - total
