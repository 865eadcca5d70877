"""Tables of tensors in safetensors files that carry the hash of what they hold."""

from __future__ import annotations

import hashlib
import reprlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from memtrack_ros.errors import MemtrackError


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors` (CPU) with `metadata` and their hash; replaces `path` in one step.

    Raises OSError or SafetensorError, with `path` as it was, when it cannot be written.
    """
    table = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # Beside `path`, so that it can be replaced, and under a name that nobody else has.
    with tempfile.TemporaryDirectory(prefix='.', dir=path.parent) as folder:
        partial = Path(folder, path.name)
        save_file(table, partial, {**metadata, 'sha256': digest(table)})
        partial.replace(path)


def read(
    path: Path, expected: Mapping[str, str], error: type[MemtrackError], remedy: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file; nothing in it is executed.

    Raises `error`, with the `remedy` at the end of its sentence, when the file is damaged or its
    metadata are not as `expected`.
    """
    try:
        with safe_open(path, framework='pt') as file:
            metadata = file.metadata() or {}
            for key, value in expected.items():
                if (found := metadata.get(key)) != value:
                    raise error(
                        f'{path} has {key} {reprlib.repr(found)}, but {value!r} is needed; '
                        f'{remedy}.'
                    )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as reason:
        raise error(f'{path} is damaged or no safetensors file ({reason}); {remedy}.') from reason
    if metadata.get('sha256') != digest(tensors):
        raise error(
            f'{path} is damaged: its tensors do not have the hash it was saved with; {remedy}.'
        )
    return tensors, metadata


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of all tensors, in the order of their names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        sha.update(f'{name} {tensor.dtype} {tuple(tensor.shape)} '.encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
