"""Where reports lie: `reports/<tenant or _all>/<name>.html` and `.json` in the drift bucket."""

from typing import Final

from schemas.errors import BucketMissing, DependencyDown, StoreUnavailable, Transient
from schemas.reference import folder_of
from schemas.window import StoredObject
from storage.store import ObjectStore
from streams.drift.reports.content import Rendered

PREFIX: Final = "reports/"
DEADLINE_S: Final = 60.0


def report_object(bucket: str, tenant: str, name: str) -> StoredObject:
    """Return where the HTML of a report lies; a window's is called by its id."""
    return StoredObject(bucket=bucket, key=f"{PREFIX}{folder_of(tenant)}/{name}.html")


def put_report(store: ObjectStore, place: StoredObject, rendered: Rendered) -> None:
    """Store a report; the HTML last, since alerts link to it. A repeat replaces it.

    Raises:
        StoreUnavailable: the store is away, or refuses the bucket.
    """
    stem = place.key.removesuffix(".html")
    try:
        for key, data, kind in (
            (f"{stem}.json", rendered.json, "application/json"),
            (place.key, rendered.html, "text/html; charset=utf-8"),
        ):
            store.put(place.bucket, key, data, content_type=kind, deadline_s=DEADLINE_S)
    except DependencyDown:
        raise
    except BucketMissing as error:
        raise StoreUnavailable(
            f"the bucket of the drift reports is missing: {place.bucket}", remedy="Run `deeptrace storage init`."
        ) from error
    except Transient as error:
        raise StoreUnavailable(
            f"the object store refuses the drift reports in {place.bucket}",
            why=error.why or error.message,
            remedy="`deeptrace storage policies drift` prints what a drift worker must be allowed to do.",
        ) from error
