"""One alert an episode: it begins above the threshold, ends well below it, and not before it stayed there."""

import json

import pytest

from schemas.window import Divergences, Estimate
from streams.drift.episodes import Episode, EpisodeRules, advance, told
from streams.settings import DriftSettings

RULES = EpisodeRules(threshold=0.25, clear_ratio=0.6, clear_windows=2, min_images=100)


def window(value: float, low: float | None = None) -> Divergences:
    """Divergences with this KL and lower end."""
    kl = Estimate(value=value, low=value if low is None else low, high=value + 0.1)
    other = Estimate(value=0, low=0, high=0)
    return Divergences(
        basis="raw", kl_current_reference_nats=kl, kl_reference_current_nats=other, js_distance=other, psi=other
    )


def run(windows: list[Divergences | None], images: int = 1000) -> list[str | None]:
    """The events of these windows, oldest first."""
    episode, events = Episode(), []
    for number, one in enumerate(windows):
        episode, event = advance(episode, one, images, RULES, window_id=f"w{number}")
        events.append(event)
    return events


def test_the_lower_end_must_pass() -> None:
    """A value above the threshold whose interval reaches below it raises nothing."""
    assert run([window(0.4, low=0.25), window(0.4, low=0.2501)]) == [None, "raised"]


def test_an_episode_is_told_once() -> None:
    """However long it lasts, there is one alert, and one word when it is over."""
    assert run([window(0.5)] * 3 + [window(0.1)] * 3) == ["raised", None, None, None, "resolved", None]


def test_hovering_at_the_threshold_ends_nothing() -> None:
    """Between 0.6 of the threshold and the threshold the episode goes on, and the count of calm windows begins anew."""
    assert run([window(0.5), window(0.1), window(0.16), window(0.1), window(0.14)]) == [
        "raised",
        None,
        None,
        None,
        "resolved",
    ]


def test_the_next_episode_has_another_id() -> None:
    """An id follows from the window that begins the episode."""
    episode, ids = Episode(), []
    for number, one in enumerate([window(0.5), window(0.1), window(0.1), window(0.5)]):
        episode, event = advance(episode, one, 1000, RULES, window_id=f"w{number}")
        if event:
            ids.append(episode.episode_id)
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == advance(Episode(), window(0.5), 1000, RULES, window_id="w0")[0].episode_id


@pytest.mark.parametrize("seen", [window(0.5), window(0.0)])
def test_few_images_say_nothing(seen) -> None:
    """A small window neither begins an episode nor brings its end nearer."""
    drifting = Episode(drifting=True, episode_id="e", calm=1)
    assert advance(Episode(), seen, 99, RULES, window_id="w") == (Episode(), None)
    assert advance(drifting, seen, 99, RULES, window_id="w") == (drifting, None)


def test_without_a_reference_nothing_happens() -> None:
    """No divergences, no change."""
    drifting = Episode(drifting=True, episode_id="e")
    assert advance(drifting, None, 1000, RULES, window_id="w") == (drifting, None)


def test_it_survives_a_restart() -> None:
    """Through JSON and back it is the same."""
    episode = Episode(drifting=True, episode_id="e", calm=1)
    assert Episode.from_json(json.loads(json.dumps(episode.to_json()))) == episode


def test_the_summary_carries_state_and_id() -> None:
    """The id is there while it drifts and in the window that resolves it; a small window says that it is small."""
    drifting, over = Episode(drifting=True, episode_id="e"), Episode(drifting=False, episode_id="e")
    said = [
        told(window(0.5), drifting, "raised", 1000, RULES),
        told(window(0.1), over, "resolved", 1000, RULES),
        told(window(0.1), over, None, 1000, RULES),
        told(window(0.5), drifting, None, 50, RULES),
    ]
    assert [(one.state, one.episode_id) for one in said] == [
        ("drifting", "e"),
        ("steady", "e"),
        ("steady", None),
        ("too_few", "e"),
    ]


def test_the_rules_are_the_settings() -> None:
    """Defaults: raised above 0.25 nats, over after three windows below 0.15."""
    assert EpisodeRules.of(DriftSettings()) == EpisodeRules(0.25, 0.6, 3, 100)
