import pytest
import torch

from schemas.errors import UsageError
from training.state import Place, read_state, write_state


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "state.safetensors"
    place = Place(phase=1, epoch=2, batch=3, step=45, loss_sum=0.1 + 0.2, best_loss=1 / 3, history=[{"loss": 0.7}])
    write_state(path, "print", place, {"network": {"head.weight": torch.tensor([1.5, -0.0])}, "step": {}})
    return path, place


def test_a_state_comes_back_exactly(written):
    """Sums of floats to the last bit, and the tensors."""
    path, place = written
    found = read_state(path, "print")
    assert found.place == place
    assert found.tensors["network"]["head.weight"].numpy().tobytes() == torch.tensor([1.5, -0.0]).numpy().tobytes()


def test_no_state_is_a_start_from_the_beginning(tmp_path):
    """Nothing to go on from."""
    assert read_state(tmp_path / "state.safetensors", "print") is None


def test_the_state_of_another_training_is_refused(written):
    """Other knobs: going on would give a checkpoint that nothing describes."""
    with pytest.raises(UsageError, match="is another one") as caught:
        read_state(written[0], "other print")
    assert "--fresh" in caught.value.remedy


@pytest.mark.parametrize(
    "damage", [lambda data: data[:40], lambda _: b"\x80\x04pickle", lambda _: b""], ids=["cut", "pickle", "empty"]
)
def test_a_damaged_state_is_refused_with_a_remedy(written, damage):
    """Cut short, a pickle, empty."""
    path, _ = written
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UsageError, match="no state of a training") as caught:
        read_state(path, "print")
    assert "--fresh" in caught.value.remedy


def test_a_write_that_is_cut_off_leaves_the_old_state(written):
    """What is written goes to another file first; half of one is never read."""
    path, place = written
    path.with_name("state.safetensors.partial").write_bytes(b"half")
    assert read_state(path, "print").place == place
