"""Where a run's recording ends up: in memory, in one file, or in a directory that grows while it runs.

Nothing partial ever stands under the final name. A run that fails leaves what was complete beside it, under ``NAME.partial``.
"""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snnlang.diagnostics import error
from snnlang.files import require_writable
from snnlang.runtime import archive
from snnlang.runtime.recording import Recording
from snnlang.runtime.stream import Sink, memory_bound

Assemble = Callable[[dict[str, NDArray[Any]]], Recording]


class Output:
    """Holds the sink of a run and gives its rows a final place. ``path`` None: memory; ``.npz``: a file; else a directory."""

    def __init__(self, path: Path | None, bound: int | None = None) -> None:
        self.path = path
        self._place: archive.directory_atomically | None = None
        self._cleaner: weakref.finalize[..., Output] | None = None
        self._finished: Recording | None = None
        limit = memory_bound() if bound is None else bound
        if path is None:
            self.sink = Sink(bound=limit)
        elif path.suffix.lower() == ".npz":
            require_writable(path, "out")
            self.sink = Sink(bound=limit, beside=path.parent)
        else:
            import shutil  # slow to import, and what stays in memory needs none of it

            self._place = archive.directory_atomically(path)
            self._cleaner = weakref.finalize(
                self, shutil.rmtree, self._place.temporary, True
            )  # a run that never ends leaves nothing
            self.sink = Sink(bound=limit, directory=self._place.temporary)

    def require_room(self, size: int) -> None:
        """Refuse values that would not fit on the disk they go to (E829)."""
        if self._place is None and size <= self.sink.bound:
            return
        import shutil
        import tempfile

        where = Path(tempfile.gettempdir()) if self.path is None else self.path.parent
        factor = 2 if self.path is not None and self._place is None else 1
        free = shutil.disk_usage(where).free
        if size * factor > free:
            self.discard()
            raise error(
                "E829",
                f"the recorded values would take {_size(size * factor)}, and {_size(free)} are free in '{where}'",
                help="record fewer variables or neurons, or less often: 'record E.v[0:10] every 1 ms'",
            )

    def finish(self, assemble: Assemble) -> Recording:
        """Give everything its final name and return the recording."""
        if self._finished is not None:
            return self._finished
        recording = replace(assemble(self.sink.collect()), _keep=self.sink.keeper)
        if self.path is None:
            self._finished = recording
            return recording
        if self._place is None:
            archive.save(recording, self.path)
            self._finished = archive.placed(recording, self.path)
            return self._finished
        self._write_rest(recording, self._place.temporary)
        self.sink.close()
        self._place.finish()
        self._settle()
        self._finished = self._reload(recording, self.path)
        return self._finished

    def keep(self, assemble: Assemble) -> Path | None:
        """After a failure: put what was complete under ``NAME.partial``; its path, or None when there is nothing on disk."""
        if self._place is None:
            return None
        with contextlib.suppress(OSError):
            self.sink.mend()
            self._write_rest(assemble(self.sink.collect()), self._place.temporary)
            self.sink.close()
            target = self._place.path.with_name(f"{self._place.path.name}.partial")
            number = 2
            while target.exists():
                target = self._place.path.with_name(f"{self._place.path.name}.partial{number}")
                number += 1
            self._place.temporary.rename(target)
            self._settle()
            return target
        self.discard()
        return None

    def discard(self) -> None:
        """Remove what is on disk."""
        if self._place is not None:
            import shutil

            self.sink.close()
            shutil.rmtree(self._place.temporary, ignore_errors=True)
            self._settle()

    def _settle(self) -> None:
        """Nothing is left to clean up."""
        self._place = None
        if self._cleaner is not None:
            self._cleaner.detach()

    def _write_rest(self, recording: Recording, directory: Path) -> None:
        """What the sink does not hold: labels, indices, trials and the text that describes it all."""
        for name, array in archive.arrays(recording):
            path = directory / archive.file_name(name)
            if not path.exists():
                np.save(path, array, allow_pickle=False)
        (directory / f"{archive.HEADER}.json").write_text(
            json.dumps(archive.header(recording), indent=1), encoding="utf-8"
        )

    def _reload(self, recording: Recording, path: Path) -> Recording:
        found = archive.load(path)
        return replace(found, plots=recording.plots, point=recording.point, warnings=recording.warnings)


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            return f"{count:.3g} {unit}"
        count /= 1000
    raise AssertionError
