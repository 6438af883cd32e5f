"""The registry: releases and aliases in one bucket. Everything in it is written once; nothing is ever changed or deleted here."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from schemas.base import Message
from schemas.errors import (
    BucketMissing,
    MessageInvalid,
    ObjectNotFound,
    ObjectTooLarge,
    Rejection,
    ReleaseCorrupt,
    ReleaseMissing,
    StoreConflict,
    StoreUnavailable,
    Transient,
)
from schemas.release import (
    ALIASES,
    MAX_MESSAGE_BYTES,
    PREFIX,
    Alias,
    ReleaseManifest,
    ReleaseMove,
    move_key,
    move_prefix,
    release_prefix,
)
from storage.store import ObjectStore
from streams.releases.name import ReleaseName

MODEL: Final = "model.safetensors"
MANIFEST: Final = "manifest.json"
REPORT: Final = "report.json"
REPORT_HTML: Final = "report.html"

MAX_MODEL_BYTES: Final = 2 << 30
MAX_REPORT_BYTES: Final = 64 << 20
SMALL_DEADLINE_S: Final = 20.0
MODEL_DEADLINE_S: Final = 600.0
"""A gigabyte at 2 MB/s; a worker waits for it beside its work, a command says what it waits for."""

Found = TypeVar("Found", bound=Message)


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where an alias points. `mark` changes with every move, also with one that somebody undid by deleting an object."""

    move: ReleaseMove
    mark: str


class Registry:
    """Releases in `bucket`. Blocking and thread-safe, as its store is.

    Every method raises StoreUnavailable when the store cannot be asked or refuses, and BucketMissing where there is no registry.
    """

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self.bucket = bucket

    def close(self) -> None:
        """Give back the connections."""
        self._store.close()

    def create(self) -> bool:
        """Create the bucket unless it exists; return whether it was created here."""
        return self._store.ensure_bucket(self.bucket)

    def models(self) -> list[str]:
        """Return the names of all models that have a release."""
        return sorted({key.split("/")[1] for key in self._keys(PREFIX) if key.endswith(f"/{MANIFEST}")})

    def releases(self, model: str) -> list[ReleaseManifest]:
        """Return all releases of a model, the oldest first."""
        prefix = release_prefix(model)
        versions = [
            key.removeprefix(prefix).removesuffix(f"/{MANIFEST}")
            for key in self._keys(prefix)
            if key.endswith(f"/{MANIFEST}")
        ]
        return sorted((self.manifest(model, version) for version in versions), key=lambda found: found.created)

    def manifest(self, model: str, version: str) -> ReleaseManifest:
        """Return a release's manifest.

        Raises:
            ReleaseMissing: there is none.
            ReleaseCorrupt: it cannot be read, or is another release's.
        """
        key = f"{release_prefix(model, version)}{MANIFEST}"
        try:
            found = self._read(key, ReleaseManifest)
        except ObjectNotFound:
            raise ReleaseMissing(
                f"there is no release {model}@{version}",
                why=f"no manifest in bucket {self.bucket}",
                remedy="`deeptrace model list` shows the releases; `deeptrace model publish` makes one.",
            ) from None
        if (found.name, found.version) != (model, version):
            raise ReleaseCorrupt(f"the manifest of {model}@{version} is another release's", why=key)
        return found

    def pointer(self, model: str, alias: Alias) -> Pointer | None:
        """Return where the alias points, or None if it was never set."""
        newest = max(self._listed(move_prefix(model, alias)), default=None)
        if newest is None:
            return None
        key, etag = newest
        try:
            return Pointer(self._read(key, ReleaseMove), f"{key} {etag}")
        except ObjectNotFound as error:
            raise StoreUnavailable("a move of an alias was deleted while it was read", why=error.why) from None

    def aliases(self, model: str) -> dict[Alias, ReleaseMove]:
        """Return where each alias points that points anywhere."""
        found = {alias: self.pointer(model, alias) for alias in ALIASES}
        return {alias: pointer.move for alias, pointer in found.items() if pointer and pointer.move.version}

    def resolve(self, name: ReleaseName) -> ReleaseManifest:
        """Return the manifest of the release that `name` names, by version or by alias.

        Raises:
            ReleaseMissing: there is none, or the alias points at nothing.
            ReleaseCorrupt: the manifest is not the one that was promoted.
        """
        if name.alias is None:
            assert name.version is not None
            return self.manifest(name.model, name.version)
        pointer = self.pointer(name.model, name.alias)
        if pointer is None or pointer.move.version is None:
            raise ReleaseMissing(
                f"{name} points at no release",
                remedy=f"Run `deeptrace model promote {name.model}@VERSION --alias {name.alias}`.",
            )
        return self.pointed_at(pointer.move)

    def pointed_at(self, move: ReleaseMove) -> ReleaseManifest:
        """Return the manifest of the release a move points at, which must be the bytes that were promoted."""
        assert move.version is not None
        found = self.manifest(move.name, move.version)
        if found.sha256 != move.sha256:
            raise ReleaseCorrupt(
                f"{found.name}@{found.version} is not the release that was promoted",
                why=f"its manifest names {found.sha256}, promoted was {move.sha256}",
                remedy="Restore the manifest, or promote another release.",
            )
        return found

    def with_sha256(self, sha256: str, *, version: str = "") -> ReleaseManifest | None:
        """Return a release of these very bytes, one called `version` rather than another; None if there is none."""
        found = [release for model in self.models() for release in self.releases(model) if release.sha256 == sha256]
        return min(found, key=lambda release: release.version != version, default=None)

    def fetch(self, release: ReleaseManifest, folder: Path) -> Path:
        """Write the release's weights into `folder` and return the file. What is written has the hash of the manifest.

        Raises:
            ReleaseMissing: the weights are gone.
            ReleaseCorrupt: they are other bytes.
        """
        data = self.read(release, MODEL, max_bytes=min(release.size_bytes, MAX_MODEL_BYTES))
        sha256 = hashlib.sha256(data).hexdigest()
        if sha256 != release.sha256:
            raise ReleaseCorrupt(
                f"{release.name}@{release.version} is not what was published",
                why=f"its SHA-256 is {sha256}, not {release.sha256}",
                remedy="Restore the object, or publish the checkpoint again as another version.",
            )
        path = folder / MODEL
        path.write_bytes(data)
        return path

    def read(self, release: ReleaseManifest, file: str, *, max_bytes: int = MAX_REPORT_BYTES) -> bytes:
        """Return one file of a release.

        Raises:
            ReleaseMissing: it is not there.
            ReleaseCorrupt: it is larger than it can be.
        """
        key = f"{release_prefix(release.name, release.version)}{file}"
        with self._refusals():
            try:
                stored = self._store.get(self.bucket, key, max_bytes=max_bytes, deadline_s=MODEL_DEADLINE_S)
            except ObjectNotFound:
                raise ReleaseMissing(
                    f"{release.name}@{release.version} has no {file}", why=f"no object {key} in {self.bucket}"
                ) from None
            except ObjectTooLarge as error:
                raise ReleaseCorrupt(
                    f"{file} of {release.name}@{release.version} is too large", why=error.why
                ) from None
        return stored.data

    def write(self, model: str, version: str, file: str, data: bytes, content_type: str) -> None:
        """Store one file of a release, once.

        Raises:
            StoreConflict: it is there, with other bytes. With the same bytes it is no conflict: an interrupted publish goes on.
        """
        key = f"{release_prefix(model, version)}{file}"
        with self._refusals():
            try:
                self._store.put_if_absent(
                    self.bucket, key, data, content_type=content_type, deadline_s=MODEL_DEADLINE_S
                )
            except StoreConflict:
                try:
                    there = self._store.get(self.bucket, key, max_bytes=len(data), deadline_s=MODEL_DEADLINE_S).data
                except ObjectTooLarge:
                    there = b""
                if there != data:
                    raise

    def move(self, move: ReleaseMove) -> None:
        """Make a move of an alias.

        Raises:
            StoreConflict: somebody else has made the move of this number.
        """
        with self._refusals():
            self._store.put_if_absent(
                self.bucket,
                move_key(move.name, move.alias, move.number),
                move.to_bytes(),
                content_type="application/json",
                deadline_s=SMALL_DEADLINE_S,
            )

    def _keys(self, prefix: str) -> list[str]:
        return [key for key, _ in self._listed(prefix)]

    def _listed(self, prefix: str) -> list[tuple[str, str]]:
        with self._refusals():
            return [(info.key, info.etag) for info in self._store.list(self.bucket, prefix)]

    def _read(self, key: str, message: type[Found]) -> Found:
        try:
            with self._refusals():
                stored = self._store.get(self.bucket, key, max_bytes=MAX_MESSAGE_BYTES, deadline_s=SMALL_DEADLINE_S)
            return message.from_bytes(stored.data)
        except (MessageInvalid, ObjectTooLarge) as error:
            raise ReleaseCorrupt(
                f"{key} in the registry cannot be read",
                why=error.why,
                remedy="A newer release of DeepTrace wrote it: upgrade. Or somebody changed it: restore it.",
            ) from error

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A store that refuses our own bucket says nothing of the release: it is down for us."""
        try:
            yield
        except (ObjectNotFound, ObjectTooLarge):
            raise  # of one object: the caller knows what it means
        except BucketMissing as error:
            raise BucketMissing(
                f"the bucket of the models is missing: {self.bucket}",
                remedy="Run `deeptrace storage init`, or correct DEEPTRACE_STORE__MODEL_BUCKET.",
            ) from error
        except (Transient, Rejection) as error:
            raise StoreUnavailable(
                f"the object store refuses the bucket of the models, {self.bucket}",
                why=error.why or error.message,
                remedy="`deeptrace storage policies models` prints what a publisher must be allowed to do, `... images` what a worker must.",
            ) from error
