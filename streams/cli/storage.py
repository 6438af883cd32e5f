"""`deeptrace storage`: the buckets."""

import json
from typing import Annotated, Literal

import typer

from storage.policies import publish_models, read_images, replay_history, set_references, watch_drift, write_results
from streams.assembly import make_registry, make_store
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings
from streams.connecting import connect_drift

app = typer.Typer(no_args_is_help=True, help="Create the buckets, and show what their users must be allowed to do.")


@app.command()
def init(as_json: AsJson = False) -> None:
    """Create the configured buckets that are missing."""
    settings = read_settings()
    store, registry, drift = make_store(settings), make_registry(settings), connect_drift(settings.store)
    try:
        for bucket in settings.store.buckets:
            _show(bucket, store.ensure_bucket(bucket), as_json=as_json)
        _show(registry.bucket, registry.create(), as_json=as_json)
        if settings.store.drift_bucket not in settings.store.buckets:
            bucket = settings.store.drift_bucket
            _show(bucket, drift.ensure_bucket(bucket), as_json=as_json)
    finally:
        store.close()
        registry.close()
        drift.close()


@app.command()
def policies(
    user: Annotated[
        Literal["images", "results", "models", "drift", "references", "replay"],
        typer.Argument(
            help="The first user, the second, who publishes models, a drift worker, who builds drift references, or who replays history."
        ),
    ],
) -> None:
    """Print the S3 policy, as JSON, of the user who reads images, who writes overlays and outcomes, who publishes models, of a drift worker, of
    who builds drift references, or of who replays history.
    """
    settings = read_settings()
    store, model = settings.store, settings.model
    follows = model.release is not None or model.shadow_release is not None
    joins_labels = settings.labels.enabled and settings.pipeline.outcomes == "settled"
    policy = {
        "images": read_images(store.image_buckets, model_bucket=store.model_bucket if follows else None),
        "results": write_results(
            overlay_bucket=store.overlay_bucket,
            overlay_prefix=store.overlay_prefix,
            outcome_bucket=store.outcome_bucket,
        ),
        "models": publish_models(store.model_bucket),
        "drift": watch_drift(
            store.drift_bucket,
            reports=settings.drift.reports,
            outcome_bucket=store.outcome_bucket if joins_labels else None,
        ),
        "references": set_references(store.drift_bucket),
        "replay": replay_history(
            store.image_buckets,
            model_bucket=store.model_bucket,
            overlay_bucket=store.overlay_bucket,
            drift_bucket=store.drift_bucket,
        ),
    }[user]
    out.print(json.dumps(policy, indent=2), highlight=False, markup=False, soft_wrap=True)


def _show(bucket: str, created: bool, *, as_json: bool) -> None:
    if as_json:
        print_json({"bucket": bucket, "created": created})
    else:
        out.print(f"{bucket}: {'created' if created else 'there already'}", highlight=False)
