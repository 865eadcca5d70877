"""A folder of numeric references, and the comparison with one of its arrays."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from memtrack_ros.errors import ConfigurationError
from memtrack_ros.weights.convert import convert
from memtrack_ros.weights.files import Calibration, Weights, load_weights, save_weights

SINGLE, HALF, OPTIMISED, EXACT = 1e-3, 2e-3, 1e-2, 0.0  # tolerances, relative to the largest value

Array = NDArray[Any]


@dataclass(frozen=True)
class Check:
    """One array of a reference: how far ours is from it, and how far it may be."""

    array: str
    shape: tuple[int, ...]
    error: float  # largest difference over the largest value; inf where shapes differ
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether ours is theirs; nan is not."""
        return self.error <= self.tolerance


def check(
    array: str, ours: Tensor | ArrayLike, theirs: Array, tolerance: float | None = None
) -> Check:
    """Compare; the tolerance, unless given, is that of the precision `theirs` was stored in."""
    if tolerance is None:
        tolerance = HALF if theirs.dtype == np.float16 else SINGLE
    own = np.asarray(ours.detach().cpu() if isinstance(ours, Tensor) else ours)
    if own.shape != theirs.shape:
        return Check(array, own.shape, math.inf, tolerance)
    difference = np.abs(own.astype(np.float64) - theirs.astype(np.float64)).max(initial=0.0)
    largest = np.abs(theirs.astype(np.float64)).max(initial=0.0)
    error = float(difference / largest) if largest else float(difference)
    return Check(array, own.shape, error, tolerance)


def apart(array: str, ours: Tensor | ArrayLike, theirs: Array, tolerance: float) -> Check:
    """Compare; the tolerance is of any single difference. Theirs may have nan where ours has."""
    own = np.asarray(ours.detach().cpu() if isinstance(ours, Tensor) else ours).astype(np.float64)
    if own.shape != theirs.shape:
        return Check(array, own.shape, math.inf, tolerance)
    wanted = theirs.astype(np.float64)
    difference = np.abs(np.where(np.isnan(own) & np.isnan(wanted), 0, own - wanted))
    return Check(array, own.shape, float(difference.max(initial=0.0)), tolerance)


class Arrays(Mapping[str, Array]):
    """The arrays of a file; `untouched` are those that nobody has asked for."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays, self.untouched = arrays, set(arrays)

    def __getitem__(self, name: str) -> Array:
        self.untouched.discard(name)
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def skipped(self) -> Iterator[Check]:
        """A check each, which does not hold, of the arrays of numbers that are untouched."""
        for name in sorted(self.untouched):
            if self._arrays[name].dtype.kind != 'U':
                yield Check(f'{name} (skipped)', self._arrays[name].shape, math.inf, EXACT)


@dataclass(frozen=True)
class Reference:
    """The folder, and the salt that its weights were drawn with."""

    folder: Path
    salt: int = 0

    def arrays(self, name: str) -> Arrays:
        """The arrays of `name`.npz; ConfigurationError where the folder lacks it."""
        path = self.folder / f'{name}.npz'
        if not path.is_file():
            raise ConfigurationError(f'There is no {path}; name the folder of the references.')
        with np.load(path, allow_pickle=False) as archive:
            return Arrays({key: archive[key] for key in archive.files})

    def state(self, keys_file: str) -> dict[str, Array]:
        """The weights that the folder's fill.py draws for the parameters in `keys_file`."""
        if not (self.folder / keys_file).is_file():
            raise ConfigurationError(
                f'There is no {self.folder / keys_file}; name the folder of the references.'
            )
        drawn: dict[str, Array] = self._fill.state(self.folder / keys_file, self.salt)
        return drawn

    def weights(self, tracker: str, *checkpoints: Mapping[str, Array]) -> Weights:
        """`checkpoints`, in the authors' names, as our converter and our loader hand them on.

        Names as TensorFlow has them ('scope/name') are saved as a NumPy archive, others by torch.
        """
        with tempfile.TemporaryDirectory() as folder:
            paths = []
            for index, arrays in enumerate(checkpoints):
                if any('/' in name for name in arrays):
                    paths.append(Path(folder, f'{index}.npz'))
                    np.savez(paths[-1], allow_pickle=False, **dict(arrays))
                else:
                    paths.append(Path(folder, f'{index}.pth'))
                    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
                    torch.save({'state_dict': tensors}, paths[-1])
            ours = Path(folder, 'ours.safetensors')
            save_weights(
                ours, tracker, 'paper', convert(tracker, paths), Calibration(1.0, 0.0), 'drawn'
            )
            return load_weights(ours, tracker, 'paper')

    @cached_property
    def _fill(self) -> Any:
        """The folder's own fill.py."""
        path = self.folder / 'fill.py'
        if not path.is_file():
            raise ConfigurationError(f'There is no {path}; name the folder of the references.')
        spec = importlib.util.spec_from_file_location('fill', path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
