"""snnTorch as its tutorials write it: a loop over time, `Leaky` neurons, the first layer computed in every step."""

import snntorch
import torch
from protocol import BETA, measure_torch
from snntorch import surrogate
from torch import nn


class Net(nn.Module):
    """784-400-10."""

    def __init__(self, row):
        super().__init__()
        self.row = row
        slope = surrogate.atan(alpha=2.0)
        self.first, self.hidden = nn.Linear(784, 400), snntorch.Leaky(beta=BETA, spike_grad=slope)
        self.second = nn.Linear(400, 10)
        self.out = snntorch.Leaky(beta=BETA, spike_grad=slope, reset_mechanism="none")

    def forward(self, x):
        u, v, seen = self.hidden.reset_mem(), self.out.reset_mem(), []
        for step in range(self.row.steps):
            spikes, u = self.hidden(self.first(x[step] if self.row.varies else x), u)
            _, v = self.out(self.second(spikes), v)
            seen.append(v)
        return torch.stack(seen).mean(0)


class Images(nn.Module):
    """32C5-P2-64C5-P2-1024-10."""

    def __init__(self, row):
        super().__init__()
        self.steps = row.steps
        slope = surrogate.atan(alpha=2.0)
        self.convolutions = nn.ModuleList([nn.Conv2d(1, 32, 5), nn.Conv2d(32, 64, 5)])
        self.dense = nn.ModuleList([nn.Linear(1024, 1024), nn.Linear(1024, 10)])
        resets = ("subtract", "subtract", "subtract", "none")
        self.neurons = nn.ModuleList([snntorch.Leaky(beta=BETA, spike_grad=slope, reset_mechanism=r) for r in resets])
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        x = x.view(-1, 1, 28, 28)
        a, b, c, d = (neuron.reset_mem() for neuron in self.neurons)
        n1, n2, n3, n4 = self.neurons
        seen = []
        for _ in range(self.steps):
            s, a = n1(self.convolutions[0](x), a)
            s, b = n2(self.convolutions[1](self.pool(s)), b)
            s, c = n3(self.dense[0](self.pool(s).flatten(1)), c)
            _, d = n4(self.dense[1](s), d)
            seen.append(d)
        return torch.stack(seen).mean(0)


class Rows(nn.Module):
    """28 rows in time, 256 neurons that send to each other."""

    def __init__(self, row):
        super().__init__()
        slope = surrogate.atan(alpha=2.0)
        self.first, self.second = nn.Linear(28, 256), nn.Linear(256, 10)
        self.hidden = snntorch.RLeaky(beta=BETA, spike_grad=slope, linear_features=256, all_to_all=True)
        self.out = snntorch.Leaky(beta=BETA, spike_grad=slope, reset_mechanism="none")

    def forward(self, x):
        spikes, u = self.hidden.reset_mem()
        v, seen = self.out.reset_mem(), []
        for step in range(x.shape[0]):
            spikes, u = self.hidden(self.first(x[step]), spikes, u)
            _, v = self.out(self.second(spikes), v)
            seen.append(v)
        return torch.stack(seen).mean(0)


measure_torch("snntorch", lambda row: {"mlp": Net, "conv": Images, "rec": Rows}[row.net](row))
