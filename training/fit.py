"""The training loop: phases, epochs, steps. It can be killed at any moment and goes on to the same weights."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW

from model.network import Ensemble
from model.policy import policy_of
from schemas.errors import CheckFailed, ConfigError
from training import balance
from training.averaging import Average
from training.corpus.build import Map
from training.corpus.seeds import stream
from training.dataset import Batch, training_batches, validation_batches
from training.items import TrainingSet
from training.loss import loss_of
from training.params import Params, Phase, TrainParams
from training.phases import prepare
from training.schedule import rate
from training.shots import Draw
from training.state import Place, moments, read_state, restore_moments, write_state
from training.watch import Epoch, Quiet, Watch


@dataclass(frozen=True, slots=True)
class Fitted:
    """The averaged network of the best epoch in eval mode on the CPU, and how it came about."""

    network: Ensemble
    history: list[Epoch]


def fit(
    network: Ensemble,
    data: TrainingSet,
    params: Params,
    ordered_map: Map,
    *,
    loop: TrainParams | None = None,
    state: Path | None = None,
    fingerprint: str = "",
    watch: Watch | None = None,
) -> Fitted:
    """Train the network in place through every phase of `loop` (`params.train` unless given), and return the best averaged weights.

    Best is the least validation loss, or without validation the latest. Each phase starts from the best weights so far. With `state` it goes on
    from that file where there is one of this `fingerprint`, and removes it in the end: the same weights as without a break, bit by bit, on the
    same machine with the same number of threads; elsewhere sums round differently. Raises `CheckFailed` when the loss is no number any more.
    """
    training = _Training(network, data, params, loop or params.train, ordered_map, state, fingerprint, watch or Quiet())
    training.run()
    return Fitted(training.average.network.cpu().eval(), [Epoch(**epoch) for epoch in training.place.history])


def device_of(loop: TrainParams) -> torch.device:
    """Return where to train; raises `ConfigError` for CUDA where there is none."""
    available = torch.cuda.is_available()
    if loop.device == "cuda" and not available:
        raise ConfigError(
            "there is no CUDA device to train on",
            why="torch sees none",
            remedy="Set `device: auto` in the parameters, or install torch with CUDA and a driver.",
        )
    return torch.device("cuda" if available and loop.device != "cpu" else "cpu")


class _Training:
    """One run of the loop; everything that a resumed one needs is in `place`, the networks and the optimiser."""

    def __init__(
        self,
        network: Ensemble,
        data: TrainingSet,
        params: Params,
        loop: TrainParams,
        ordered_map: Map,
        state: Path | None,
        fingerprint: str,
        watch: Watch,
    ) -> None:
        self.device = device_of(loop)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.data, self.params, self.loop, self.ordered_map, self.watch = data, params, loop, ordered_map, watch
        self.policy = policy_of(params.model.preprocess_id)
        self.labels = [item.label for item in data.train]
        self.batch_size = min(loop.batch_size, len(data.train))
        self.steps = len(data.train) // self.batch_size  # of an epoch
        weights = balance.weights(self.labels, len(data.classes), balance=loop.class_balance)
        self.class_weights = None if weights is None else torch.tensor(weights, device=self.device)
        self.average = Average(self.network, loop.ema_decay)
        self.best = self.average.weights()
        self.state, self.fingerprint = state, fingerprint
        self.place = Place()
        self.since = time.monotonic()

    def run(self) -> None:
        found = read_state(self.state, self.fingerprint) if self.state else None
        if found is not None:
            self.place = found.place
            self.average.restart(found.tensors.get("average", found.tensors["network"]))
            self.network.load_state_dict(found.tensors["network"])
            self.best = found.tensors["best"]
        for number in range(self.place.phase, len(self.loop.phases)):
            phase = self.loop.phases[number]
            named = prepare(self.network, phase.layers)
            optimiser = _optimiser(named, self.loop.weight_decay)
            if found is not None:
                restore_moments(optimiser, named, found.tensors)
                found = None
            while self.place.epoch < phase.epochs and not self._stalled():
                self._epoch(phase, named, optimiser)
            self.average.restart(self.best)
            self.place.next_phase()
        if self.state:
            with suppress(FileNotFoundError):
                self.state.unlink()

    def _stalled(self) -> bool:
        return 0 < self.loop.early_stop_epochs <= self.place.epochs_without_gain

    def _epoch(self, phase: Phase, named: list[tuple[str, nn.Parameter]], optimiser: AdamW) -> None:
        place = self.place
        self.since = time.monotonic()
        self.watch.epoch_begins(phase.name, place.epoch + 1, phase.epochs, self.steps, place.batch)
        prepare(self.network, phase.layers)  # back from eval mode, where the network itself was judged
        for batch in self._batches():
            place.loss_sum += self._step(phase, named, optimiser, batch)
            place.batch += 1
            place.step += 1
            self._clock()
            self.average.update(place.step)
            if place.step % self.loop.state_steps == 0:
                self._write(named, optimiser)
            self.watch.step_ends(place.loss_sum / place.batch)
        validation_loss, accuracy = self._judge()
        self._clock()
        epoch = Epoch(
            index=len(place.history),
            phase=phase.name,
            number=place.epoch + 1,
            of=phase.epochs,
            learning_rate=self._rate(phase, self.steps - 1),
            loss=place.loss_sum / self.steps,
            validation_loss=validation_loss,
            validation_accuracy=accuracy,
            seconds=round(place.seconds, 3),
        )
        self._keep_best(validation_loss)
        place.history.append(asdict(epoch))
        place.next_epoch()
        self._write(named, optimiser)
        self.watch.epoch_ends(epoch)

    def _clock(self) -> None:
        """Count the time since it was last counted; what a kill cost is not in it."""
        now = time.monotonic()
        self.place.seconds += now - self.since
        self.since = now

    def _batches(self) -> Iterator[Batch]:
        """The batches of the epoch that are still to come."""
        seed, epoch = self.loop.seed, len(self.place.history)
        order = balance.order(self.labels, balance=self.loop.class_balance, seed=seed, epoch=epoch)
        draws = [Draw(self.data.train[index], again) for index, again in order]
        return training_batches(
            draws[self.place.batch * self.batch_size :],
            self.ordered_map,
            seed=seed,
            epoch=epoch,
            batch_size=self.batch_size,
            augment=self.params.augment,
            policy=self.policy,
        )

    def _step(self, phase: Phase, named: Sequence[tuple[str, nn.Parameter]], optimiser: AdamW, batch: Batch) -> float:
        """Learn from one batch; returns the ensemble's own loss on it."""
        place, loop = self.place, self.loop
        # Dropout's draws belong to the step, not to what was drawn before it: a resumed training repeats them.
        torch.manual_seed(int(stream(loop.seed, "step", place.step).integers(2**62)))
        for group in optimiser.param_groups:
            group["lr"] = self._rate(phase, place.batch)
        with self._precision():
            loss, own = loss_of(
                self.network,
                batch.to(self.device),
                loop.branch_weight,
                class_weights=self.class_weights,
                label_smoothing=loop.label_smoothing,
            )
        value = own.item()
        if not torch.isfinite(loss):
            raise CheckFailed(
                "the training has come apart",
                why=f"the loss is {loss.item()} in phase {phase.name!r}, epoch {place.epoch + 1}",
                remedy="Lower `learning_rate` of that phase, and start with `--fresh`.",
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([parameter for _, parameter in named], loop.clip_norm)
        optimiser.step()
        return value

    def _rate(self, phase: Phase, batch: int) -> float:
        step, steps = self.place.epoch * self.steps + batch, phase.epochs * self.steps
        return rate(step, steps, phase.learning_rate, self.loop.schedule, self.loop.warmup_share)

    def _precision(self) -> Any:
        """bfloat16 where it pays. It has the range of float32, so gradients need no scaling."""
        enabled = self.loop.mixed_precision and self.device.type == "cuda"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @torch.inference_mode()
    def _judge(self) -> tuple[float | None, float | None]:
        """Loss and accuracy of the averaged weights on the images kept back, each a mean over the classes."""
        if not self.data.validation:
            return None, None
        network = self.average.network.eval()
        losses: list[Tensor] = []
        right: list[Tensor] = []
        for batch in validation_batches(
            self.data.validation,
            self.ordered_map,
            seed=self.loop.seed,
            batch_size=self.loop.batch_size,
            augment=self.params.augment,
            policy=self.policy,
        ):
            here = batch.to(self.device)
            with self._precision():
                fused = network(here.crops, here.views, here.image_of).fused
            losses.append(cross_entropy(fused, here.labels, reduction="none").double().cpu())
            right.append((fused.argmax(1) == here.labels).double().cpu())
        labels = torch.tensor([item.label for item in self.data.validation])
        return _class_mean(torch.cat(losses), labels), _class_mean(torch.cat(right), labels)

    def _keep_best(self, validation_loss: float | None) -> None:
        """Without validation the last weights are the best ones known."""
        place = self.place
        if validation_loss is None or place.best_loss is None or validation_loss < place.best_loss:
            place.best_loss, place.epochs_without_gain = validation_loss, 0
            self.best = self.average.weights()
        else:
            place.epochs_without_gain += 1

    def _write(self, named: list[tuple[str, nn.Parameter]], optimiser: AdamW) -> None:
        if self.state is None:
            return
        parts = {"network": self.network.state_dict(), "best": self.best, **moments(optimiser, named)}
        if self.average.network is not self.network:
            parts["average"] = self.average.network.state_dict()
        write_state(self.state, self.fingerprint, self.place, parts)


def _optimiser(named: Sequence[tuple[str, nn.Parameter]], weight_decay: float) -> AdamW:
    """Weights decay, biases and scales do not: there is nothing to gain from small ones."""
    matrices = [parameter for _, parameter in named if parameter.ndim > 1]
    others = [parameter for _, parameter in named if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return AdamW(groups)


def _class_mean(values: Tensor, labels: Tensor) -> float:
    return float(torch.stack([values[labels == label].mean() for label in sorted(set(labels.tolist()))]).mean())
