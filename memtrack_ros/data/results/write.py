"""Files of a benchmark laid together, whole or not at all: in a folder, or packed into a zip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile


def write_folder(out: Path, files: Mapping[str, str]) -> None:
    """Write texts by path into a new folder. OSError when it cannot be, or is there already."""
    with _new(out) as partial:
        for name, text in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def write_zip(out: Path, files: Mapping[str, str]) -> None:
    """Write texts by path into a new zip. OSError when it cannot be, or is there already."""
    with _new(out) as partial, ZipFile(partial, 'x', ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


@contextmanager
def _new(out: Path) -> Iterator[Path]:
    """A place beside `out` for what becomes it in the end."""
    if out.exists():
        raise FileExistsError('it is there already')
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix='.', dir=out.parent) as folder:
        yield Path(folder, out.name)
        Path(folder, out.name).rename(out)
