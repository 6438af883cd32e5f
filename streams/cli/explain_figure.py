"""What `deeptrace explain` says: verdict and maps as a figure, and every number of it as JSON."""

from typing import Any, Final

import numpy as np
from PIL import Image

from model.explain.explanation import Explanation, PartMap
from model.explain.figure import Bars, Header, Panel, figure
from model.pixels import Bytes
from schemas.verdict import Verdict, is_simulated

WARNING: Final = "Judged by a checkpoint trained on simulated images: it says nothing about true generators."

_WORDS: Final = {"ai_generated": "AI-generated", "real": "Real", "inconclusive": "Inconclusive"}
_TITLES: Final = {
    "cnn": "CNN: Grad-CAM on native crops",
    "vit": "ViT: attention, weighed by its gradient",
    "fft": "FFT: spectrum of the fine detail",
    "ensemble": "All branches: LIME superpixels",
}
_ALONE: Final = {"cnn": "CNN", "vit": "ViT", "fft": "FFT"}


def draw(thumb: Bytes, verdict: Verdict, explanation: Explanation) -> Image.Image:
    """Return the figure: the picture, each map with what its branch says by itself, and the shares of the classes."""
    seen = verdict.object
    panels: list[Panel | Bars] = [
        Panel("The picture", thumb, (f"{seen.format}, {seen.width} x {seen.height}, {seen.size_bytes} bytes",))
    ]
    panels += [_panel(one, verdict) for one in explanation.maps]
    shares = sorted((verdict.per_class_probs or {}).items(), key=lambda pair: -pair[1])
    panels.append(Bars("Probability of each class, calibrated", tuple(shares)))
    return figure(_header(verdict, explanation), panels)


def to_json(verdict: Verdict, explanation: Explanation) -> dict[str, Any]:
    """Return the verdict as published, and of each map its numbers."""
    return {
        "verdict": verdict.to_json(),
        "target_class": explanation.target,
        "maps": [
            {
                "part": one.part,
                "method": one.method,
                "status": one.status,
                **({} if one.faithfulness is None else {"faithfulness": one.faithfulness}),
                **_opinion(one.part, verdict),
                **{name: np.round(value, 6).tolist() for name, value in one.details.items()},
            }
            for one in explanation.maps
        ],
    }


def signed(faithfulness: float) -> str:
    """Write a figure with its sign and two digits; what is exactly chance is a bare 0."""
    return f"{faithfulness:+.2g}" if faithfulness else "0"


def _header(verdict: Verdict, explanation: Explanation) -> Header:
    source = f": {verdict.predicted_source}" if verdict.predicted_source not in {None, verdict.verdict} else ""
    reasons = f" ({', '.join(verdict.reasons)})" if verdict.reasons else ""
    model = verdict.model
    return Header(
        headline=f"{_WORDS.get(verdict.verdict, verdict.verdict)}{source}{reasons}",
        small_print=(
            f"p(AI) {verdict.p_ai or 0:.1%}, confidence {verdict.confidence or 0:.1%}. The maps show what speaks for {explanation.target}.",
            f"model {model.version} ({model.sha256[:12]}), calibration {model.calibration_id}, pixels {model.preprocess_id}; image sha256 {verdict.object.sha256[:12]}",
            "Faithfulness: how much further the probability falls without what the map calls hottest than without random parts as large. 0 is chance; at or under it a map is withheld.",
        ),
        warning=WARNING if is_simulated(model.training_data) else "",
    )


def _panel(one: PartMap, verdict: Verdict) -> Panel:
    notes = {"withheld": "withheld: no better than a random map", "unavailable": "this backbone has no attention map"}
    return Panel(_TITLES[one.part], one.picture, tuple(_lines(one, verdict)), notes.get(one.status, ""))


def _lines(one: PartMap, verdict: Verdict) -> list[str]:
    lines = []
    if opinion := _opinion(one.part, verdict):
        lines.append(f"{_ALONE[one.part]} alone: p(AI) {opinion['p_ai']:.1%}, most likely {opinion['top']}")
    if one.faithfulness is not None:
        lines.append(f"faithfulness {signed(one.faithfulness)}")
    if one.part == "fft":
        lines += [
            "blue: multiples of 1/8 (JPEG blocks, up-sampling)",
            f"orange: most evidence (luma holds {one.details['luma_share']:.0%} of all)",
        ]
    if one.part == "ensemble":
        lines.append(
            f"{one.details['superpixels']} parts, {one.details['samples']} samples, fit R2 {one.details['r_squared']:.2f}"
        )
    return lines


def _opinion(part: str, verdict: Verdict) -> dict[str, Any]:
    """Return what the branch says by itself, as the verdict has it."""
    return next(({"p_ai": round(one.p_ai or 0, 6), "top": one.top} for one in verdict.members if one.name == part), {})
