"""Norse: first-order `LIFBoxCell` with a soft reset; its recurrent cell has a synaptic current too."""

import declare_torchvision  # noqa: F401
import norse.torch
import torch
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.lif_box import LIFBoxCell
from protocol import BETA, measure_torch
from torch import nn

BOX = LIFBoxParameters(
    tau_mem_inv=torch.tensor(1000 * (1 - BETA)), alpha=torch.tensor(10.0), reset_method=reset_subtract
)


class Net(nn.Module):
    """Any of the three networks. Its cells scale what arrives by 1 - BETA, so weights begin that much larger."""

    def __init__(self, row):
        super().__init__()
        self.row = row
        if row.net == "mlp":
            before = [nn.Linear(784, 400)]
        elif row.net == "conv":
            before = [nn.Conv2d(1, 32, 5), nn.Conv2d(32, 64, 5), nn.Linear(1024, 1024)]
        else:
            before = []
            given = norse.torch.LIFParameters(
                tau_syn_inv=torch.tensor(500.0),
                tau_mem_inv=torch.tensor(1000 * (1 - BETA)),
                alpha=torch.tensor(10.0),
                v_th=torch.tensor(0.3),
            )
            self.own = norse.torch.LIFRecurrentCell(28, 256, given)
        for part in before:
            part.weight.data /= 1 - BETA
            part.bias.data /= 1 - BETA
        self.before = nn.ModuleList(before)
        self.cells = nn.ModuleList([LIFBoxCell(BOX) for _ in before])
        self.after = nn.Linear({"mlp": 400, "conv": 1024, "rec": 256}[row.net], 10)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        states, v, seen = [None] * max(1, len(self.cells)), 0.0, []
        if self.row.net == "conv":
            x = x.view(-1, 1, 28, 28)
        for step in range(self.row.steps):
            z = x[step] if self.row.varies else x
            if self.row.net == "rec":
                z, states[0] = self.own(z, states[0])
            for number, (part, cell) in enumerate(zip(self.before, self.cells)):
                if number:
                    z = self.pool(z)
                if number == 2:
                    z = z.flatten(1)
                z, states[number] = cell(part(z), states[number])
            v = BETA * v + self.after(z)
            seen.append(v)
        return torch.stack(seen).mean(0)


measure_torch("norse", Net)
