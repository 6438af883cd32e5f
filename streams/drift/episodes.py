"""When drift begins and when it is over: one alert an episode, however many windows it lasts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from schemas.identity import outcome_id
from schemas.window import Divergences
from streams.settings import DriftSettings

Event = Literal["raised", "resolved"]


@dataclass(frozen=True, slots=True)
class EpisodeRules:
    """An episode begins where the lower end of KL(current || reference) is over `threshold`.

    It is over after `clear_windows` windows in a row whose value is below `clear_ratio` of it: a window that hovers at the threshold then neither
    raises nor resolves anything. Windows of fewer than `min_images` decided images say nothing either way.
    """

    threshold: float
    clear_ratio: float
    clear_windows: int
    min_images: int

    @classmethod
    def of(cls, settings: DriftSettings) -> Self:
        """Return the rules of the settings."""
        return cls(settings.threshold, settings.clear_ratio, settings.clear_windows, settings.min_images)


@dataclass(frozen=True, slots=True)
class Episode:
    """Where one kind of window of one tenant stands. `episode_id` is that of the episode going on, or of the last one.

    `calm` counts the windows in a row below the level of clearing.
    """

    drifting: bool = False
    episode_id: str | None = None
    calm: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {"drifting": self.drifting, "episode_id": self.episode_id, "calm": self.calm}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Return the episode that `to_json` wrote.

        >>> Episode.from_json(Episode(True, "e-1", 2).to_json())
        Episode(drifting=True, episode_id='e-1', calm=2)
        """
        return cls(record["drifting"], record["episode_id"], record["calm"])


def advance(
    episode: Episode, divergences: Divergences | None, images: int, rules: EpisodeRules, *, window_id: str
) -> tuple[Episode, Event | None]:
    """Return where the next closed window leaves the episode, and what is to be told because of it.

    Windows come oldest first, each once. `images` are the decided ones; `divergences` is None where there is no reference. The id of an episode
    follows from the window that begins it, so whoever computes it again arrives at the same.
    """
    if divergences is None or images < rules.min_images:
        return episode, None
    kl = divergences.kl_current_reference_nats
    if not episode.drifting:
        if kl.low > rules.threshold:
            return Episode(True, outcome_id("drift-episode", window_id)), "raised"
        return episode, None
    if kl.value >= rules.clear_ratio * rules.threshold:
        return Episode(True, episode.episode_id), None
    if episode.calm + 1 < rules.clear_windows:
        return Episode(True, episode.episode_id, episode.calm + 1), None
    return Episode(False, episode.episode_id), "resolved"


def told(
    divergences: Divergences, episode: Episode, event: Event | None, images: int, rules: EpisodeRules
) -> Divergences:
    """Return the divergences with the state that `advance` came to; the id is there while it drifts, and in the window that resolves it."""
    state: Literal["steady", "drifting", "too_few"] = "drifting" if episode.drifting else "steady"
    if images < rules.min_images:
        state = "too_few"
    known = episode.episode_id if episode.drifting or event == "resolved" else None
    return divergences.model_copy(update={"state": state, "episode_id": known})
