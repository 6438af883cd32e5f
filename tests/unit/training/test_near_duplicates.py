from hypothesis import given
from hypothesis import strategies as st

from training.near_duplicates import DisjointSets, near_groups

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=12)
flips = st.lists(st.integers(0, 63), max_size=9)


def by_all_pairs(values, bits):
    """The same groups by comparing everything with everything."""
    sets = DisjointSets(len(values))
    for one, left in enumerate(values):
        for other, right in enumerate(values[:one]):
            if (left ^ right).bit_count() <= bits:
                sets.join(one, other)
    return [sets.find(number) for number in range(len(values))]


@given(hashes, st.lists(st.tuples(st.integers(0, 11), flips), max_size=12), st.sampled_from([0, 1, 6, 20, 32]))
def test_the_index_finds_what_all_pairs_find(values, relatives, bits):
    """However the differing bits lie, no near pair is missed and no far pair joined."""
    for number, flipped in relatives:
        if values:
            values.append(values[number % len(values)] ^ sum(1 << bit for bit in set(flipped)))
    assert near_groups(values, bits) == by_all_pairs(values, bits)


def test_six_bits_are_near_and_seven_are_not():
    """The distance that is given belongs to it."""
    assert near_groups([0, 0b111111, 2**64 - 1], 6) == [0, 0, 2]
    assert near_groups([0, 0b1111111, 2**64 - 1], 6) == [0, 1, 2]


def test_a_chain_is_one_group():
    """Ends that are far apart are joined by what lies between."""
    assert near_groups([0, 0b1111, 0b11111111], 4) == [0, 0, 0]


def test_nothing_has_no_groups():
    """An empty list is answered with an empty list."""
    assert near_groups([], 6) == []
