"""Which parts of the picture the whole ensemble rests on: LIME (Ribeiro et al. 2016) over superpixels, through captum.

The superpixels (SLIC) are cut on the thumb, so that they cover the whole picture, and are carried from there to the crops and to the
view: a part that is left out is left out wherever a branch would see it, and takes the blurred content that `model.faithfulness`
takes. A ridge regression over random halves of the parts, weighed by how much of the picture they leave, says what each part adds to
the target's probability. Fixed number of samples, not a time budget: the same picture always gets the same map.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.pixels import Pixels
from schemas.errors import UsageError

SAMPLES: Final = 96
PARTS: Final = 40
_COMPACTNESS: Final = 20.0
_SMOOTHING_PX: Final = 2.0  # or noise makes fragments, which SLIC adds to whatever lies beside them
_AT_ONCE: Final = 16  # samples a batch; with five crops each that is 80 crops
_KERNEL_WIDTH: Final = 0.25  # LIME's own for pictures
_RIDGE: Final = 1.0

Labels = npt.NDArray[np.intp]
Probability = Callable[[Tensor], Tensor]
"""Kept parts [b, parts] (bool) -> probability of the target [b]."""


@dataclass(frozen=True, slots=True)
class Superpixels:
    """One picture cut in parts: the part of each pixel of the thumb, of every crop and of the view."""

    count: int
    thumb: Labels  # [h, w]
    crops: Labels  # [k, 224, 224]
    view: Labels  # [224, 224]


@dataclass(frozen=True, slots=True)
class LimeFit:
    """What each part adds to the probability, and how much of the variation that explains (R squared, at most 1)."""

    weights: npt.NDArray[np.float64]  # [parts]
    r_squared: float
    samples: int


def superpixels(pixels: Pixels, *, parts: int = PARTS) -> Superpixels:
    """Cut the thumb in about `parts` parts of like colour. Raises `UsageError` where the extra `lime` is not installed."""
    try:
        from skimage.segmentation import slic
    except ImportError as error:
        raise _not_installed(error) from error
    raw = slic(pixels.thumb, n_segments=parts, compactness=_COMPACTNESS, sigma=_SMOOTHING_PX, start_label=0)
    found, flat = np.unique(raw, return_inverse=True)
    thumb = flat.reshape(raw.shape).astype(np.intp)
    side = pixels.view.shape[0]
    rows, columns = _to_thumb(np.arange(side), side, thumb.shape[0]), _to_thumb(np.arange(side), side, thumb.shape[1])
    return Superpixels(
        count=len(found),
        thumb=thumb,
        crops=np.stack([_crop_labels(thumb, pixels, box) for box in pixels.boxes.tolist()]),
        view=thumb[np.ix_(rows, columns)],
    )


def fit(probability: Probability, parts: int, *, seed: bytes, samples: int = SAMPLES) -> LimeFit:
    """Fit LIME over `parts` parts; equal seeds draw equal samples, and torch's global generator is left alone.

    Raises `UsageError` where the extra `lime` is not installed.
    """
    try:
        from captum._utils.models.linear_model import SkLearnRidge
        from captum.attr import Lime
        from captum.attr._core.lime import get_exp_kernel_similarity_function
    except ImportError as error:
        raise _not_installed(error) from error
    seen: list[tuple[Tensor, Tensor]] = []

    def forward(kept: Tensor) -> Tensor:
        answers = probability(kept > 0).double().cpu()
        seen.append((kept.double().cpu(), answers))
        return answers

    model = SkLearnRidge(alpha=_RIDGE)
    lime = Lime(
        forward,
        interpretable_model=model,
        similarity_func=get_exp_kernel_similarity_function("cosine", _KERNEL_WIDTH),
        perturb_func=_draws(parts, seed),
    )
    with torch.random.fork_rng(devices=[]):  # captum's data loader draws a seed that it has no use for
        weights = lime.attribute(
            torch.ones(1, parts),
            baselines=0,
            feature_mask=torch.arange(parts)[None],
            n_samples=samples,
            perturbations_per_eval=_AT_ONCE,
            return_input_shape=False,
        )[0].double()
    # The last of them: captum may ask about the whole picture first, which is no sample.
    kept, answers = (torch.cat([pair[side] for pair in seen])[-samples:] for side in (0, 1))
    fitted = kept @ weights + model.bias().double()
    spread = (answers - answers.mean()).square().sum()
    left = (answers - fitted).square().sum()
    return LimeFit(weights.numpy(), float(1 - left / spread) if spread > 0 else 0.0, samples)


def heat(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return what speaks for the class, 0..1 by the strongest part [parts]; what speaks against it is 0."""
    gained = np.maximum(weights, 0)
    peak = gained.max(initial=0)
    return (gained / peak if peak > 0 else gained).astype(np.float32)


def _draws(parts: int, seed: bytes) -> Callable[..., Iterator[Tensor]]:
    """Return captum's perturbation function: each part stays with probability 1/2, drawn from SHAKE of the seed and a number."""

    def draw(*_inputs: object, **_options: object) -> Iterator[Tensor]:
        number = 0
        while True:
            stream = hashlib.shake_256(seed + number.to_bytes(4, "big")).digest(-(-parts // 8))
            number += 1
            yield torch.from_numpy(np.unpackbits(np.frombuffer(stream, np.uint8))[:parts].astype(np.int64))[None]

    return draw


def _crop_labels(thumb: Labels, pixels: Pixels, box: list[int]) -> Labels:
    left, top, right, bottom = box
    rows, columns = _along(top, bottom, pixels.height), _along(left, right, pixels.width)
    return thumb[
        np.ix_(_to_thumb(rows, pixels.height, thumb.shape[0]), _to_thumb(columns, pixels.width, thumb.shape[1]))
    ]


def _along(start: int, stop: int, length: int) -> Labels:
    """Return the places in the picture that a crop's pixels come from; over the edge it is reflected, as the crop itself is."""
    inside = np.arange(max(start, 0), min(stop, length))
    return np.pad(inside, (max(-start, 0), max(stop - length, 0)), mode="reflect")


def _to_thumb(places: Labels, length: int, shown: int) -> Labels:
    return ((places + 0.5) * shown / length).astype(np.intp).clip(0, shown - 1)


def kept_pictures(pictures: Tensor, labels: Labels, kept: Tensor, blur: Tensor) -> Tensor:
    """Return pictures [n, h, w, 3] once for each sample, [b, n, h, w, 3], with their blur in the parts that are not kept [b, parts]."""
    stays = kept[:, torch.from_numpy(labels).to(kept.device)]  # [b, n, h, w]
    return torch.where(stays[..., None], pictures, blur)


def _not_installed(error: ImportError) -> UsageError:
    return UsageError(
        "LIME is not installed",
        why=f"{error.name or 'a package'} is missing",
        remedy="Install the extra: pip install 'deeptrace[lime]'. The other maps need nothing more.",
    )
