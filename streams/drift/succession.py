"""Notices records that were left out between the broker and the agent."""


class Succession:
    """Checks that each partition's offsets follow one another within a generation of the consumer group.

    The observations topic has no holes (written by one kind of idempotent producer, neither compacted nor transactional), so a hole is
    lost records: the windows would be wrong, and a commit could go past them.
    """

    def __init__(self) -> None:
        self._last: dict[int, tuple[int, int]] = {}

    def follows(self, partition: int, generation: int, offset: int) -> bool:
        """Whether nothing lies between this record and the one before it; a record that comes again follows, too.

        >>> succession = Succession()
        >>> succession.follows(0, 1, 42), succession.follows(0, 1, 43), succession.follows(0, 1, 43)
        (True, True, True)
        >>> succession.follows(0, 1, 45)
        False
        """
        last_generation, last = self._last.get(partition, (generation, offset - 1))
        self._last[partition] = generation, offset
        return generation != last_generation or offset <= last + 1
