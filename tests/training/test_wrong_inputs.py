"""What training says of wrong data, losses, settings and checkpoints: one located message with a remedy, never an exception of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snnlang.diagnostics import SnnError
from snnlang.runtime.network import Network

from .networks import images, network, text

LINES = """
population h[20]: Unit
population out[3]: Readout
connect image -> h.x: dense(bias = true)
connect h -> out.x: dense(bias = true)
"""
SCORES = "cross_entropy(mean(out.v), label)"
SOURCE = text(LINES, loss=SCORES)
X, Y = images(12, 6), np.arange(12) % 3


def refusal(do: Callable[[], Any]) -> tuple[str, str]:
    """The code and the text of what is refused."""
    with pytest.raises(SnnError) as problem:
        do()
    assert len(problem.value.diagnostics) == 1
    assert problem.value.diagnostics[0].help, "every refusal has a remedy"
    return problem.value.diagnostics[0].code, str(problem.value)


@pytest.mark.parametrize(
    ("do", "code", "words"),
    [
        (lambda net: net.train(X), "E629", "samples and no labels"),
        (lambda net: net.train(X, Y, validation=(X,)), "E629", "samples and no labels"),
        (lambda net: net.train(X, np.eye(3)[Y]), "E752", "3 numbers for each sample"),
        (lambda net: net.train(X, Y + 0.5), "E752", "the label 0.5"),
        (lambda net: net.train(X, Y, epochs=0), "E754", "`epochs` is a whole number from 1, and this is 0"),
        (lambda net: net.train(X, Y, epochs=1.5), "E754", "this is 1.5"),
        (lambda net: net.forward({"picture": X}), "E753", "inputs are `image`, and what is given is `picture`"),
        (lambda net: net.forward(3.0), "E753", "a sample is a single number"),
        (lambda net: net.grad(X, Y[:-1]), "E627", "12 samples need 12 labels or targets, and y has 11"),
        (lambda net: net.grad(X, 3), "E627", "y is a single number"),
        (lambda net: net.evaluate(X), "E629", "without labels"),
        (lambda net: net.train(np.zeros((12, 5, 6)), Y), "E753", "a sample is 5 steps of the input `image`, and `steps` is 7"),
        (lambda net: net.train([[1.0, 2.0], [3.0]], [0, 1]), "E628", "what is given is no array"),
        (lambda net: net.train([(X[0], 0), (X[1][:3], 1)]), "E627", "sample 1 has the shape [3]"),
        (lambda net: net.train([(X[0], 0), (X[1] * np.nan, 1)]), "E628", "sample 1 holds a value that is not finite"),
        (lambda net: net.train([(X[0], [1, 2]), (X[1], [1])]), "E627", "the labels differ in shape"),
        (lambda net: net.train([]), "E629", "samples and no labels"),
        (lambda net: net.train(iter([])), "E627", "the data has no samples"),
        (lambda net: net.train("mnist"), "E629", "samples and no labels"),
        (lambda net: net.train(X, Y, augment=3), "E632", "3 is no augmentation"),
        (lambda net: net.train(X, Y, augment=lambda sample: sample[:2]), "E753", "a sample is 2, and the input `image` is 6"),
        (lambda net: net.train(X, Y, validation=2.0), "E632", "this is 2"),
        (lambda net: net.train(X, Y, validation=1), "E629", "samples and no labels"),
        (lambda net: net.train(X, Y, test=(X, Y + 3)), "E631", "the label of sample 0 is 3, and classes are 0 to 2"),
        (lambda net: net.train(X, Y, resume=True), "E842", "needs the directory"),
        (lambda net: net.forward(X * np.inf), "E628", "sample 0 of `image` holds a value that is not finite"),
        (lambda net: net.forward(np.full(X.shape, "a")), "E628", "<U1, not numbers"),
        (lambda net: net.forward([[1.0], [2.0, 3.0]]), "E628", "what is given is no array"),
        (lambda net: net.grad(X, np.full(12, np.nan)), "E752", "nan"),
        (lambda net: net.grad(X, ["a"] * 12), "E631", "the labels are <U1, not numbers"),
        (lambda net: net.grad(np.zeros((0, 6)), np.zeros(0)), "E627", "no samples"),
        (lambda net: net.load("no such file"), "E840", "cannot read"),
        (lambda net: net.save("/proc/w.safetensors"), "E801", "cannot write"),
        (lambda net: net.evaluate(X, Y, which="tests"), "E754", "there is no data `tests`"),
    ],
)
def test_arrays_from_python(do: Callable[[Network], Any], code: str, words: str) -> None:
    found, message = refusal(lambda: do(network(SOURCE)))
    assert found == code
    assert words in message


def test_columns_are_known_by_their_names() -> None:
    """Whatever their order, and whatever else a file holds; two of other names are taken in order."""
    ours, theirs, third = network(SOURCE), network(SOURCE), network(SOURCE)
    expected = ours.train(X, Y, epochs=1).epochs[0].loss
    assert theirs.train({"label": Y, "weight": X[:, 0], "image": X}, epochs=1).epochs[0].loss == expected
    assert third.train({"picture": X, "kind": Y}, epochs=1).epochs[0].loss == expected
    found, message = refusal(lambda: network(SOURCE).train({"label": Y, "weight": X[:, 0], "picture": X}))
    assert found == "E629"
    assert "no column `image`" in message
    found, _ = refusal(lambda: network(SOURCE).train({"label": Y, "weight": X[:, 0], "picture": X}, validation=0.5))
    assert found == "E629"


def test_labels_of_shape_one_are_labels() -> None:
    net, other = network(SOURCE), network(SOURCE)
    assert net.grad(X, Y[:, None])[0] == other.grad(X, Y.astype(np.float64))[0]


@pytest.mark.parametrize(
    ("loss", "code", "words"),
    [
        ("1", "E624", "reads nothing that the network does"),
        ("square(label)", "E624", "reads nothing that the network does"),
        ("mse(mean(out.v), mean(h.spikes))", "E753", "`mse` of the loss is given 3 and 20 neurons"),
        ("mean(out.v)*mean(h.spikes)", "E753", "`*` of the loss is given 3 and 20 neurons"),
    ],
)
def test_losses(loss: str, code: str, words: str) -> None:
    found, message = refusal(lambda: network(text(LINES, loss=loss)).grad(X, Y))
    assert found == code
    assert words in message
    assert loss in message, "the line is shown"


def test_targets_of_another_length() -> None:
    found, message = refusal(lambda: network(text(LINES, loss="mse(mean(out.v), label)")).train(X, np.zeros((12, 5))))
    assert found == "E753"
    assert "3 and 5 neurons" in message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("schedule = cosine(floor = 2)", "`floor` of cosine cannot be 2"),
        ("schedule = step(epochs = 0)", "`epochs` of step cannot be 0"),
        ("augment = images(flip = 3)", "`flip` of images cannot be 3"),
        ("augment = images(shift = 1.5)", "`shift` of images cannot be 1.5"),
        ("schedule = step(epochs = 2.5)", "`epochs` of step cannot be 2.5"),
        ("schedule = step(factor = 0)", "`factor` of step cannot be 0"),
        ("schedule = plateau(factor = 1.5)", "`factor` of plateau cannot be 1.5"),
    ],
)
def test_settings(line: str, words: str) -> None:
    found, message = refusal(lambda: network(text(LINES, loss=SCORES, more=line)))
    assert found == "E624"
    assert words in message


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("sgd(lr = 0.1, momentum = 1)", "`momentum` of sgd cannot be 1"),
        ("rmsprop(alpha = 1.5)", "`alpha` of rmsprop cannot be 1.5"),
        ("adam(beta2 = 1)", "`beta2` of adam cannot be 1"),
        ("sgd(lr = 0.1, nesterov = true)", "`nesterov` of sgd looks ahead along the momentum, and there is none"),
    ],
)
def test_optimizers(optimizer: str, words: str) -> None:
    found, message = refusal(lambda: network(SOURCE.replace("adam(lr = 0.01)", optimizer)))
    assert found == "E624"
    assert words in message
    assert optimizer in message, "the line is shown"


def test_a_warm_up_that_never_ends() -> None:
    history = network(SOURCE.replace("adam(lr = 0.01)", "adam(lr = 0.01)\n    schedule = cosine(warmup = 3)")).train(X, Y)
    assert [warning.code for warning in history.warnings if warning.code != "W840"] == ["W794"]
    assert "warms up for 3 epochs, and the training has 2" in history.warnings[0].message
    assert history.epochs[-1].rate < 0.01


@pytest.mark.parametrize(
    ("loss", "labels", "warned"),
    [
        ("mse(mean(out.v), label)", Y, True),
        ("0.5*mse(mean(h.spike) + mean(h.u), label)", Y, True),
        ("mse(mean(out.v), one_hot(label))", Y, False),
        ("mse(mean(out.v), label)", Y + 0.5, False),
        ("mse(mean(out.v), label)", Y - 1.0, False),
        ("mse(mean(out.v), label)", np.eye(3)[Y], False),
    ],
)
def test_numbers_of_classes_taken_for_values(loss: str, labels: Any, warned: bool) -> None:
    history = network(text(LINES, loss=loss)).train(X, labels)
    found = [warning for warning in history.warnings if warning.code == "W795"]
    assert bool(found) == warned
    if found:
        assert "pulls every neuron of `" in found[0].message
        assert found[0].span is not None
        assert found[0].span.text == "label"


@pytest.mark.parametrize("line", ["augment = images(shift = 20)", "augment = images(crop = 20)"])
def test_augmentations_too_large_are_located(line: str) -> None:
    source = text(LINES, loss=SCORES, more=line).replace("image[6]", "image[2, 3]")
    found, message = refusal(lambda: network(source).train(X.reshape(12, 2, 3), Y))
    assert found == "E632"
    assert "data = mine" in message


def test_refused_data_is_said_once() -> None:
    """The loss cannot know the columns of data that there is not; its names are no second mistake."""
    found, _ = refusal(lambda: network(SOURCE.replace("data = mine", "data = digit()")))
    assert found == "E620"


def test_a_loss_that_is_no_number_prints_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    found, message = refusal(lambda: network(text(LINES, loss="mean(log(0*out.v), over = neurons)")).train(X, Y))
    assert found == "E755"
    assert "the loss is -inf" in message
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


def test_files_of_a_former_training_are_not_called_good(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    network(SOURCE).train(X, Y, out=tmp_path)
    bad = text(LINES, loss="mean(log(0*out.v), over = neurons)")
    assert "last good weights" not in refusal(lambda: network(bad).train(X, Y, out=tmp_path))[1]


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("adam(lr = 0.01)", "rmsprop(lr = 0.01)", "another optimizer: adam, and this is rmsprop"),
        ("batch = 8", "batch = 4", "another size of batches: 8, and this is 4"),
    ],
)
def test_a_training_of_another_kind_is_not_resumed(tmp_path: Path, old: str, new: str, words: str) -> None:
    pytest.importorskip("safetensors")
    network(SOURCE).train(X, Y, out=tmp_path)
    assert old in SOURCE
    found, message = refusal(lambda: network(SOURCE.replace(old, new)).train(X, Y, out=tmp_path, resume=True, epochs=4))
    assert found == "E842"
    assert words in message


def test_other_data_are_not_gone_on_with(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    network(SOURCE).train(X, Y, out=tmp_path)
    found, message = refusal(lambda: network(SOURCE).train(X[:10], Y[:10], out=tmp_path, resume=True, epochs=4))
    assert found == "E842"
    assert "another number of samples: 12, and this is 10" in message


def test_another_network_is_told_apart_from_no_training(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    network(SOURCE).train(X, Y, out=tmp_path)
    found, message = refusal(lambda: network(SOURCE.replace("h[20]", "h[9]")).train(X, Y, out=tmp_path, resume=True))
    assert found == "E841"
    assert "6 x 20" in message


@pytest.mark.parametrize("place", [-1, -300, -900])
def test_a_changed_bit_is_noticed(tmp_path: Path, place: int) -> None:
    pytest.importorskip("safetensors")
    network(SOURCE).train(X, Y, out=tmp_path)
    path = tmp_path / "last.safetensors"
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    found, message = refusal(lambda: network(SOURCE).load(path))
    assert found == "E840"
    assert "its numbers are not those that were written" in message


def test_weights_without_a_checksum_are_taken(tmp_path: Path) -> None:
    """Files of other programs, and of versions before there was one."""
    safetensors = pytest.importorskip("safetensors.numpy")
    net, other = network(SOURCE), network(SOURCE)
    other.train(X, Y)
    safetensors.save_file({name: np.array(value, order="C") for name, value in other.weights.items()}, tmp_path / "w.safetensors")
    net.load(tmp_path / "w.safetensors")
    for name, value in net.weights.items():
        assert np.array_equal(value, other.weights[name]), name
