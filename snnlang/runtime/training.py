"""Runs a training: epochs over batches, validation, schedules, the best weights, checkpoints, and what a person wants to see of it.

The same seed gives the same curve, and a training that was killed and resumed ends with the same bits as one that was not. A
loss that is no
number stops it with the last good checkpoint in place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import Diagnostic, SnnError, Span, error
from snnlang.files import require_directory, write_text
from snnlang.frozen import dataclass, field
from snnlang.runtime.batches import Batches
from snnlang.runtime.checkpoint import Checkpoint, fit, load, save
from snnlang.runtime.learner import Learner
from snnlang.runtime.optimizers import Optimizer, Schedule
from snnlang.runtime.training_data import TrainingData, measure

if TYPE_CHECKING:
    from snnlang.runtime.progress import Bar

Values = NDArray[Any]
#: A layer is dead where less than this part of its neurons and steps fires, and saturated beyond the other.
DEAD, SATURATED = 0.001, 0.9
#: Seconds between checkpoints within an epoch.
PERIOD = 60.0
#: What a training that is resumed must have in common with the one that goes on: keys of its state, in words.
_SAME = {
    "seed": "seed",
    "precision": "precision",
    "optimizer": "optimizer",
    "batch_size": "size of batches",
    "data": "number of samples",
}
#: Names of an epoch's numbers where they stand alone, in a table and in TensorBoard.
_TITLES = {"number": "epoch", "rate": "learning_rate"}
#: Batches after which firing rates are looked at for the first time: nobody shall wait for an epoch to hear that a layer is dead.
EARLY = 50


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch gave. ``number`` counts from 1, as on the screen and in all files; ``accuracy`` is None where nothing is classified;
    ``rate`` is the learning rate at its end, ``rates`` are spikes per neuron and step of each layer."""

    number: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    rate: float
    seconds: float
    samples_per_second: float
    rates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """A training's epochs, what its test data gave, and where it ended: ``stopped`` by Ctrl-C or at its last epoch. ``best_epoch`` is the
    ``number`` of the epoch whose weights are kept as the best."""

    epochs: tuple[Epoch, ...]
    test_loss: float | None = None
    test_accuracy: float | None = None
    best_epoch: int | None = None
    stopped: bool = False
    warnings: tuple[Diagnostic, ...] = ()
    out: str = ""

    def data(self) -> dict[str, Any]:
        """Everything as plain numbers, for JSON."""
        return {
            "epochs": [_plain(epoch) for epoch in self.epochs],
            "test_loss": self.test_loss,
            "test_accuracy": self.test_accuracy,
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
        }


def _plain(epoch: Epoch) -> dict[str, Any]:
    return {name: getattr(epoch, name) for name in Epoch.__dataclass_fields__}


class Trainer:
    """Trains a :class:`Learner`. ``data`` overrides the loaders of the block, see :class:`TrainingData`."""

    def __init__(
        self,
        learner: Learner,
        *,
        data: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
        resume: bool = False,
        epochs: int | None = None,
        say: Callable[[str], None] | None = None,
        progress: bool = False,
        model_hash: str = "",
        tensorboard: bool = False,
    ) -> None:
        self.learner = learner
        self.training = learner.training
        self.epochs = epochs or self.training.epochs
        self.out = None if out is None else Path(out)
        self.say, self.progress, self.model_hash = say, progress, model_hash
        self.seed = learner.experiment.seed
        if not learner.parameters.size:
            raise error(
                "E787",
                f"nothing is left to train: `freeze` keeps all of `{learner.experiment.network.name}`",
                self.training.span,
                help="leave a connection or a trainable parameter out of `freeze`, or measure with `snn eval` and `net.evaluate`",
            )
        self.data = TrainingData(learner, data)
        self.columns, validation = self.data.parts()
        test = self.data.test()
        self.batches = self.data.to_learn(self.columns)
        self.validation = None if validation is None else self.data.to_measure(validation)
        self.test = None if test is None else self.data.to_measure(test)
        if not len(self.batches):
            raise error(
                "E754",
                "the data has no samples to train with",
                self.training.data.span,
                help="give more data, or a smaller `validate`",
            )
        if 1 in (self.batches.batch, self.batches.samples % self.batches.batch):
            learner.refuse_one_sample(self.batches.shape)  # now, and not at the end of the first epoch
        compiled = learner.target == "c"
        self.optimizer = Optimizer(
            self.training.optimizer.name, self.training.optimizer.options, learner.parameters, compiled, learner.arrays
        )
        recipe = self.training.schedule
        self.schedule = Schedule(
            recipe.name if recipe else "constant", recipe.options if recipe else {}, self.epochs, len(self.batches)
        )
        self.warnings: dict[str, Diagnostic] = {}
        warmup = self.schedule.options.get("warmup", 0.0)
        if warmup > self.epochs and recipe is not None:
            self._remark(
                "schedule",
                "W794",
                f"the learning rate warms up for {warmup:g} epochs, and the training has {self.epochs}: it never reaches `lr`",
                "choose a shorter `warmup`, or more epochs",
                recipe.span,
            )
        self._look_at_targets()
        self.history: list[Epoch] = []
        self.best: tuple[float, int] | None = None
        self._best: dict[str, Values] | None = None
        self.epoch, self.batch = 0, 0
        self._sums = [0.0, 0.0, 0.0]  # loss, right, samples of the running epoch
        self._sample: dict[str, Values] | None = None
        self._kept = False  # whether the files in ``out`` are of this training
        self._rates: dict[str, float] = {}  # as they were looked at last, for the bar
        self._board = self._tensorboard() if tensorboard else None
        if self.out is not None:
            require_directory(self.out, "--out")
        if resume:
            self._resume()

    # --- the run ------------------------------------------------------------------------------------------------------

    def run(self) -> History:
        """Train to the last epoch or to Ctrl-C."""
        from snnlang.runtime.progress import Bar, Interruption

        total = self.epochs * len(self.batches)
        began = self.epoch * len(self.batches) + self.batch
        stopped = False
        self._began = time.perf_counter(), began
        with Interruption() as wish, Bar("training", total - began, show=self.progress, origin=began) as bar:
            while self.epoch < self.epochs and not stopped:
                stopped = self._one_epoch(bar, wish)
        if stopped:
            self._save("last")
        test = None if self.test is None or stopped else self._measure(self.test, best=True)
        history = self._told(test, stopped)
        self._write_metrics(history)
        return history

    def _told(self, test: tuple[float, float | None] | None = None, stopped: bool = False) -> History:
        """What is known by now."""
        return History(
            tuple(self.history),
            None if test is None else test[0],
            None if test is None else test[1],
            None if self.best is None else self.best[1],
            stopped,
            tuple(self.warnings.values()),
            "" if self.out is None else str(self.out),
        )

    def _one_epoch(self, bar: Bar, wish: Any) -> bool:
        """One epoch, or what is left of it; True when it was interrupted."""
        started = saved = time.perf_counter()
        done = 0
        for _, x, y in self.batches.epoch(self.epoch, self.batch):
            self._one_batch(x, y)
            self.batch += 1
            done += len(y)
            now = time.perf_counter()
            if self.progress:
                bar.to(self.epoch * len(self.batches) + self.batch, self._line(done / max(now - started, 1e-9)))
            if wish.asked:
                return True
            if self.epoch == 0 and self.batch == EARLY < len(self.batches):
                self._warn(self.learner.rates(self.sample()))
            if self.out is not None and now - saved > PERIOD:
                self._save("last")
                saved = now
        seconds = time.perf_counter() - started
        loss, right, samples = self._sums
        validation = None if self.validation is None else self._measure(self.validation)
        rates = self.learner.rates(self.sample())
        epoch = Epoch(
            self.epoch + 1,
            loss / max(samples, 1.0),
            right / samples if self.learner.loss.compares and samples else None,
            None if validation is None else validation[0],
            None if validation is None else validation[1],
            self.training.optimizer.options["lr"] * self.schedule.factor(self.optimizer.count - 1),
            seconds,
            done / max(seconds, 1e-9),
            rates,
        )
        self.history.append(epoch)
        self._warn(rates)
        self.schedule.epoch_ended(epoch.loss if validation is None else validation[0])
        self.epoch, self.batch, self._sums = self.epoch + 1, 0, [0.0, 0.0, 0.0]
        self._keep_best(epoch)
        self._save("last")
        self._write_metrics(self._told())
        self._tell(epoch)
        return bool(wish.asked)

    def _one_batch(self, x: Values, y: Values) -> None:
        inputs, columns = self.data.named(x, y)
        outcome = self.learner.learn(inputs, columns)
        if not np.isfinite(outcome.loss):
            raise self._not_finite(f"the loss is {outcome.loss}", inputs)
        # on a device the loss of the batch after shows it: nothing waits for this one's backward pass
        if not self.learner.arrays.apart and (name := self.learner.finite()) is not None:
            raise self._not_finite(f"the gradient of `{name}` is not finite", inputs)
        scale = 1.0
        if self.training.clip is not None:
            scale = min(1.0, self.training.clip / max(self.learner.norm(), 1e-30))
        self.learner.update(self.optimizer, self.schedule.factor(self.optimizer.count), scale)
        self._sums[0] += outcome.loss * len(y)
        self._sums[2] += len(y)
        if outcome.scores is not None and outcome.labels is not None:
            self._sums[1] += float((outcome.scores.argmax(1) == outcome.labels).sum())

    def _measure(self, batches: Batches, best: bool = False) -> tuple[float, float | None]:
        """Loss and accuracy on other data; with ``best``, of the best weights."""
        kept = self.learner.snapshot()
        if best and self._best is not None:
            self.learner.restore(self._best)
        result = measure(self.learner, batches, self.data.named)
        self.learner.restore(kept)
        return result

    def sample(self) -> dict[str, Values]:
        """A few samples whose firing rates are told."""
        if self._sample is None:
            self._sample = self.data.some(self.columns)[0]
        return self._sample

    # --- what a person sees -------------------------------------------------------------------------------------------

    def _line(self, speed: float) -> str:
        loss, right, samples = self._sums
        text = f"epoch {self.epoch + 1}/{self.epochs}  loss {loss / max(samples, 1):.4f}"
        if self.learner.loss.compares:
            text += f"  accuracy {100 * right / max(samples, 1):.1f} %"
        firing = "".join(f"  {layer} {rate:.2f}" for layer, rate in self._rates.items()) if len(self._rates) < 4 else ""
        return f"{text}  {speed:,.0f} samples/s{firing}"

    def _tell(self, epoch: Epoch) -> None:
        if self._board is not None:
            for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "rate"):
                if getattr(epoch, name) is not None:
                    self._board.add_scalar(_TITLES.get(name, name), getattr(epoch, name), epoch.number)
            for layer, rate in epoch.rates.items():
                self._board.add_scalar(f"firing/{layer}", rate, epoch.number)
            self._board.flush()
        if self.say is None:
            return
        parts = [f"epoch {epoch.number:>{len(str(self.epochs))}}/{self.epochs}", f"loss {epoch.loss:.4f}"]
        if epoch.accuracy is not None:
            parts.append(f"accuracy {100 * epoch.accuracy:.2f} %")
        if epoch.validation_loss is not None:
            parts.append(f"validation {epoch.validation_loss:.4f}")
        if epoch.validation_accuracy is not None:
            parts.append(f"{100 * epoch.validation_accuracy:.2f} %")
        parts.append(f"{epoch.samples_per_second:,.0f} samples/s")
        if epoch.rates:
            parts.append("spikes per step " + ", ".join(f"{layer} {rate:.3f}" for layer, rate in epoch.rates.items()))
        if not self.progress and epoch.number < self.epochs:  # a bar has it already
            parts.append(f"{_left(self._remaining())} left")
        self.say("  ".join(parts))

    def _remaining(self) -> float:
        """Seconds to the last epoch, if the rest goes on as this run did so far; validation and files are in it."""
        started, first = self._began
        done = self.epoch * len(self.batches) + self.batch
        return (time.perf_counter() - started) / max(1, done - first) * (self.epochs * len(self.batches) - done)

    def _warn(self, rates: Mapping[str, float]) -> None:
        self._rates = dict(rates)
        for layer, rate in rates.items():
            message = ""
            if rate < DEAD:
                message = (
                    f"`{layer}` hardly fires ({100 * rate:.2g} % of its neurons and steps): little is learnt through it"
                )
                help = "give larger weights or a lower threshold, or a wider surrogate"
            elif rate > SATURATED:
                message = f"`{layer}` fires nearly always ({100 * rate:.3g} % of its neurons and steps): it says little"
                help = "give smaller weights or a higher threshold"
            if message and layer not in self.warnings:
                self._remark(layer, "W840", message, help)

    def _look_at_targets(self) -> None:
        """W795 where numbers of classes are taken for values."""
        sizes = {population.path: population.size for population in self.learner.experiment.network.populations}
        for path, column in self.learner.loss.by_number():
            target = self.data.some(self.columns)[1].get(column.name)
            if target is None or target.ndim != 1 or sizes[path] == 1:
                continue
            if np.array_equal(target, np.rint(target)) and target.min() >= 0 and 1 < target.max() < sizes[path]:
                self._remark(
                    "targets",
                    "W795",
                    f"`mse` pulls every neuron of `{path}` to the number of the class, and `{column.name}` looks like numbers of classes",
                    f"write `mse(…, one_hot({column.name}))` to pull the neuron of the class to 1 and the others to 0",
                    column.span,
                )

    def _remark(self, about: str, code: str, message: str, help: str, span: Span | None = None) -> None:
        """Say something once, and keep it for the history."""
        self.warnings[about] = Diagnostic(code, message, span, severity="warning", help=(help,))
        if self.say is not None:
            self.say(f"warning: {message}; {help}")

    def _not_finite(self, what: str, inputs: Mapping[str, Values]) -> Exception:
        """Where it began: in what was given, in a weight, or in a step of a layer."""
        cause = ""
        help: tuple[str, ...] = ("make the learning rate smaller, or clip gradients: `clip = 1`",)
        for name, value in self.learner.held().items():
            if not cause and not np.all(np.isfinite(value)):
                cause = f"`{name}` holds numbers that are not finite"
        place = None if cause else self.learner.first_not_finite(inputs)
        if place is not None:
            cause = f"`{place[0]}` is not finite from step {place[1] + 1} on"
        elif not cause and what.startswith("the loss"):
            cause = "every layer is finite, and what the loss makes of it is not"
            help = ("look for a logarithm of 0, a root of a negative number or a division by 0 in `loss`", *help)
        elif not cause:
            cause = "it grew from step to step on the way back"
            help = ("clip gradients: `clip = 1`", "let them flow through fewer steps: `truncate`")
        kept = self._kept and self.out is not None and (self.out / "last.safetensors").is_file()
        where = f"; the last good weights are in '{self.out / 'last.safetensors'}'" if kept and self.out is not None else ""
        return SnnError(
            Diagnostic(
                "E755",
                f"{what} in epoch {self.epoch + 1}, batch {self.batch + 1}: {cause}{where}",
                self.training.span,
                help=help,
            )
        )

    # --- what is kept -------------------------------------------------------------------------------------------------

    def _keep_best(self, epoch: Epoch) -> None:
        value = epoch.loss if epoch.validation_loss is None else epoch.validation_loss
        if epoch.validation_accuracy is not None:
            value = -epoch.validation_accuracy
        if self.best is None or value < self.best[0]:
            self.best = (value, epoch.number)
            self._best = self.learner.snapshot()
            if self.out is not None:
                save(
                    self.out / "best.safetensors",
                    Checkpoint(
                        self.learner.held(),
                        (),
                        {"epoch": epoch.number, "model": self.model_hash, "seed": self.seed},
                    ),
                )

    def _state(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": self._sums,
            "count": self.optimizer.count,
            "schedule": self.schedule.state,
            "samples": self.learner.samples,
            "best": self.best,
            "seed": self.seed,
            "history": [_plain(epoch) for epoch in self.history],
            "model": self.model_hash,
            "precision": self.learner.plan.precision,
            "optimizer": self.optimizer.name,
            "batch_size": self.batches.batch,
            "data": self.batches.samples,
        }

    def _save(self, name: str) -> None:
        if self.out is not None:
            memory = tuple(np.ascontiguousarray(row) for row in self.learner.arrays.down(self.optimizer.memory))
            save(self.out / f"{name}.safetensors", Checkpoint(self.learner.held(), memory, self._state()))
            self._kept = True

    def _resume(self) -> None:
        if self.out is None:
            raise error("E842", "--resume needs the directory of the training", help="name it: `--out DIR --resume`")
        path = self.out / "last.safetensors"
        if not path.is_file():
            raise error("E842", f"there is nothing to resume in '{self.out}'", help="leave out --resume to begin anew")
        found = load(path)
        state = found.state
        nothing = error(
            "E842", f"'{path}' holds weights, but no training to go on with", help="leave out --resume to begin anew"
        )
        if "history" not in state:
            raise nothing
        held = self.learner.held()
        fit(found.weights, held, f"'{path}'", [one.name for one in self.learner.untrained])
        if [m.shape for m in found.memory] != [m.shape for m in self.optimizer.memory]:
            raise nothing
        now = self._state()
        for name, word in _SAME.items():
            if state.get(name, now[name]) != now[name]:
                raise error(
                    "E842",
                    f"'{path}' was trained with another {word}: {state[name]}, and this is {now[name]}",
                    help="use the file and the options of the training that is resumed, or another --out",
                )
        self.learner.put(held)
        for number, saved in enumerate(found.memory):
            self.optimizer.memory[number] = self.learner.arrays.up(saved)
        self.epoch, self.batch, self._sums = state["epoch"], state["batch"], list(state["sums"])
        self.optimizer.count = state["count"]
        self.schedule.state = state["schedule"]
        self.learner.samples = state["samples"]
        self.best = None if state["best"] is None else (state["best"][0], state["best"][1])
        self.history = [Epoch(**{**epoch, "number": place}) for place, epoch in enumerate(state["history"], 1)]
        self._resume_best()
        self._kept = True
        self.learner.refresh()

    def _resume_best(self) -> None:
        """The best weights of the training that goes on, where they are still there."""
        assert self.out is not None
        path = self.out / "best.safetensors"
        if self.best is None or not path.is_file():
            return
        kept = self.learner.snapshot()
        held = self.learner.held()
        fit(load(path).weights, held, f"'{path}'", [one.name for one in self.learner.untrained])
        self.learner.put(held)
        self._best = self.learner.snapshot()
        self.learner.restore(kept)

    def _write_metrics(self, history: History) -> None:
        if self.out is None:
            return
        names = [name for name in Epoch.__dataclass_fields__ if name != "rates"]
        layers = list(history.epochs[-1].rates) if history.epochs else []
        titles = [_TITLES.get(name, name) for name in names]
        lines = [",".join([*titles, *(f"rate of {layer}" for layer in layers)])]
        for epoch in history.epochs:
            values = [getattr(epoch, name) for name in names] + [epoch.rates.get(layer) for layer in layers]
            lines.append(",".join("" if value is None else repr(value) for value in values))
        write_text(self.out / "metrics.csv", "\n".join(lines) + "\n")
        write_text(self.out / "metrics.json", json.dumps(history.data(), indent=2) + "\n")

    def _tensorboard(self) -> Any:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise error(
                "E806",
                "--tensorboard needs tensorboardX, which is not installed",
                help="install it: pip install snnlang[tensorboard]",
            ) from None
        return SummaryWriter(str(self.out or "."))


def _left(seconds: float) -> str:
    """A time that is left, no more exact than it is known: ``40 s``, ``12 min``, ``3 h 20 min``."""
    minutes = round(seconds / 60)
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


__all__ = ["Checkpoint", "Epoch", "History", "Trainer"]
