"""What every store refuses before it asks any server."""

from collections.abc import Collection

from schemas.errors import BucketForbidden
from schemas.image_ref import check_key


class Access:
    """The allow-list of buckets and the key rules, checked at the last door before the store."""

    def __init__(self, allowed_buckets: Collection[str]) -> None:
        self.buckets = frozenset(allowed_buckets)

    def check(self, bucket: str, key: str | None = None) -> None:
        """Return if `bucket`, and `key` where one is given, may be used.

        Raises:
            BucketForbidden: the bucket is not on the allow-list.
            KeyForbidden: the key breaks the key rules.
        """
        if bucket not in self.buckets:
            raise BucketForbidden(
                "the bucket is not on the allow-list",
                why=f"allowed: {', '.join(sorted(self.buckets)) or 'none'}",
                remedy="Reference an object in an allowed bucket, or add the bucket to the allow-list.",
            )
        if key is not None:
            check_key(key)
