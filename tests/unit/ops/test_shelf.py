"""Bounded memory of windows and of what else was published."""

from streams.ops.shelf import Kept, Shelf, WindowShelf


def kept(at_ms: int, *, tenant: str = "acme", revision: int = 1, json: bytes = b"{}") -> Kept:
    """Return something that was kept."""
    return Kept(revision, at_ms, tenant, json)


def test_the_same_window_again_changes_nothing() -> None:
    """A repeat is not taken for news; the window with other content is."""
    shelf = WindowShelf()
    assert shelf.put(("acme", "1m"), "w1", kept(1))
    assert not shelf.put(("acme", "1m"), "w1", kept(1, revision=2))
    assert shelf.put(("acme", "1m"), "w1", kept(1, revision=3, json=b"[]"))
    assert [one.revision for one in shelf.of(("acme", "1m"))] == [3]


def test_windows_of_tenants_by_the_thousand_are_bounded() -> None:
    """5,000 tenants with a window each leave the latest 100, and those over all tenants stay."""
    shelf = WindowShelf(most_overall=10, most_of_tenants=100)
    shelf.put(("*", "1m"), "overall", kept(1, tenant="*"))
    for number in range(5000):
        shelf.put((f"t{number}", "1m"), f"w{number}", kept(number))
    assert shelf.count == 101
    assert len(shelf.of(("*", "1m"))) == 1
    assert shelf.specs("t0") == []
    assert shelf.specs("t4999") == ["1m"]
    assert shelf.tenants()[:2] == ["*", "t4900"]


def test_one_id_in_two_series_is_two_windows() -> None:
    """A window id that two tenants have (it is only text on a topic) mixes up neither of them."""
    shelf = WindowShelf(most_of_tenants=1)
    shelf.put(("a", "1m"), "same", kept(1))
    shelf.put(("b", "1m"), "same", kept(2))
    assert shelf.of(("a", "1m")) == []
    assert len(shelf.of(("b", "1m"))) == 1


def test_old_windows_are_forgotten() -> None:
    """What ended before the history goes, its tenant with it."""
    shelf = WindowShelf()
    shelf.put(("old", "1m"), "w1", kept(10))
    shelf.put(("new", "1m"), "w2", kept(20))
    shelf.forget_before(15)
    assert shelf.tenants() == ["*", "new"]
    assert shelf.count == 1


def test_a_shelf_keeps_the_latest() -> None:
    """Of three things a shelf for two keeps the last two."""
    shelf = Shelf(2)
    for number in range(3):
        shelf.put(f"a{number}", kept(number))
    assert [one.at_ms for one in shelf] == [1, 2]
