"""The data of a training: what a ``train`` block names or Python gives, told apart into training, validation and test.

Nothing is read before it is asked for, so that measuring test data loads no training data. Batches to learn from are shuffled and
augmented; batches to measure with are neither, and leave no sample out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from snnlang.data.augment import AUGMENTATIONS, Crop, Middle
from snnlang.data.columns import AnyColumn, Column, Columns
from snnlang.data.given import is_pairs, samples_of
from snnlang.diagnostics import error
from snnlang.model.learning import Source
from snnlang.runtime.batches import Batches, divide
from snnlang.runtime.learner import Learner, on_device

Values = NDArray[Any]
#: Samples that are measured at once, at least: no gradient is kept, so they are small.
AT_ONCE = 256
#: Samples of which firing rates are counted.
LOOKED_AT = 64


class TrainingData:
    """``given`` overrides the loaders of the block: columns or (x, y) by ``data``, ``validate`` and ``test``. Raises E754 for networks
    with several inputs."""

    def __init__(self, learner: Learner, given: Mapping[str, Any] | None = None) -> None:
        self.learner, self.training = learner, learner.training
        self.seed = learner.experiment.seed
        self._given = dict(given or {})
        recipe = self.training.augment
        #: Changes of the samples that are learnt from: functions, names or objects of snnlang.data.augment.
        self.augment = self._given.get("augment", [] if recipe is None else _augmentation(recipe.options))
        self.classes = learner.loss.classes if learner.loss.compares else None
        if len(self.training.inputs) > 1:
            names = " and ".join(f"`{name}`" for name in self.training.inputs)
            raise error(
                "E754",
                f"batches of data feed one input, and this network has {names}",
                self.training.data.span,
                help="train it from Python with `net.grad({name: array, …}, y)`, or join its inputs into one",
            )

    # --- columns ------------------------------------------------------------------------------------------------------

    def parts(self) -> tuple[Columns, Columns | None]:
        """What is trained with, and what validates it."""
        data = self._source(self.training.data, self._given.get("data"))
        validate = self._given.get("validate", self.training.validate)
        if validate is None:
            return data, None
        if isinstance(validate, float):
            return divide(data, validate, self.seed, y=self.columns_of(data)[1], span=self.training.data.span)
        return data, self._other("validate", validate if isinstance(validate, Source) else None)

    def validation(self) -> Columns | None:
        """What validates, without the training data where it does not come out of them."""
        validate = self._given.get("validate", self.training.validate)
        return self._other("validate", validate) if isinstance(validate, Source) else self.parts()[1]

    def test(self) -> Columns | None:
        """What is measured at the end."""
        return self._other("test", self.training.test)

    def given(self, x: Any, y: Any) -> Columns:
        """Arrays from Python as columns; ``x`` may be columns by name, without ``y``."""
        return self._source(self.training.data, x if y is None else (x, y))

    def _other(self, name: str, source: Source | None) -> Columns | None:
        given = self._given.get(name)
        if given is not None and not isinstance(given, float | Source):
            return self._source(source or self.training.data, given)
        return None if source is None else self._source(source, None)

    def _source(self, source: Source, given: Any) -> Columns:
        from snnlang.data.load import load as load_columns

        if given is not None:
            if isinstance(given, Mapping):
                return {name: self.learner.fetched(value) if on_device(value) else value for name, value in given.items()}
            if is_pairs(given):
                return self._samples(given, source)
            if not isinstance(given, tuple | list) or len(given) != 2:
                raise error(
                    "E629",
                    "what is given has samples and no labels",
                    source.span,
                    help="give both: `net.train(x, y)`, a pair (x, y), or an iterable of pairs such as a data set of PyTorch or tonic",
                )
            return dict(zip(self._names(), (_column(self.learner, value) for value in given)))
        if source.loader == "given":
            raise error(
                "E754",
                f"the data `{source.options['name']}` is to be given from Python, and nothing was",
                source.span,
                help="name a loader such as `digits()`, or train from Python: `net.train(x, y)`",
            )
        return load_columns(source.loader, source.options, source.span)

    def _names(self) -> tuple[str, str]:
        """What samples and labels are called in the loss."""
        first, second = (*self.training.columns, "label")[:2]
        return first, second

    def _samples(self, given: Any, source: Source) -> Columns:
        """Pairs (x, y) of an iterable; events become as many frames as the block has steps, of the sensor that the input is as large as."""
        shapes = [shape for path, shape in self.learner.input_shapes().items() if path in self.training.inputs]
        return samples_of(given, self._names(), self.training.steps, shapes[0] if shapes else (), source.span)

    def columns_of(self, columns: Columns) -> tuple[str | None, str | None]:
        """Which columns are samples and labels. Two of other names are taken in their order (None); of more than two, the names decide."""
        fed = list(self.training.inputs.values())
        other = next((name for name in self.training.columns if name not in fed), "label")
        return tuple(name if name in columns or len(columns) > 2 else None for name in (fed[0], other))  # type: ignore[return-value]

    # --- batches ------------------------------------------------------------------------------------------------------

    def to_learn(self, columns: Columns) -> Batches:
        """Batches of the size of the block, shuffled and augmented as it says."""
        return self._batches(columns, self.training.batch, True, self.augment)

    def to_measure(self, columns: Columns) -> Batches:
        """Batches of every sample as it is, in the order of the data; of what is cropped to learn from, the middle."""
        return self._batches(columns, max(self.training.batch, AT_ONCE), False, self._cut())

    def some(self, columns: Columns) -> tuple[dict[str, Values], dict[str, Values]]:
        """The network's inputs for a few samples, chosen by the seed, and their columns."""
        few = self._batches(columns, min(LOOKED_AT, len(next(iter(columns.values())))), True, self._cut())
        _, x, y = next(iter(few.epoch(0)))
        return self.named(x, y)

    def _cut(self) -> list[Middle]:
        items = self.augment if isinstance(self.augment, list | tuple) else [self.augment]
        return [Middle(item.height, item.width) for item in items if isinstance(item, Crop)]

    def _batches(self, columns: Columns, size: int, shuffle: bool, augment: object = ()) -> Batches:
        x, y = self.columns_of(columns)
        return Batches(
            columns, size, self.seed, shuffle, augment, classes=self.classes, x=x, y=y, span=self.training.data.span
        )

    def named(self, x: Values, y: Values) -> tuple[dict[str, Values], dict[str, Values]]:
        """The network's inputs and the columns of a batch."""
        first, second = self._names()
        inputs = {name: x for name in self.training.inputs}
        return inputs, {first: x, second: y}


def measure(
    learner: Learner, batches: Batches, named: Callable[[Values, Values], tuple[dict[str, Values], dict[str, Values]]]
) -> tuple[float, float | None]:
    """Mean loss and accuracy (None where nothing is classified) over all samples; nothing is learnt."""
    loss = right = samples = 0.0
    for _, x, y in batches.epoch(0):
        inputs, columns = named(x, y)
        outcome = learner.compare(learner.forward(inputs), columns, gradient=False)
        loss += outcome.loss * len(y)
        samples += len(y)
        if outcome.scores is not None and outcome.labels is not None:
            right += float((outcome.scores.argmax(1) == outcome.labels).sum())
    return loss / max(samples, 1.0), (right / samples if learner.loss.compares and samples else None)


def _column(learner: Learner, value: Any) -> AnyColumn:
    """An array on the host; what makes its rows when they are asked for goes on doing so."""
    return value if isinstance(value, Column) else learner.fetched(value)


def _augmentation(options: Mapping[str, float]) -> list[Any]:
    """``augment = images(shift = 2, flip = 1)`` as changes of samples; 0 leaves one out."""
    made: list[Any] = []
    for name, value in options.items():
        if value > 0:
            whole = name in ("shift", "crop")
            made.append(
                AUGMENTATIONS[name]() if name == "flip" else AUGMENTATIONS[name](int(value) if whole else value)
            )
    return made
