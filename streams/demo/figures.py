"""How figures are said, the same in the terminal and on the page."""

from collections.abc import Iterator, Sequence

from schemas.window import WindowSummary


def shares(window: WindowSummary, order: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """Yield (class, share among the decided images of the window, share in the reference), the classes of `order` first."""
    reference = window.reference or {}
    decided = sum(window.counts.values())
    for name in dict.fromkeys((*order, *reference, *window.counts)):
        yield name, window.counts.get(name, 0) / decided if decided else 0.0, reference.get(name, 0.0)


def percent(share: float) -> str:
    """Say a share so that it neither drowns in digits nor claims certainty.

    >>> [percent(share) for share in (0.0001, 0.034, 0.5, 0.9996)]
    ['<0.1%', '3.4%', '50%', '>99.9%']
    """
    if 0 < share < 0.0005:  # noqa: PLR2004
        return "<0.1%"
    if 0.9995 < share < 1:  # noqa: PLR2004
        return ">99.9%"
    scaled = share * 100
    return f"{scaled:.0f}%" if 9.5 <= scaled <= 90.5 or scaled in {0, 100} else f"{scaled:.1f}%"  # noqa: PLR2004
