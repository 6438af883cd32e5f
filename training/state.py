"""The state of a training that may be killed at any moment: one safetensors file, replaced at once, never a pickle.

It holds the weights that learn, their average, the best average so far and the optimiser's moments; its metadata hold the rest as JSON.
Random draws are not in it: they depend on the seed, the epoch and the image only.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import AdamW

from schemas.errors import UsageError

_METADATA_KEY: Final = "deeptrace-training"
_MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")


@dataclass(slots=True)
class Place:
    """How far a training has come, and what it has seen on the way."""

    phase: int = 0
    epoch: int = 0  # of the phase
    batch: int = 0  # of the epoch, the next to be learnt from
    step: int = 0  # of the whole training, batches learnt from
    loss_sum: float = 0.0  # of the epoch so far
    seconds: float = 0.0  # that the epoch took so far
    best_loss: float | None = None  # of validation
    epochs_without_gain: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def next_phase(self) -> None:
        """Begin the next phase; it must better what the phases before it reached, or is left behind."""
        self.phase, self.epoch, self.epochs_without_gain = self.phase + 1, 0, 0

    def next_epoch(self) -> None:
        """Begin the next epoch of the phase."""
        self.epoch, self.batch, self.loss_sum, self.seconds = self.epoch + 1, 0, 0.0, 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What a state file holds; `tensors` by part: `network`, `average`, `best`, `step`, `exp_avg`, `exp_avg_sq`."""

    place: Place
    tensors: Mapping[str, dict[str, Tensor]]


def write_state(path: Path, fingerprint: str, place: Place, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write the state. A reader sees the old file or the new one whole, also after the power went."""
    flat = {f"{part}|{name}": value for part, values in parts.items() for name, value in values.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in flat.items()}
    metadata = {_METADATA_KEY: json.dumps({"fingerprint": fingerprint, "place": asdict(place)})}
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.partial")
    safetensors.torch.save_file(tensors, scratch, metadata=metadata)
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    scratch.replace(path)


def read_state(path: Path, fingerprint: str) -> State | None:
    """Return the state to go on from, or None where there is none.

    Raises `UsageError` for the state of another training: other knobs, other images, another start. Going on from it would give a
    checkpoint that nothing describes.
    """
    if not path.is_file():
        return None
    remedy = "Train with `--fresh` to start anew, or give another `--out`."
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_METADATA_KEY])
            if about["fingerprint"] != fingerprint:
                raise UsageError(
                    f"the stopped training in {path.parent} is another one",
                    why="its knobs, its images or its start differ from what was asked for now",
                    remedy=remedy,
                )
            parts: dict[str, dict[str, Tensor]] = {}
            for key in file.keys():  # noqa: SIM118 - no mapping
                part, name = key.split("|", 1)
                parts.setdefault(part, {})[name] = file.get_tensor(key)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UsageError(
            f"{path} is no state of a training", why=f"{type(error).__name__}: {error}", remedy=remedy
        ) from error
    return State(Place(**about["place"]), parts)


def moments(optimiser: AdamW, named: list[tuple[str, nn.Parameter]]) -> dict[str, dict[str, Tensor]]:
    """Return the optimiser's memory by moment and parameter."""
    return {
        moment: {name: optimiser.state[value][moment] for name, value in named if value in optimiser.state}
        for moment in _MOMENTS
    }


def restore_moments(
    optimiser: AdamW, named: list[tuple[str, nn.Parameter]], parts: Mapping[str, dict[str, Tensor]]
) -> None:
    """Give the optimiser its memory back, laid out as its own: sums over another layout in memory may round differently."""
    for name, value in named:
        if name not in parts.get("step", {}):
            continue
        own = {moment: torch.empty_like(value).copy_(parts[moment][name]) for moment in _MOMENTS[1:]}
        optimiser.state[value] = {"step": parts["step"][name].clone(), **own}
