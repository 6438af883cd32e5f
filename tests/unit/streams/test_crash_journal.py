"""The journal of what was in flight: exact after a kill at any moment, whatever the file looks like then."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigError
from streams import crash_journal
from streams.crash_journal import CrashJournal

A, B, C = (letter * 40 for letter in "abc")
IDS = st.sampled_from((A, B, C, "d" * 40))


def killed(folder: Path, into: Path) -> CrashJournal:
    """Return the journal that the next life opens when this process is killed now: what is in the file is all there is."""
    shutil.copytree(folder, into, ignore=lambda _folder, names: [name for name in names if name.endswith(".lock")])
    return CrashJournal(into, "slot")


def test_what_was_in_flight_at_a_kill_is_counted(tmp_path):
    """Begun and not ended: one crash; ended: none."""
    first = CrashJournal(tmp_path / "1", "slot")
    first.begin(A)
    first.begin(B)
    first.end(B)
    second = killed(tmp_path / "1", tmp_path / "2")
    assert (second.crashes(A), second.crashes(B)) == (1, 0)
    second.begin(A)
    third = killed(tmp_path / "2", tmp_path / "3")
    assert third.crashes(A) == 2
    for journal in (first, second, third):
        journal.close(orderly=True)


def test_crashes_stay_counted_while_the_reference_is_not_touched(tmp_path):
    """A death before the suspect's turn has come neither adds to its count nor forgets it."""
    first = CrashJournal(tmp_path / "1", "slot")
    first.begin(A)
    second = killed(tmp_path / "1", tmp_path / "2")
    third = killed(tmp_path / "2", tmp_path / "3")
    assert third.crashes(A) == 1
    for journal in (first, second, third):
        journal.close(orderly=True)


def test_one_that_ended_well_is_cleared(tmp_path):
    """Its earlier crashes were its neighbours' fault."""
    first = CrashJournal(tmp_path / "1", "slot")
    first.begin(A)
    second = killed(tmp_path / "1", tmp_path / "2")
    second.begin(A)
    second.end(A)
    assert second.crashes(A) == 0
    third = killed(tmp_path / "2", tmp_path / "3")
    assert third.crashes(A) == 0
    for journal in (first, second, third):
        journal.close(orderly=True)


def test_one_that_is_let_go_keeps_its_count(tmp_path):
    """A rebalance takes it away unjudged: that clears nobody, and is no crash."""
    first = CrashJournal(tmp_path / "1", "slot")
    first.begin(A)
    second = killed(tmp_path / "1", tmp_path / "2")
    second.begin(A)
    second.end(A, cleared=False)
    assert second.crashes(A) == 1
    third = killed(tmp_path / "2", tmp_path / "3")
    assert third.crashes(A) == 1
    for journal in (first, second, third):
        journal.close(orderly=True)


def test_an_orderly_stop_leaves_no_suspects(tmp_path):
    """What the drain time cut off was not what ended the worker."""
    first = CrashJournal(tmp_path, "slot")
    first.begin(A)
    first.close(orderly=True)
    second = CrashJournal(tmp_path, "slot")
    assert second.crashes(A) == 0
    second.close(orderly=True)


def test_a_failure_leaves_its_suspects(tmp_path):
    """A worker that ends itself because nothing moves was stopped by something in flight."""
    first = CrashJournal(tmp_path, "slot")
    first.begin(A)
    first.close(orderly=False)
    first.end(A)  # cancelled after the journal was closed: says nothing any more
    second = CrashJournal(tmp_path, "slot")
    assert second.crashes(A) == 1
    second.close(orderly=True)


@pytest.mark.parametrize("cut", range(1, 43))
def test_a_torn_last_line_says_nothing(tmp_path, cut):
    """A machine that lost power leaves half a line: the lines before it count, and the next life writes on a line of its own."""
    first = CrashJournal(tmp_path / "1", "slot")
    first.begin(A)
    first.begin(B)
    file = tmp_path / "1" / "slot.journal"
    file.write_bytes(file.read_bytes()[:-cut])
    second = killed(tmp_path / "1", tmp_path / "2")
    assert (second.crashes(A), second.crashes(B)) == (
        1,
        int(cut == 1),
    )  # only the line's end was lost: the line is whole
    second.begin(C)
    third = killed(tmp_path / "2", tmp_path / "3")
    assert third.crashes(C) == 1
    for journal in (first, second, third):
        journal.close(orderly=True)


def test_rubbish_in_the_file_is_passed_over(tmp_path):
    """Blocks of zeros after a power loss, foreign lines, ids of the wrong length."""
    (tmp_path / "slot.journal").write_bytes(
        b"\0" * 512
        + b"\n+"
        + A.encode()
        + b"\n=99999 "
        + B.encode()
        + b"\n+abc\nhello\n\xff\n+"
        + C.encode()
        + b"+"
        + B.encode()
        + b"\n"
    )
    journal = CrashJournal(tmp_path, "slot")
    assert (journal.crashes(A), journal.crashes(B), journal.crashes(C)) == (1, 0, 0)
    journal.close(orderly=True)


def test_a_file_that_grows_is_rewritten_and_says_the_same(tmp_path):
    """A worker may live for years: what is over is dropped from the file, what is in flight and what is counted stay."""
    first = CrashJournal(tmp_path / "1", "slot")
    first.begin(A)
    second = killed(tmp_path / "1", tmp_path / "2")
    second.begin(B)
    rounds = crash_journal.REWRITE_BYTES // (2 * 42) + 100
    for n in range(rounds):
        second.begin(f"{n:040x}")
        second.end(f"{n:040x}")
    assert (tmp_path / "2" / "slot.journal").stat().st_size < crash_journal.REWRITE_BYTES // 10
    third = killed(tmp_path / "2", tmp_path / "3")
    assert (third.crashes(A), third.crashes(B), third.crashes(f"{5:040x}")) == (1, 1, 0)
    for journal in (first, second, third):
        journal.close(orderly=True)


def test_a_second_worker_of_the_same_name_gets_a_file_of_its_own(tmp_path):
    """Two workers in one folder must not count each other's references as theirs; a freed file is taken again."""
    first, second = CrashJournal(tmp_path, "slot"), CrashJournal(tmp_path, "slot")
    first.begin(A)
    second.begin(B)
    assert {path.name for path in tmp_path.glob("*.journal")} == {"slot.journal", "slot-2.journal"}
    first.close(orderly=False)
    third = CrashJournal(tmp_path, "slot")
    assert (third.crashes(A), third.crashes(B)) == (1, 0)
    second.close(orderly=True)
    third.close(orderly=True)


def test_a_name_cannot_leave_the_folder(tmp_path):
    """Instance ids come from whoever deploys."""
    journal = CrashJournal(tmp_path / "in", "../../etc/slot")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    journal.close(orderly=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    """The worker says so at its start, with the setting to change."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="crash journal") as caught:
        CrashJournal(tmp_path / "file" / "journal", "slot")
    assert "DEEPTRACE_PIPELINE__JOURNAL_DIR" in caught.value.remedy


def test_a_full_disk_does_not_stop_the_work(tmp_path):
    """The journal guards against crash loops; the outcomes do not rest on it, so losing it may not lose the worker."""
    journal = CrashJournal(tmp_path, "slot")
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._file)
    os.close(full)
    journal.begin(A)
    journal.end(A)
    journal.begin(B)
    assert (tmp_path / "slot.journal").read_bytes() == b""
    journal._refused_at -= crash_journal.FULL_DISK_S  # a second later there is room again
    journal.begin(C)
    journal.close(orderly=False)
    lines = (tmp_path / "slot.journal").read_text().splitlines()
    assert sorted(lines) == [f"+{B}", f"+{C}"]


def test_a_real_kill_leaves_the_journal_and_frees_its_lock(tmp_path):
    """SIGKILL between a begin and its end, in a real process."""
    script = (
        "import os, signal, sys; from pathlib import Path; from streams.crash_journal import CrashJournal\n"
        f"journal = CrashJournal(Path(sys.argv[1]), 'slot'); journal.begin({A!r}); journal.begin({B!r}); journal.end({B!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    for life in (1, 2, 3):
        assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == -signal.SIGKILL
        journal = CrashJournal(tmp_path, "slot")
        assert (journal.crashes(A), journal.crashes(B)) == (life, 0)
        journal.close(orderly=False)
    assert [path.name for path in tmp_path.glob("*.journal")] == ["slot.journal"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), IDS),
        st.tuples(st.just("end"), IDS),
        st.tuples(st.just("let go"), IDS),
        st.tuples(st.sampled_from(("kill", "torn kill", "rewrite", "stop", "fail")), st.just("")),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_the_counts_are_those_of_a_plain_model(tmp_path_factory, steps):
    """Property: random begins, ends, kills (also in the middle of a line), rewrites and stops, against two dictionaries."""
    folder = tmp_path_factory.mktemp("journal")
    journal, life, opened = CrashJournal(folder / "0", "slot"), 0, []
    counts: dict[str, int] = {}
    in_flight: set[str] = set()
    for step, which in steps:
        if step == "begin":
            journal.begin(which)
            in_flight.add(which)
        elif step == "end":
            journal.end(which)
            in_flight.discard(which)
            counts.pop(which, None)
        elif step == "let go":
            journal.end(which, cleared=False)
            in_flight.discard(which)
        elif step == "rewrite":
            journal._written = crash_journal.REWRITE_BYTES  # the next line makes it shorter
        elif step in {"stop", "fail"}:
            journal.close(orderly=step == "stop")
            journal = CrashJournal(folder / str(life), "slot")
            counts = crashed(counts, in_flight if step == "fail" else set())
            in_flight = set()
        else:
            if step == "torn kill":
                with (folder / str(life) / "slot.journal").open("ab") as file:
                    file.write(b"+" + A.encode()[:20])
            opened.append(journal)
            life += 1
            journal = killed(folder / str(life - 1), folder / str(life))
            counts = crashed(counts, in_flight)
            in_flight = set()
        assert {which: journal.crashes(which) for which in (A, B, C, "d" * 40)} == {
            which: counts.get(which, 0) for which in (A, B, C, "d" * 40)
        }
    for each in (*opened, journal):
        each.close(orderly=True)
    text = (folder / str(life) / "slot.journal").read_bytes()
    assert re.fullmatch(rb"(=\d+ [0-9a-f]{40}\n)*", text), "an orderly stop leaves counts and nothing else"


def crashed(counts, in_flight):
    return {which: counts.get(which, 0) + (which in in_flight) for which in {*counts, *in_flight}}
