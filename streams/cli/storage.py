"""`deeptrace storage`: the buckets."""

import typer

from streams.assembly import make_store
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings

app = typer.Typer(no_args_is_help=True, help="Create the buckets.")


@app.command()
def init(as_json: AsJson = False) -> None:
    """Create the configured buckets that are missing."""
    settings = read_settings()
    store = make_store(settings)
    try:
        for bucket in dict.fromkeys((*settings.store.image_buckets, settings.store.overlay_bucket)):
            created = store.ensure_bucket(bucket)
            if as_json:
                print_json({"bucket": bucket, "created": created})
            else:
                out.print(f"{bucket}: {'created' if created else 'there already'}", highlight=False)
    finally:
        store.close()
