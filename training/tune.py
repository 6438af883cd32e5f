"""The search for better knobs: Optuna's study of short trainings, each judged by its validation loss and given up when it falls behind.

The study is kept in a database: a second call goes on with it to the number of trials in total.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.trial import Trial, TrialState

from schemas.errors import CheckFailed, UsageError
from training.corpus.build import Map
from training.fit import fit
from training.items import TrainingSet
from training.params import Params, Phase
from training.start import config_of, new_network
from training.train import fingerprint_of
from training.watch import Epoch, Quiet

Say = Callable[[str], None]

RATE_RANGE: Final = (0.1, 10.0)  # times the given learning rate of each phase
_FINISHED: Final = (TrialState.COMPLETE, TrialState.PRUNED)
_FINGERPRINT: Final = "fingerprint"


def tune(data: TrainingSet, params: Params, ordered_map: Map, *, trials: int, say: Say) -> optuna.Study:
    """Bring the study to `trials` finished trials and return it.

    A trial that was killed does not count. Raises `UsageError` where nothing is kept back for validation, or where the study in the database was
    made for other images or other knobs.
    """
    if not data.validation:
        raise UsageError(
            "there is nothing to judge a trial by",
            why="no training images are kept back for validation",
            remedy="Set `train.validation_share` to 0.1 or more, with enough groups to share.",
        )
    study = _study(params, fingerprint_of(data, params, params.train))
    done = study.get_trials(deepcopy=False, states=_FINISHED)
    if done:
        say(f"going on with study {study.study_name!r}: {len(done)} of {trials} trials are done")

    def objective(trial: Trial) -> float:
        return _train(trial, data, params, ordered_map)

    def report(_: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        value = "given up" if trial.value is None or trial.state is not TrialState.COMPLETE else f"{trial.value:.4f}"
        say(f"trial {trial.number}: validation loss {value}")

    if (left := trials - len(done)) > 0:
        study.optimize(objective, n_trials=left, callbacks=[report])
    return study


def searched(trial: Trial, params: Params) -> Params:
    """Return the parameters with what the trial suggests: rates, weight decay, dropout, share of laundered images, weight of the branches."""
    low, high = RATE_RANGE
    phases = tuple(
        phase.model_copy(
            update={
                "learning_rate": phase.learning_rate
                * trial.suggest_float(f"rate_of_{place}_{phase.name}", low, high, log=True)
            }
        )
        for place, phase in enumerate(params.train.phases)
    )
    loop = {
        "phases": phases,
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
        "branch_weight": trial.suggest_float("branch_weight", 0.0, 1.0),
    }
    return params.model_copy(
        update={
            "train": params.train.model_copy(update=loop),
            "model": params.model.model_copy(update={"dropout": trial.suggest_float("dropout", 0.0, 0.6)}),
            "augment": params.augment.model_copy(
                update={"launder_share": trial.suggest_float("launder_share", 0.3, 0.9)}
            ),
        }
    )


def fragment(study: optuna.Study, params: Params) -> dict[str, Any]:
    """Return what the best trial would change in params.yaml; raises `CheckFailed` where every trial was given up."""
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not finished:
        raise CheckFailed(
            "no trial came to its end",
            why=f"{len(study.trials)} were begun",
            remedy="Ask for more `--trials`, or for longer ones with `tune.epochs_share`.",
        )
    best = searched(optuna.trial.FixedTrial(study.best_params), params)  # type: ignore[arg-type]
    return {
        "model": {"dropout": _short(best.model.dropout)},
        "train": {
            "phases": [
                {**phase.model_dump(), "learning_rate": _short(phase.learning_rate)} for phase in best.train.phases
            ],
            "weight_decay": _short(best.train.weight_decay),
            "branch_weight": _short(best.train.branch_weight),
        },
        "augment": {"launder_share": _short(best.augment.launder_share)},
    }


class _GiveUp(Quiet):
    """Tells the study of each epoch, and ends a trial that is worse than the others were at that point."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def epoch_ends(self, epoch: Epoch) -> None:
        if epoch.validation_loss is not None:
            self._trial.report(epoch.validation_loss, epoch.index)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def _train(trial: Trial, data: TrainingSet, params: Params, ordered_map: Map) -> float:
    wanted = searched(trial, params)
    loop = wanted.train.model_copy(
        update={"phases": tuple(_shorter(phase, params.tune.epochs_share) for phase in wanted.train.phases)}
    )
    network = new_network(config_of(wanted.model, data.classes), wanted.model, seed=loop.seed)
    try:
        history = fit(network, data, wanted, ordered_map, loop=loop, watch=_GiveUp(trial)).history
    except CheckFailed as error:  # it came apart: rates that high are no good, which is worth knowing
        raise optuna.TrialPruned(str(error)) from error
    return min(epoch.validation_loss for epoch in history if epoch.validation_loss is not None)


def _study(params: Params, fingerprint: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wanted = params.tune
    if wanted.storage.startswith("sqlite:///"):
        Path(wanted.storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    pruner: optuna.pruners.BasePruner = (
        optuna.pruners.HyperbandPruner()
        if wanted.pruner == "hyperband"
        else optuna.pruners.MedianPruner(n_startup_trials=wanted.startup_trials, n_warmup_steps=1)
    )
    study = optuna.create_study(
        study_name=wanted.study, storage=wanted.storage, load_if_exists=True, direction="minimize", pruner=pruner
    )
    found = study.user_attrs.get(_FINGERPRINT)
    if found is None:
        study.set_user_attr(_FINGERPRINT, fingerprint)
    elif found != fingerprint:
        raise UsageError(
            f"study {wanted.study!r} was made for other images or other knobs",
            why="its trials cannot be compared with new ones",
            remedy="Name another one with `tune.study`, or go back to what it was made for.",
        )
    # Seeded by how far the study is: a resumed one must not draw its first trials again.
    study.sampler = optuna.samplers.TPESampler(
        seed=params.train.seed + len(study.trials), n_startup_trials=wanted.startup_trials
    )
    return study


def _shorter(phase: Phase, share: float) -> Phase:
    return phase.model_copy(update={"epochs": max(1, round(share * phase.epochs))})


def _short(value: float) -> float:
    """Three digits that matter."""
    return float(f"{value:.3g}")
