"""`deeptrace data audit`: what tells the class without a look at the content."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from training.cli.console import AsJson, err, out, print_json, watched
from training.cli.knobs import ParamsFile, knobs
from training.cli.processes import Processes


def audit(
    manifest_file: Annotated[Path, typer.Argument(metavar="MANIFEST", help="manifest.csv of the images.")],
    params: ParamsFile = None,
    most: Annotated[int, typer.Option(min=10, help="Images to look at, whole groups by chance.")] = 2000,
    processes: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Look for shortcuts: format, size, tables, colour, length, source. Exits with 3 where one is left on canonical crops."""
    from training.audit import audit_manifest
    from training.corpus.build import on_cores
    from training.manifest import read_manifest

    listed = read_manifest(manifest_file)
    with on_cores(processes) as ordered_map:
        done = audit_manifest(
            listed, watched(ordered_map, "images"), tolerance=knobs(params).data.shortcut_tolerance, most=most
        )
    if as_json:
        print_json(done.as_dict())
    else:
        found, canonical = done.as_found, done.canonical
        table = Table("shortcut", "as found", "canonical", "by luck", "", box=None)
        for name, guesses in canonical.shortcuts.items():
            caught = "[red]caught[/]" if name in canonical.caught() else ""
            before = f"{found.shortcuts[name].accuracy:.3f}"
            table.add_row(name, before, f"{guesses.accuracy:.3f}", f"{guesses.p_value:.3f}", caught)
        out.print(table)
        out.print(
            f"chance {canonical.chance:.3f}, n = {canonical.n} in {canonical.groups} groups; balanced accuracy on groups held out",
            highlight=False,
        )
        if done.unreadable:
            err.print(f"{done.unreadable} files could not be read", style="yellow", highlight=False)
    done.canonical.require_chance()
