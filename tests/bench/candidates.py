"""How well the candidate for a new generator tells: windows of simulated images, with and without generators that nobody knows.

    python tests/bench/candidates.py [--checkpoint FILE] [--scenes 400] [--windows 200]

Images of the simulated corpus that the demo checkpoint was never taught, laundered as they arrive, are judged once; windows are then drawn from
them: known classes in equal parts, and a share of something else. That is `other_ai` or `pixel_ai`, which nobody knows, or `unseen_source`: known classes,
but other cameras and scenes. Prints a table in Markdown: windows with a candidate by the checkpoint's own profile, and as if ten times as many images had
been calibrated on.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import DEMO_CHECKPOINT, Loaded, load
from model.embedding import packed, unpacked
from model.policy import policy_of
from streams.drift.candidates import CandidateRules, KnownRate, Reject, candidates_of, known_rate
from training.conditions import LAUNDERED
from training.corpus.build import CLASSES, Map, on_cores
from training.corpus.families import FURTHER_FAMILIES
from training.corpus.writing import CorpusOrder, write_corpus
from training.image_sets import UNSEEN_GENERATOR, images_of
from training.manifest import Manifest
from training.scores import answers
from training.served import UNKNOWN

SEED = 7  # that of the demo checkpoint: its decoders, and scenes that it never saw
UNSEEN_SOURCE = "unseen_source"
SIZES = (500, 2000)
KEPT = 256  # as `drift.max_rejects`
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3)

Pool = list[Reject | None]  # of each judged image, what it is to a window: None where it is not novel


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=DEMO_CHECKPOINT)
    parser.add_argument(
        "--scenes", type=int, default=400, help="of each pool; a scene is five known images, or one unknown"
    )
    parser.add_argument("--windows", type=int, default=200, help="drawn for each row of the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    loaded = load(options.checkpoint)
    if loaded.open_set is None or loaded.open_set.landmarks is None:
        raise SystemExit("this checkpoint gives no embeddings: run `deeptrace calibrate` on it")
    with tempfile.TemporaryDirectory() as folder, on_cores() as ordered_map:
        known = _pool(loaded, CorpusOrder(SEED, {"test": options.scenes}), Path(folder, "known"), ordered_map)
        orders = {
            name: CorpusOrder(SEED, {UNSEEN_GENERATOR: options.scenes}, unseen_generator=name)
            for name in FURTHER_FAMILIES
        }
        orders[UNSEEN_SOURCE] = CorpusOrder(SEED, {UNSEEN_SOURCE: options.scenes // len(CLASSES)})
        strange = {name: _pool(loaded, order, Path(folder, name), ordered_map) for name, order in orders.items()}
    print(f"{_described('known', known)}; {'; '.join(_described(*item) for item in strange.items())}\n")
    print(
        "| images | strange | share of it | windows with a candidate | with ten times the calibration | exemplars that are strange |"
    )
    print("|---|---|---|---|---|---|")
    for size in SIZES:
        for name, pool in strange.items():
            for share in SHARES:
                row = _row(loaded, known, pool, size, share, options.windows)
                print(f"| {size} | {name} | {share:.0%} | {row} |", flush=True)


def _row(loaded: Loaded, known: Pool, strange: Pool, size: int, share: float, windows: int) -> str:
    rng = np.random.default_rng(SEED)
    rate = known_rate(loaded.meta.profile)
    surer = KnownRate(10 * rate.a, 10 * rate.b)
    fired, fired_surer, shown, right = 0, 0, 0, 0
    for _ in range(windows):
        count = int(rng.binomial(size, share))
        rejects = [*_drawn(rng, known, size - count, "known"), *_drawn(rng, strange, count, "strange")]
        rejects.sort(key=lambda one: one.fingerprint)
        found, found_surer = (
            candidates_of(rejects[:KEPT], rules=CandidateRules(), images=size, rejected=len(rejects), known=known_as)
            for known_as in (rate, surer)
        )
        fired, fired_surer = fired + bool(found), fired_surer + bool(found_surer)
        exemplars = [example for cluster in found_surer for example in cluster.exemplars]
        shown += len(exemplars)
        right += sum(example.bucket == "strange" for example in exemplars)
    purity = f"{right / shown:.0%}" if shown else ""
    return f"{fired} of {windows} | {fired_surer} of {windows} | {purity}"


def _drawn(rng: np.random.Generator, pool: Pool, count: int, what: str) -> Iterator[Reject]:
    """Draw images, with replacement, and yield those that are novel, each as a new one of its window."""
    for place in rng.integers(len(pool), size=count).tolist():
        reject = pool[place]
        if reject is not None:
            yield replace(reject, fingerprint=int(rng.integers(1 << 62)), bucket=what)


def _pool(loaded: Loaded, order: CorpusOrder, folder: Path, ordered_map: Map) -> Pool:
    """Make and judge the images of an order that the checkpoint knows all or none of; photographs beside the unknown are left out."""
    (split,) = order.scenes
    manifest = Manifest(folder, tuple(row for rows in write_corpus(order, folder, ordered_map) for row in rows))
    classes, open_set, rules = loaded.meta.config.classes, loaded.open_set, loaded.meta.abstention
    assert open_set is not None
    assert open_set.landmarks is not None
    assert rules is not None
    assert rules.novelty is not None
    images = [one for one in images_of(manifest, split, classes) if split != UNSEEN_GENERATOR or one.label == UNKNOWN]
    found = answers(
        loaded.network, images, LAUNDERED, ordered_map,
        seed=SEED, policy=policy_of(loaded.meta.preprocess_id), open_set=open_set, keep_joint=True,
    )  # fmt: skip
    assert found.joint is not None
    assert found.novelty is not None
    rows = found.branches["fused"]
    with torch.inference_mode():
        hidden = rows.mean(loaded.network.hidden(torch.from_numpy(found.joint)).double().numpy())
        places = open_set.landmarks.place(torch.from_numpy(hidden)).numpy()
        nearest = rows.mean(open_set.by_class(torch.from_numpy(rows.logits)).double().numpy()).argmax(axis=1)
    return [
        Reject(0, unpacked(packed(place)), classes[near], "", image.name, loaded.meta.version)
        if novelty > rules.novelty.threshold
        else None
        for image, place, near, novelty in zip(found.images, places, nearest.tolist(), found.novelty, strict=True)
    ]


def _described(name: str, pool: Sequence[Reject | None]) -> str:
    novel = sum(one is not None for one in pool)
    return f"{name}: {novel} of {len(pool)} images are novel ({novel / len(pool):.1%})"


if __name__ == "__main__":
    main()
