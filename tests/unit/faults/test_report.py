"""The report of the fault harness says what the results say, and nothing of what was not run."""

import json
from dataclasses import asdict

import pytest
from faults.cases.registry import CASES
from faults.harness.case import Case
from faults.harness.result import Claim, Result
from faults.report import report

FIGURES = {
    "references": 3000,
    "lost": 0,
    "lost_good": 0,
    "both": 0,
    "not_identical": 0,
    "repeats": 12,
    "wrong_verdicts": 0,
    "faults": {"kill": 14},
    "recoveries": [{"fault": "kill slot-0", "first_s": 0.1, "all_partitions_s": 4.25, "caught_up_s": 6.0}],
    "recovery_p50_s": 4.25,
    "recovery_max_s": 4.25,
    "silence_s": 3.5,
    "rss_max_mib": {"slot-0": 110, "slot-1": 120},
    "exit_codes": {"slot-0": [9, 0]},
}


async def nothing(_trial):
    """Do nothing."""


KILL = Case("kill_x", "kill -9 somewhere", nothing, naive=True)
PAUSE = Case("pause_x", "a pause", nothing)


def result(case="kill_x", design="deeptrace", *, holds=True, **figures):
    return Result(
        case,
        design,
        "kill -9 somewhere",
        "full",
        7,
        "abc1234567+0123456789",
        "2026-11-24T10:00:00+00:00",
        machine={"cores": 2, "cpu": "Some CPU", "memory_gib": 23.5, "kernel": "6.1", "python": "3.11.7"},
        figures=FIGURES | figures,
        claims=[Claim("nothing is lost", holds)],
    )


def row(text, case):
    [line] = [line for line in text.splitlines() if line.startswith(f"| `{case}`") and line.count("|") > 10]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_case_without_a_result_is_not_run(tmp_path):
    """Not a figure is claimed for it, for the naive design neither."""
    text = report(tmp_path, [KILL, PAUSE])
    assert row(text, "kill_x") == ["`kill_x`", "kill -9 somewhere", *["not run"] * 11]
    assert row(text, "pause_x")[-1] == "-"
    assert "Nothing was run." in text
    assert "3/N" not in text


def test_a_result_is_one_line_with_its_figures(tmp_path):
    """References, faults, what went wrong, replays, recovery, silence, memory, whether it passed, and the naive design beside it."""
    result().write(tmp_path)
    result(design="naive", references=600, lost=64, wrong_verdicts=3).write(tmp_path)
    text = report(tmp_path, [KILL, PAUSE])
    assert row(text, "kill_x")[2:] == [
        *("3,000", "14 kill", "0", "0", "0", "12", "4.2 / 4.2", "3.5", "120", "yes"),
        "64 of 600, 3 wrong",
    ]
    assert "with 95 % confidence fewer than 1.0e-03" in text
    assert "2 cores (Some CPU), 23.5 GiB, Linux 6.1, Python 3.11.7" in text
    assert "| a worker killed: seconds to outcomes in every partition | <= 10 | p50 4.2, max 4.2 (n=1) |" in text
    assert "| the broker restarted: the same | <= 30 | not run |" in text


def test_where_something_was_lost_no_bound_is_claimed(tmp_path):
    """It is named instead, in the head and in its line."""
    result(lost=2, holds=False).write(tmp_path)
    text = report(tmp_path, [KILL])
    assert "3/N" not in text
    assert "Lost 2," in text
    assert "did not pass: kill_x" in text
    assert row(text, "kill_x")[4] == "2"
    assert row(text, "kill_x")[-2] == "NO"


def test_a_case_that_broke_off_has_no_result(tmp_path):
    """Its line says so instead of showing zeros."""
    broken = result()
    broken.figures, broken.claims, broken.error = {}, [], "not done in time"
    broken.write(tmp_path)
    assert row(report(tmp_path, [KILL]), "kill_x")[-2] == "NO RESULT"


@pytest.mark.parametrize("spoil", ["{", json.dumps({"case": "kill_x"}), "[]"])
def test_a_file_that_is_no_result_is_not_run(tmp_path, spoil):
    """Half a file, or one of another release."""
    (tmp_path / "kill_x.json").write_text(spoil)
    assert row(report(tmp_path, [KILL]), "kill_x")[2] == "not run"


def test_fuzz_figures_are_shown_where_they_are(tmp_path):
    """As the fuzzer wrote them."""
    assert "Not run." in report(tmp_path, [KILL]).partition("## Fuzzing")[2]
    (tmp_path / "fuzz.json").write_text(json.dumps({"seed": 7, "references": {"records": 100000, "faults": []}}))
    text = report(tmp_path, [KILL]).partition("## Fuzzing")[2]
    assert "| references: records | 100000 |" in text
    assert "| references: faults | 0 |" in text


def test_a_result_survives_its_file(tmp_path):
    """What is read is what was written, and whether it passed follows from its claims."""
    written = result(holds=False)
    path = written.write(tmp_path)
    assert json.loads(path.read_text()) == json.loads(json.dumps(asdict(written))) | {"passed": False}


def test_every_case_has_a_name_of_its_own_and_a_limit():
    """Names are stable ids: 8 kill points and the rest of the matrix."""
    assert len(CASES) >= 30
    assert {name for name in CASES if name.startswith("kill_")} >= {
        "kill_before_fetch",
        "kill_after_commit",
        "kill_all",
    }
    assert all(0 < case.limit_s("fast") <= case.limit_s("full") for case in CASES.values())
