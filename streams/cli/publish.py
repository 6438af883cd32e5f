"""`deeptrace publish`: images in, references out."""

import asyncio
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from schemas.image_ref import ImageRef
from streams import publishing
from streams.assembly import make_store
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings
from streams.producer import Producer


def publish(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...|s3://bucket/prefix", help="Files, folders, or objects in the store.")
    ],
    tenant: Annotated[str, typer.Option(help="Tenant the images belong to.")] = "default",
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="References a second; as fast as possible if unset.")
    ] = None,
    overlay: Annotated[publishing.Overlay, typer.Option(help="Whether an overlay is wanted.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Upload images and publish a reference for each; objects in the store are referenced where they lie."""
    asyncio.run(_publish(paths, tenant=tenant, rate=rate, overlay=overlay, as_json=as_json))


async def _publish(
    paths: list[str], *, tenant: str, rate: float | None, overlay: publishing.Overlay, as_json: bool
) -> None:
    settings = read_settings()
    store = make_store(settings)
    bucket = settings.store.image_buckets[0]
    files = list(publishing.files_under(Path(path) for path in paths if not path.startswith(publishing.S3_SCHEME)))
    uploads = chain(
        (publishing.upload(store, bucket, path) for path in files),
        *(publishing.stored(store, path) for path in paths if path.startswith(publishing.S3_SCHEME)),
    )
    published = 0

    def accepted(ref: ImageRef) -> None:
        nonlocal published
        published += 1
        if as_json:
            print_json(ref.to_json())

    try:
        async with Producer(settings.kafka, client_id="deeptrace-publish") as producer:
            refs = (
                publishing.reference(item, tenant=tenant, overlay=overlay)
                async for item in publishing.paced(uploads, rate)
            )
            await publishing.publish_all(refs, lambda ref: publishing.publish(producer, ref), accepted=accepted)
    finally:
        store.close()
    if not as_json:
        out.print(f"{published} references published", highlight=False)
