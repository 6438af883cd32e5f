"""Names from messages as labels: the first so many are taken, the others are `other`, since each makes a series that is kept for ever."""

OTHER = "other"


class BoundedNames:
    """Lets at most `most` different names through in the life of a process.

    >>> source = BoundedNames(2)
    >>> [source(name) for name in ("real", "flux", "sora", "real")]
    ['real', 'flux', 'other', 'real']
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return `name`, or `other` when it is one too many."""
        if name not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(name)
        return name
