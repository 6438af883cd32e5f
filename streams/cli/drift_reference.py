"""`deeptrace drift reference`: what counts as normal, for one tenant or for all."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from schemas import image_ref
from schemas.base import rfc3339
from schemas.errors import UsageError
from schemas.reference import CurrentReference, DriftReference, is_reference_version
from schemas.window import OVERALL
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.connecting import connect_drift
from streams.drift.profiles import load_profiles
from streams.drift.reference import FLOOR, Reference
from streams.drift.reference_building import from_report_card, from_windows, said_of
from streams.drift.reference_shelf import ReferenceShelf
from streams.drift.window_reader import pooled, whose
from streams.settings import Settings

MIN_IMAGES = 1000

app = typer.Typer(no_args_is_help=True, help="Build, show and choose the references that windows are compared with.")


def checked_tenant(tenant: str) -> str:
    """Return `tenant` if there can be one of that name, or `*` for all together.

    Raises:
        UsageError: it can be no tenant's name.
    """
    try:
        return tenant if tenant == OVERALL else _TENANT.validate_python(tenant)
    except ValidationError:
        raise UsageError(
            f"{tenant}: not a tenant", remedy="Give a name as it is in references, or leave --tenant out."
        ) from None


_TENANT = TypeAdapter[str](image_ref.Tenant)

Tenant = Annotated[
    str, typer.Option(help="Whose; without it that of all tenants.", show_default=False, callback=checked_tenant)
]
Kind = Annotated[str, typer.Option("--window", help="The kind of windows that are read: a tumbling one.")]


@app.command()
def build(
    since: Annotated[
        str | None, typer.Option(help="From closed windows, from this moment on: 7d, or RFC 3339.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to this moment.", show_default="now")] = None,
    report: Annotated[
        Path | None, typer.Option(help="From a report card instead: the report.json of `deeptrace evaluate`.")
    ] = None,
    tenant: Tenant = OVERALL,
    window: Kind = "1h",
    min_images: Annotated[int, typer.Option(min=1, help="Fewer decided images are refused.")] = MIN_IMAGES,
    note: Annotated[str, typer.Option(help="A sentence for those who will read `history`.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it, store nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build a reference, store it as a version of its own and use it from now on. Drift workers take it up within a minute."""
    if (since is None) == (report is None):
        raise UsageError(
            "a reference is built from windows or from a report card", remedy="Give --since or --report, one of them."
        )
    settings = read_settings()
    made = _now()
    if report is not None:
        reference = from_report_card(report, tenant=tenant, made=made, note=note)
        err.print("its mix is that of the test images, not of your traffic: build another from windows", style="yellow")
    else:
        assert since is not None
        begin, end = parse_since(since), made if until is None else parse_since(until)
        pool = asyncio.run(pooled(settings.kafka, tenant=tenant, window=window, since=begin, until=end))
        reference = from_windows(
            pool, tenant=tenant, window=window, since=begin, until=end, min_images=min_images, made=made, note=note
        )
        if pool.drifting:
            err.print(
                f"{pool.drifting} of {pool.windows} windows had drifted from the reference of their time",
                style="yellow",
            )
    if not dry_run:
        with shelf_of(settings) as shelf:
            shelf.put(reference)
            shelf.use(CurrentReference(tenant=tenant, version=reference.version, set_at=made))
    if as_json:
        print_json({**reference.to_json(), "stored": not dry_run})
        return
    _show(reference, in_use=not dry_run)
    if dry_run:
        err.print("nothing was stored: --dry-run", highlight=False)


@app.command()
def show(
    version: Annotated[str | None, typer.Argument(help="Unset: the one in use.")] = None,
    tenant: Tenant = OVERALL,
    as_json: AsJson = False,
) -> None:
    """Show a reference: shares, what they rest on, where they come from."""
    settings = read_settings()
    with shelf_of(settings) as shelf:
        current = shelf.current_version(tenant)
        reference = shelf.current(tenant) if version is None else shelf.get(tenant, _checked(version))
    for calibration_id, profile in load_profiles(settings).configured.items():
        if strange := sorted(set(profile.classes) - set(reference.shares)):
            err.print(
                printable(
                    f"the configured model ({calibration_id}) has {', '.join(strange)}, which the reference does not know: "
                    f"taken as {FLOOR:.1%} of normal traffic"
                ),
                style="yellow",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    if as_json:
        print_json({**reference.to_json(), "in_use": reference.version == current})
    else:
        _show(reference, in_use=reference.version == current)


@app.command("set")
def choose(
    version: Annotated[str, typer.Argument(help="One that `history` shows.")],
    tenant: Tenant = OVERALL,
    as_json: AsJson = False,
) -> None:
    """Use another stored version from now on."""
    with shelf_of(read_settings()) as shelf:
        reference = shelf.get(tenant, _checked(version))
        before = shelf.current_version(tenant)
        shelf.use(CurrentReference(tenant=tenant, version=reference.version, set_at=_now()))
    if as_json:
        print_json({"tenant": tenant, "version": reference.version, "before": before})
    else:
        out.print(f"{whose(tenant)}: {reference.version}, before {before or 'none'}", highlight=False, markup=False)


@app.command()
def history(tenant: Tenant = OVERALL, as_json: AsJson = False) -> None:
    """List all versions, the oldest first, with the one in use."""
    table = Table("version", "in use", "images", "from", "note", box=None)
    with shelf_of(read_settings()) as shelf:
        current = shelf.current_version(tenant)
        for version in shelf.versions(tenant):
            reference = shelf.get(tenant, version)
            if as_json:
                print_json({**reference.to_json(), "in_use": version == current})
            else:
                mark = "yes" if version == current else ""
                table.add_row(
                    version,
                    mark,
                    str(reference.images),
                    printable(said_of(reference.source)),
                    printable(reference.note),
                )
    if not as_json:
        out.print(table, markup=False)


@contextmanager
def shelf_of(settings: Settings) -> Iterator[ReferenceShelf]:
    """Give the stored references, for as long as they are needed."""
    shelf = ReferenceShelf(connect_drift(settings.store), settings.store.drift_bucket)
    try:
        yield shelf
    finally:
        shelf.close()


def foreign(reference: Reference | DriftReference, classes: set[str]) -> list[str]:
    """Say in which classes a reference and what is compared with it differ."""
    known = set(reference.shares)
    said = []
    if strange := sorted(classes - known):
        said.append(f"the reference does not know {', '.join(strange)}: taken as {FLOOR:.1%} of normal traffic")
    if gone := sorted(name for name in known - classes if reference.shares[name] > FLOOR):
        said.append(f"nothing was called {', '.join(gone)}, which the reference has")
    return said


def _show(reference: DriftReference, *, in_use: bool) -> None:
    lines: list[tuple[str, Any]] = [
        ("version", f"{reference.version}{' (in use)' if in_use else ''}"),
        ("tenant", whose(reference.tenant)),
        ("made", rfc3339(reference.made)),
        ("from", said_of(reference.source)),
        ("images", f"{reference.images} decided, {reference.corrected_images} in windows with a correction"),
        ("models", ", ".join(reference.model_versions) or "not known"),
        (
            "profile",
            reference.profile.calibration_id if reference.profile else "none: that of the worker's settings is used",
        ),
        ("note", reference.note or "none"),
    ]
    for name, text in lines:
        out.print(printable(f"{name:<10}{text}"), highlight=False, markup=False, soft_wrap=True)
    table = Table("class", "counted", "corrected", box=None)
    corrected = reference.corrected or {}
    for name in sorted({*reference.shares, *corrected}):
        table.add_row(printable(name), _percent(reference.shares.get(name)), _percent(corrected.get(name)))
    for column in table.columns[1:]:
        column.justify = "right"
    out.print(table, markup=False)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _checked(version: str) -> str:
    if not is_reference_version(version):
        raise UsageError(f"{version}: not a version", remedy="`deeptrace drift reference history` shows them.")
    return version


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)  # as it is written
