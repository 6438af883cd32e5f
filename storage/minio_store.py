"""`ObjectStore` on any S3 server: objects over signed requests, listings and buckets over the minio SDK, one connection pool."""

import ssl
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from minio import Minio
from minio.error import S3Error
from minio.helpers import BaseURL, check_bucket_name

from schemas.errors import (
    BucketMissing,
    ConfigError,
    ObjectChanged,
    ObjectNotFound,
    ObjectTooLarge,
    StoreUnavailable,
)
from storage.access import Access
from storage.conditional_put import put_if_absent
from storage.deadline import DeadlinePoolManager
from storage.object_headers import bare_etag, info_from_headers
from storage.s3_errors import SDK_FAULTS, from_sdk
from storage.signed_http import SignedHttp, read_capped
from storage.store import ObjectInfo, StoredObject


class MinioStore:
    """`ObjectStore` on an S3 server at `endpoint` ("host:port", no scheme).

    Make one for each process; threads share it. `pool_size` is the number of threads that will fetch at once: more of them
    still work, but reconnect each time. `ca_file` is for a server certificate that the system does not trust.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        access_key: str,
        secret_key: str,
        secure: bool,
        allowed_buckets: Collection[str],
        region: str = "us-east-1",
        pool_size: int = 16,
        connect_timeout_s: float = 2.0,
        read_timeout_s: float = 10.0,
        ca_file: Path | None = None,
    ) -> None:
        if ca_file is not None:
            _check_ca(ca_file)
        self._access = Access(allowed_buckets)
        self._endpoint = endpoint
        self._read_timeout_s = read_timeout_s
        self._closed = False
        tls = {"cert_reqs": "CERT_REQUIRED", **({"ca_certs": str(ca_file)} if ca_file else {})} if secure else {}
        self._http = DeadlinePoolManager(
            # A bucket may have a host of its own; a pool that is pushed out of the manager would be closed under its users.
            hosts=len(self._access.buckets) + 2,
            pool_size=pool_size,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            **tls,
        )
        try:
            for bucket in self._access.buckets:
                check_bucket_name(bucket, strict=True)
            self._sdk = Minio(endpoint, access_key, secret_key, secure=secure, region=region, http_client=self._http)
            self._objects = SignedHttp(
                self._http,
                BaseURL(("https://" if secure else "http://") + endpoint, region),
                access_key=access_key,
                secret_key=secret_key,
                region=region,
                buckets=self._access.buckets,
            )
        except ValueError as error:
            raise ConfigError("the object store is not configured rightly", why=str(error)) from None

    def __repr__(self) -> str:
        return f"MinioStore({self._endpoint!r}, buckets={sorted(self._access.buckets)})"

    def get(
        self,
        bucket: str,
        key: str,
        *,
        version_id: str | None = None,
        etag: str | None = None,
        max_bytes: int,
        deadline_s: float,
    ) -> StoredObject:
        """As in `ObjectStore`."""
        self._check(bucket, key)
        headers = {} if etag is None else {"If-Match": f'"{_sendable(etag)}"'}
        with self._objects.send(
            "GET", bucket, key, query=_version_query(version_id), headers=headers, deadline_s=deadline_s
        ) as response:
            data = read_capped(response, max_bytes)
            if data is None:
                raise ObjectTooLarge("the object exceeds the size cap", why=f"more than {max_bytes} bytes")
            info = info_from_headers(key, len(data), response.headers)
        _hold_to_pins(info, version_id, etag)
        return StoredObject(data, info)

    def put(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """As in `ObjectStore`."""
        self._check(bucket, key)
        with self._objects.send(
            "PUT", bucket, key, headers={"Content-Type": content_type}, body=data, deadline_s=deadline_s
        ) as response:
            return info_from_headers(key, len(data), response.headers)

    def put_if_absent(self, bucket: str, key: str, data: bytes, *, content_type: str, deadline_s: float) -> ObjectInfo:
        """As in `ObjectStore`."""
        self._check(bucket, key)
        return put_if_absent(self._objects, bucket, key, data, content_type=content_type, deadline_s=deadline_s)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectInfo:
        """As in `ObjectStore`; must be answered within the read timeout."""
        self._check(bucket, key)
        try:
            with self._objects.send(
                "HEAD", bucket, key, query=_version_query(version_id), deadline_s=self._read_timeout_s
            ) as response:
                info = info_from_headers(key, int(response.headers.get("content-length", 0)), response.headers)
        except ObjectNotFound:
            # The answer to a HEAD has no body that could tell a missing object from a missing bucket.
            if not self.bucket_exists(bucket):
                raise BucketMissing("the bucket does not exist", why=bucket) from None
            raise
        _hold_to_pins(info, version_id, None)
        return info

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectInfo]:
        """As in `ObjectStore`; each page must be answered within the read timeout."""
        self._check(bucket)
        try:
            for found in self._sdk.list_objects(bucket, prefix=prefix, recursive=True):
                yield ObjectInfo(
                    found.object_name or "",
                    found.size or 0,
                    found.etag or "",
                    found.version_id,
                    None,
                    found.last_modified,
                )
        except SDK_FAULTS as error:
            raise from_sdk(error, f"a listing of {bucket!r}") from None

    def delete(self, bucket: str, key: str) -> None:
        """As in `ObjectStore`; must be answered within the read timeout."""
        self._check(bucket, key)
        with (
            suppress(ObjectNotFound),
            self._objects.send("DELETE", bucket, key, deadline_s=self._read_timeout_s, accept=(200, 204)),
        ):
            pass

    def ensure_bucket(self, bucket: str) -> bool:
        """As in `ObjectStore`."""
        if self.bucket_exists(bucket):
            return False
        try:
            self._sdk.make_bucket(bucket)
        except S3Error as error:
            if error.code == "BucketAlreadyOwnedByYou":  # someone was faster
                return False
            raise from_sdk(error, f"the creation of {bucket!r}") from None
        except SDK_FAULTS as error:
            raise from_sdk(error, f"the creation of {bucket!r}") from None
        return True

    def bucket_exists(self, bucket: str) -> bool:
        """As in `ObjectStore`."""
        self._check(bucket)
        try:
            return bool(self._sdk.bucket_exists(bucket))
        except SDK_FAULTS as error:
            raise from_sdk(error, f"a question for {bucket!r}") from None

    def close(self) -> None:
        """As in `ObjectStore`; requests in flight end by themselves."""
        self._closed = True
        self._http.clear()

    def _check(self, bucket: str, key: str | None = None) -> None:
        self._access.check(bucket, key)
        if self._closed:
            raise StoreUnavailable("the object store is closed")


def _check_ca(ca_file: Path) -> None:
    """Look at the file now: at the first request a bad one would look like a store that is away."""
    if not ca_file.is_file():
        raise ConfigError("the CA file of the object store is missing", why=str(ca_file))
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigError(
            "the CA file of the object store cannot be used",
            why=f"{ca_file} holds no certificate in PEM form, or cannot be read",
            remedy="Name a file with certificates in PEM form (-----BEGIN CERTIFICATE-----).",
        ) from None


def _version_query(version_id: str | None) -> str:
    return "" if version_id is None else f"versionId={quote(version_id, safe='')}"


def _sendable(etag: str) -> str:
    bare = bare_etag(etag)
    # The etag comes from a message: it may not end the header, nor turn into a list of etags.
    if not bare or not all("!" <= char <= "~" and char != '"' for char in bare):
        raise ObjectChanged("the object cannot have the referenced etag", why="not an etag")
    return bare


def _hold_to_pins(info: ObjectInfo, version_id: str | None, etag: str | None) -> None:
    # Not every server knows versions and preconditions: one that does not must not give us another object's bytes unseen.
    if version_id not in {None, "null", info.version_id}:
        raise ObjectChanged(
            "the object is not in the referenced version", why="the store answered with another, or none"
        )
    if etag is not None and bare_etag(etag) != info.etag:
        raise ObjectChanged("the object is not the one referenced", why="another etag")
