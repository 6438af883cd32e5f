"""First writer wins: the conditional put of S3, and a proof that a server keeps the promise."""

import random
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from schemas.errors import DeepTraceError, StoreConflict, StoreUnavailable, StoreUnsupported
from storage.object_headers import info_from_headers
from storage.s3_errors import from_answer
from storage.signed_http import SignedHttp, error_code
from storage.store import ObjectInfo, ObjectStore

PROBE_PREFIX: Final = "outcomes/"
RACING_CODES: Final = {"", "ConditionalRequestConflict", "OperationAborted"}
"""Codes of a 409 that says "someone else is writing just now"; other 409s are about the key itself."""

_PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.4)
_PROBE_DEADLINE_S: Final = 10.0


def put_if_absent(
    http: SignedHttp, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float
) -> ObjectInfo:
    """`ObjectStore.put_if_absent`: one signed PUT with `If-None-Match: *`.

    A 409 means that the race is undecided. It is asked again until it is decided, `deadline_s` is over, or five times; then
    the object is looked for, since some servers answer 409 for good.
    """
    ends_at = time.monotonic() + deadline_s
    what = f"conditional PUT in {bucket!r}"
    for pause_s in (*_PAUSES_S, None):
        with http.send(
            "PUT",
            bucket,
            key,
            headers={"Content-Type": content_type, "If-None-Match": "*"},
            body=data,
            deadline_s=max(0.0, ends_at - time.monotonic()),
            accept=(200, 304, 409, 412, 501),
        ) as response:
            code = error_code(response)
            if response.status == 200:  # noqa: PLR2004
                return info_from_headers(key, len(data), response.headers)
        if response.status in {304, 412}:  # old MinIO says 304
            raise StoreConflict("the key is taken", why=f"HTTP {response.status}")
        if response.status == 501 or code == "NotImplemented":  # noqa: PLR2004
            raise StoreUnsupported(
                "the object store has no conditional put", remedy="Use a server that honours If-None-Match."
            )
        if code not in RACING_CODES:
            raise from_answer(response.status, code, what)
        if pause_s is None or time.monotonic() + pause_s >= ends_at:
            break
        time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
    with http.send("HEAD", bucket, key, deadline_s=max(1.0, ends_at - time.monotonic()), accept=(200, 404)) as response:
        exists = response.status == 200  # noqa: PLR2004
    if exists:
        raise StoreConflict("the key is taken", why="HTTP 409")
    raise StoreUnavailable("a conditional put stays undecided", why="HTTP 409")


def conditional_put_works(store: ObjectStore, bucket: str, *, writers: int = 8, prefix: str = PROBE_PREFIX) -> bool:
    """Tell whether the server behind `store` lets exactly one of many writers win, and keeps the winner's bytes.

    Writes one object of a few bytes under `prefix` and deletes it; a key without the right to delete leaves it there. Servers
    are known that ignore the condition, and others that let several writers win a race: ask once at start-up.

    Raises:
        StoreUnavailable, ObjectDenied, BucketMissing: nothing could be found out.
    """
    key = f"{prefix}probe-{secrets.token_hex(8)}"
    try:
        with ThreadPoolExecutor(writers) as pool:
            won = [name for name in pool.map(lambda name: _try(store, bucket, key, name), _names(writers)) if name]
        if len(won) != 1 or _try(store, bucket, key, b"late"):
            return False
        return store.get(bucket, key, max_bytes=64, deadline_s=_PROBE_DEADLINE_S).data == won[0]
    except StoreUnsupported:
        return False
    finally:
        with suppress(DeepTraceError):
            store.delete(bucket, key)


def _names(writers: int) -> list[bytes]:
    return [f"writer {number}".encode() for number in range(writers)]


def _try(store: ObjectStore, bucket: str, key: str, name: bytes) -> bytes | None:
    try:
        store.put_if_absent(bucket, key, name, content_type="text/plain", deadline_s=_PROBE_DEADLINE_S)
    except StoreConflict:
        return None
    return name
