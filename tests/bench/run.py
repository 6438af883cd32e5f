"""`make bench`: what one reference costs, and where the time goes. Prints; asserts nothing: machines are shared and noisy.

Real broker and real S3 server on loopback, workers as real processes. CPU is read from /proc (Linux): the worker's own, and that of its
decoder processes. Ratios are taken within one run.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from model.checkpoint import DEMO_CHECKPOINT, load_classifier
from model.pixels import preprocess

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.world import World, native, picture

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
PLAIN = str(Path(__file__).with_name("plain_faust_agent.py"))
PICTURES = 32


def cpu_s(pid: int) -> tuple[float, float]:
    """Return CPU seconds of a process and of its children, dead ones included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own, waited = (int(fields[11]) + int(fields[12])) * TICK_S, (int(fields[13]) + int(fields[14])) * TICK_S
    live = sum(sum(cpu_s(child)) for child in children(pid))
    return own, waited + live


def children(pid: int) -> list[int]:
    """Return the live child processes of every thread."""
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process, its children not included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB


async def until_outcomes(world: World, wanted: int, pid: int) -> tuple[float, float]:
    """Wait for the outcomes; return the seconds it took and the largest resident memory seen."""
    start, peak = time.perf_counter(), 0.0
    waiting = asyncio.create_task(world.wait_for_outcomes(wanted, timeout_s=900))
    while not waiting.done():
        peak = max(peak, rss_mib(pid))
        await asyncio.sleep(0.1)
    await waiting
    return time.perf_counter() - start, peak


def null_worker(folder: Path, references: int) -> None:
    """20,000 references through the worker with a classifier that costs nothing, and through a plain Faust agent."""
    costs = {}
    for name, command in (
        ("deeptrace worker", ("-m", "streams.cli", "worker")),
        ("plain Faust agent", (PLAIN, "worker", "--without-web")),
    ):
        world = World(folder / name.replace(" ", "-"))
        try:
            for n in range(PICTURES):
                world.put(f"p{n}", picture(n))
            asyncio.run(world.publish([native("warm-up", "p0")]))
            worker = world.start(*command, DEEPTRACE_MODEL__CLASSIFIER="null", DEEPTRACE_LOG__LEVEL="warning")
            asyncio.run(world.wait_for_outcomes(1, timeout_s=120))
            time.sleep(2)
            idle, before = rss_mib(worker.pid), cpu_s(worker.pid)
            asyncio.run(world.publish([native(f"e{n}", f"p{n % PICTURES}") for n in range(references)]))
            seconds, peak = asyncio.run(until_outcomes(world, references + 1, worker.pid))
            after = cpu_s(worker.pid)
            own, decoders = ((b - a) * 1000 / references for a, b in zip(before, after, strict=True))
            costs[name] = own
            print(
                f"  {name:<18} {own:6.2f} ms CPU/reference in the worker, {decoders:5.2f} ms in its decoders, "
                f"{references / seconds:6.0f} references/s, memory {idle:.0f} MiB idle, +{peak - idle:.0f} MiB with the backlog",
                flush=True,
            )
        finally:
            world.close()
    print(f"  ratio worker / plain agent: {costs['deeptrace worker'] / costs['plain Faust agent']:.2f}")


def real_model(folder: Path, images: int) -> None:
    """End to end with the demo checkpoint, against the same model fed from memory in the same run."""
    data = [picture(n, side=256) for n in range(PICTURES)]
    world = World(folder / "real")
    try:
        for n, blob in enumerate(data):
            world.put(f"p{n}", blob)
        asyncio.run(world.publish([native("warm-up", "p0")]))
        worker = world.start(
            *("-m", "streams.cli", "worker"),
            DEEPTRACE_MODEL__CLASSIFIER="ensemble",
            DEEPTRACE_MODEL__ALLOW_SIMULATED="true",
            DEEPTRACE_HTTP__PORT="16066",
            DEEPTRACE_LOG__LEVEL="warning",
        )
        asyncio.run(world.wait_for_outcomes(1, timeout_s=180))
        before = cpu_s(worker.pid)
        asyncio.run(world.publish([native(f"e{n}", f"p{n % PICTURES}") for n in range(images)]))
        seconds, _ = asyncio.run(until_outcomes(world, images + 1, worker.pid))
        spent = [(b - a) * 1000 / images for a, b in zip(before, cpu_s(worker.pid), strict=True)]
        with urllib.request.urlopen("http://127.0.0.1:16066/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
    finally:
        world.close()
    bare_per_s, bare_cpu_ms, decode_ms = bare_model(data, images)
    print(f"  end to end {images / seconds:6.1f} images/s, {sum(spent):6.1f} ms CPU/image ({spent[1]:.1f} in decoders)")
    print(
        f"  bare model {bare_per_s:6.1f} images/s, {bare_cpu_ms:6.1f} ms CPU/image, decoding alone {decode_ms:.1f} ms CPU/image"
    )
    print(
        f"  ratio of images/s: {images / seconds / bare_per_s:.2f}; of CPU to model + decoding: {sum(spent) / (bare_cpu_ms + decode_ms):.2f}"
    )
    print("  where the time of a reference goes (mean ms, waiting in the stage included):")
    for stage in ("fetch", "decode", "infer", "overlay", "publish"):
        total, count = (
            float(re.search(rf'stage_duration_seconds_{part}{{stage="{stage}"}} (\S+)', metrics)[1])
            for part in ("sum", "count")
        )
        print(f"    {stage:<8} {1000 * total / count:8.1f}")


def bare_model(data: list[bytes], images: int) -> tuple[float, float, float]:
    """Return images/s and CPU ms of the model fed from memory, and CPU ms of decoding alone."""
    start = time.process_time()
    pixels = [preprocess(blob, seed=b"bench") for blob in data]
    decode_ms = (time.process_time() - start) * 1000 / len(data)
    classifier = load_classifier(DEMO_CHECKPOINT, device="cpu", threads=os.cpu_count() or 1)
    classifier.predict(pixels, explain=[False] * len(pixels))
    rounds = max(1, images // len(pixels))
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(rounds):
        classifier.predict(pixels, explain=[False] * len(pixels))
    done = rounds * len(pixels)
    return done / (time.perf_counter() - wall), (time.process_time() - cpu) * 1000 / done, decode_ms


def gradcam(rounds: int) -> None:
    """What the heat maps add to the forward pass; the two are interleaved."""
    classifier = load_classifier(DEMO_CHECKPOINT, device="cpu", threads=1)
    pixels = [preprocess(picture(n, side=256), seed=b"bench") for n in range(8)]
    ratios = []
    for _ in range(rounds):
        spent = {}
        for explain in (False, True):
            start = time.process_time()
            classifier.predict(pixels, explain=[explain] * len(pixels))
            spent[explain] = time.process_time() - start
        ratios.append(spent[True] / spent[False])
    print(
        f"  Grad-CAM adds {100 * (statistics.median(ratios) - 1):+.1f} % CPU to the forward pass (median of {rounds} pairs)"
    )


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--references", type=int, default=20_000, help="references of the null run")
    parser.add_argument("--images", type=int, default=320, help="images of the run with the demo checkpoint")
    parser.add_argument("--only", choices=("null", "real", "gradcam"))
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="deeptrace-bench-") as folder:
        if arguments.only in {None, "null"}:
            print(f"{arguments.references} references, a classifier that costs nothing, {PICTURES} PNGs of 96 x 96")
            null_worker(Path(folder), arguments.references)
        if arguments.only in {None, "real"}:
            print(f"{arguments.images} images of 256 x 256, the demo checkpoint")
            real_model(Path(folder), arguments.images)
        if arguments.only in {None, "gradcam"}:
            gradcam(rounds=15)


if __name__ == "__main__":
    main()
