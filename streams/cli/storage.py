"""`deeptrace storage`: the buckets."""

import json
from typing import Annotated, Literal

import typer

from storage.policies import read_images, write_results
from streams.assembly import make_store
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings

app = typer.Typer(no_args_is_help=True, help="Create the buckets, and show what their users must be allowed to do.")


@app.command()
def init(as_json: AsJson = False) -> None:
    """Create the configured buckets that are missing."""
    settings = read_settings()
    store = make_store(settings)
    try:
        for bucket in settings.store.buckets:
            created = store.ensure_bucket(bucket)
            if as_json:
                print_json({"bucket": bucket, "created": created})
            else:
                out.print(f"{bucket}: {'created' if created else 'there already'}", highlight=False)
    finally:
        store.close()


@app.command()
def policies(
    user: Annotated[Literal["images", "results"], typer.Argument(help="The first user, or the second.")],
) -> None:
    """Print the S3 policy, as JSON, of the user who reads images or of the one who writes overlays and outcomes."""
    store = read_settings().store
    policy = (
        read_images(store.image_buckets)
        if user == "images"
        else write_results(
            overlay_bucket=store.overlay_bucket,
            overlay_prefix=store.overlay_prefix,
            outcome_bucket=store.outcome_bucket,
        )
    )
    out.print(json.dumps(policy, indent=2), highlight=False, markup=False, soft_wrap=True)
