"""A class more in the checkpoint: trained on a folder more, served, counted and measured, and not a line of code knows its name."""

import asyncio
import io
import json
import re
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.world import native

from streams.stack.ports import free_ports
from training.manifest import Manifest, Row, write_manifest

pytestmark = [pytest.mark.integration, pytest.mark.slow]

GRAIN = {"real": 1, "dalle3": 2, "flux": 3, "midjourney": 4, "stable_diffusion": 6, "brand_new_generator": 12}
"""The classes, by how many pixels of each picture are alike: what a small network learns in seconds."""

PARAMS = """
model:
  cnn: {name: test_efficientnet}
  vit: {name: test_vit, kwargs: {img_size: 224}}
  hidden: [32, 16]
  preprocess_id: crops1-224-native-v1
data: {shortcut_tolerance: 0.99}  # the grain is in the length of the files, too
train:
  phases:
    - {name: all, layers: all, epochs: 8, learning_rate: 3.0e-3}
  batch_size: 8
  validation_share: 0.0
  processes: 1
  device: cpu
augment: {launder_share: 0.0}
tracking: {uri: null}
"""
OF_EACH = 4


def picture(label: str, number: int) -> bytes:
    """Return a PNG of noise in the grain of its class."""
    grain = GRAIN[label]
    side = -(-240 // grain)
    noise = np.random.default_rng([number, grain]).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.kron(noise, np.ones((grain, grain, 1), np.uint8))[:240, :240]).save(out, "PNG")
    return out.getvalue()


def write_corpus(folder: Path) -> None:
    rows = []
    for label in GRAIN:
        (folder / label).mkdir(parents=True)
        for number in range(8):
            (folder / label / f"{number}.png").write_bytes(picture(label, number))
            rows.append(Row(file=f"{label}/{number}.png", label=label, group=f"g{number}", split="train"))
    write_manifest(folder / "manifest.csv", Manifest(folder, tuple(rows)))
    (folder / "params.yaml").write_text(PARAMS)


def counted(body: bytes, name: str) -> dict[str, float]:
    """Return what a counter of a worker says, by its label `source`."""
    found = re.findall(rf'^{name}\{{.*source="(\w+)".*\}} (\S+)$', body.decode(), re.MULTILINE)
    return {source: float(value) for source, value in found}


async def windows(world, images: int, timeout_s: float) -> list[dict]:
    """Return the published minutes of the tenant once they count so many images; hours, days and all tenants together are made of these."""
    deadline = time.monotonic() + timeout_s
    while True:
        published = [json.loads(record.value) for record in await world.records("deeptrace.windows.v1")]
        found = [window for window in published if (window["tenant"], window["window"]) == ("default", "1m")]
        if sum(window["images"] for window in found) >= images or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.5)


async def test_a_sixth_class_flows_through_verdicts_windows_and_metrics(world, http, tmp_path):
    """Trained by the command, judged by the worker, in the windows' counts and sums, in a divergence from a reference that has never heard of it."""
    write_corpus(corpus := tmp_path / "corpus")
    [port] = free_ports(1)
    trained = await asyncio.to_thread(
        world.run,
        "train",
        "--params",
        str(corpus / "params.yaml"),
        "--manifest",
        str(corpus / "manifest.csv"),
        "--out",
        str(tmp_path / "out"),
        "--json",
        timeout_s=300,
        OMP_NUM_THREADS="1",
    )
    assert trained.returncode == 0, trained.stderr
    assert set(json.loads(trained.stdout)["classes"]) == GRAIN.keys()

    sent = {f"{label}-{n}": picture(label, 100 + n) for label in GRAIN for n in range(OF_EACH)}
    for name, data in sent.items():
        world.put(name, data)
    await world.publish([native(name, name, event_time="2026-11-22T10:00:00Z") for name in sent])
    world.worker(
        DEEPTRACE_MODEL__CLASSIFIER="ensemble",
        DEEPTRACE_MODEL__CHECKPOINT=str(tmp_path / "out" / "last.safetensors"),
        DEEPTRACE_MODEL__THREADS="1",
        DEEPTRACE_PIPELINE__MIN_CONFIDENCE="0.5",
        DEEPTRACE_HTTP__PORT=str(port),
    )
    world.start(
        "-m",
        "streams.cli",
        "drift-worker",
        log="drift.log",
        DEEPTRACE_DRIFT__REFERENCE='{"real": 0.8, "dalle3": 0.05, "flux": 0.05, "midjourney": 0.05, "stable_diffusion": 0.05}',
        DEEPTRACE_DRIFT__MIN_IMAGES="10",
        DEEPTRACE_DRIFT__IDLE_CLOSE_S="3",
        DEEPTRACE_DRIFT__ALLOWED_LATENESS_S="1",
    )
    count = await world.wait_for_all(timeout_s=120)
    assert count.missing == set()
    assert count.kinds("verdict") == sent.keys()

    verdicts = {v["event_id"]: v for v in (json.loads(r.value) for r in await world.records("deeptrace.verdicts.v1"))}
    assert all(set(v["model"]["classes"]) == v["per_class_probs"].keys() == GRAIN.keys() for v in verdicts.values())
    sources = Counter(v["predicted_source"] for v in verdicts.values())
    assert sources["brand_new_generator"] > 0

    found = await windows(world, len(sent), timeout_s=60)
    assert sum((Counter(window["counts"]) for window in found), Counter()) == sources
    largest = max(found, key=lambda window: window["images"])
    assert largest["probability_sums"].keys() == GRAIN.keys()
    assert 0 < largest["kl_current_reference_nats"] < 10

    _, body = await asyncio.to_thread(http, f"http://127.0.0.1:{port}/metrics")
    assert counted(body, "deeptrace_verdicts_total") == sources
