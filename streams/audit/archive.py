"""The outcomes as they lie in the object store, read with the minio SDK alone: nothing of what wrote them has a say here."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.exceptions import HTTPError

from schemas.errors import BucketMissing, ConfigError, DeepTraceError, StoreUnavailable
from schemas.settled import PREFIX, object_key
from streams.audit.fingerprint import BYTES, raw_id
from streams.settings import StoreSettings

SUFFIX: Final = ".json"
TRIES = urllib3.Retry(total=4, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504))
AT_ONCE: Final = 1000
FEW: Final = 2_000
MANY: Final = 20_000
GONE = ("NoSuchKey", "NoSuchObject")


@dataclass(frozen=True, slots=True)
class Listed:
    """A stored outcome in a listing. `md5` is what the store says of its bytes, None where it says something else."""

    raw_id: bytes
    md5: bytes | None


class Archive:
    """The bucket of the outcomes, asked by `fetch_threads` threads at once.

    Every method raises BucketMissing, ConfigError or StoreUnavailable; no error text holds a credential.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._bucket = settings.outcome_bucket
        self._threads = settings.fetch_threads
        access, secret = settings.access_key, settings.secret_key
        if settings.has_second_user:
            access, secret = settings.write_access_key, settings.write_secret_key
        tls: dict[str, Any] = {"cert_reqs": "CERT_REQUIRED"} | (
            {"ca_certs": str(settings.ca_file)} if settings.ca_file else {}
        )
        self._http = urllib3.PoolManager(
            maxsize=settings.fetch_threads,
            timeout=urllib3.Timeout(connect=settings.connect_timeout_s, read=settings.read_timeout_s),
            retries=TRIES,
            **(tls if settings.secure else {}),
        )
        try:
            self._s3 = Minio(
                settings.endpoint,
                access.get_secret_value(),
                secret.get_secret_value(),
                secure=settings.secure,
                region=settings.region,
                http_client=self._http,
            )
        except ValueError as error:
            raise ConfigError("the object store is not configured rightly", why=str(error)) from None

    def listed(self, expected: int) -> Iterator[Listed]:
        """Yield every stored outcome, in no order. `expected` is about how many: it decides how finely the listing is cut up.

        S3Proxy walks the whole folder for each page of a listing, and other servers answer one page after the other: many short
        listings at once are quicker than one long one.
        """
        digits = 0 if expected < FEW else 1 if expected < MANY else 2
        prefixes = [PREFIX + (f"{n:0{digits}x}" if digits else "") for n in range(16**digits)]
        with ThreadPoolExecutor(self._threads) as pool:
            for shard in pool.map(self._shard, prefixes):
                yield from shard

    def read(self, ids: Iterator[bytes]) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield each id with its stored bytes, None where nothing is stored; some are read ahead."""
        with ThreadPoolExecutor(self._threads) as pool:
            while chunk := list(islice(ids, AT_ONCE)):
                yield from zip(chunk, pool.map(self._get, chunk), strict=True)

    def close(self) -> None:
        """Give back all connections."""
        self._http.clear()

    def _shard(self, prefix: str) -> Sequence[Listed]:
        found = []
        try:
            for item in self._s3.list_objects(self._bucket, prefix=prefix, recursive=True):
                raw = raw_id((item.object_name or "").removeprefix(PREFIX).removesuffix(SUFFIX))
                if raw is not None:
                    found.append(Listed(raw, _md5(item.etag)))
        except (MinioException, HTTPError, ValueError) as error:
            raise self._said(error) from None
        return found

    def _get(self, raw: bytes) -> bytes | None:
        try:
            response = self._s3.get_object(self._bucket, object_key(raw.hex()))
            try:
                return response.read()
            finally:
                response.close()
                response.release_conn()
        except S3Error as error:
            if error.code in GONE:
                return None
            raise self._said(error) from None
        except (MinioException, HTTPError, ValueError) as error:
            raise self._said(error) from None

    def _said(self, error: Exception) -> DeepTraceError:
        code = error.code if isinstance(error, S3Error) else type(error).__name__
        if code == "NoSuchBucket":
            return BucketMissing(
                f"the bucket {self._bucket} does not exist",
                why="outcomes are settled there",
                remedy="Run `deeptrace storage init`; where workers run with outcomes=at_least_once, set it here too.",
            )
        return StoreUnavailable(
            "the stored outcomes cannot be read",
            why=code or "",
            remedy=f"See that the store answers, and that the user may list and read the bucket {self._bucket}.",
        )


def _md5(etag: str | None) -> bytes | None:
    try:
        digest = bytes.fromhex((etag or "").strip('"'))
    except ValueError:  # of an upload in parts, or encrypted
        return None
    return digest if len(digest) == BYTES else None
