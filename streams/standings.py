"""Where this worker stands in each of its partitions, by its own books: what is acknowledged may not be committed yet, but it is done."""

from collections.abc import Callable, Iterable
from typing import Any

from streams.lag import Standing
from streams.ledger import Ledger


def standings(
    ledger: Ledger[Any],
    places: Iterable[tuple[str, int]],
    *,
    generation: int,
    committed: Callable[[str, int], int | None],
) -> list[Standing]:
    """Return the standing in each of `places`, the partitions of this generation of the group.

    Args:
        ledger: what was delivered and is not finished, its handles Faust events.
        places: topic and partition of each.
        generation: of the consumer group; what was delivered in an earlier one is delivered again.
        committed: returns the offset that the consumer went on from when it got a partition.
    """
    return [_standing(ledger, *place, generation, committed) for place in places]


def _standing(
    ledger: Ledger[Any], topic: str, partition: int, generation: int, committed: Callable[[str, int], int | None]
) -> Standing:
    oldest = ledger.oldest(topic, partition, generation)
    if oldest is not None:
        written_at = float(oldest.handle.message.timestamp)
        return Standing(
            topic, partition, oldest.offset, written_at if written_at >= 0 else None
        )  # before Kafka 0.10: -1
    due = ledger.next_offset(topic, partition, generation)
    return Standing(topic, partition, due if due is not None else committed(topic, partition))
