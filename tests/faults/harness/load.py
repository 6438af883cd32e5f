"""References as a producer writes them, seeded, and the producer that knows which of them the broker acknowledged."""

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from schemas.identity import outcome_id
from schemas.topics import IMAGES

SOURCE = "/faults"
BUCKET = "deeptrace-images"
TRY_AGAIN_S = 0.5
WAIT_S = 0.1
UNDER_WAY = 256
REQUEST_TIMEOUT_MS = 15_000


@dataclass(frozen=True, slots=True)
class Picture:
    """An object in the store."""

    key: str
    sha256: str
    etag: str
    size_bytes: int

    @classmethod
    def of(cls, key: str, data: bytes, etag: str) -> "Picture":
        """Describe bytes that were put under `key`."""
        return cls(key, hashlib.sha256(data).hexdigest(), etag, len(data))


@dataclass(frozen=True, slots=True)
class Item:
    """One record for the images topic. `outcome_id` is None where only its place on the topic names it (no CloudEvent)."""

    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    outcome_id: str | None
    picture: Picture | None = None
    kind: str = "good"


def reference(
    event_id: str,
    picture: Picture,
    *,
    overlay: str = "never",
    image_id: str | None = None,
    pinned: bool = True,
    kind: str = "good",
    event_time: str | None = None,
) -> Item:
    """Return a reference; `pinned` names etag, size and sha256, so that other bytes are not judged."""
    place: dict[str, object] = {"bucket": BUCKET, "key": picture.key}
    if pinned:
        place |= {"etag": picture.etag, "sha256": picture.sha256, "size_bytes": picture.size_bytes}
    body = {
        "event_id": event_id,
        "image_id": image_id or f"image-{event_id}",
        "object": place,
        "want": {"overlay": overlay},
    }
    if event_time:
        body["event_time"] = event_time
    return Item(json.dumps(body).encode(), ce(event_id), outcome_id("ce", SOURCE, event_id), picture, kind)


def ce(event_id: str) -> tuple[tuple[str, bytes], ...]:
    """Return the CloudEvents headers of a reference."""
    attributes = {"id": event_id, "source": SOURCE, "type": "deeptrace.image.v1", "specversion": "1.0"}
    return tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())


@dataclass(slots=True)
class Mix:
    """What references a run publishes: mostly good ones, a share of them with overlays."""

    pictures: list[Picture]
    seed: int
    overlay_share: float = 0.05
    hostile: list[Picture] = field(default_factory=list)
    hostile_share: float = 0.0
    image_id: Callable[[str], str] = lambda event_id: f"image-{event_id}"

    def __iter__(self) -> Iterator[Item]:
        """Yield references without end."""
        draw = random.Random(self.seed)
        n = 0
        while True:
            event_id = f"e{self.seed}-{n}"
            if self.hostile and draw.random() < self.hostile_share:
                picture, kind = draw.choice(self.hostile), "hostile"
            else:
                picture, kind = draw.choice(self.pictures), "good"
            overlay = "always" if draw.random() < self.overlay_share else "never"
            yield reference(event_id, picture, overlay=overlay, kind=kind, image_id=self.image_id(event_id))
            n += 1


class Load:
    """Publishes items and hands each on to `accepted` once the broker has acknowledged it. One that was not is sent until it is."""

    def __init__(self, bootstrap: str, accepted: Callable[[Item, int, int], None]) -> None:
        self._bootstrap = bootstrap
        self._accepted = accepted
        self.published = 0
        self.resent = 0
        self.refused = 0
        self._number = 0
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",  # and not idempotent: aiokafka's ends for good where a broker lost its producer's state
            linger_ms=5,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            max_request_size=4 << 20,
        )
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect; everything that `run` sent has its answer already."""
        if self._producer is not None:
            await asyncio.wait_for(self._producer.stop(), 30)

    async def run(
        self,
        items: Iterator[Item],
        *,
        rate: float,
        at_least: int,
        at_most: int | None = None,
        until: Callable[[], bool] = lambda: True,
        wait: Callable[[], bool] = lambda: False,
    ) -> int:
        """Publish `at_least` items at `rate` a second, and go on until `until` says so or `at_most` are out. Return how many.

        Nothing is published while `wait` says so, and what was not published then is not made up for.
        """
        slots, sending = asyncio.Semaphore(UNDER_WAY), set()
        due, sent = time.monotonic(), 0
        try:
            while sent < at_least or (not until() and sent < (at_most or at_least)):
                if wait():
                    await asyncio.sleep(WAIT_S)
                    due = time.monotonic()
                    continue
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += 1 / rate
                await slots.acquire()
                task = asyncio.create_task(self._send(next(items), slots))
                sending.add(task)
                task.add_done_callback(sending.discard)
                sent += 1
            await asyncio.gather(*sending)
        finally:
            for task in sending:
                task.cancel()
        return sent

    async def _send(self, item: Item, slots: asyncio.Semaphore) -> None:
        assert self._producer is not None
        self._number += 1
        key = str(self._number).encode()
        try:
            while True:
                try:
                    place = await self._producer.send_and_wait(IMAGES, item.value, key=key, headers=list(item.headers))
                except MessageSizeTooLargeError:
                    self.refused += 1  # the broker does not accept it: nobody was promised an outcome
                    return
                except KafkaError:
                    self.resent += 1
                    await asyncio.sleep(TRY_AGAIN_S)
                else:
                    break
        finally:
            slots.release()
        self.published += 1
        self._accepted(item, place.partition, place.offset)
