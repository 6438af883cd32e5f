"""Settles outcomes in the object store: of all workers that judge one reference, the first to store its outcome decides.

`outcomes/<id>.json` is written by a conditional put (`If-None-Match: *`); who comes later publishes what is stored. A worker that was
paused and goes on (a zombie), one that timed out where its successor did not, a second delivery after a crash: all publish the same bytes.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from schemas.errors import (
    BucketMissing,
    MessageInvalid,
    ObjectNotFound,
    OutcomeUnreadable,
    Rejection,
    StoreConflict,
    StoreUnavailable,
    StoreUnsupported,
    Transient,
)
from schemas.settled import CONTENT_TYPE, MAX_BYTES, object_key
from streams.gate import Gate
from streams.objects import Objects
from streams.outcomes import Outcome, stored_outcome
from streams.passage import Passage
from streams.retries import Retries

Result = Literal["first", "stored"]
Answer = TypeVar("Answer")


class Archive:
    """The settled outcomes of one bucket."""

    def __init__(self, objects: Objects, bucket: str, *, retries: Retries, gate: Gate) -> None:
        self._objects = objects
        self._bucket = bucket
        self._retries = retries
        self._gate = gate

    async def check(self) -> None:
        """Return if the store keeps the promise that settling rests on.

        Raises:
            StoreUnsupported: it lets a second writer win; settling there would be a pretence.
            StoreUnavailable: it could not be asked.
        """
        try:
            works = await self._objects.conditional_put_works(self._bucket)
        except (Transient, BucketMissing) as error:
            raise StoreUnavailable(
                "the bucket of the outcomes cannot be used",
                why=error.why or error.message,
                remedy="Run `deeptrace storage init`, and give the worker's store user the right to read and write it.",
            ) from error
        if not works:
            raise StoreUnsupported(
                "the object store has no working conditional put",
                why="of several writers with If-None-Match: * more than one wins, so outcomes cannot be settled there",
                remedy="Use a store that honours it (S3, MinIO, S3Proxy 4.1), or set DEEPTRACE_PIPELINE__OUTCOMES=at_least_once.",
            )

    async def settle(self, outcome: Outcome, passage: Passage) -> tuple[Outcome, Result]:
        """Return the one outcome of the reference: `outcome` if it is the first, else the one that is stored."""
        key = object_key(outcome.outcome_id)

        async def first() -> tuple[Outcome, Result]:
            try:
                await self._objects.put_if_absent(self._bucket, key, outcome.settled().to_bytes(), CONTENT_TYPE)
            except StoreConflict:
                return await self._stored(outcome.outcome_id), "stored"
            return outcome, "first"

        return await self._retries.run(lambda: _waiting(first), passage, gate=self._gate)

    async def find(self, outcome_id: str, passage: Passage) -> Outcome | None:
        """Return the settled outcome, or None while there is none."""

        async def look() -> Outcome | None:
            try:
                return await self._stored(outcome_id)
            except ObjectNotFound:
                return None

        return await self._retries.run(lambda: _waiting(look), passage, gate=self._gate)

    async def _stored(self, outcome_id: str) -> Outcome:
        data = await self._objects.read(self._bucket, object_key(outcome_id), max_bytes=MAX_BYTES)
        try:
            return stored_outcome(data, outcome_id)
        except MessageInvalid as error:
            raise OutcomeUnreadable(
                f"the stored outcome {outcome_id} cannot be read",
                why=error.why,
                remedy="A newer release wrote it: upgrade this worker. Or somebody changed it: restore it, or delete it to have the reference judged anew.",
            ) from error


async def _waiting(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Do what is asked of our own bucket. A refusal there says nothing of the reference: it is waited for, never a dead letter."""
    try:
        return await call()
    except (Transient, Rejection) as error:
        raise StoreUnavailable(
            "the object store refuses the bucket of the outcomes",
            why=error.why or error.message,
            remedy="Give the worker's store user the right to read and write it.",
        ) from error
