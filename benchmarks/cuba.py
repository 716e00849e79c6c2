"""The network of cuba.snn on our NumPy target; prints one line of JSON. Run by run.py in a fresh process."""

from __future__ import annotations

import json
import time
from pathlib import Path

start = time.perf_counter()
import snnlang  # noqa: E402

model = snnlang.load(Path(__file__).parent / "cuba.snn")
simulation = model.simulation(target="numpy", progress=False)
loop = time.perf_counter()
simulation.run(1000.0)
loop = time.perf_counter() - loop
recording = simulation.recording()
rate = float(recording.counts("cell").mean())
print(json.dumps({"loop": loop, "process": time.perf_counter() - start, "rate": rate}))
