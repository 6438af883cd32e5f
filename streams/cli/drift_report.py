"""`deeptrace drift report`: an Evidently report of a time range, on demand."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from schemas.base import rfc3339
from schemas.errors import CheckFailed, ReportFailed
from schemas.window import OVERALL
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings
from streams.cli.drift_reference import Kind, Tenant, shelf_of
from streams.connecting import connect_drift
from streams.drift.pooling import Pool
from streams.drift.reference import load_reference
from streams.drift.reference_shelf import in_use_for
from streams.drift.reports.content import Content, Normal, Rendered, content_of
from streams.drift.reports.placing import put_report, report_object
from streams.drift.reports.renderer import Renderer, require_evidently
from streams.drift.window_reader import pooled, whose
from streams.settings import Settings


def report(
    since: Annotated[str, typer.Option(help="From this moment on: 1d, or RFC 3339.")],
    until: Annotated[str | None, typer.Option(help="Up to this moment.", show_default="now")] = None,
    tenant: Tenant = OVERALL,
    window: Kind = "1h",
    out_dir: Annotated[Path | None, typer.Option("--out", help="Also write it into this folder.")] = None,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Put it into the drift bucket.")] = True,
    as_json: AsJson = False,
) -> None:
    """Have Evidently compare the windows of a time range, pooled, with the reference: raw counts by predicted source, and confidence. HTML and JSON."""
    require_evidently()
    settings = read_settings()
    begin, end = parse_since(since), datetime.now(UTC) if until is None else parse_since(until)
    normal = _normal(settings, tenant)
    pool = asyncio.run(pooled(settings.kafka, tenant=tenant, window=window, since=begin, until=end))
    name = f"{begin:%Y%m%dT%H%M%SZ}-{end:%Y%m%dT%H%M%SZ}-{window}"
    rendered = _rendered(_content(pool, normal, settings, tenant=tenant, window=window, begin=begin, end=end))
    places = []
    if store:
        place = report_object(settings.store.drift_bucket, tenant, name)
        connected = connect_drift(settings.store)
        try:
            put_report(connected, place, rendered)
        finally:
            connected.close()
        places.append(f"{place.bucket}/{place.key}")
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
        for suffix, data in ((".html", rendered.html), (".json", rendered.json)):
            path = out_dir / f"{name}{suffix}"
            path.write_bytes(data)
            places.append(str(path))
    if as_json:
        print_json(
            {
                "tenant": tenant,
                "windows": pool.windows,
                "images": pool.images,
                "decided": pool.decided,
                "written": places,
            }
        )
        return
    for written in places:
        out.print(written, highlight=False, markup=False, soft_wrap=True)


def _normal(settings: Settings, tenant: str) -> Normal:
    fixed = load_reference(settings.drift)
    if fixed is not None:
        return Normal(fixed.shares)
    with shelf_of(settings) as shelf:
        return Normal.of(in_use_for(shelf, tenant))


def _content(
    pool: Pool, normal: Normal, settings: Settings, *, tenant: str, window: str, begin: datetime, end: datetime
) -> Content:
    try:
        return content_of(
            f"Drift of {whose(tenant)}, {rfc3339(begin)[:16]}Z to {rfc3339(end)[:16]}Z",
            pool.counts,
            normal,
            threshold=settings.drift.threshold,
            confidence=pool.confidence,
            about={
                "windows": f"{pool.windows} of {window}",
                "images": f"{pool.images}, of them {pool.decided} decided",
                "models": ", ".join(sorted(pool.models)) or "not known",
                "reference": normal.version or "of the settings",
            },
        )
    except ValueError:
        raise CheckFailed(
            "there is nothing to compare",
            why=f"no image of {pool.windows} windows was decided",
            remedy="Give an earlier --since.",
        ) from None


def _rendered(content: Content) -> Rendered:
    renderer = Renderer()
    try:
        return renderer.render(content)
    except ReportFailed as error:
        error.remedy = "Look whether the machine has 500 MB to spare, and whether `python -c 'import evidently'` works."
        raise
    finally:
        renderer.close()
