"""Images that were judged rightly and wrongly, with what the CNN branch looked at: small pictures for the HTML."""

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image as Picture

from model import overlay
from model.ensemble import EnsembleClassifier
from model.pixels import Pixels, preprocess
from model.policy import PixelPolicy
from training.metrics import Floats, Ints
from training.report.figures import Rules, rounded
from training.report.schema import Example
from training.scores import Answers
from training.served import Image, arrived

_SIDE_PX: Final = 176
_QUALITY: Final = 70


@dataclass(frozen=True, slots=True)
class Shown:
    """An example, and its pictures as data URIs."""

    example: Example
    picture: str
    overlay: str


def examples_of(
    answers: Answers, classifier: EnsembleClassifier, rules: Rules, count: int, *, seed: int, policy: PixelPolicy
) -> list[Shown]:
    """Return `count` of the judged images: half of them right and half wrong, classes taking turns, the surest of each first."""
    probs, labels = answers.probs(rules.temperatures), answers.labels
    chosen = _pick(probs, labels, count)
    shown = []
    for index in chosen:
        image = answers.images[index]
        pixels = _pixels(image, answers.condition, seed=seed, policy=policy)
        (prediction,) = classifier.predict([pixels], explain=[True])
        assert prediction.cams is not None
        said = int(probs[index].argmax())
        shown.append(
            Shown(
                Example(
                    file=image.name,
                    condition=answers.condition,
                    true=answers.classes[labels[index]],
                    said=answers.classes[said],
                    p=rounded(probs[index, said]),
                    p_true=rounded(probs[index, labels[index]]),
                    right=said == int(labels[index]),
                ),
                _uri(_encoded(pixels.thumb)),
                _uri(_encoded(np.asarray(Picture.open(io.BytesIO(overlay.render(pixels, prediction.cams)))))),
            )
        )
    return shown


def _pick(probs: Floats, labels: Ints, count: int) -> list[int]:
    said = probs.argmax(axis=1)
    sure = np.lexsort((np.arange(len(labels)), -probs.max(axis=1)))
    wanted = count // 2, count - count // 2
    return [
        index
        for group, most in zip((said == labels, said != labels), wanted, strict=True)
        for index in _in_turns([i for i in sure if group[i]], labels, most)
    ]


def _in_turns(ranked: Sequence[int], labels: Ints, most: int) -> list[int]:
    """Take the first of each class, then the second, and so on."""
    rank: dict[int, int] = {}
    keyed = []
    for index in ranked:
        label = int(labels[index])
        keyed.append((rank.get(label, 0), label, int(index)))
        rank[label] = rank.get(label, 0) + 1
    return [index for _, _, index in sorted(keyed)[:most]]


def _pixels(image: Image, condition: str, *, seed: int, policy: PixelPolicy) -> Pixels:
    data = arrived(image, condition, seed=seed)
    return preprocess(data, policy, seed=hashlib.sha256(data).digest())


def _encoded(rgb: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    picture = Picture.fromarray(rgb)
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    target = io.BytesIO()
    picture.save(target, "WEBP", quality=_QUALITY, method=4)
    return target.getvalue()


def _uri(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode()
