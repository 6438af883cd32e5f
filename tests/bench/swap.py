"""How long a swap of the model holds up a worker under full load: `python tests/bench/swap.py [--references 5000] [--full]`.

All references lie on the topic before the worker starts, so that it always has work, and the alias is moved when a third of them have
their outcome. A gap is the time between two verdicts on the topic; batches make gaps by themselves, so the longest of the swap is held
against the longest of the rest. `--full` takes the full-size networks (110 MB, random weights), a tenth of the references, batches of 4.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.tiny_release import ONE_CROP, write_checkpoint
from support.world import VERDICTS, World, native, picture

from schemas.base import rfc3339
from streams.assembly import make_registry
from streams.releases.promotion import promote
from streams.releases.publishing import publish
from streams.releases.registry import Registry
from streams.settings_sources import load

PICTURES = 200
AFTER_S = (
    5.0  # a gap that touches the time from the promotion to so long after the worker has swapped counts as the swap's
)
FULL_BATCH = 4  # on CPU a batch of 32 of the full networks takes longer than any swap
TIMEOUT_S = 3600.0


def write_full(path: Path, *, seed: int, version: str) -> str:
    """Write a checkpoint of full size: EfficientNet-B0, ViT-S/16 and the spectrum, untrained."""
    import torch

    from model.checkpoint import save
    from model.checkpoint_meta import CheckpointMeta
    from model.config import EnsembleConfig
    from model.network import build

    torch.manual_seed(seed)
    config = EnsembleConfig(classes=("stable_diffusion", "midjourney", "dalle3", "flux", "real"))
    meta = CheckpointMeta(
        version=version, kind="trained", config=config, preprocess_id=ONE_CROP, training_data="nothing: random weights"
    )
    return save(path, build(config), meta)


def prepare(world: World, *, full: bool) -> Registry:
    """Publish two releases, promote the first, and put the pictures."""
    registry = make_registry(load(world.env).settings)
    registry.create()
    for seed, version in enumerate(("1.0", "1.1")):
        path = world.folder / f"{version}.safetensors"
        (write_full if full else write_checkpoint)(path, seed=seed, version=version)
        release = publish(registry, path, model="detector", version=version, report=None).release
        if version == "1.0":
            promote(registry, release, "champion")
    for number in range(PICTURES):
        world.put(f"picture-{number}", picture(number, 64))
    return registry


async def run(world: World, registry: Registry, references: int) -> dict[str, object]:
    """Let a worker judge all of them, move the alias on the way, and measure."""
    await world.publish([native(str(n), f"picture-{n % PICTURES}") for n in range(references)])
    world.worker()
    await world.wait_for_outcomes(references // 3, timeout_s=TIMEOUT_S)
    await asyncio.to_thread(promote, registry, registry.manifest("detector", "1.1"), "champion")
    promoted = time.time()
    await world.wait_for_outcomes(references, timeout_s=TIMEOUT_S)
    count = await world.count()
    audit = await asyncio.to_thread(world.run, "audit", "--complete", "--json", timeout_s=600)
    records = sorted(await world.records(VERDICTS), key=lambda record: record.timestamp)
    [said] = said_by_worker(world.folder / "worker.log", "model swapped")
    swapped_at = datetime.fromisoformat(str(said["timestamp"])).timestamp()
    return {
        "references": references,
        "missing": len(count.missing),
        "both": len(count.both),
        "audit_exit_code": audit.returncode,
        **measured(
            [(r.timestamp / 1000, json.loads(r.value)["model"]["version"]) for r in records], promoted, swapped_at
        ),
        "loaded_s": said["loaded_s"],
    }


def measured(verdicts: list[tuple[float, str]], promoted: float, swapped_at: float) -> dict[str, object]:
    """Return rates and gaps of verdicts (moment, version), in their order."""
    times = [moment for moment, _ in verdicts]
    during, rest = [], []
    for start, end in pairwise(times):
        (during if end >= promoted and start <= swapped_at + AFTER_S else rest).append(end - start)
    first_new = next((moment for moment, version in verdicts if version == "1.1"), None)
    stragglers = [
        moment - first_new for moment, version in verdicts if first_new and version == "1.0" and moment > first_new
    ]
    return {
        "by_version": dict(Counter(version for _, version in verdicts)),
        "per_second": round(len(verdicts) / (times[-1] - times[0]), 1),
        "longest_gap_steady_s": round(max(rest, default=0.0), 3),
        "longest_gap_swap_s": round(max(during, default=0.0), 3),
        "promotion_to_swap_s": round(swapped_at - promoted, 3),
        "promotion_to_first_new_s": None if first_new is None else round(first_new - promoted, 3),
        # Judged before the swap and published after the first of the new model: they were in other batches of the same moment.
        "old_after_first_new": len(stragglers),
        "old_after_first_new_s": round(max(stragglers, default=0.0), 3),
    }


def said_by_worker(log: Path, event: str) -> list[dict[str, object]]:
    """Return the worker's log lines of one event."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == event]


def main() -> None:
    """Run it and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--references", type=int, default=5000)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    references = options.references // 10 if options.full else options.references
    with tempfile.TemporaryDirectory(prefix="deeptrace-swap-") as folder:
        world = World(Path(folder))
        try:
            world.env |= {
                "DEEPTRACE_MODEL__CLASSIFIER": "ensemble",
                "DEEPTRACE_MODEL__RELEASE": "detector@champion",
                "DEEPTRACE_MODEL__WATCH_S": "1",
                "DEEPTRACE_LOG__FORMAT": "json",
                **({"DEEPTRACE_MODEL__MAX_BATCH": str(FULL_BATCH)} if options.full else {}),
            }
            registry = prepare(world, full=options.full)
            found = asyncio.run(run(world, registry, references))
            registry.close()
        finally:
            world.close()
    found = {"at": rfc3339(datetime.now().astimezone()), "full": options.full, **found}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
