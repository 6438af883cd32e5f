import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.schedule import rate


def test_cosine_climbs_over_the_warm_up_and_falls_to_nearly_nothing():
    """Ten steps, two of them to warm up."""
    rates = [rate(step, 10, 1.0, "cosine", 0.2) for step in range(10)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[6] == pytest.approx(0.5)
    assert 0 < rates[9] < 0.05


def test_one_cycle_is_that_of_torch():
    """The same rates as OneCycleLR's at every step."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    oracle = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=125)
    expected = []
    for _ in range(125):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        oracle.step()
    assert [rate(step, 125, 2e-3, "one_cycle") for step in range(125)] == pytest.approx(expected, rel=1e-6)


@given(
    steps=st.integers(1, 500), share=st.floats(0, 1), schedule=st.sampled_from(["cosine", "one_cycle"]), data=st.data()
)
def test_a_rate_is_positive_and_at_most_the_peak(steps, share, schedule, data):
    """Whatever the length of a phase, also of one step, or a warm-up as long as the phase."""
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < rate(step, steps, 0.5, schedule, share) <= 0.5
