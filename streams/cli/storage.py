"""`deeptrace storage`: the buckets."""

import json
from typing import Annotated, Literal

import typer

from storage.policies import publish_models, read_images, write_results
from streams.assembly import make_registry, make_store
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings

app = typer.Typer(no_args_is_help=True, help="Create the buckets, and show what their users must be allowed to do.")


@app.command()
def init(as_json: AsJson = False) -> None:
    """Create the configured buckets that are missing."""
    settings = read_settings()
    store, registry = make_store(settings), make_registry(settings)
    try:
        for bucket in settings.store.buckets:
            _show(bucket, store.ensure_bucket(bucket), as_json=as_json)
        _show(registry.bucket, registry.create(), as_json=as_json)
    finally:
        store.close()
        registry.close()


@app.command()
def policies(
    user: Annotated[
        Literal["images", "results", "models"],
        typer.Argument(help="The first user, the second, or who publishes models."),
    ],
) -> None:
    """Print the S3 policy, as JSON, of the user who reads images, who writes overlays and outcomes, or who publishes models."""
    settings = read_settings()
    store, model = settings.store, settings.model
    follows = model.release is not None or model.shadow_release is not None
    policy = {
        "images": read_images(store.image_buckets, model_bucket=store.model_bucket if follows else None),
        "results": write_results(
            overlay_bucket=store.overlay_bucket,
            overlay_prefix=store.overlay_prefix,
            outcome_bucket=store.outcome_bucket,
        ),
        "models": publish_models(store.model_bucket),
    }[user]
    out.print(json.dumps(policy, indent=2), highlight=False, markup=False, soft_wrap=True)


def _show(bucket: str, created: bool, *, as_json: bool) -> None:
    if as_json:
        print_json({"bucket": bucket, "created": created})
    else:
        out.print(f"{bucket}: {'created' if created else 'there already'}", highlight=False)
