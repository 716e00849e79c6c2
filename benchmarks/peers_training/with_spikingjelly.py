"""SpikingJelly in its fast multi-step mode."""

import declare_torchvision  # noqa: F401
from protocol import BETA, measure_torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

TAU = 1 / (1 - BETA)


def unit(mode="m"):
    """A leaky integrate-and-fire neuron with a soft reset."""
    return neuron.LIFNode(
        tau=TAU,
        decay_input=False,
        v_reset=None,
        surrogate_function=surrogate.ATan(),
        detach_reset=True,
        step_mode=mode,
    )


class Net(nn.Module):
    """Any of the three networks; `body` goes from (steps, batch, ...) to (steps, batch, 10)."""

    def __init__(self, row):
        super().__init__()
        self.row = row
        m = {"step_mode": "m"}
        if row.net == "mlp":
            parts = [layer.Linear(784, 400, **m), unit(), layer.Linear(400, 10, **m)]
        elif row.net == "conv":
            parts = [layer.Conv2d(1, 32, 5, **m), unit(), layer.AvgPool2d(2, **m)]
            parts += [layer.Conv2d(32, 64, 5, **m), unit(), layer.AvgPool2d(2, **m), layer.Flatten(**m)]
            parts += [layer.Linear(1024, 1024, **m), unit(), layer.Linear(1024, 10, **m)]
        else:
            own = layer.LinearRecurrentContainer(unit("s"), in_features=256, out_features=256, bias=True, **m)
            parts = [layer.Linear(28, 256, **m), own, layer.Linear(256, 10, **m)]
        self.body = nn.Sequential(*parts)
        self.out = neuron.NonSpikingLIFNode(tau=TAU, decode="mean-mem")

    def forward(self, x):
        functional.reset_net(self)
        if self.row.net == "conv":
            x = x.view(-1, 1, 28, 28)
        if not self.row.varies:
            x = x.unsqueeze(0).repeat(self.row.steps, *(1,) * x.dim())
        return self.out(self.body(x))


measure_torch("spikingjelly", Net)
