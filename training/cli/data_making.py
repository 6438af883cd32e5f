"""`deeptrace data simulate` and `deeptrace data download`: images that were not there before."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from schemas.errors import UsageError
from training.cli.console import AsJson, out, print_json, tracked
from training.cli.data_listing import MANIFEST, finish
from training.cli.knobs import ParamsFile, knobs
from training.cli.processes import Processes

if TYPE_CHECKING:
    from training.manifest import Row
    from training.manifest_build import Refused


def simulate(
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the images and manifest.csv.")],
    seed: Annotated[int, typer.Option(help="Equal seeds give equal bytes, whatever the number of processes.")] = 7,
    scenes: Annotated[int, typer.Option(min=0, help="Training scenes, one image a class each.")] = 160,
    calibration_scenes: Annotated[
        int, typer.Option(min=0, help="Scenes of the split that temperatures and thresholds are fitted on.")
    ] = 40,
    test_scenes: Annotated[int, typer.Option(min=0, help="Scenes of the test split.")] = 60,
    held_out_scenes: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="For each of unseen_checkpoint, unseen_generator, later and unseen_source; unset: as many as test scenes.",
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Comma-separated, `real` among them; unset: the demo's five.")
    ] = None,
    unseen_generator: Annotated[str, typer.Option(help="The generator that is held out.")] = "other_ai",
    as_found: Annotated[
        bool,
        typer.Option("--as-found", help="Files with each class's habits of format and size: for the audit to find."),
    ] = False,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Write a simulated corpus: one scene through every class's pipeline. It says nothing about true generators."""
    from training.corpus.build import CLASSES, on_cores
    from training.corpus.writing import CorpusOrder, write_corpus
    from training.manifest import Manifest, write_manifest

    held_out = test_scenes if held_out_scenes is None else held_out_scenes
    order = CorpusOrder(
        seed,
        {
            "train": scenes,
            "calibration": calibration_scenes,
            "test": test_scenes,
            **dict.fromkeys(("unseen_checkpoint", "unseen_generator", "later", "unseen_source"), held_out),
        },
        classes=tuple(name.strip() for name in classes.split(",")) if classes else CLASSES,
        unseen_generator=unseen_generator,
        as_found=as_found,
    )
    with on_cores(processes) as ordered_map:
        made = tracked(write_corpus(order, out_dir, ordered_map), "scenes", sum(order.scenes.values()))
        manifest = Manifest(out_dir, tuple(row for rows in made for row in rows))
    write_manifest(out_dir / MANIFEST, manifest)
    if as_json:
        print_json({"manifest": str(out_dir / MANIFEST), "images": len(manifest.rows), "scenes": dict(order.scenes)})
    else:
        out.print(f"{len(manifest.rows)} simulated images in {out_dir}", highlight=False)


def download(
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the images and manifest.csv.")],
    dataset: Annotated[str, typer.Option(help="Name on the hub, a folder, or a format with --data-files.")],
    split: Annotated[str, typer.Option(help="Of the data set.")] = "train",
    config: Annotated[str | None, typer.Option(help="Configuration of the data set, where it has several.")] = None,
    data_files: Annotated[str | None, typer.Option(metavar="GLOB", help="Files of a format such as parquet.")] = None,
    image_column: Annotated[str | None, typer.Option(help="Unset: the only column of images.")] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Unset: `label`, or the only column of class labels.")
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="LABEL=CLASS", help="Class of a label; others are left out. Unset: labels are classes."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=COLUMN", help="Where group, source, generator, version, licence or date stand."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Images a class.")] = 1000,
    dummy: Annotated[
        bool, typer.Option("--dummy", help="No network: simulated images of the same classes instead.")
    ] = False,
    params: ParamsFile = None,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Fetch labelled images of a public data set, as the files they were, and list them. Mind the licence of the data set."""
    from training.corpus.build import on_cores
    from training.download import Order, fetch
    from training.dummy import write_dummies
    from training.manifest_build import build_manifest
    from training.splits import HeldOut

    wanted = knobs(params).data
    order = Order(
        dataset,
        split,
        config,
        data_files,
        image_column,
        label_column,
        classes=_pairs(mapping, "--map"),
        columns=_pairs(column, "--column"),
        limit=limit,
    )
    rows: list[Row] = []
    refused: list[Refused] = []
    if dummy:
        with on_cores(processes) as ordered_map:
            made = write_dummies(list(order.classes.values()), limit, out_dir, ordered_map, seed=wanted.seed)
            rows = [row for scene in tracked(made, "simulated scenes", limit) for row in scene]
    else:
        for one in tracked(fetch(order, out_dir), "records", None):
            rows += [one.row] if one.row else []
            refused += [one.refused] if one.refused else []
    built = build_manifest(
        rows, out_dir, near_duplicate_bits=wanted.near_duplicate_bits, processes=processes, refused=refused
    )
    finish(built, out_dir / MANIFEST, wanted, HeldOut(), as_json=as_json)


def _pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """Read `NAME=VALUE` pairs; raises `UsageError` for what is none."""
    pairs = [text.rpartition("=")[::2] for text in given or ()]
    if bad := [text for text, (name, value) in zip(given or (), pairs, strict=True) if not name or not value]:
        raise UsageError(f"{option} {bad[0]}: no pair", remedy=f"Write {option} NAME=VALUE, once for each.")
    return dict(pairs)
