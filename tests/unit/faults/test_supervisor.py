"""A worker slot of the fault harness: what ends is started again, and each life is on record."""

import signal
import sys
import threading
import time

import pytest
from faults.harness.supervisor import Slot, parse_counters

DIES_TWICE = (
    "import os, sys, time; life = int(os.environ['LIFE']); time.sleep(600) if life > 1 else sys.exit(70 + life)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def start(tmp_path):
    """Start a slot whose process runs this code; the life's number is in its environment."""
    slots = []

    def started(code, **more):
        slot = Slot(
            "slot-0",
            [sys.executable, "-c", code],
            lambda life: {"LIFE": str(life)},
            folder=tmp_path,
            log=tmp_path / "slot.log",
            **more,
        )
        slots.append(slot)
        slot.start()
        return slot

    yield started
    for slot in slots:
        slot.retire(by=signal.SIGKILL)


def until(condition):
    ends_at = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_what_ends_is_started_again_and_its_exit_code_is_kept(start):
    """70, then 71, then it lives; each life was told its number."""
    ended = []
    slot = start(DIES_TWICE, on_end=lambda _slot, life: ended.append(life.exit_code))
    until(lambda: len(slot.lives) == 3 and slot.is_running)
    assert [life.exit_code for life in slot.lives] == [70, 71, None]
    assert ended == [70, 71]
    assert [life.told for life in slot.lives] == [False, False, False]


def test_a_killed_process_ends_with_the_number_of_its_signal(start):
    """And is started again, since nobody retired the slot."""
    slot = start("import time; time.sleep(600)")
    until(lambda: slot.is_running)
    slot.send(signal.SIGKILL)
    until(lambda: len(slot.lives) == 2)
    assert (slot.lives[0].exit_code, slot.lives[0].told) == (signal.SIGKILL, True)


def test_a_retired_slot_starts_nothing(start):
    """Not even when its process was frozen."""
    slot = start("import time; time.sleep(600)")
    until(lambda: slot.is_running)
    slot.send(signal.SIGSTOP)
    slot.retire()
    assert not slot.is_running
    assert [life.exit_code for life in slot.lives] == [signal.SIGTERM]


def test_who_does_not_end_is_ended(start, tmp_path):
    """By force, when its time is up; the exit code shows it."""
    slot = start(STUBBORN)
    log = tmp_path / "slot.log"
    until(lambda: log.exists() and "up" in log.read_text())
    slot.retire(timeout_s=0.3)
    assert slot.lives[-1].exit_code == signal.SIGKILL


def test_nothing_of_a_slot_is_left(start):
    """Its thread ends with it."""
    slot = start("import time; time.sleep(600)")
    until(lambda: slot.is_running)
    slot.retire(by=signal.SIGKILL)
    assert "slot-0" not in {thread.name for thread in threading.enumerate()}


def test_counters_are_read_by_their_full_name():
    """Labels are part of it, comments are not."""
    text = '# HELP x y\nx_total{code="a b"} 3.0\ny 1e3\nbroken\n'
    assert parse_counters(text) == {'x_total{code="a b"}': 3.0, "y": 1000.0}
