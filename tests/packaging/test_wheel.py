"""The wheel holds everything, installs without the source tree, and runs from a foreign directory."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree so that no build folder is left in it."""
    import shutil

    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("snnlang", "codegen", "stdlib"):
        # the two links are left out on purpose: nothing in the build may depend on them
        shutil.copytree(
            ROOT / name,
            source / name,
            symlinks=True,
            ignore=lambda folder, names: [
                n for n in names if n == "__pycache__" or os.path.islink(os.path.join(folder, n))
            ],
        )
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(place.glob("*.whl"))


def test_wheel_ships_every_file(wheel: Path) -> None:
    shipped = set(zipfile.ZipFile(wheel).namelist())
    for top in ("snnlang", "codegen", "stdlib"):
        for path in (ROOT / top).rglob("*"):
            if not path.is_file() or "__pycache__" in path.parts or path.suffix == ".pyc" or path.name.startswith("."):
                continue
            parts = path.relative_to(ROOT).parts
            name = "/".join(parts if parts[0] == "snnlang" else ("snnlang", *parts))
            assert name in shipped, f"{name} is not in the wheel"
    assert not any(name.split("/")[0] in ("codegen", "stdlib", "tests") for name in shipped)


def test_wheel_runs_from_a_foreign_directory(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    done = subprocess.run([*install, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "one.snn").write_text(
        "from stdlib.neurons import LIF\n\nnetwork One:\n    population cell[1]: LIF\n", encoding="utf-8"
    )
    environment = {**os.environ, "PYTHONPATH": str(target)}
    # -P keeps the working directory off the path where the interpreter knows it; the foreign one has no snnlang anyway
    place = [sys.executable, "-c", "import snnlang; print(snnlang.__file__)"]
    done = subprocess.run(place, capture_output=True, text=True, cwd=elsewhere, env=environment, check=False)
    assert done.stdout.startswith(str(target)), done.stdout + done.stderr
    check = [sys.executable, "-m", "snnlang", "check", "one.snn"]
    done = subprocess.run(check, capture_output=True, text=True, cwd=elsewhere, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok" in done.stdout
