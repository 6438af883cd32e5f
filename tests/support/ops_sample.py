"""Simulated windows, alerts, verdicts and dead letters for the ops page: a day of traffic with a planted drift. No figure here is measured.

A mix of 2 % AI; then 10 % (drift by shares, corrected); then a generator that nobody knows (the correction is void, a candidate is named).
"""

import base64
import hashlib
import io
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from PIL import Image
from support.verdicts import verdict

from schemas import topics
from schemas.identity import outcome_id
from schemas.incoming import Record
from schemas.verdict import Explanation, JudgedObject, ModelStamp, Novelty, SourceRecord, Timing
from schemas.window import (
    OVERALL,
    Correction,
    Divergences,
    DriftAlert,
    Estimate,
    GeneratorCandidate,
    GoodnessOfFit,
    StoredObject,
    WindowSummary,
)

CLASSES = ("real", "stable_diffusion", "midjourney", "dalle3", "flux")
REFERENCE = {"real": 0.98, "stable_diffusion": 0.008, "midjourney": 0.005, "dalle3": 0.004, "flux": 0.003}
IMAGES_BUCKET, OVERLAYS_BUCKET = "deeptrace-images", "deeptrace-overlays"
NOTICE = "Simulated data: windows, verdicts and pictures on this page were made up to show what it looks like."
THRESHOLD = 0.25
_numbers = iter(range(10**9))


def record(topic: str, value: bytes, at: datetime, headers: tuple[tuple[str, bytes], ...] = ()) -> Record:
    """Return a record as it would lie on a topic."""
    return Record(topic, 0, next(_numbers), b"key", value, headers, at)


def estimate(value: float, width: float) -> Estimate:
    """Return a figure with an interval of about `width` to each side, within 0 and 1."""
    return Estimate(
        value=round(value, 6), low=round(max(0.0, value - 0.8 * width), 6), high=round(min(1.0, value + width), 6)
    )


def window(
    start: datetime,
    *,
    tenant: str = OVERALL,
    minutes: int = 10,
    ai: float = 0.02,
    images: int = 4000,
    void: bool = False,
    drifting: bool = False,
    drawn: random.Random | None = None,
    **changes: Any,
) -> WindowSummary:
    """Return a closed window of a true AI share, as a model with 12 % false alarms sees it."""
    draw = drawn or random.Random(1)
    noise = draw.gauss(0, 0.9 * math.sqrt(ai * (1 - ai) / images))
    true = min(0.95, max(0.001, ai + noise))
    raw_ai = true * 0.93 + (1 - true) * 0.12 + draw.gauss(0, 0.004)
    split = {"stable_diffusion": 0.4, "midjourney": 0.25, "dalle3": 0.2, "flux": 0.15}
    counts = {name: round(images * raw_ai * part) for name, part in split.items()}
    if void:
        counts["unknown_generator"] = round(images * 0.03)
    counts["real"] = max(0, images - sum(counts.values()))
    total = sum(counts.values())
    width = 2.2 * math.sqrt(max(true, 0.01) * (1 - true) / images) + 0.003
    shares = {
        "real": estimate(1 - true, width),
        **{n: estimate(true * p, width * math.sqrt(p)) for n, p in split.items()},
    }
    kl = max(
        0.0,
        sum(
            p * math.log(p / REFERENCE[n])
            for n, p in {"real": 1 - true, **{n: true * s for n, s in split.items()}}.items()
            if p > 0
        ),
    )
    if void:
        kl = max(kl, 0.6 + draw.gauss(0, 0.05))
    size = timedelta(minutes=minutes)
    name = f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"
    return WindowSummary(
        **(
            {
                "window_id": outcome_id("window", tenant, name, str(int(start.timestamp()))),
                "tenant": tenant,
                "window": name,
                "start": start,
                "end": start + size,
                "images": total + round(images * 0.03),
                "counts": counts,
                "probability_sums": {name: count * 0.9 for name, count in counts.items()},
                "verdicts": {
                    "real": counts["real"],
                    "ai_generated": total - counts["real"],
                    "inconclusive": round(images * 0.03),
                },
                "undecided": round(images * 0.03),
                "late": 3,
                "mean_confidence": 0.9,
                "confidence_histogram": (0, 0, 0, 0, 0, 20, 60, 200, 700, total - 980),
                "raw_shares": {name: count / total for name, count in counts.items()},
                "correction": Correction(
                    status="void" if void else "ok",
                    reason="answers_no_mix_explains" if void else None,
                    shares=None if void else shares,
                    ai=None if void else estimate(true, width),
                    images=min(total, 4096),
                    goodness=GoodnessOfFit(
                        statistic=310.0 if void else 14.2, degrees=17, p_value=1e-9 if void else 0.65
                    ),
                    calibration_ids=("cal-1",),
                ),
                "reference": REFERENCE,
                "kl_current_reference_nats": kl,
                "kl_reference_current_nats": kl * 1.1,
                "divergences": Divergences(
                    basis="raw" if void else "corrected",
                    reference_version="2026-11-01",
                    kl_current_reference_nats=Estimate(
                        value=kl, low=max(0, kl - 0.02 - kl * 0.18), high=kl + 0.03 + kl * 0.22
                    ),
                    kl_reference_current_nats=Estimate(value=kl * 1.1, low=kl * 0.9, high=kl * 1.4),
                    js_distance=Estimate(value=math.sqrt(kl) / 3, low=math.sqrt(kl) / 4, high=math.sqrt(kl) / 2.5),
                    psi=Estimate(value=2.1 * kl, low=1.6 * kl, high=2.6 * kl),
                    chi_square=14.0,
                    chi_square_p=0.0001 if drifting else 0.31,
                    state="drifting" if drifting else "steady",
                    episode_id="episode-1" if drifting else None,
                ),
                "model_versions": ("detector-1.4.0",),
            }
            | changes
        )
    )


def alert(one: WindowSummary, state: str = "raised") -> DriftAlert:
    """Return the alert about a window."""
    assert one.divergences is not None
    kl = one.divergences.kl_current_reference_nats
    return DriftAlert(
        alert_id=outcome_id("drift-alert", one.window_id, state),
        window_id=one.window_id,
        tenant=one.tenant,
        window=one.window,
        start=one.start,
        end=one.end,
        images=one.images,
        state=state,
        episode_id="episode-1",
        basis=one.divergences.basis,
        value=kl.value,
        low=kl.low,
        high=kl.high,
        threshold=THRESHOLD,
        most_grown="stable_diffusion",
        most_shrunk="real",
        shares=one.raw_shares or {},
        reference=REFERENCE,
        report=StoredObject(bucket="deeptrace-drift", key=f"reports/_all/{one.window_id}.html")
        if state == "raised"
        else None,
    )


def some_picture(seed: int, side: int = 240) -> bytes:
    """Return a small computed scene as JPEG: hills under a sky, in colours of the seed."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side, 0:side] / side
    sky, land = draw.uniform(90, 235, 3), draw.uniform(20, 140, 3)
    hills = 0.55 + 0.13 * np.sin(columns * draw.uniform(4, 9) + seed) + 0.06 * np.sin(columns * draw.uniform(12, 25))
    inside = (rows > hills)[..., None]
    rgb = np.where(inside, land * (1.25 - 0.6 * rows[..., None]), sky * (0.75 + 0.35 * rows[..., None]))
    rgb = rgb + draw.normal(0, 5, rgb.shape)
    out = io.BytesIO()
    Image.fromarray(rgb.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return out.getvalue()


def some_overlay(seed: int) -> bytes:
    """Return the same scene with a warm spot over it, as WebP."""
    rgb = np.asarray(Image.open(io.BytesIO(some_picture(seed)))).astype(float)
    draw = np.random.default_rng(seed + 1)
    rows, columns = np.mgrid[0 : rgb.shape[0], 0 : rgb.shape[1]] / rgb.shape[0]
    spot = np.exp(-(((rows - draw.uniform(0.2, 0.8)) ** 2 + (columns - draw.uniform(0.2, 0.8)) ** 2) / 0.05))[..., None]
    out = io.BytesIO()
    Image.fromarray(
        (rgb * (1 - 0.6 * spot) + np.array([248, 149, 64]) * 0.6 * spot).clip(0, 255).astype(np.uint8)
    ).save(out, "WEBP")
    return out.getvalue()


def some_verdict(number: int, at: datetime, draw: random.Random, **changes: Any) -> Record:
    """Return the record of a verdict; pictures of it lie under `a/<number>.jpg` and its outcome id."""
    kind = draw.choices(("real", "ai_generated", "inconclusive", "not_assessable"), (80, 14, 5, 1))[0]
    source = {"real": "real", "ai_generated": draw.choice((*CLASSES[1:], "unknown_generator"))}.get(kind)
    p_ai = {"real": draw.uniform(0.01, 0.3), "ai_generated": draw.uniform(0.7, 0.99)}.get(kind, 0.5)
    key = outcome_id("sample", str(number))
    infer = draw.lognormvariate(4.2, 0.35)
    fetch = draw.lognormvariate(2.6, 0.6)
    probabilities = {"real": round(1 - p_ai, 4), **{name: round(p_ai / 4, 4) for name in CLASSES[1:]}}
    probabilities["flux"] = round(1 - sum(value for name, value in probabilities.items() if name != "flux"), 4)
    fields: dict[str, Any] = {
        "outcome_id": key,
        "image_id": f"upload-{9000 + number}",
        "tenant": draw.choice(("acme", "globex", "initech")),
        "object": JudgedObject(
            bucket=IMAGES_BUCKET,
            key=f"a/{number % 12}.jpg",
            sha256="0" * 64,
            size_bytes=9,
            format="JPEG",
            width=1024,
            height=768,
        ),
        "verdict": kind,
        "predicted_source": source,
        "confidence": None if kind == "not_assessable" else round(max(p_ai, 1 - p_ai), 4),
        "p_ai": round(p_ai, 4),
        "per_class_probs": probabilities,
        "reasons": {"inconclusive": ("weak_evidence",), "not_assessable": ("too_small",)}.get(kind, ()),
        "novelty": Novelty(
            score=4.1,
            threshold=3.2,
            method="mahalanobis",
            nearest="flux",
            embedding=base64.b64encode(hashlib.sha256(key.encode()).digest()).decode(),
        )
        if source == "unknown_generator"
        else None,
        "explanation": Explanation(status="written", bucket=OVERLAYS_BUCKET, key=f"overlays/{number % 12}.webp")
        if kind == "ai_generated"
        else Explanation(status="skipped"),
        "model": ModelStamp(
            version="detector-1.4.0",
            sha256="1" * 64,
            kind="trained",
            training_data="licensed-2026-09",
            calibration_id="cal-1",
            preprocess_id="p",
            classes=CLASSES,
        ),
        "source": SourceRecord(
            topic=topics.IMAGES, partition=0, offset=number, event_time=at - timedelta(seconds=1), format="native"
        ),
        "timing": Timing(
            queue_ms=draw.uniform(1, 20),
            fetch_ms=fetch,
            decode_ms=draw.lognormvariate(2.3, 0.4),
            infer_ms=infer,
            overlay_ms=3,
            processing_ms=fetch + infer + 25,
            batch_size=8,
        ),
    }
    return record(topics.VERDICTS, verdict(number, **(fields | changes)).to_bytes(), at)


def letter(code: str, at: datetime) -> Record:
    """Return a dead letter with a code."""
    return record(topics.DEAD_LETTERS, b"{}", at, (("dt-error-code", code.encode()), ("dt-outcome-id", b"o")))


def a_day(
    now: datetime, *, hours: int = 24, verdicts_a_minute: int = 4, tenants: tuple[str, ...] = ("acme", "globex")
) -> Iterator[Record]:
    """Yield a simulated day that ends at `now`: steady, then a drift with its alert and its end, then an unknown generator."""
    draw = random.Random(7)
    end = datetime.fromtimestamp(now.timestamp() // 600 * 600, UTC)
    for tenant in (OVERALL, *tenants):
        drifted = None
        for minutes in (10, 60):
            count = hours * 60 // minutes
            first = end - timedelta(minutes=minutes * count)
            for index in range(count):
                start = first + timedelta(minutes=minutes * index)
                age_h = (end - start).total_seconds() / 3600
                planted = tenant != "globex" and 2.2 < age_h <= 4.4
                unknown = tenant != "globex" and age_h <= 0.9
                one = window(
                    start, tenant=tenant, minutes=minutes, ai=0.30 if planted else 0.02, void=unknown,
                    drifting=planted or unknown, drawn=draw, images=(900 if tenant != OVERALL else 2600) * minutes // 10,
                    candidates=("c1",) if unknown else (),
                )  # fmt: skip
                yield record(topics.WINDOWS, one.to_bytes(), one.end)
                if minutes == 10 and (planted or unknown) != (drifted is not None):
                    drifted = one if planted or unknown else None
                    yield record(
                        topics.DRIFT_ALERTS, alert(one, "raised" if drifted else "resolved").to_bytes(), one.end
                    )
    candidate = GeneratorCandidate(
        candidate_id="candidate-1",
        window_id="w",
        tenant=OVERALL,
        start=end - timedelta(minutes=60),
        end=end,
        window="1h",
        images=61,
        rejected=88,
        cohesion=0.91,
        nearest_class="midjourney",
        exemplars=tuple(StoredObject(bucket=IMAGES_BUCKET, key=f"a/{n}.jpg") for n in range(6)),
        model_version="detector-1.4.0",
    )
    yield record(topics.DRIFT_ALERTS, candidate.to_bytes(), end)
    for minute in range(hours * 60, 0, -1):
        at = now - timedelta(minutes=minute)
        busy = 1 + 0.5 * math.sin(minute / 180) + draw.random() * 0.4
        for number in range(round(verdicts_a_minute * busy)):
            yield some_verdict(minute * 1000 + number, at + timedelta(seconds=draw.uniform(0, 59)), draw)
        if draw.random() < 0.06:
            yield letter(
                draw.choice(("image_truncated", "image_truncated", "object_not_found", "reference_invalid")), at
            )
