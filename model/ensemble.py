"""The ensemble as a classifier: batches of images to predictions, on one thread, on CPU or CUDA."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model import faithfulness, gradcam
from model.checkpoint_meta import CheckpointMeta
from model.classifier import Features, Heat, Member, ModelInfo, Prediction, Probs
from model.config import BRANCHES, CROP_PX
from model.device_faults import device_faults
from model.network import Ensemble, Scores
from model.open_set import OpenSet
from model.pixels import Pixels
from schemas.errors import BatchFailed
from schemas.verdict import REAL

# How far a probability may move with the batch an image is in: the libraries sum in another order. Held by tests.
CPU_TOLERANCE: Final = 1e-5
CUDA_TOLERANCE: Final = 2e-2  # bfloat16


class EnsembleClassifier:
    """Serves one checkpoint: float32 on CPU, bfloat16 autocast on CUDA (head, spectrum and Grad-CAM stay float32).

    A prediction is the mean of the crops' probabilities. It moves by at most `CPU_TOLERANCE` (`CUDA_TOLERANCE`) with the batch.
    """

    def __init__(
        self,
        network: Ensemble,
        meta: CheckpointMeta,
        sha256: str,
        *,
        device: torch.device,
        open_set: OpenSet | None = None,
    ) -> None:
        self.info = ModelInfo(
            version=meta.version,
            sha256=sha256,
            calibration_id=meta.calibration_id,
            preprocess_id=meta.preprocess_id,
            classes=meta.config.classes,
            training_data=meta.training_data,
            kind=meta.kind,
            abstention=meta.abstention,
            prior=meta.profile.prior if meta.profile else None,
        )
        self.device = device
        self._temperatures = meta.temperatures
        self._shift = np.array([meta.temperatures.real_logit_shift * (name == REAL) for name in meta.config.classes])
        self._open_set = open_set.to(device) if open_set else None
        # Channels last is a third faster for the CNN on CPU too (26 against 36 ms a crop).
        self._network = network.eval().to(memory_format=torch.channels_last).to(device)

    @property
    def network(self) -> Ensemble:
        """The network in eval mode, for those who explain it; not to be changed."""
        return self._network

    def probabilities(self, logits: Tensor) -> Probs:
        """Return the calibrated probabilities of the ensemble's logits [N, n], float64; NaN for a row that is not finite."""
        return _softmax(logits, self._temperatures.fused, self._shift)

    def warm_up(self, *, images: int = 1) -> None:
        """Run once on black pictures, so that the first true batch does not pay for lazy set-up."""
        black = np.zeros((CROP_PX, CROP_PX, 3), np.uint8)
        box = np.array([[0, 0, CROP_PX, CROP_PX]], np.int32)
        pixels = Pixels(black[None], box, black, black, "PNG", CROP_PX, CROP_PX, 1, (), self.info.preprocess_id)
        batch = [pixels] * images
        self.faithfulness(batch, self.predict(batch, explain=[True] * images))

    def predict(self, batch: Sequence[Pixels], *, explain: Sequence[bool]) -> list[Prediction]:
        """Return one prediction an image; Grad-CAM for those marked in `explain`.

        Raises `BatchFailed` when memory runs out or a probability is not finite, `DeviceLost` when the GPU is gone.
        """
        if not batch:
            return []
        if foreign := {pixels.preprocess_id for pixels in batch} - {self.info.preprocess_id}:
            raise ValueError(f"pixels of {foreign} given to a model of {self.info.preprocess_id}")
        with device_faults(self.device, images=len(batch)), torch.inference_mode():
            return self._predict(batch, explain)

    def faithfulness(self, batch: Sequence[Pixels], predictions: Sequence[Prediction]) -> list[float | None]:
        """Return by how much more the class's probability falls, in its hottest crop, without the hot cells than without random ones.

        Only the CNN runs again, in float32, on five variants of the one crop; the other branches are taken from the prediction. Moves
        by at most twice `CPU_TOLERANCE` with the batch on CPU. Raises as `predict` does.
        """
        found: list[float | None] = [None] * len(batch)
        mine = [index for index, one in enumerate(predictions) if one.features is not None and one.model == self.info]
        cold = [index for index in mine if not np.any(predictions[index].cams)]
        for index in cold:  # a map that points nowhere does no better than chance
            found[index] = 0.0
        if warm := [index for index in mine if index not in cold]:
            with device_faults(self.device, images=len(warm)), torch.inference_mode():
                gains = self._gains([batch[index] for index in warm], [predictions[index] for index in warm])
            for index, gain in zip(warm, gains, strict=True):
                found[index] = gain
        return found

    def _gains(self, batch: Sequence[Pixels], predictions: Sequence[Prediction]) -> list[float]:
        crops, removed, features, targets = [], [], [], []
        for pixels, one in zip(batch, predictions, strict=True):
            assert one.cams is not None
            assert one.features is not None
            assert one.cam_class is not None
            chosen = faithfulness.hottest_crop(one.cams)
            crop, cam = pixels.crops[chosen], one.cams[chosen]
            crops.append(crop)
            removed.append(
                faithfulness.deletions(cam.ravel(), faithfulness.seed_of(crop)).reshape(-1, *cam.shape)
            )  # [5, 7, 7]
            features.append(one.features[chosen])
            targets.append(self.info.classes.index(one.cam_class))
        image_of = np.repeat(np.arange(len(batch)), [len(masks) for masks in removed])
        rows = self._tensor(image_of)
        pictures = faithfulness.without(self._tensor(np.stack(crops)), self._tensor(np.concatenate(removed)), rows)
        logits = faithfulness.cnn_logits(self._network, pictures, self._tensor(np.stack(features))[rows])
        probs = self.probabilities(logits)[np.arange(len(rows)), np.array(targets)[image_of]]
        if not np.isfinite(probs).all():
            raise BatchFailed(f"a probability after deletion in a batch of {len(batch)} images is not finite")
        return [faithfulness.gain(probs[image_of == index]) for index in range(len(batch))]

    def _predict(self, batch: Sequence[Pixels], explain: Sequence[bool]) -> list[Prediction]:
        counts = np.array([len(pixels.crops) for pixels in batch], np.intp)
        ends = counts.cumsum()
        starts = ends - counts
        scores = self._scores(batch, counts)
        fused = _mean_over_crops(self.probabilities(scores.fused), starts)
        members = {
            "cnn": _mean_over_crops(_softmax(scores.cnn, self._temperatures.cnn), starts),
            "vit": _softmax(scores.vit, self._temperatures.vit),
            "fft": _mean_over_crops(_softmax(scores.fft, self._temperatures.fft), starts),
        }
        if not all(np.isfinite(probs).all() for probs in (fused, *members.values())):
            # argmax would take NaN for the winner and publish it as a verdict.
            raise BatchFailed(f"a probability in a batch of {len(batch)} images is not finite")
        novelty = self._novelty(scores, starts)
        strangers = self._strangers(scores, novelty, starts, ends)
        winners = fused.argmax(1)
        cams = self._cams(scores, winners, starts, ends, explain)
        features = {index: scores.joint[starts[index] : ends[index]].float().cpu().numpy() for index in cams}
        return [
            Prediction(
                probs=fused[index],
                model=self.info,
                members=tuple(Member(branch, members[branch][index]) for branch in BRANCHES),
                cams=cams.get(index),
                cam_class=self.info.classes[winners[index]] if index in cams else None,
                features=features.get(index),
                novelty=None if novelty is None else float(novelty[index]),
                nearest=strangers[index].nearest if index in strangers else None,
                place=strangers[index].place if index in strangers else None,
            )
            for index in range(len(batch))
        ]

    def _novelty(self, scores: Scores, starts: npt.NDArray[np.intp]) -> Probs | None:
        """Mean over an image's crops of how unlike the known classes they look [B]."""
        if self._open_set is None:
            return None
        rows = self._open_set.score(scores.fused).cpu().numpy().astype(np.float64)
        return _mean_over_crops(rows[:, None], starts)[:, 0]

    def _strangers(
        self, scores: Scores, novelty: Probs | None, starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
    ) -> "dict[int, _Stranger]":
        """Where the images over the checkpoint's own threshold of novelty lie, by their number; most batches have none."""
        rule = self.info.abstention.novelty if self.info.abstention else None
        if self._open_set is None or novelty is None or rule is None:
            return {}
        landmarks = self._open_set.landmarks
        found = {}
        for index in np.flatnonzero(novelty > rule.threshold).tolist():
            rows = slice(int(starts[index]), int(ends[index]))
            likeliest = int(self._open_set.by_class(scores.fused[rows]).mean(0).argmax())
            place = landmarks.place(scores.hidden[rows].mean(0)).cpu().numpy() if landmarks else None
            found[index] = _Stranger(self.info.classes[likeliest], place)
        return found

    def _scores(self, batch: Sequence[Pixels], counts: npt.NDArray[np.intp]) -> Scores:
        crops = self._tensor(np.concatenate([pixels.crops for pixels in batch]))
        views = self._tensor(np.stack([pixels.view for pixels in batch]))
        image_of = self._tensor(np.repeat(np.arange(len(batch)), counts))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            scores: Scores = self._network(crops, views, image_of)
        return scores

    def _cams(
        self,
        scores: Scores,
        winners: npt.NDArray[np.intp],
        starts: npt.NDArray[np.intp],
        ends: npt.NDArray[np.intp],
        explain: Sequence[bool],
    ) -> dict[int, Heat]:
        """Heat of every crop of the images to explain, for the image's class."""
        images = [index for index, wanted in enumerate(explain) if wanted]
        if not images:
            return {}
        rows = np.concatenate([np.arange(starts[index], ends[index]) for index in images])
        target = self._tensor(
            np.concatenate([np.repeat(winners[index], ends[index] - starts[index]) for index in images])
        )
        picked = self._tensor(rows)
        heat = gradcam.heat(self._network.head, scores.joint[picked], scores.maps[picked], target).cpu()
        parts = torch.split(heat, [int(ends[index] - starts[index]) for index in images])
        return {index: gradcam.normalise(part).numpy() for index, part in zip(images, parts, strict=True)}

    def _tensor(self, array: "npt.NDArray[np.generic]") -> Tensor:
        return torch.from_numpy(array).to(self.device, non_blocking=True)


class _Stranger(NamedTuple):
    """What is said of a novel image beside its score."""

    nearest: str
    place: Features | None


def _softmax(logits: Tensor, temperature: float, shift: Probs | float = 0.0) -> Probs:
    """Probabilities in float64, whose rows sum to 1; NaN for a row with a logit that is NaN or infinite upwards."""
    scaled = logits.cpu().numpy().astype(np.float64) / temperature + shift
    with np.errstate(invalid="ignore"):
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _mean_over_crops(probs: Probs, starts: npt.NDArray[np.intp]) -> Probs:
    """Mean of the rows of each image [N, n] -> [B, n]; `starts` are the first rows of the images."""
    counts = np.diff(np.append(starts, len(probs)))
    return np.asarray(np.add.reduceat(probs, starts, axis=0) / counts[:, None])
