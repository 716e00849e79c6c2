"""Where the files of a data set are, and public data sets fetched once with pooch and kept.

Looked for in ``folder``, or else in ``data/NAME`` beside the file and in the working directory, in ``$SNNLANG_DATA/NAME``, where the
system keeps data sets, and in the user's cache. What is missing there is fetched when the package pooch is there (extra ``data``) and
``SNNLANG_OFFLINE`` is not set. A file is accepted only with the checksum that stands here; each stands in two independent places: with
the authors or in torchvision, and in tonic or SpikingJelly. A set without one, DVS128 Gesture, is never fetched.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

from snnlang import cache
from snnlang.diagnostics import Span, error
from snnlang.frozen import dataclass
from snnlang.model.values import locate

#: Where the files of a data set are looked for, after ``folder`` and ``SNNLANG_DATA``.
SYSTEM_FOLDERS = ("/usr/share/datasets", "/usr/share/dataset", "/usr/local/share/datasets")


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to fetch: its address, and what ``pooch`` shall find it to be (``md5:…``)."""

    url: str
    checksum: str


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_NMNIST = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files/"
_HEIDELBERG = "https://zenkelab.org/datasets/"

#: By data set, then by the name of the file as its readers want it.
REMOTE: dict[str, dict[str, Remote]] = {
    "mnist": {
        "train-images-idx3-ubyte.gz": Remote(
            _MNIST + "train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
        ),
        "train-labels-idx1-ubyte.gz": Remote(
            _MNIST + "train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432"
        ),
        "t10k-images-idx3-ubyte.gz": Remote(
            _MNIST + "t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3"
        ),
        "t10k-labels-idx1-ubyte.gz": Remote(
            _MNIST + "t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c"
        ),
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": Remote(
            _FASHION + "train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d"
        ),
        "train-labels-idx1-ubyte.gz": Remote(
            _FASHION + "train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe"
        ),
        "t10k-images-idx3-ubyte.gz": Remote(
            _FASHION + "t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79"
        ),
        "t10k-labels-idx1-ubyte.gz": Remote(
            _FASHION + "t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310"
        ),
    },
    "nmnist": {
        "Train.zip": Remote(
            _NMNIST + "39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded", "md5:20959b8e626244a1b502305a9e6e2031"
        ),
        "Test.zip": Remote(
            _NMNIST + "05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded", "md5:69ca8762b2fe404d9b9bad1103e97832"
        ),
    },
    "shd": {
        "shd_train.h5.zip": Remote(_HEIDELBERG + "shd_train.h5.zip", "md5:f3252aeb598ac776c1b526422d90eecb"),
        "shd_test.h5.zip": Remote(_HEIDELBERG + "shd_test.h5.zip", "md5:1503a5064faa34311c398fb0a1ed0a6f"),
    },
    "ssc": {
        "ssc_train.h5.zip": Remote(_HEIDELBERG + "ssc_train.h5.zip", "md5:d102be95e7144fcc0553d1f45ba94170"),
        "ssc_valid.h5.zip": Remote(_HEIDELBERG + "ssc_valid.h5.zip", "md5:b4eee3516a4a90dd0c71a6ac23a8ae43"),
        "ssc_test.h5.zip": Remote(_HEIDELBERG + "ssc_test.h5.zip", "md5:a35ff1e9cffdd02a20eb850c17c37748"),
    },
}


def folders(folder: str | None, data_set: str, span: Span | None) -> list[Path]:
    """Where to look, in order."""
    if folder is not None:
        return [locate(folder, span)]
    roots = [os.environ.get("SNNLANG_DATA"), "data", *SYSTEM_FOLDERS, _kept()]
    places = [Path(root) / data_set for root in roots if root]
    if span is not None:
        places.insert(0, Path(span.source.name).parent / "data" / data_set)
    return places


def find(
    name: str, data_set: str, wanted: dict[str, str], folder: str | None, hints: tuple[str, ...], span: Span | None
) -> list[Path]:
    """The places of the wanted files or folders, in the order given: each a name and the remote archive it is in ("" for none).

    Each is also found packed with gzip. E626 names files and folder where they are missing and cannot be fetched.
    """
    places = folders(folder, data_set, span)
    for place in places:
        found = [next((p for p in (place / one, place / f"{one}.gz") if p.exists()), None) for one in wanted]
        if all(path is not None for path in found):
            return [path for path in found if path is not None]
    if folder is None and all(wanted.values()) and not os.environ.get("SNNLANG_OFFLINE"):
        kept = _kept()
        if kept is not None and _can_fetch():
            return [
                _fetched(name, Path(kept) / data_set, one, REMOTE[data_set][archive], span, hints)
                for one, archive in wanted.items()
            ]
    raise error(
        "E626",
        f"the files of {name} were not found",
        span,
        "no data",
        help=(_put(name, data_set, wanted, folder, places), *hints),
    )


def _put(name: str, data_set: str, wanted: dict[str, str], folder: str | None, places: list[Path]) -> str:
    files = ", ".join(archive or one for one, archive in wanted.items())
    return f'put {files} into {places[0] if folder else f"data/{data_set}"}, or name a folder: `{name}(folder = "…")`'


def _kept() -> str | None:
    place = cache.folder()
    return None if place is None else str(place / "data")


def _can_fetch() -> bool:
    try:
        import pooch  # noqa: F401
    except ImportError:
        return False
    return True


def _fetched(name: str, place: Path, wanted: str, remote: Remote, span: Span | None, hints: tuple[str, ...]) -> Path:
    """Fetch one file, check it, unpack an archive; E633 without a network, E634 where the checksum differs."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    archive = Path(remote.url).name if remote.url.endswith((".gz", ".zip")) else f"{wanted}.zip"
    try:
        whole = pooch.retrieve(
            remote.url,
            known_hash=remote.checksum,
            fname=archive,
            path=place,
            downloader=pooch.HTTPDownloader(timeout=30, headers={"User-Agent": "snnlang"}),
        )
        if archive.endswith(".zip") and not (place / wanted).exists():
            _unpack(Path(whole), place)
    except ValueError as problem:
        if "hash" not in str(problem):
            raise
        raise error(
            "E634",
            f"what {remote.url} gave is not {archive} of {name}: its checksum differs",
            span,
            "not the data",
            help=("fetch it by hand from where its authors publish it", *hints),
        ) from None
    except Exception as problem:  # requests, urllib3, zipfile and the file system have no common parent
        raise error(
            "E633",
            f"{name} cannot be fetched from {remote.url}: {_reason(problem)}",
            span,
            "no data",
            help=(f'put {archive} into {place}, or name a folder that has it unpacked: `{name}(folder = "…")`', *hints),
        ) from None
    found = next((p for p in (place / wanted, place / f"{wanted}.gz") if p.exists()), None)
    if found is None:
        raise error("E633", f"{archive} does not hold {wanted}", span, "no data", help=f"put {wanted} into {place}")
    return found


def _unpack(archive: Path, place: Path) -> None:
    """Beside the archive; what is half unpacked when this is killed is never taken for whole."""
    with tempfile.TemporaryDirectory(dir=place, prefix=".partial") as room, zipfile.ZipFile(archive) as content:
        content.extractall(room)
        for member in Path(room).iterdir():
            if not (place / member.name).exists():
                member.rename(place / member.name)


def _reason(problem: Exception) -> str:
    kind = type(problem).__name__
    text = str(problem)
    if "Connection" in kind or "resolve" in text or "Timeout" in kind:
        return "the network does not answer"
    return (text.split("\n")[0] or kind)[:120]
