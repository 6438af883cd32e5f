import optuna
import pytest
from support.tiny_training import THREE_PHASES, tiny_params, write_pictures

from schemas.errors import CheckFailed, UsageError
from training.items import training_set
from training.params import Phase, TuneParams
from training.tune import fragment, searched, tune

pytestmark = pytest.mark.timeout(900)  # the first test pays for what its fixture makes

DRAWN = {
    "rate_of_0_head": 0.5,
    "rate_of_1_top": 2.0,
    "rate_of_2_all": 1.0,
    "weight_decay": 0.01,
    "branch_weight": 0.25,
    "dropout": 0.1,
    "launder_share": 0.75,
}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures"), {"real": 5, "flux": 5})


def data_of(manifest, share):
    return training_set(manifest, manifest.classes, map, validation_share=share, seed=7, warn=pytest.fail)


def params_of(tmp_path, phases=THREE_PHASES[:1], **more):
    wanted = TuneParams(storage=f"sqlite:///{tmp_path}/deep/tune.db", **more)
    return tiny_params(phases, validation_share=0.2).model_copy(update={"tune": wanted})


def test_a_trial_moves_the_searched_knobs_and_no_others():
    """Rates are factors of the given ones; batch size, seed and the rest stay."""
    params = tiny_params(THREE_PHASES)
    found = searched(optuna.trial.FixedTrial(DRAWN), params)
    assert [phase.learning_rate for phase in found.train.phases] == pytest.approx([5e-4, 2e-3, 1e-3])
    assert (found.train.weight_decay, found.train.branch_weight) == (0.01, 0.25)
    assert (found.model.dropout, found.augment.launder_share) == (0.1, 0.75)
    assert found.train.model_copy(update=params.train.model_dump(include={"weight_decay", "branch_weight"})).model_dump(
        exclude={"phases"}
    ) == params.train.model_dump(exclude={"phases"})


def test_a_trial_that_was_killed_does_not_count(manifest, tmp_path):
    """One trial is left running in the database, as a kill leaves it; two are asked for, and two finish."""
    params, data = params_of(tmp_path), data_of(manifest, 0.2)
    study = tune(data, params, map, trials=1, say=lambda _: None)
    study.ask()
    study = tune(data, params, map, trials=2, say=lambda _: None)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "RUNNING", "COMPLETE"]
    assert study.trials[2].params != study.trials[0].params


def test_rates_at_which_the_training_comes_apart_are_given_up(manifest, tmp_path):
    """Every trial at such a rate: none comes to its end, which is an error with a remedy."""
    wild = (Phase(name="wild", layers="all", epochs=4, learning_rate=1e30),)
    params = params_of(tmp_path, wild, epochs_share=1.0)
    params = params.model_copy(update={"train": params.train.model_copy(update={"clip_norm": 1e30})})
    study = tune(data_of(manifest, 0.2), params, map, trials=1, say=lambda _: None)
    assert [trial.state.name for trial in study.trials] == ["PRUNED"]
    with pytest.raises(CheckFailed, match="no trial came to its end"):
        fragment(study, params)


def test_a_search_needs_images_to_judge_by(manifest, tmp_path):
    """None are kept back: an error that names the knob."""
    with pytest.raises(UsageError, match="nothing to judge a trial by") as caught:
        tune(data_of(manifest, 0.0), params_of(tmp_path), map, trials=1, say=lambda _: None)
    assert "validation_share" in caught.value.remedy
