"""The stored drift references: versions that are written once, and beside them which one is in use. Blocking and thread-safe, as the store is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas.base import Message
from schemas.errors import (
    BucketMissing,
    MessageInvalid,
    ObjectNotFound,
    ObjectTooLarge,
    ReferenceCorrupt,
    ReferenceMissing,
    Rejection,
    StoreConflict,
    StoreUnavailable,
    Transient,
)
from schemas.reference import (
    ALL_TENANTS,
    CURRENT,
    MAX_REFERENCE_BYTES,
    PREFIX,
    CurrentReference,
    DriftReference,
    current_key,
    is_reference_version,
    reference_key,
    reference_prefix,
)
from schemas.window import OVERALL
from storage.store import ObjectStore

DEADLINE_S: Final = 20.0
JSON: Final = "application/json"

Found = TypeVar("Found", bound=Message)


@dataclass(frozen=True, slots=True)
class Mark:
    """A tenant that has a reference in use; `mark` changes when another is chosen."""

    tenant: str
    mark: str


class ReferenceShelf:
    """The references in `bucket`. The tenant `*` stands for what holds for every tenant without one of its own.

    Every method raises StoreUnavailable when the store cannot be asked or refuses, and BucketMissing where there is no bucket.
    """

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self.bucket = bucket

    def close(self) -> None:
        """Give back the connections."""
        self._store.close()

    def put(self, reference: DriftReference) -> bool:
        """Store a version; return False if the very same lay there already.

        Raises:
            ReferenceCorrupt: another reference lies there under this version.
        """
        key, data = reference_key(reference.tenant, reference.version), reference.to_bytes()
        try:
            with self._refusals():
                self._store.put_if_absent(self.bucket, key, data, content_type=JSON, deadline_s=DEADLINE_S)
        except StoreConflict:
            if self.get(reference.tenant, reference.version).to_bytes() != data:
                raise ReferenceCorrupt(
                    f"there is another reference {reference.version}",
                    why=key,
                    remedy="Build it again: versions are never replaced.",
                ) from None
            return False
        return True

    def use(self, current: CurrentReference) -> None:
        """Choose the version that is compared with. Of two who choose at once the last one stays."""
        with self._refusals():
            self._store.put(
                self.bucket,
                current_key(current.tenant),
                current.to_bytes(),
                content_type=JSON,
                deadline_s=DEADLINE_S,
            )

    def get(self, tenant: str, version: str) -> DriftReference:
        """Return one version.

        Raises:
            ReferenceMissing: there is none.
            ReferenceCorrupt: it cannot be read, or is another's.
        """
        try:
            found = self._read(reference_key(tenant, version), DriftReference)
        except ObjectNotFound:
            raise _missing(tenant, f"{reference_key(tenant, version)} is not in bucket {self.bucket}") from None
        if (found.tenant, found.version) != (tenant, version):
            raise ReferenceCorrupt(
                f"the reference {version} of {tenant} is another's", why=f"it is {found.version} of {found.tenant}"
            )
        return found

    def current_version(self, tenant: str) -> str | None:
        """Return the version in use, or None where none was ever chosen. Raises ReferenceCorrupt."""
        try:
            return self._read(current_key(tenant), CurrentReference).version
        except ObjectNotFound:
            return None

    def current(self, tenant: str) -> DriftReference:
        """Return the reference in use for this tenant alone. Raises ReferenceMissing, ReferenceCorrupt."""
        version = self.current_version(tenant)
        if version is None:
            raise _missing(tenant, f"{current_key(tenant)} is not in bucket {self.bucket}")
        return self.get(tenant, version)

    def versions(self, tenant: str) -> list[str]:
        """Return all versions of a tenant, the oldest first."""
        prefix = reference_prefix(tenant)
        names = [key.removeprefix(prefix).removesuffix(".json") for key in self._listed(prefix)]
        return sorted(filter(is_reference_version, names))

    def in_use(self) -> list[Mark]:
        """Return every tenant that has a reference in use."""
        places = ((key.removeprefix(PREFIX).split("/"), etag) for key, etag in self._listed(PREFIX).items())
        return [
            Mark(OVERALL if place[0] == ALL_TENANTS else place[0], etag)
            for place, etag in places
            if len(place) == 2 and place[1] == CURRENT  # noqa: PLR2004  # folder and name
        ]

    def _listed(self, prefix: str) -> Mapping[str, str]:
        with self._refusals():
            return {info.key: info.etag for info in self._store.list(self.bucket, prefix)}

    def _read(self, key: str, message: type[Found]) -> Found:
        try:
            with self._refusals():
                stored = self._store.get(self.bucket, key, max_bytes=MAX_REFERENCE_BYTES, deadline_s=DEADLINE_S)
            return message.from_bytes(stored.data)
        except (MessageInvalid, ObjectTooLarge) as error:
            raise ReferenceCorrupt(
                f"{key} in {self.bucket} cannot be read",
                why=error.why,
                remedy="A newer release of DeepTrace wrote it: upgrade. Or somebody changed it: choose another with `deeptrace drift reference set`.",
            ) from error

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A store that refuses our own bucket says nothing of the reference: it is down for us."""
        try:
            yield
        except (ObjectNotFound, ObjectTooLarge):
            raise  # of one object: the caller knows what it means
        except BucketMissing as error:
            raise BucketMissing(
                f"the bucket of the drift references is missing: {self.bucket}",
                remedy="Run `deeptrace storage init`, or correct DEEPTRACE_STORE__DRIFT_BUCKET.",
            ) from error
        except (Transient, Rejection) as error:
            raise StoreUnavailable(
                f"the object store refuses the bucket of the drift references, {self.bucket}",
                why=error.why or error.message,
                remedy="`deeptrace storage policies drift` prints what a drift worker must be allowed to do.",
            ) from error


def in_use_for(shelf: ReferenceShelf, tenant: str) -> DriftReference:
    """Return what this tenant is compared with: its own reference in use, else that of all.

    Raises:
        ReferenceMissing: there is none of these.
        ReferenceCorrupt, StoreUnavailable, BucketMissing
    """
    if tenant != OVERALL and shelf.current_version(tenant) is not None:
        return shelf.current(tenant)
    return shelf.current(OVERALL)


def _missing(tenant: str, why: str) -> ReferenceMissing:
    whose = "all tenants" if tenant == OVERALL else f"tenant {tenant}"
    return ReferenceMissing(
        f"there is no such drift reference of {whose}",
        why=why,
        remedy="`deeptrace drift reference history` shows what there is; `deeptrace drift reference build` makes one.",
    )
