"""Optimizers: one pass over all parameters, which lie in one array, compiled where there is a C compiler, or a kernel of a device.

SGD with momentum (Nesterov's, where asked), Adam (Kingma & Ba 2015, Algorithm 1) and AdaMax (their Algorithm 2), AdamW with decoupled
decay (Loshchilov & Hutter 2019, Algorithm 2), RMSprop (Hinton 2012). Weight decay of all but AdamW is added to the gradient.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.runtime.learning_arrays import Arrays, HostArrays

Values = NDArray[Any]

#: Numbers to whose multiple the arrays of an optimizer are made longer.
_LINE = 64
#: How many arrays as large as the parameters each optimizer keeps.
MEMORIES = {"sgd": 1, "adam": 2, "adamw": 2, "adamax": 2, "rmsprop": 2}

_C = """\
/* Made by snnlang: one pass of an optimizer over all parameters. */
#define SNN_FUSED 1
#include <stdint.h>
typedef {real} real;
real {sqrt}(real), {fabs}(real);
#define OPTIMIZER(name) void name(int64_t n, const real *a, const real *g, real *m, real *v, real *p)
#define EACH _Pragma("omp simd") for (int64_t i = 0; i < n; i++)
"""
#: A thread for each parameter. Launches pass addresses as 64-bit whole numbers, which are as wide.
_CUDA = """\
#define OPTIMIZER(name) extern "C" __global__ void name(int64_t n, const real *a, const real *g, real *m, real *v, real *p)
#define EACH for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < n; i += (int64_t)gridDim.x*blockDim.x)
"""
_HEAD = """\
#define SQRT {sqrt}
#define FABS {fabs}
"""
#: By function: only that of the chosen optimizer is compiled.
_TEXTS = {
    "snn_sgd": """\
OPTIMIZER(snn_sgd)
{{
    const real lr = a[0], momentum = a[1], nesterov = a[2], decay = a[3], scale = a[4];
    (void)v;
    EACH {{
        const real d = scale*g[i] + decay*p[i], next = momentum*m[i] + d;
        m[i] = next;
        p[i] -= lr*(nesterov != 0 ? d + momentum*next : next);
    }}
}}
""",
    "snn_adam": """\
OPTIMIZER(snn_adam)
{{
    const real lr = a[0], beta1 = a[1], beta2 = a[2], epsilon = a[3], decay = a[4], scale = a[5], first = a[6], second = a[7], apart = a[8];
    EACH {{
        const real d = scale*g[i] + decay*p[i];
        m[i] = beta1*m[i] + (1 - beta1)*d;
        v[i] = beta2*v[i] + (1 - beta2)*d*d;
        p[i] -= lr*(m[i]*first/(SQRT(v[i]*second) + epsilon) + apart*p[i]);
    }}
}}
""",
    "snn_adamax": """\
OPTIMIZER(snn_adamax)
{{
    const real lr = a[0], beta1 = a[1], beta2 = a[2], epsilon = a[3], decay = a[4], scale = a[5], first = a[6];
    EACH {{
        const real d = scale*g[i] + decay*p[i], old = beta2*v[i], now = FABS(d) + epsilon;
        m[i] = beta1*m[i] + (1 - beta1)*d;
        v[i] = old > now ? old : now;
        p[i] -= lr*first*m[i]/v[i];
    }}
}}
""",
    "snn_rmsprop": """\
OPTIMIZER(snn_rmsprop)
{{
    const real lr = a[0], alpha = a[1], epsilon = a[2], momentum = a[3], decay = a[4], scale = a[5];
    EACH {{
        const real d = scale*g[i] + decay*p[i];
        v[i] = alpha*v[i] + (1 - alpha)*d*d;
        m[i] = momentum*m[i] + d/(SQRT(v[i]) + epsilon);
        p[i] -= lr*m[i];
    }}
}}
""",
}


class Optimizer:
    """``step`` moves ``parameters`` (n,) against ``gradients`` (n,); ``memory`` (2, n) and ``count`` are all that it remembers."""

    def __init__(
        self,
        name: str,
        options: Mapping[str, float],
        parameters: Values,
        compiled: bool,
        arrays: Arrays | None = None,
    ) -> None:
        self.name, self.options, self.parameters = name, dict(options), parameters
        self.arrays: Arrays = arrays or HostArrays()
        # both begin where a vector register's worth of memory does: a pass over rows that do not takes two to three times as long
        whole = -(-parameters.size // _LINE) * _LINE
        self.memory: Values = self.arrays.zeros((2, whole), parameters.dtype)[:, : parameters.size]
        self.count = 0
        self._function: Any = None
        double = parameters.dtype == np.float64
        names = {
            "real": "double" if double else "float",
            "sqrt": "sqrt" if double else "sqrtf",
            "fabs": "fabs" if double else "fabsf",
        }
        entry = "snn_adam" if name == "adamw" else f"snn_{name}"
        if self.arrays.apart:
            from snnlang.codegen.passes_cuda import head

            lines = head("double" if double else "single")
            self._kernel = self.arrays.optimizer(
                "\n".join(lines) + (_CUDA + _HEAD + _TEXTS[entry]).format(**names), entry
            )
        elif compiled:
            from snnlang.runtime.compiler import library

            function = getattr(library((_C + _HEAD + _TEXTS[entry]).format(**names), "fast", "optimizer").handle, entry)
            function.argtypes = [ctypes.c_int64] + [ctypes.c_void_p] * 5
            function.restype = None
            self._function = function

    def step(self, gradients: Values, rate: float = 1.0, scale: float = 1.0) -> None:
        """One update; ``rate`` multiplies the learning rate, ``scale`` the gradients."""
        self.begin(rate, scale)(gradients, 0)

    def begin(self, rate: float = 1.0, scale: float = 1.0) -> Update:
        """One update in parts, which are all parameters once."""
        self.count += 1
        o, lr = self.options, self.options["lr"] * rate
        match self.name:
            case "sgd":
                numbers = [lr, o["momentum"], o["nesterov"], o["weight_decay"], scale]
            case "adam" | "adamw":
                first, second = 1 / (1 - o["beta1"] ** self.count), 1 / (1 - o["beta2"] ** self.count)
                decay, apart = (0.0, o["weight_decay"]) if self.name == "adamw" else (o["weight_decay"], 0.0)
                numbers = [lr, o["beta1"], o["beta2"], o["epsilon"], decay, scale, first, second, apart]
            case "adamax":
                numbers = [
                    lr,
                    o["beta1"],
                    o["beta2"],
                    o["epsilon"],
                    o["weight_decay"],
                    scale,
                    1 / (1 - o["beta1"] ** self.count),
                ]
            case _:
                numbers = [lr, o["alpha"], o["epsilon"], o["momentum"], o["weight_decay"], scale]
        return Update(self, numbers)

    def at(self, first: int, count: int) -> tuple[Values, Values, Values]:
        """What is remembered of some parameters, and they themselves."""
        place = slice(first, first + count)
        return self.memory[0, place], self.memory[1, place], self.parameters[place]

    def move(self, gradients: Values, first: int, numbers: list[float], given: Values) -> None:
        """Move the parameters from the ``first`` on; ``given`` are the ``numbers`` of this update where the parameters are."""
        m, v, p = self.at(first, gradients.size)
        if self.arrays.apart:
            self._kernel(p.size, given, gradients, m, v, p)
        elif self._function is None:
            self._numpy(gradients, numbers, p, m, v)
        else:
            self._function(p.size, *(array.ctypes.data for array in (given, gradients, m, v, p)))

    def address(self) -> int | None:
        """Of the compiled pass, where there is one."""
        return None if self._function is None else ctypes.cast(self._function, ctypes.c_void_p).value

    def _numpy(self, g: Values, numbers: list[float], p: Values, m: Values, v: Values) -> None:
        a = [p.dtype.type(number) for number in numbers]
        match self.name:
            case "sgd":
                lr, momentum, nesterov, decay, scale = a
                d = scale * g + decay * p
                m[...] = momentum * m + d
                p -= lr * (d + momentum * m if nesterov else m)
            case "adam" | "adamw":
                lr, beta1, beta2, epsilon, decay, scale, first, second, apart = a
                d = scale * g + decay * p
                m[...] = beta1 * m + (1 - beta1) * d
                v[...] = beta2 * v + (1 - beta2) * d * d
                p -= lr * (m * first / (np.sqrt(v * second) + epsilon) + apart * p)
            case "adamax":
                lr, beta1, beta2, epsilon, decay, scale, first = a
                d = scale * g + decay * p
                m[...] = beta1 * m + (1 - beta1) * d
                v[...] = np.maximum(beta2 * v, np.abs(d) + epsilon)
                p -= lr * first * m / v
            case _:
                lr, alpha, epsilon, momentum, decay, scale = a
                d = scale * g + decay * p
                v[...] = alpha * v + (1 - alpha) * d * d
                m[...] = momentum * m + d / (np.sqrt(v) + epsilon)
                p -= lr * m


class Move(ctypes.Structure):
    """``snn_optimizer`` of codegen/native/places.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("step", "numbers", "m", "v", "p")]


class Update:
    """One step of an optimizer, part by part."""

    def __init__(self, of: Optimizer, numbers: list[float]) -> None:
        self._of, self._numbers = of, numbers
        self._given: Values = of.arrays.up(np.array(numbers, of.parameters.dtype))

    def __call__(self, gradients: Values, first: int) -> None:
        """Move the parameters from the ``first`` on against their gradients."""
        self._of.move(gradients, first, self._numbers, self._given)

    def place(self, first: int) -> Move | None:
        """What compiled code is given to do so itself; None where there is none."""
        step = self._of.address()
        if step is None:
            return None
        return Move(step, self._given.ctypes.data, *(array.ctypes.data for array in self._of.at(first, 1)))


class Schedule:
    """The factor of the learning rate: of the step for warm-up and cosine, of the epoch for ``step``, of the validation loss for
    ``plateau``. ``state`` holds what it remembers."""

    def __init__(self, name: str, options: Mapping[str, float], epochs: int, per_epoch: int) -> None:
        self.name, self.options = name, dict(options)
        self.epochs, self.per_epoch = epochs, max(1, per_epoch)
        self.state = {"factor": 1.0, "best": float("inf"), "waited": 0.0}

    def factor(self, step: int) -> float:
        """For the ``step``-th update, from 0."""
        warmup = self.options.get("warmup", 0.0) * self.per_epoch
        early = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
        epoch = step // self.per_epoch
        match self.name:
            case "cosine":
                total = max(1.0, self.epochs * self.per_epoch - warmup)
                part = min(1.0, max(0.0, (step - warmup) / total))
                floor = self.options["floor"]
                return early * (floor + (1 - floor) * 0.5 * (1 + float(np.cos(np.pi * part))))
            case "step":
                return early * self.options["factor"] ** (epoch // max(1, int(self.options["epochs"])))
            case "plateau":
                return early * self.state["factor"]
        return early

    def epoch_ended(self, loss: float) -> None:
        """Tell the validation loss of an epoch."""
        if self.name != "plateau":
            return
        if loss < self.state["best"] * (1 - 1e-4):
            self.state["best"], self.state["waited"] = loss, 0.0
            return
        self.state["waited"] += 1
        if self.state["waited"] > self.options["patience"]:
            self.state["factor"] = max(self.options["floor"], self.state["factor"] * self.options["factor"])
            self.state["waited"] = 0.0
