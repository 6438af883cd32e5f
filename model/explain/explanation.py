"""All maps of one image, each held against chance: Grad-CAM (CNN), attention (ViT), spectrum (FFT), and LIME (the ensemble)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from model import faithfulness, gradcam, overlay
from model.classifier import Heat, Prediction
from model.ensemble import EnsembleClassifier
from model.explain import lime_map
from model.explain.attention import attention_map
from model.explain.spectrum_picture import spectrum_picture
from model.pixels import Bytes, Pixels
from schemas.errors import UsageError

Part = Literal["cnn", "vit", "fft", "ensemble"]
Status = Literal["shown", "withheld", "unavailable"]

_EDGE: Final = 0.5  # of white in the seams between superpixels
_SURROGATE_BATCH: Final = 8  # images; larger batches are slower on CPU


@dataclass(frozen=True, slots=True)
class PartMap:
    """One map, drawn. `withheld`: by deletion it does no better than a random map, so `picture` is the image without it.

    `unavailable`: this checkpoint's backbone has no such map. `faithfulness` is None where deletion cannot be asked: of a spectrum.
    """

    part: Part
    method: str
    status: Status
    picture: Bytes  # [h, w, 3]
    faithfulness: float | None = None
    details: dict[str, float | int | list[list[float]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The prediction, the class that the maps speak of, and the maps in the order in which a figure shows them."""

    prediction: Prediction
    target: str
    maps: tuple[PartMap, ...]


def explain(
    classifier: EnsembleClassifier,
    pixels: Pixels,
    *,
    target: str | None = None,
    lime: bool = False,
    lime_samples: int = lime_map.SAMPLES,
) -> Explanation:
    """Explain one image for `target`, by default the most probable class; the same pixels always give the same explanation.

    Raises `UsageError` for a class that the model does not have, or for LIME where its packages are missing.
    """
    classes = classifier.info.classes
    if target is not None and target not in classes:
        raise UsageError(f"the model has no class {target!r}", why=f"its classes are {', '.join(classes)}")
    parts = lime_map.superpixels(pixels) if lime else None
    (prediction,) = classifier.predict([pixels], explain=[True])
    assert prediction.cam_class is not None
    subject = _Subject(classifier, pixels, prediction, target or prediction.cam_class)
    maps = [subject.grad_cam(), subject.attention(), subject.spectrum()]
    if parts is not None:
        maps.append(subject.lime(parts, lime_samples))
    return Explanation(prediction, subject.target, tuple(maps))


class _Subject:
    """One image before one model, with what the first pass left: the features of each crop."""

    def __init__(self, classifier: EnsembleClassifier, pixels: Pixels, prediction: Prediction, target: str) -> None:
        assert prediction.features is not None
        self.target = target
        self._classifier, self._network = classifier, classifier.network
        self._pixels, self._prediction = pixels, prediction
        self._column = classifier.info.classes.index(target)
        self._crops = torch.tensor(pixels.crops, device=classifier.device)  # copied: decoded pixels are read-only
        self._view = torch.tensor(pixels.view, device=classifier.device)
        self._joint = torch.tensor(prediction.features, device=classifier.device)
        self._seed = faithfulness.seed_of(pixels.view)

    def grad_cam(self) -> PartMap:
        """CNN, as in the overlay of the worker and measured as there."""
        with torch.no_grad():
            maps = self._network.cnn.backbone.forward_features(self._network.cnn.pixels(self._crops))
            heat = gradcam.heat(self._network.head, self._joint, maps, self._columns(len(maps)))
        cams = gradcam.normalise(heat).cpu().numpy()
        asked = replace(self._prediction, cams=cams, cam_class=self.target)
        (gain,) = self._classifier.faithfulness([self._pixels], [asked])
        return self._held_against_chance("cnn", "grad-cam", lambda: overlay.paint(self._pixels, cams), gain)

    def attention(self) -> PartMap:
        """ViT; the hottest quarter of the patches is removed from the view, the other branches stay as they were."""
        found = attention_map(self._network, self._view, self._joint, self._column)
        if found is None:
            return PartMap("vit", "attention-gradient", "unavailable", self._pixels.thumb)
        heat = found.cpu().numpy()
        gain = self._gain(heat.ravel(), lambda removed: self._with_views(removed.reshape(-1, *heat.shape)))
        return self._held_against_chance(
            "vit", "attention-gradient", lambda: self._tinted(_grown(heat, self._pixels)), gain
        )

    def spectrum(self) -> PartMap:
        """FFT; not a map of places, so there is nothing to delete."""
        drawn = spectrum_picture(self._network, self._crops, self._joint, self._column)
        return PartMap(
            "fft",
            "spectrum",
            "shown",
            drawn.picture,
            details={"luma_share": drawn.luma_share, "cells": [list(cell) for cell in drawn.cells]},
        )

    def lime(self, parts: lime_map.Superpixels, samples: int) -> PartMap:
        """All branches; the quarter of the superpixels that speak most for the class is removed from crops and view."""
        keep = self._keeper(parts)
        fitted = lime_map.fit(keep, parts.count, seed=self._seed, samples=samples)
        heat = lime_map.heat(fitted.weights)
        gain = self._gain(heat, lambda removed: keep(torch.from_numpy(~removed)).numpy())
        details: dict[str, float | int | list[list[float]]] = {
            "superpixels": parts.count,
            "samples": fitted.samples,
            "r_squared": fitted.r_squared,
        }
        return self._held_against_chance(
            "ensemble", "lime", lambda: _seamed(self._tinted(heat[parts.thumb]), parts.thumb), gain, details
        )

    def _held_against_chance(
        self,
        part: Part,
        method: str,
        draw: Callable[[], Bytes],
        gain: float | None,
        details: dict[str, float | int | list[list[float]]] | None = None,
    ) -> PartMap:
        withheld = gain is not None and gain <= 0
        picture = self._pixels.thumb if withheld else draw()
        return PartMap(part, method, "withheld" if withheld else "shown", picture, gain, details or {})

    def _gain(self, heat: Heat, probs: Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.float64]]) -> float:
        if not heat.any():
            return 0.0
        return faithfulness.gain(probs(faithfulness.deletions(heat, self._seed)))

    def _with_views(self, removed: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """Return the target's probability [m] when the ViT sees the view without these patches [m, rows, columns]."""
        masks = torch.from_numpy(removed).to(self._view.device)
        masked = faithfulness.without(
            self._view[None], masks, torch.zeros(len(masks), dtype=torch.long, device=masks.device)
        )
        start, width = self._network.widths["cnn"], self._network.widths["vit"]
        joint = self._joint.repeat(len(removed), 1, 1)  # [m, k, D]
        with torch.no_grad():
            feature = self._network.vit.backbone(self._network.vit.pixels(masked)).float()
            joint[:, :, start : start + width] = feature[:, None]
            logits = self._network.head(joint.flatten(0, 1))
        return self._of_target(logits, len(removed))

    def _keeper(self, parts: lime_map.Superpixels) -> lime_map.Probability:
        """Return the function from kept superpixels to the target's probability, every branch seeing the same parts."""
        crop_blur, view_blur = (faithfulness.blurred(one) for one in (self._crops, self._view[None]))
        count = len(self._crops)

        def probability(kept: Tensor) -> Tensor:
            answers = []
            for some in torch.split(kept.bool().to(self._crops.device), _SURROGATE_BATCH):
                crops = lime_map.kept_pictures(self._crops, parts.crops, some, crop_blur)
                views = lime_map.kept_pictures(self._view[None], parts.view[None], some, view_blur)
                image_of = torch.arange(len(some), device=crops.device).repeat_interleave(count)
                with torch.no_grad():
                    scores = self._network(crops.flatten(0, 1), views.flatten(0, 1), image_of)
                answers.append(torch.from_numpy(self._of_target(scores.fused, len(some))))
            return torch.cat(answers)

        return probability

    def _of_target(self, logits: Tensor, images: int) -> npt.NDArray[np.float64]:
        """Mean over the crops of the target's probability [images], from logits [images * k, n]."""
        probs = self._classifier.probabilities(logits)[:, self._column]
        return np.asarray(probs.reshape(images, -1).mean(1))

    def _columns(self, rows: int) -> Tensor:
        return torch.full((rows,), self._column, device=self._crops.device)

    def _tinted(self, heat: Heat) -> Bytes:
        return overlay.tint(self._pixels.thumb, heat).round().astype(np.uint8)


def _grown(heat: Heat, pixels: Pixels) -> Heat:
    """Stretch a map of the view over the thumb: both show the whole picture."""
    rows, columns = pixels.thumb.shape[:2]
    grown = Image.fromarray(heat).resize((columns, rows), Image.Resampling.BILINEAR)
    return np.asarray(grown, np.float32).clip(0, 1)


def _seamed(picture: Bytes, labels: npt.NDArray[np.intp]) -> Bytes:
    """Draw the seams between superpixels, one pixel wide."""
    seam = np.zeros(labels.shape, np.bool_)
    seam[:-1] |= labels[:-1] != labels[1:]
    seam[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    drawn = picture.astype(np.float32)
    drawn[seam] = drawn[seam] * (1 - _EDGE) + 255 * _EDGE
    return drawn.round().astype(np.uint8)
