"""Labels in any order, any number of times."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.labels import ANNA, BERT, NOON, label, labelled

from streams.labels.book import LabelBook
from streams.labels.judging import Judged
from streams.labels.tally import Tally, tally

EARLY = NOON - timedelta(days=1)


def filled(*labels, most=1000):
    book = LabelBook(since=EARLY, most=most)
    for one in labels:
        book.take(labelled(one))
    return book


def test_a_repeat_counts_once():
    """Kafka delivers at least once, and reviewers press twice."""
    book = filled(label(), label())
    assert (book.labels, book.tally().statuses["counted"]) == (1, 1)
    assert not book.take(labelled(label()))


def test_the_last_word_of_a_reviewer_counts():
    """By when it was said, not by when it came."""
    book = filled(label(minute=2, said="incorrect", true_source="real"), label(minute=1))
    assert book.judged(f"{1:040x}") == Judged("counted", right=False, truth="real", is_ai=False)
    assert book.labels == 1


def test_two_reviewers_who_differ_make_it_disputed_until_one_gives_in():
    """Then it counts as what both say."""
    book = filled(label(), label(said="incorrect", reviewer=BERT))
    assert [(row.source, row.precision.of) for row in book.rows()] == []
    assert book.tally().statuses["disputed"] == 1
    book.take(labelled(label(reviewer=BERT, minute=5)))
    assert [(row.source, row.precision.count) for row in book.rows()] == [("ai_generated", 1), ("flux", 1)]


def test_each_tenant_has_its_own_counts():
    """And all of them together are the sum."""
    book = filled(label(1), label(2, said="incorrect", tenant="zoo"))
    assert book.tenants() == ["acme", "zoo"]
    assert book.rows("acme")[-1].precision.count == 1
    assert book.rows("zoo")[-1].precision.count == 0
    assert book.rows()[-1].precision.of == 2
    assert book.rows("nobody") == []


def test_what_is_older_than_the_window_goes():
    """With it its tenant, once nothing of it is left; and it does not come back."""
    book = filled(label(1, minute=0, tenant="zoo"), label(2, minute=10))
    book.forget_before(NOON + timedelta(minutes=5))
    assert (book.labels, book.tenants()) == (1, ["acme"])
    assert not book.take(labelled(label(1, minute=0, tenant="zoo")))
    book.forget_before(NOON + timedelta(minutes=11))
    assert (book.labels, list(book.outcomes()), book.tally().as_json()) == (0, [], Tally().as_json())


def test_of_too_many_the_oldest_go_and_are_counted():
    """Memory is bounded, also against one reviewer who labels one image over and over."""
    book = filled(*(label(n, minute=n) for n in range(10)), most=4)
    assert (book.labels, book.left_out) == (4, 6)
    assert book.judged(f"{5:040x}") is None
    for second in range(5000):
        book.take(labelled(label(9, minute=10 + second / 60)))
    assert (book.labels, book.left_out) == (4, 6)
    assert len(book._ages) <= 1010


labels = st.builds(
    label,
    st.integers(1, 4),
    st.sampled_from(["correct", "incorrect", "inconclusive"]),
    minute=st.integers(0, 20),
    reviewer=st.sampled_from([ANNA, BERT]),
    true_source=st.sampled_from([None, "flux", "real", "gpt-image-2"]),
)


@given(st.lists(labels, max_size=25), st.randoms(), st.integers(0, 21))
def test_the_book_is_the_same_in_any_order_and_as_a_count_from_scratch(given_labels, draw, minute):
    """Also when labels come while others expire."""
    edge = NOON + timedelta(minutes=minute)
    shuffled = given_labels + given_labels[: len(given_labels) // 2]
    draw.shuffle(shuffled)
    half = len(shuffled) // 2
    book = filled(*shuffled[:half])
    book.forget_before(edge)
    for one in shuffled[half:]:
        book.take(labelled(one))

    again = filled(*given_labels)
    again.forget_before(edge)
    assert book.tally().as_json() == again.tally().as_json()
    scratch = tally((stated, judged) for _, stated, judged in again.outcomes())
    assert scratch.as_json() == book.tally().as_json()
    assert book.labels == len({(o.outcome_id, o.reviewer) for o in given_labels if o.labelled_at >= edge})
