"""`deeptrace data manifest` and `deeptrace data split`: which images there are, and what each of them is for."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from schemas.errors import UsageError
from training.cli.console import AsJson, counted, err, out, print_json
from training.cli.knobs import ParamsFile, knobs
from training.cli.processes import Processes
from training.manifest import SPLITS, Manifest

if TYPE_CHECKING:  # PyYAML comes with the extra `train`; `deeptrace --help` must work without
    from training.manifest_build import Built
    from training.params import DataParams
    from training.splits import HeldOut

MANIFEST = "manifest.csv"
HoldOutGenerator = Annotated[
    list[str] | None, typer.Option(help="Generator or class for the split unseen_generator; may be repeated.")
]
HoldOutVersion = Annotated[
    list[str] | None, typer.Option(help="Version for the split unseen_checkpoint; may be repeated.")
]
HoldOutSource = Annotated[list[str] | None, typer.Option(help="Source for the split unseen_source; may be repeated.")]
LaterThan = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Images with a later date go to the split `later`.")
]


def manifest(
    place: Annotated[
        Path, typer.Argument(metavar="FOLDER|CSV", help="Sub-folders by class, or a CSV with `file` and `class`.")
    ],
    out_file: Annotated[Path, typer.Option("--out", metavar="FILE", help="The manifest to write.")] = Path(MANIFEST),
    role: Annotated[str | None, typer.Option(help="Only rows of the CSV with this in the column `role`.")] = None,
    params: ParamsFile = None,
    hold_out_generator: HoldOutGenerator = None,
    hold_out_version: HoldOutVersion = None,
    hold_out_source: HoldOutSource = None,
    later_than: LaterThan = None,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """List labelled images with their facts, join near duplicates, split by group. What cannot be read goes to FILE.rejected.csv."""
    from training.labelled import labelled_rows
    from training.manifest_build import build_manifest

    wanted = knobs(params).data
    held_out = _held_out(hold_out_generator, hold_out_version, hold_out_source, later_than)
    if out_file.exists() and place.resolve() == out_file.resolve():
        raise UsageError(f"{place} would be overwritten", remedy="Name another file with --out.")
    rows = labelled_rows(place, relative_to=out_file.parent, role=role)
    out_file.parent.mkdir(parents=True, exist_ok=True)
    with counted("images", len(rows)) as shown:
        built = build_manifest(
            rows, out_file.parent, near_duplicate_bits=wanted.near_duplicate_bits, processes=processes, shown=shown
        )
    finish(built, out_file, wanted, held_out, as_json=as_json)


def split(
    manifest_file: Annotated[Path, typer.Argument(metavar="MANIFEST", help="manifest.csv, which is written anew.")],
    params: ParamsFile = None,
    hold_out_generator: HoldOutGenerator = None,
    hold_out_version: HoldOutVersion = None,
    hold_out_source: HoldOutSource = None,
    later_than: LaterThan = None,
    as_json: AsJson = False,
) -> None:
    """Split a manifest by group, and hold out what is named; the same options give the same split."""
    from training.manifest import read_manifest, write_manifest
    from training.splits import split_rows

    held_out = _held_out(hold_out_generator, hold_out_version, hold_out_source, later_than)
    listed = read_manifest(manifest_file)
    done = listed.with_rows(split_rows(listed.rows, knobs(params).data, held_out))
    write_manifest(manifest_file, done)
    _show_splits(done, as_json=as_json)


def _held_out(
    generators: list[str] | None, versions: list[str] | None, sources: list[str] | None, later_than: datetime | None
) -> "HeldOut":
    from training.splits import HeldOut

    return HeldOut(
        sources=frozenset(sources or ()),
        generators=frozenset(generators or ()),
        versions=frozenset(versions or ()),
        later_than=later_than.date() if later_than else None,
    )


def finish(built: "Built", out_file: Path, params: "DataParams", held_out: "HeldOut", *, as_json: bool) -> None:
    """Split what was built, write it and the list of what was left out, and print how much there is."""
    from training.manifest import write_manifest
    from training.manifest_build import write_refused
    from training.splits import split_rows

    listed = built.manifest.with_rows(split_rows(built.manifest.rows, params, held_out))
    write_manifest(out_file, listed)
    refused = out_file.with_suffix(".rejected.csv")
    write_refused(refused, built.refused)
    _show_splits(listed, as_json=as_json, refused=len(built.refused))
    if built.refused:
        err.print(
            f"{len(built.refused)} files were left out: see {refused}",
            style="yellow",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _show_splits(listed: Manifest, *, as_json: bool, refused: int = 0) -> None:
    """Print how many images of each class each split has, and warn of a split that lacks a class."""
    from training.splits import missing_classes

    counts = Counter((row.split or "left out", row.label) for row in listed.rows)
    splits = [name for name in (*SPLITS, "left out") if any(there == name for there, _ in counts)]
    labels = sorted({label for _, label in counts})
    missing = missing_classes(listed.rows)
    if as_json:
        print_json(
            {
                "images": len(listed.rows),
                "rejected": refused,
                "near_duplicate_groups": len({row.near for row in listed.rows} - {""}),
                "splits": {name: {label: counts[name, label] for label in labels} for name in splits},
                "missing": missing,
            }
        )
    else:
        table = Table("class", *splits, box=None)
        for label in labels:
            table.add_row(label, *(str(counts[name, label]) for name in splits))
        out.print(table, markup=False)
    for name, lacking in missing.items():
        err.print(
            f"{name} has no {', '.join(lacking)}: too few groups; its figures will not speak of that",
            style="yellow",
            markup=False,
            highlight=False,
        )
