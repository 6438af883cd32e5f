import hashlib
import itertools
from dataclasses import replace

import pytest
import torch
from support.tiny_training import THREE_PHASES, TINY_MODEL, tiny_params, write_pictures

from schemas.errors import CheckFailed, ConfigError, UsageError
from training.fit import device_of, fit
from training.items import training_set
from training.params import Phase, TrainParams
from training.phases import learning
from training.start import config_of, new_network
from training.watch import Quiet

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Sums then round the same way every time, whatever else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), {"real": 6, "flux": 6})


def data_of(manifest, share=0.0):
    return training_set(manifest, manifest.classes, map, validation_share=share, seed=7, warn=pytest.fail)


def fresh(manifest, seed=7):
    return new_network(config_of(TINY_MODEL, manifest.classes), TINY_MODEL, seed=seed)


def digest(network):
    tensors = sorted(network.state_dict().items())
    return hashlib.sha256(b"".join(value.contiguous().numpy().tobytes() for _, value in tensors)).hexdigest()


class Stop(Quiet):
    """Ends the training after a number of steps, like a kill."""

    def __init__(self, after):
        self.left = after

    def step_ends(self, loss):
        self.left -= 1
        if not self.left:
            raise Killed


class Killed(BaseException):
    """The process is gone."""


def test_training_lowers_the_loss(manifest):
    """Twelve images, learnt by heart."""
    params = tiny_params((Phase(name="all", layers="all", epochs=8, learning_rate=3e-3),))
    history = fit(fresh(manifest), data_of(manifest), params, map).history
    assert [epoch.number for epoch in history] == list(range(1, 9))
    assert history[-1].loss < 0.7 * history[0].loss


@pytest.mark.parametrize("layers", ["head", "top", "all"])
def test_a_phase_changes_exactly_its_parameters(manifest, layers):
    """The others are the same to the last bit, and so are the running means of frozen batch norms."""
    network = fresh(manifest)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    params = tiny_params((Phase(name="one", layers=layers, epochs=1, learning_rate=1e-3),), ema_decay=0.0)
    trained = fit(network, data_of(manifest), params, map).network
    changed = {name for name, value in trained.named_parameters() if not torch.equal(value, before[name])}
    assert changed == learning(trained, layers)
    if layers == "head":
        assert all(torch.equal(value, before[name]) for name, value in trained.cnn.state_dict(prefix="cnn.").items())


def test_the_same_seed_gives_the_same_weights(manifest):
    """And another seed others."""
    one, two, other = (
        digest(fit(fresh(manifest), data_of(manifest), tiny_params(seed=seed), map).network) for seed in (7, 7, 8)
    )
    assert one == two != other


@pytest.mark.parametrize("ema_decay", [0.9, 0.0])
def test_a_stopped_training_goes_on_to_the_same_weights(manifest, tmp_path, ema_decay):
    """Stopped in the first phase, twice in mid-epoch and at the very last step; with an average of the weights and without."""
    params = tiny_params(THREE_PHASES, validation_share=0.2, state_steps=1, ema_decay=ema_decay, batch_size=3)
    data, state = data_of(manifest, 0.2), tmp_path / "state.safetensors"
    whole = fit(fresh(manifest), data, params, map)
    for steps in (1, 2, 5, 3):
        with pytest.raises(Killed):
            fit(fresh(manifest), data, params, map, state=state, fingerprint="f", watch=Stop(steps))
        assert state.exists()
    pieced = fit(fresh(manifest), data, params, map, state=state, fingerprint="f")
    assert digest(pieced.network) == digest(whole.network)
    assert [replace(e, seconds=0) for e in pieced.history] == [replace(e, seconds=0) for e in whole.history]
    assert not state.exists()


def test_the_state_of_another_training_is_not_gone_on_with(manifest, tmp_path):
    """Other knobs have another fingerprint."""
    params, state = tiny_params(state_steps=1), tmp_path / "state.safetensors"
    with pytest.raises(Killed):
        fit(fresh(manifest), data_of(manifest), params, map, state=state, fingerprint="a", watch=Stop(2))
    with pytest.raises(UsageError, match="is another one"):
        fit(fresh(manifest), data_of(manifest), params, map, state=state, fingerprint="b")


def test_a_phase_ends_early_when_validation_gains_nothing_more(manifest):
    """A rate that moves nothing: the first epoch is the best one, two more do not better it."""
    still = Phase(name="still", layers="head", epochs=9, learning_rate=1e-12)
    params = tiny_params((still, replace_name(still)), validation_share=0.2, early_stop_epochs=2, ema_decay=0.0)
    history = fit(fresh(manifest), data_of(manifest, 0.2), params, map).history
    counts = {name: len(list(run)) for name, run in itertools.groupby(epoch.phase for epoch in history)}
    assert counts["still"] < 9
    assert set(counts) == {"still", "again"}


def replace_name(phase):
    return phase.model_copy(update={"name": "again"})


class Digests(Quiet):
    """Keeps the digest of the weights at the end of each epoch."""

    def __init__(self, network):
        self.network, self.found = network, []

    def epoch_ends(self, epoch):
        self.found.append(digest(self.network))


def test_the_best_epoch_is_kept_and_not_the_last(manifest):
    """A rate at which the loss jumps about: what is returned are the weights of the epoch with the least validation loss."""
    wild = Phase(name="wild", layers="all", epochs=6, learning_rate=0.1)
    params = tiny_params((wild,), validation_share=0.3, ema_decay=0.0, early_stop_epochs=0, schedule="one_cycle")
    network = fresh(manifest)
    watch = Digests(network)
    fitted = fit(network, data_of(manifest, 0.3), params, map, watch=watch)
    losses = [epoch.validation_loss for epoch in fitted.history]
    assert digest(fitted.network) == watch.found[losses.index(min(losses))]
    assert len(set(watch.found)) == 6


def test_a_loss_that_is_no_number_ends_the_training(manifest):
    """An absurd rate: an error that names the phase and the knob."""
    params = tiny_params((Phase(name="wild", layers="all", epochs=9, learning_rate=1e30),), clip_norm=1e30)
    with pytest.raises(CheckFailed, match="come apart") as caught:
        fit(fresh(manifest), data_of(manifest), params, map)
    assert "wild" in caught.value.why
    assert "learning_rate" in caught.value.remedy


@pytest.mark.parametrize("class_balance", ["weights", "sampler", "none"])
def test_classes_of_unequal_size_can_be_trained_on(tmp_path, class_balance):
    """Nine photographs and one generated image, by weight, by sampler, or as they come."""
    manifest = write_pictures(tmp_path, {"real": 9, "flux": 1})
    params = tiny_params(class_balance=class_balance, label_smoothing=0.1)
    assert len(fit(fresh(manifest), data_of(manifest), params, map).history) == 2


def test_cuda_where_there_is_none_is_an_error_with_a_remedy():
    """Asked for by name, it is not replaced in silence."""
    if torch.cuda.is_available():
        assert device_of(TrainParams(device="cuda")).type == "cuda"
        return
    with pytest.raises(ConfigError, match="no CUDA device") as caught:
        device_of(TrainParams(device="cuda"))
    assert "device: auto" in caught.value.remedy
    assert device_of(TrainParams(device="auto")).type == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_phase_trains_in_mixed_precision_on_cuda(manifest):
    """bfloat16 products, float32 weights, a network that comes back to the CPU."""
    params = tiny_params(THREE_PHASES, device="cuda", validation_share=0.2)
    fitted = fit(fresh(manifest), data_of(manifest, 0.2), params, map)
    assert len(fitted.history) == 4
    assert {value.dtype for value in fitted.network.parameters()} == {torch.float32}
    assert {value.device.type for value in fitted.network.parameters()} == {"cpu"}
