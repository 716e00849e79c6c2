"""What can go wrong with a CUDA device, each with its own sentence and remedy: too little memory (E741), CuPy (E742), driver or device
(E743), a text of ours that is refused (E744), a device that stopped (E745), one that is too old (E785)."""

from __future__ import annotations

from snnlang.diagnostics import SnnError, Span, error

INSTALL = "install it: 'pip install cupy-cuda12x' for a driver of CUDA 12, 'pip install cupy-cuda13x' for CUDA 13 (nvidia-smi shows which)"
OTHERWISE = "or run with --target c"


def no_memory(
    device: str,
    wanted: int,
    free: int,
    total: int,
    *,
    most: str | None = None,
    span: Span | None = None,
    single: bool = False,
) -> SnnError:
    """E741: ``wanted`` bytes do not fit into those that are free; of what the driver refuses by itself, only that is known. ``most``: what
    takes the most of an estimate of everything ("": nothing does); without it, ``wanted`` is one piece more."""
    message = f"the memory of {device} is not enough"
    if total:
        more = " more" if most is None else ""
        message += f": about {size(wanted)}{more} are needed, {size(max(0, free))} of {size(total)} are free"
        message += f"; {most}" if most else ""
    return error(
        "E741",
        message,
        span=span,
        help=(
            "make the network smaller, record less" + ("" if single else ", or use --precision float32"),
            "end what else runs on the device (nvidia-smi shows it), " + OTHERWISE,
        ),
    )


def no_cupy() -> SnnError:
    """E742: CuPy is not installed."""
    return error("E742", "the target cuda needs CuPy, which is not installed", help=(INSTALL, OTHERWISE))


def broken_cupy(problem: Exception) -> SnnError:
    """E742: CuPy is there and cannot be imported."""
    said = _said(str(problem.__cause__ or problem))
    return error("E742", f"CuPy is installed and cannot be loaded: {said}", help=(INSTALL, OTHERWISE))


def no_cupy_compiler(problem: Exception) -> SnnError:
    """E742: CuPy finds no NVRTC, or one that does not work."""
    return error(
        "E742",
        f"CuPy cannot compile here: {_said(str(problem)) or type(problem).__name__}",
        help=(
            "install CUDA's compiler with it: pip install 'cupy-cuda12x[ctk]' (of CUDA 13: 'cupy-cuda13x[ctk]')",
            OTHERWISE,
        ),
    )


def no_device(said: str, driver: int) -> SnnError:
    """E743: nothing answers; ``driver`` is the CUDA version of the driver (12040), 0 without one."""
    if driver == 0:
        return error(
            "E743",
            "the target cuda needs an NVIDIA device, and this machine has no NVIDIA driver",
            help=(
                "install the driver of the device; in a container, start it with access to the device (--gpus all)",
                OTHERWISE,
            ),
        )
    if "InsufficientDriver" in said:
        known = f"{driver // 1000}.{driver % 1000 // 10}"
        return error(
            "E743",
            f"the NVIDIA driver of this machine is too old for this CuPy: it knows CUDA {known}",
            help=("update the driver, or install the CuPy of its version: pip install cupy-cuda12x", OTHERWISE),
        )
    return error(
        "E743",
        f"the target cuda needs an NVIDIA device, and none answers: {_said(said)}",
        help=("see whether nvidia-smi lists one, and whether CUDA_VISIBLE_DEVICES hides it", OTHERWISE),
    )


def too_old(device: str, capability: tuple[int, int], runtime: int) -> SnnError | None:
    """E785: a device without what the kernels use (warps whose threads ask who comes along), or one that CUDA no longer compiles for;
    ``runtime`` is the version of CUDA (13000). None where it will do."""
    least = (7, 5) if runtime >= 13000 else (7, 0)
    if capability >= least:
        return None
    numbers = ".".join(map(str, capability)), ".".join(map(str, least))
    helps = ["use a newer device; CUDA_VISIBLE_DEVICES chooses among several", OTHERWISE]
    if capability >= (7, 0):
        helps.insert(0, "install the CuPy of CUDA 12, which still compiles for it: pip install cupy-cuda12x")
    return error(
        "E785",
        f"{device} is too old: it has compute capability {numbers[0]}, and the target cuda needs {numbers[1]} or more",
        help=tuple(helps),
    )


def stopped(said: str) -> SnnError:
    """E745: the device ended a kernel or refuses to work."""
    if "LaunchTimeout" in said or "LAUNCH_TIMEOUT" in said:
        helps: tuple[str, ...] = (
            "it also draws the screen, and its driver ends what computes long: use another device",
        )
    elif "Unavailable" in said or "UNAVAILABLE" in said:
        helps = (
            "another program has it for itself alone: wait for that one, or choose another with CUDA_VISIBLE_DEVICES",
        )
    elif "ECC" in said or "Hardware" in said or "HARDWARE" in said:
        helps = ("the device reports a fault of its own: see nvidia-smi",)
    else:
        helps = ("this is a mistake in snnlang, not in your file: please report it, with the file",)
    return error("E745", f"the CUDA device stopped: {_said(said)}", help=(*helps, "meanwhile, run with --target c"))


def refused_text(text: str, output: str, name: str, command: str) -> SnnError:
    """E744, with the text and the compiler's words kept where the user finds them."""
    import tempfile
    from pathlib import Path

    lines = [line.strip() for line in output.splitlines() if line.strip()]
    first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "it says nothing")[:200]
    helps = ["this is a mistake in snnlang, not in your file: please report it, with the files that were kept"]
    try:
        folder = Path(tempfile.mkdtemp(prefix="snnlang-"))
        (folder / "model.cu").write_text(text, encoding="utf-8")
        (folder / "output.txt").write_text(f"{command}\n\n{output}", encoding="utf-8")
        helps.append(f"kept in {folder}: model.cu, output.txt")
    except OSError:
        pass
    helps.append("meanwhile, run with --target c")
    return error("E744", f"the CUDA compiler refuses the code of {name}: {first}", help=tuple(helps))


def size(nbytes: float) -> str:
    """Bytes in words: ``3.2 GB``."""
    for unit in ("bytes", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} GB"


def _said(text: str) -> str:
    """The first line that says something."""
    lines = [line.strip(" =") for line in text.splitlines()]
    return next((line for line in lines if line), "no reason given")[:200]


__all__ = ["broken_cupy", "no_cupy", "no_cupy_compiler", "no_device", "no_memory", "refused_text", "size", "stopped", "too_old"]
