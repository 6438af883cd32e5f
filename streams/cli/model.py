"""`deeptrace model`: the releases in the registry, and which of them is served."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas.base import rfc3339
from schemas.release import ALIASES, Alias, ReleaseManifest, ReleaseMove
from streams.assembly import make_registry
from streams.cli import compare, export
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.releases import promotion, publishing
from streams.releases.name import DEFAULT_MODEL, ReleaseName
from streams.releases.registry import Registry

SHOWN_FIGURES = 3
SHORT = 12  # digits of a hash that a person is shown

app = typer.Typer(no_args_is_help=True, help="Publish model releases, choose which one is served, and compare.")

Release = Annotated[
    str,
    typer.Argument(
        metavar="[MODEL@]VERSION", help=f"A release, or an alias; the model is {DEFAULT_MODEL!r} unless named."
    ),
]
ModelName = Annotated[str, typer.Option("--name", help="The model's name in the registry.")]
WhichAlias = Annotated[Alias, typer.Option("--alias", help="`champion` is served, `shadow` is on trial.")]


@app.command("list")
def list_releases(
    name: Annotated[str | None, typer.Option("--name", help="Only this model.")] = None, as_json: AsJson = False
) -> None:
    """List the releases, the oldest first, with the aliases that point at them and the headline figures of their report cards."""
    table = Table("release", "alias", "kind", "classes", "figures", "published", "sha256", box=None)
    with _registry() as registry:
        for model in registry.models() if name is None else [name]:
            aliases = registry.aliases(model)
            for release in registry.releases(model):
                pointing = [alias for alias, move in aliases.items() if move.version == release.version]
                if as_json:
                    print_json({**release.to_json(), "aliases": pointing})
                else:
                    table.add_row(*_row(release, pointing))
    if not as_json:
        out.print(table, markup=False)


@app.command()
def show(release: Release, as_json: AsJson = False) -> None:
    """Show one release: what its checkpoint says of itself, its figures, and where the aliases of the model point."""
    with _registry() as registry:
        found = registry.resolve(ReleaseName.of(release))
        moves = registry.aliases(found.name)
    if as_json:
        print_json({**found.to_json(), "aliases": {alias: move.to_json() for alias, move in moves.items()}})
        return
    for what, text in _lines(found, moves):
        out.print(printable(f"{what:<16}{text}"), highlight=False, markup=False, soft_wrap=True)


@app.command()
def publish(
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint (safetensors).", exists=True)],
    report: Annotated[
        Path | None, typer.Option(help="The report.json of `deeptrace evaluate`; a report.html beside it goes along.")
    ] = None,
    name: ModelName = DEFAULT_MODEL,
    version: Annotated[
        str | None, typer.Option(help="What verdicts will call it; unset: the version in the checkpoint.")
    ] = None,
    note: Annotated[str, typer.Option(help="A sentence for those who will read `model show`.")] = "",
    as_json: AsJson = False,
) -> None:
    """Store a checkpoint as a release, after loading it as a worker would. A version is published once: nothing is ever replaced."""
    card = None if report is None else publishing.read_report(report)
    with _registry() as registry:
        done = publishing.publish(registry, checkpoint, model=_model(name), version=version, report=card, note=note)
    release = done.release
    if as_json:
        print_json({**release.to_json(), "created": done.created})
        return
    said = "published" if done.created else "there already, byte for byte"
    out.print(f"{release.name}@{release.version}: {said} ({release.sha256[:SHORT]})", highlight=False)
    if card is None:
        err.print("without a report card nobody can see what it is worth: --report", highlight=False)


@app.command()
def promote(
    release: Release,
    alias: WhichAlias = "champion",
    allow_simulated: Annotated[
        bool, typer.Option("--allow-simulated", help="Also a model trained on simulated images.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Let an alias point at a release, after fetching, hashing and loading what is stored. Workers that follow it swap within seconds."""
    with _registry() as registry:
        found = registry.resolve(ReleaseName.of(release))
        before = registry.aliases(found.name).get(alias)
        was = None if before is None or before.version is None else registry.manifest(found.name, before.version)
        move = promotion.promote(registry, found, alias, allow_simulated=allow_simulated)
    if was is not None and was.preprocess_id != found.preprocess_id:
        err.print(
            f"it judges pixels of {found.preprocess_id}, {was.version} those of {was.preprocess_id}: running workers refuse it until "
            "they are restarted",
            style="yellow",
        )
    if was is not None and was.classes != found.classes:
        err.print(f"classes change from {', '.join(was.classes)} to {', '.join(found.classes)}", style="yellow")
    _say_move(move, None if before is None else before.version, as_json=as_json)


@app.command()
def rollback(name: ModelName = DEFAULT_MODEL, alias: WhichAlias = "champion", as_json: AsJson = False) -> None:
    """Let an alias point where it pointed before its last promotion; a shadow without a predecessor points at nothing then."""
    model = _model(name)
    with _registry() as registry:
        before = registry.aliases(model).get(alias)
        move = promotion.roll_back(registry, model, alias)
    _say_move(move, None if before is None else before.version, as_json=as_json)


app.command("compare")(compare.compare)
app.command("export")(export.export)


@contextmanager
def _registry() -> Iterator[Registry]:
    registry = make_registry(read_settings())
    try:
        yield registry
    finally:
        registry.close()


def _model(name: str) -> str:
    return ReleaseName.parse(f"{name}@{ALIASES[0]}").model


def _say_move(move: ReleaseMove, before: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({**move.to_json(), "before": before})
    else:
        out.print(f"{move.alias} of {move.name}: {before or 'nothing'} -> {move.version or 'nothing'}", highlight=False)


def _row(release: ReleaseManifest, aliases: list[Alias]) -> tuple[str, ...]:
    figures = ", ".join(f"{name} {value:.3g}" for name, value in [*release.figures.items()][:SHOWN_FIGURES])
    return (
        f"{release.name}@{release.version}",
        ", ".join(aliases) or "-",
        release.kind,
        str(len(release.classes)),
        figures or "-",
        rfc3339(release.created),
        release.sha256[:SHORT],
    )


def _lines(release: ReleaseManifest, moves: dict[Alias, ReleaseMove]) -> list[tuple[str, Any]]:
    return [
        ("release", f"{release.name}@{release.version}"),
        ("sha256", release.sha256),
        ("bytes", f"{release.size_bytes:,}"),
        ("kind", f"{release.kind}, trained on {release.training_data}"),
        ("classes", ", ".join(release.classes)),
        ("pixels", release.preprocess_id),
        ("calibration", release.calibration_id),
        ("published", rfc3339(release.created)),
        ("report card", release.report_sha256 or "none"),
        *((f"  {name}", f"{value:.4g}") for name, value in release.figures.items()),
        ("note", release.note or "-"),
        *(
            (alias, f"{move.version} since {rfc3339(move.moved)}, before {', '.join(move.previous) or 'nothing'}")
            for alias, move in moves.items()
        ),
    ]
