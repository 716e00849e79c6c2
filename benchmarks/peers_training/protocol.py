"""What every program of the training benchmark does in the same way: its task, the data, the clock, the memory, one line of JSON.

    with_X.py ROW DATA BATCHES THREADS

DATA is an .npz of `x` (samples, ...) and `y`, written by training.py, so that all see the same numbers. No peer is imported here.
"""

import json
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np

BETA = 0.8
BATCH = 128
RATE = 1e-3
WARM = 2  # batches that no median counts: programs that compile do so in the first, some in the second again


@dataclass(frozen=True)
class Row:
    """`net` is mlp, conv or rec; `varies`: samples come as (steps, ...), else as one image shown in every step."""

    net: str
    steps: int
    varies: bool


ROWS = {
    "mlp5": Row("mlp", 5, False),
    "mlp25": Row("mlp", 25, False),
    "mlp5_varying": Row("mlp", 5, True),
    "mlp25_varying": Row("mlp", 25, True),
    "mlp5_spikes": Row("mlp", 5, True),
    "conv5": Row("conv", 5, False),
    "rec28": Row("rec", 28, True),
}


def _kilobytes(key):
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(key))
    except OSError:
        return 0


def given():
    """(row, its name, x, y, batches, threads) from the command line."""
    name, path, batches, threads = sys.argv[1:5]
    with np.load(path) as data:
        return ROWS[name], name, data["x"], data["y"], int(batches), int(threads)


def measure(program, name, x, y, batches, learn, forward):
    """`learn(x, y)` is one whole update and returns the loss, `forward(x)` the scores (batch, 10). Prints the line."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # forget the peak of loading
    except OSError:
        pass
    before = _kilobytes("VmRSS")
    parts = [slice(first, first + BATCH) for first in range(0, len(x) - BATCH + 1, BATCH)]
    times, losses = [], []
    for number in range(batches + WARM):
        part = parts[number % len(parts)]
        began = time.perf_counter()
        losses.append(float(learn(x[part], y[part])))
        times.append(time.perf_counter() - began)
    peak = _kilobytes("VmHWM")
    alone = []
    for number in range(max(4, batches // 3) + WARM):
        part = parts[number % len(parts)]
        began = time.perf_counter()
        scores = np.asarray(forward(x[part]))
        alone.append(time.perf_counter() - began)
    assert scores.shape == (BATCH, 10)
    print(
        json.dumps(
            {
                "program": program,
                "row": name,
                "first_ms": times[0] * 1e3,
                "train_ms": statistics.median(times[WARM:]) * 1e3,
                "train_best_ms": min(times[WARM:]) * 1e3,
                "forward_ms": statistics.median(alone[WARM:]) * 1e3,
                "memory_mb": (peak - before) / 1024,
                "loss_first": losses[0],
                "loss_last": losses[-1],
            }
        )
    )


def measure_torch(program, make):
    """The same for a torch.nn.Module that `make(row)` builds: its forward takes (batch, 784), or (steps, batch, ...) where input varies."""
    row, name, x, y, batches, threads = given()
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(threads)
    net = make(row)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)

    def tensor(part):
        made = torch.from_numpy(part)
        return made.transpose(0, 1) if row.varies else made

    def learn(part, labels):
        loss = torch.nn.functional.cross_entropy(net(tensor(part)), torch.from_numpy(labels))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    def forward(part):
        with torch.no_grad():
            return net(tensor(part)).numpy()

    measure(program, name, x, y, batches, learn, forward)


def measure_jax(program, make):
    """The same for JAX: `make(row)` returns (learn, forward) of NumPy arrays, time first where input varies."""
    import os

    row, name, x, y, batches, threads = given()
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    learn, forward = make(row)

    def order(part):
        return part.swapaxes(0, 1) if row.varies else part

    measure(program, name, x, y, batches, lambda a, b: learn(order(a), b), lambda a: forward(order(a)))
