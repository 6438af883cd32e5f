"""What Slack shows of an alert."""

from datetime import UTC, datetime

import pytest

from schemas.errors import MessageInvalid
from schemas.window import DriftAlert, GeneratorCandidate, StoredObject
from streams.drift.notices.wording import Notice, digest, notice_of

AT = datetime(2026, 11, 25, 10, tzinfo=UTC)


def alert(**fields) -> bytes:
    return DriftAlert(
        **{
            "alert_id": "a1",
            "window_id": "w1",
            "tenant": "acme",
            "window": "1h",
            "start": AT,
            "end": AT,
            "images": 12345,
            "episode_id": "e1",
            "basis": "corrected",
            "value": 0.4121,
            "low": 0.31,
            "high": 0.53,
            "threshold": 0.25,
            "most_grown": "flux",
            "most_shrunk": "real",
            "shares": {"flux": 0.14, "real": 0.84},
            "reference": {"flux": 0.012, "real": 0.97},
            **fields,
        }
    ).to_bytes()


def candidate(**fields) -> bytes:
    return GeneratorCandidate(
        **{
            "candidate_id": "c1",
            "window_id": "w1",
            "tenant": "acme",
            "start": AT,
            "end": AT,
            "window": "1h",
            "images": 37,
            "rejected": 210,
            "cohesion": 0.934,
            "nearest_class": "flux",
            "exemplars": (StoredObject(bucket="b", key="holiday-of-jane.jpg"),),
            "model_version": "m1",
            **fields,
        }
    ).to_bytes()


def test_a_raised_alert():
    """Whose, when, how much with its interval, what moved, and where the report lies."""
    notice = notice_of(alert(report=StoredObject(bucket="deeptrace-drift", key="reports/acme/w1.html")))
    assert notice.id == "a1"
    assert notice.text.splitlines() == [
        (
            "*Drift* of tenant `acme`, window `1h` to 2026-11-25 10:00Z: "
            "KL(current || reference) 0.412 nats (0.310 to 0.530) on corrected shares, over 0.25"
        ),
        "`flux` grew from 1.2% to 14.0%, `real` shrank from 97.0% to 84.0%",
        "12,345 images; window `w1`, episode `e1`",
        "report `deeptrace-drift/reports/acme/w1.html`",
    ]
    assert notice.line == notice.text.splitlines()[0]


def test_the_end_of_an_episode():
    """Nothing grew or shrank."""
    lines = notice_of(alert(state="resolved", value=0.02, low=0.01, high=0.03)).text.splitlines()
    assert lines[0].startswith("*Drift is over* of tenant `acme`")
    assert lines[0].endswith("0.020 nats (0.010 to 0.030) on corrected shares, under 0.25")
    assert len(lines) == 2


def test_a_slow_change_of_confidence():
    """The detector's sum is no divergence, so it is not called one."""
    text = notice_of(alert(statistic="page_hinkley_confidence", value=61.2, threshold=50)).text
    assert text.startswith(
        "*Confidence changes slowly* of tenant `acme`, window `1h` to 2026-11-25 10:00Z: 61.2, over 50"
    )
    assert "KL" not in text


def test_a_candidate_tells_no_object_key():
    """A key may be a person's name, and Slack is another house."""
    notice = notice_of(candidate())
    assert notice.id == "c1"
    assert notice.text.splitlines() == [
        (
            "*Perhaps a new generator* of tenant `acme`, window `1h` to 2026-11-25 10:00Z: "
            "37 of 210 rejected images are alike (cohesion 0.93), nearest to `flux`"
        ),
        "candidate `c1`, with 1 examples on the topic `deeptrace.drift-alerts.v1`",
    ]


def test_all_tenants_are_called_so():
    """A star would be nobody's name."""
    assert notice_of(alert(tenant="*")).text.startswith("*Drift* over all tenants, ")


@pytest.mark.parametrize(
    ("name", "shown"),
    [("<!channel>", "`&lt;!channel&gt;`"), ("a`b\nc", "`a?b?c`"), ("a&b", "`a&amp;b`"), ("x" * 100, f"`{'x' * 79}…`")],
)
def test_a_name_cannot_speak_for_itself(name, shown):
    """No mention of the channel, no line of its own, no end of the code it stands in."""
    assert f"{shown} grew" in notice_of(alert(most_grown=name)).text


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"{}", b'{"schema": "deeptrace.drift-alert/1"}', b'{"schema": "other/1"}']
)
def test_what_is_no_alert_is_refused(value):
    """Broken, of another kind, or not whole."""
    with pytest.raises(MessageInvalid):
        notice_of(value)


def test_a_digest_names_the_first_and_counts_the_rest():
    """Five lines, and how many more."""
    lines = digest([Notice(str(n), f"text {n}", f"line {n}") for n in range(8)]).splitlines()
    assert lines[:2] == ["*8 drift notices*", "• line 0"]
    assert lines[5:] == ["• line 4", "and 3 more, on the topic `deeptrace.drift-alerts.v1`"]
