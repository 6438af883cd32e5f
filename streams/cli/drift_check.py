"""`deeptrace drift check`: the windows of a time range together against the reference; made for a weekly cron."""

import asyncio
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas.base import rfc3339
from schemas.errors import CheckFailed
from schemas.window import OVERALL, Divergences, Estimate
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.cli.drift_reference import Kind, Tenant, foreign, shelf_of
from streams.drift.divergence import diverge
from streams.drift.pooling import Pool
from streams.drift.reference import Reference, load_reference
from streams.drift.reference_shelf import in_use_for
from streams.drift.references import reference_of
from streams.drift.window_reader import pooled, whose
from streams.settings import Settings

EXIT_DRIFT = 3
STATISTICS = ("kl_current_reference_nats", "kl_reference_current_nats", "js_distance", "psi")


def check(
    since: Annotated[str, typer.Option(help="From this moment on: 7d, or RFC 3339.")],
    until: Annotated[str | None, typer.Option(help="Up to this moment.", show_default="now")] = None,
    tenant: Tenant = OVERALL,
    window: Kind = "1h",
    threshold: Annotated[
        float | None,
        typer.Option(min=0, help="KL(current || reference) in nats that is drift.", show_default="drift.threshold"),
    ] = None,
    fail_on_drift: Annotated[bool, typer.Option("--fail-on-drift", help="Exit with 3 when it has drifted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the windows of a time range, pooled, with the reference. It has drifted when even the lower end of the interval is over the threshold."""
    settings = read_settings()
    limit = settings.drift.threshold if threshold is None else threshold
    begin, end = parse_since(since), None if until is None else parse_since(until)
    reference = reference_for(settings, tenant)
    pool = asyncio.run(pooled(settings.kafka, tenant=tenant, window=window, since=begin, until=end))
    if pool.decided < settings.drift.min_images:
        raise CheckFailed(
            f"{pool.decided} decided images of {whose(tenant)} are too few to compare",
            why=f"drift.min_images is {settings.drift.min_images}",
            remedy="Give an earlier --since.",
        )
    corrected = pool.corrected()
    found = diverge(pool.counts, corrected, reference, seed=0)
    drifted = found.kl_current_reference_nats.low > limit
    if as_json:
        print_json(
            {
                "tenant": tenant,
                "window": window,
                "since": rfc3339(begin),
                "windows": pool.windows,
                "images": pool.images,
                "decided": pool.decided,
                "void": pool.void,
                "corrected_images": pool.corrected_images,
                "shares": pool.shares(),
                "correction": None if corrected is None else corrected.correction.to_json(),
                "reference": {"version": reference.version, "shares": dict(reference.shares)},
                "differs_in": foreign(reference, set(pool.counts)),
                "threshold": limit,
                **found.to_json(),
                "state": "drifting" if drifted else "steady",
            }
        )
    else:
        _show(pool, found, reference, limit=limit, drifted=drifted, tenant=tenant)
    if fail_on_drift and drifted:
        raise typer.Exit(EXIT_DRIFT)


def reference_for(settings: Settings, tenant: str) -> Reference:
    """Return what a drift worker compares `tenant` with: the reference of the settings, else the tenant's own, else that of all.

    Raises:
        ReferenceMissing: there is none of these.
        ReferenceCorrupt, StoreUnavailable, BucketMissing
    """
    fixed = load_reference(settings.drift)
    if fixed is not None:
        return fixed
    with shelf_of(settings) as shelf:
        return reference_of(in_use_for(shelf, tenant))


def _show(pool: Pool, found: Divergences, reference: Reference, *, limit: float, drifted: bool, tenant: str) -> None:
    out.print(
        f"{whose(tenant)}: {pool.decided} decided of {pool.images} images in {pool.windows} windows"
        f", against reference {reference.version or 'of the settings'}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    corrected = pool.corrected()
    true = {} if corrected is None else corrected.correction.shares or {}
    counted, normal = pool.shares(), reference.corrected or {}
    table = Table("class", "counted", "normally", "corrected (95 %)", "normally", box=None)
    for name in sorted({*counted, *true, *reference.shares}):
        table.add_row(
            printable(name),
            f"{counted.get(name, 0):.2%}",
            f"{reference.shares[name]:.2%}" if name in reference.shares else "-",
            _range(true.get(name)),
            f"{normal[name]:.2%}" if name in normal else "-",
        )
    for column in table.columns[1:]:
        column.justify = "right"
    out.print(table, markup=False)
    rows: list[tuple[str, Any]] = [(name, getattr(found, name)) for name in STATISTICS]
    for name, value in rows:
        out.print(f"{name:<27}{value.value:.4f} ({value.low:.4f} to {value.high:.4f})", highlight=False)
    if found.chi_square is not None and found.chi_square_p is not None:
        out.print(
            f"{'chi_square':<27}{found.chi_square:.1f} (p {found.chi_square_p:.3g}, on raw counts)", highlight=False
        )
    if pool.void:
        err.print(f"in {pool.void} of {pool.windows} windows the correction is void", style="yellow", highlight=False)
    for difference in foreign(reference, set(pool.counts)):
        err.print(printable(difference), style="yellow", highlight=False, markup=False)
    word, sign = ("drifted", "over") if drifted else ("steady", "not over")
    low = found.kl_current_reference_nats.low
    out.print(
        f"{word}: on {found.basis} shares KL(current || reference) is at least {low:.4f} nats, {sign} {limit:g}",
        style="bold",
        highlight=False,
        markup=False,
    )


def _range(share: Estimate | None) -> str:
    return "-" if share is None else f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})"
