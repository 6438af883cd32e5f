"""Which windows are kept."""

import pytest

from streams.drift.specs import parse_spec, parse_specs
from streams.settings import DriftSettings


def test_the_shortest_tumbling_window_is_the_pane() -> None:
    """The others follow by size, whatever the order they are given in."""
    specs = parse_specs(["1d", "1h/10m", "1m", "1h"])
    assert specs.pane.name == "1m"
    assert [spec.name for spec in specs.larger] == ["1h/10m", "1h", "1d"]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["1 m"], "is no window"),
        (["0m"], "is no window"),
        (["m"], "is no window"),
        (["1h/7m"], "must divide"),
        (["1d/1m", "1m"], "may overlap"),
        (["1h/10m"], "must be tumbling"),
        (["1m", "90s"], "'90s' is not made of whole 1m"),
        (["7m", "21m/3m"], "is not made of whole 7m"),
        (["60s", "1m"], "are the same"),
        ([], "give 1 to 8"),
        (["1s", "1d"], "more than 10080 times"),
    ],
)
def test_windows_that_do_not_fit_together(names, why) -> None:
    """Each is refused with what is wrong about it, in the settings too."""
    with pytest.raises(ValueError, match=why):
        parse_specs(names)
    with pytest.raises(ValueError, match=why):
        DriftSettings(windows=names)


def test_a_moment_before_the_epoch_has_its_windows_too() -> None:
    """Event times are whole numbers; those before 1970 are rounded down like others."""
    assert list(parse_spec("10s").starts(-1)) == [-10_000]
