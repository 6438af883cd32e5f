"""Pictures of the ops page for the README. `python tests/bench/ops_pictures.py --out docs [--states FOLDER]`.

The page is the true one in a true browser. What it shows is simulated, and the page says so: half a day of answers of a model whose behaviour is known, sent
through the drift worker's own windows and statistics (2 % AI, then 25 % for two hours, then a generator that nobody knows), and made-up verdicts.
With `--states` every state that should be looked at is written to a folder: no data, much data, a broken broker, dark, narrow.
"""

import argparse
import asyncio
import io
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from aiohttp import web
from PIL import Image
from support import ops_sample as sample
from support.chromium import chromium, tab
from support.simulated_answers import SimulatedModel
from support.simulated_windows import rows_of

from schemas import topics
from schemas.incoming import Record
from schemas.observations import REJECTED, SCORED
from schemas.window import OVERALL, GeneratorCandidate, StoredObject
from storage.memory import MemoryStore
from streams.drift.episodes import EpisodeRules
from streams.drift.judge import WindowJudge
from streams.drift.prevalence import correct
from streams.drift.profiles import Profiles
from streams.drift.reference import FixedReferences, Reference
from streams.drift.windows import TenantWindows, WindowRules
from streams.ops.attention import Attention
from streams.ops.companion import serve
from streams.ops.feed import Behind, Feed
from streams.ops.guard import Guard
from streams.ops.pictures import Pictures
from streams.settings import DriftSettings, Settings

NOTICE = "Simulated data: the answers come from a model whose behaviour is known, through the drift worker's own windows and statistics; verdicts and pictures are made up."
PANE_MIN, IMAGES_A_PANE, HOURS, SEED = 10, 900, 12, 7
DRIFT_H, KNOWN_AGAIN_H, UNKNOWN_H = 4.5, 2.5, 0.9
USUAL_AI, NEW_AI, UNKNOWN_AI = 0.02, 0.25, 0.12
MOST_BYTES = 300_000
MOST_HIGH = {"ops-page": 2600, "ops-page-narrow": 1900}


def windows(now: datetime, tenant: str, seed: int, *, quiet: bool = False) -> Iterator[Record]:
    """Yield what the drift worker would have published of the last hours of a tenant."""
    rng = np.random.default_rng(seed)
    model = SimulatedModel()
    profile, reference = model.profile(rng, 400), usual_reference(rng, model)
    settings = DriftSettings(windows=(f"{PANE_MIN}m", "1h"), allowed_lateness_s=0, idle_close_s=0.001)
    pane = f"{PANE_MIN}m"
    judge = WindowJudge(
        FixedReferences(reference), Profiles({"sim": profile}), EpisodeRules.of(settings), pane=pane, clustered=pane
    )
    kept, memory = TenantWindows(tenant, WindowRules.of(settings)), dict[str, Any]()
    pane_ms = PANE_MIN * 60_000
    end_ms = round(now.timestamp() * 1000) // pane_ms * pane_ms
    for number in range(HOURS * 60 // PANE_MIN):
        start_ms = end_ms - (HOURS * 60 // PANE_MIN - number) * pane_ms
        ago_h = (end_ms - start_ms) / 3_600_000
        ai = NEW_AI if not quiet and KNOWN_AGAIN_H < ago_h <= DRIFT_H else USUAL_AI
        unknown = UNKNOWN_AI if not quiet and ago_h <= UNKNOWN_H else 0.0
        drawn = model.draw(rng, IMAGES_A_PANE + int(rng.integers(-80, 80)), ai=ai, unknown=unknown)
        seen_ms = start_ms + pane_ms
        rows = rows_of(drawn, start_ms)
        rows.table["flags"] |= (SCORED + REJECTED * drawn.novel).astype(
            np.uint8
        )  # every image was held against what the model knows
        kept.apply(rows, offset=number, seen_ms=seen_ms, now_ms=seen_ms)
        kept.close_due(seen_ms + 1)
        while kept.closed:
            words, memory = judge.judge(tenant, kept.closed.pop(0), memory)
            at = words.summary.end
            yield sample.record(topics.WINDOWS, words.summary.to_bytes(), at)
            for alert in words.alerts:
                yield sample.record(topics.DRIFT_ALERTS, alert.to_bytes(), at)
            for candidate in words.candidates if tenant == OVERALL else ():
                yield sample.record(topics.DRIFT_ALERTS, shown(candidate).to_bytes(), at)
        kept.merging.clear()
        kept.ended.clear()


def usual_reference(rng: np.random.Generator, model: SimulatedModel) -> Reference:
    """Return a reference of usual traffic, raw and corrected."""
    drawn = model.draw(rng, 20_000, ai=USUAL_AI)
    counts = drawn.counts()
    found = correct([drawn.answers()], {}, min_images=1, seed=0).correction.shares
    assert found is not None
    raw = {name: count / sum(counts.values()) for name, count in counts.items()}
    return Reference(raw, corrected={name: share.value for name, share in found.items()}, version="simulated")


def shown(candidate: GeneratorCandidate) -> GeneratorCandidate:
    """Return a candidate whose exemplars lie where the made-up pictures are."""
    places = tuple(StoredObject(bucket=sample.IMAGES_BUCKET, key=f"a/{n}.jpg") for n in range(6))
    return candidate.model_copy(update={"exemplars": places})


def fill(feed: Feed) -> None:
    """Give the feed half a day."""
    now = datetime.now(UTC)
    for tenant, seed in ((OVERALL, SEED), ("acme", SEED + 1), ("globex", SEED + 2)):
        for record in windows(now, tenant, seed, quiet=tenant == "globex"):
            feed.take(record)
    draw = random.Random(SEED)
    for minute in range(HOURS * 60, 0, -1):
        at = now - timedelta(minutes=minute)
        busy = 1 + 0.35 * np.sin(minute / 110) + 0.1 * draw.random()
        for number in range(round(90 * busy / 10)):
            feed.take(sample.some_verdict(minute * 1000 + number, at + timedelta(seconds=draw.uniform(0, 59)), draw))
        feed.rates.lag("deeptrace-scoring", int(abs(draw.gauss(14, 9)) + 160 * (abs(minute - 150) < 12)), now_ms=ms(at))
        feed.rates.lag("deeptrace-drift", int(abs(draw.gauss(4, 3))), now_ms=ms(at))
        if draw.random() < 0.05:
            code = draw.choice(("image_truncated", "image_truncated", "object_not_found", "reference_invalid"))
            feed.take(sample.letter(code, at))
    feed.lags((Behind("deeptrace-scoring", 12, 0.4), Behind("deeptrace-drift", 3, 0.2)))


def ms(moment: datetime) -> int:
    """Return milliseconds since 1970."""
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True)
class Shot:
    """One picture."""

    name: str
    width: int
    dark: bool = False
    data: bool = True
    fault: str | None = None
    address: str = ""
    latest: int = 6


README = (Shot("ops-page", 1280), Shot("ops-page-narrow", 390))
STATES = (
    Shot("wide", 1600, latest=100),
    Shot("narrow", 360, latest=100),
    Shot("dark", 1280, dark=True, latest=100),
    Shot("dark-narrow", 360, dark=True),
    Shot("no-data", 1280, data=False),
    Shot("no-data-narrow", 360, data=False),
    Shot("broker-down", 1280, fault="no Kafka broker at 127.0.0.1:9092: Connection refused"),
    Shot(
        "broker-down-before-any-news", 1280, data=False, fault="no Kafka broker at 127.0.0.1:9092: Connection refused"
    ),
    Shot("quiet-tenant-hours", 1280, address="#tenant=globex&window=1h&range=24h"),
)


async def take(binary: str, shot: Shot) -> Image.Image:
    """Serve the page in a state and photograph it."""
    feed = Feed(
        history_ms=25 * 3_600_000, latest_verdicts=shot.latest, clock=time.time, notice=NOTICE if shot.data else None
    )
    store = MemoryStore({sample.IMAGES_BUCKET, sample.OVERLAYS_BUCKET})
    for n in range(12):
        store.put(sample.IMAGES_BUCKET, f"a/{n}.jpg", sample.some_picture(n), content_type="image/jpeg", deadline_s=1)
        store.put(sample.OVERLAYS_BUCKET, f"overlays/{n}.webp", sample.some_overlay(n), content_type="", deadline_s=1)
    if shot.data:
        fill(feed)
        feed.heard()
    if shot.fault:
        feed.heard(fault=shot.fault)
    pictures = Pictures(store, Settings())
    server = serve(feed, Attention(), pictures, Guard("127.0.0.1", ()), threshold=sample.THRESHOLD)
    app = web.Application()
    server.routes(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with tab(binary) as page:
            await page.open(
                f"http://127.0.0.1:{runner.addresses[0][1]}/{shot.address}", width=shot.width, dark=shot.dark
            )
            await page.until("(document.getElementById('figures')?.children.length || 0) > 0")
            await page.run("document.querySelectorAll('img').forEach((one) => { one.loading = 'eager'; })")
            await page.until(
                "[...document.querySelectorAll('tr:not([hidden]) img, .strip img')].every((one) => one.complete)"
            )
            await asyncio.sleep(0.5)  # the last decoded picture is painted with the next frame
            if page.console:
                raise SystemExit(f"{shot.name}: the page says {page.console}")
            return Image.open(io.BytesIO(await page.picture())).convert("RGB")
    finally:
        server.stop()
        await runner.cleanup()
        await pictures.close()


def save(picture: Image.Image, path: Path) -> int:
    """Write a PNG of at most `MOST_BYTES`, with as many colours as fit; return its bytes."""
    for colours in (None, 256, 128, 64):
        out = io.BytesIO()
        fewer = picture if colours is None else picture.quantize(colours, kmeans=2, dither=Image.Dither.NONE)
        fewer.save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    path.write_bytes(out.getvalue())
    return out.tell()


def main() -> int:
    """Take the pictures; 69 without a browser."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="where ops-page.png and ops-page-narrow.png go")
    parser.add_argument("--states", type=Path, default=None, help="where every state goes, to be looked at")
    arguments = parser.parse_args()
    binary = chromium()
    if binary is None:
        print("no Chromium on PATH: install it (Debian: apt-get install chromium)", file=sys.stderr)
        return 69
    for folder, shots in ((arguments.out, README), (arguments.states, STATES)):
        if folder is None:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        for shot in shots:
            picture = asyncio.run(take(binary, shot))
            if shot.name in MOST_HIGH:
                picture = picture.crop((0, 0, picture.width, min(picture.height, MOST_HIGH[shot.name])))
            path = folder / f"{shot.name}.png"
            print(f"{path}: {picture.width} x {picture.height}, {save(picture, path):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
