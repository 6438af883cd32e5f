"""Whatever was asked for, published and stored: an audit counts what the guarantee, read word for word, counts."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from support.planted import INTAKE, MemoryArchive, altered, id_of, letter_of, reference, settled, verdict_of

from streams.audit.book import Book
from streams.audit.outcomes import Outcomes
from streams.audit.progress import silent
from streams.audit.references import References
from streams.audit.report import Report
from streams.audit.run import conclude
from streams.audit.settled import Settled

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Fate:
    """What happened to one reference. An outcome is its kind and whether it is the altered spelling."""

    asked: int
    due: int  # so many of the first records that ask are committed past
    published: list
    stored: tuple | None


outcomes = st.tuples(st.sampled_from(["verdict", "dead_letter"]), st.booleans())
fates = st.builds(
    Fate,
    asked=st.integers(0, 2),
    due=st.integers(0, 2),
    published=st.lists(outcomes, max_size=4),
    stored=st.none() | outcomes,
)


def record_of(name, source, outcome):
    kind, other = outcome
    record = verdict_of(source, name) if kind == "verdict" else letter_of(source, id_of(name))
    return altered(record) if other else record


def by_the_book(fate):
    """Return the faults of one reference, from the definition."""
    kinds = [kind for kind, _ in fate.published]
    found = set()
    if not fate.asked:
        found |= {"nobody_asked"} if fate.published else {"stored_for_nobody"} if fate.stored else set()
    elif not fate.published:
        found.add("missing" if min(fate.due, fate.asked) else "pending")
        if fate.stored and "missing" in found:
            found.add("stored_not_published")
    elif fate.stored is None:
        found.add("not_stored")
    elif any(outcome != fate.stored for outcome in fate.published):
        found.add("differs_from_stored")
    if len(set(kinds)) > 1:
        found.add("both")
    if len({outcome for outcome in fate.published if outcome[0] == kinds[0]}) > 1:
        found.add("repeats_not_identical")
    return found


@given(st.tuples(*[fates] * len(NAMES)), st.booleans())
def test_an_audit_counts_what_the_guarantee_says(chosen, deep):
    """Property: for each kind of fault as many as there are references with it, and no other."""
    report, book, archive = Report("settled", whole=True), Book(), MemoryArchive()
    placed = {
        name: [(n, again) for again in range(fate.asked)]
        for n, (name, fate) in enumerate(zip(NAMES, chosen, strict=False))
    }
    references = References(
        book, report, INTAKE, {10 * n + again: 1 for n, f in enumerate(chosen) for again in range(f.due)}
    )
    for name, places in placed.items():
        for n, again in places:
            references.take(reference(name, 10 * n + again, 0))
    published = Outcomes(book, report, dict.fromkeys(range(30), (0, 1)), whole=True)
    for name, fate in zip(NAMES, chosen, strict=True):
        source = reference(name, 10 * NAMES.index(name), 0)
        for offset, outcome in enumerate(fate.published):
            published.take(replace(record_of(name, source, outcome), offset=offset))
        if fate.stored is not None:
            archive.put(id_of(name), settled(record_of(name, source, fate.stored), id_of(name)))
    for raw in Settled(book, report, archive, silent, deep=deep).compare_all():
        report.fault("stored_for_nobody", raw.hex(), "")
    conclude(book, report)
    expected = [kind for fate in chosen for kind in by_the_book(fate)]
    assert {kind: count for kind, count in report.counts.items() if count} == {
        kind: expected.count(kind) for kind in set(expected)
    }
    assert report.accepted == sum(fate.asked > 0 for fate in chosen)
    assert report.duplicates == sum(max(0, fate.asked - 1) for fate in chosen)
