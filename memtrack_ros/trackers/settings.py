"""What a user chooses of a tracker's settings: a set of them by name, single ones by value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from memtrack_ros.errors import ConfigurationError

WORDS = {'true': True, 'on': True, 'false': False, 'off': False}
MOST = 10**6  # of any setting

Settings = TypeVar('Settings', bound=Any)  # a NamedTuple


@dataclass(frozen=True)
class Chosen:
    """`named` is a set's name, empty for the default; `changes` are NAME: VALUE, as written."""

    named: str = ''
    changes: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return ', '.join([self.named, *(f'{n}={v}' for n, v in self.changes.items())]).strip(', ')

    def of(self, tracker: str, sets: Mapping[str, Settings], free: Mapping[str, float]) -> Settings:
        """The settings chosen of named `sets`, the first of which is the default.

        `free` are the names that may be changed, with the least value of each. ConfigurationError
        for a name that is not there, with those that are, and for a value that none can have.
        """
        if self.named and self.named not in sets:
            raise ConfigurationError(
                f'There are no settings {self.named!r} of {tracker}; set settings to one of: '
                f'{", ".join(sets)}.'
            )
        settings = sets[self.named or next(iter(sets))]
        changed: Settings = settings._replace(
            **{
                name: self._value(tracker, name, text, settings, free)
                for name, text in self.changes.items()
            }
        )
        return changed

    def _value(
        self, tracker: str, name: str, text: str, settings: Any, free: Mapping[str, float]
    ) -> Any:
        if name not in free:
            raise ConfigurationError(
                f'There is no setting {name!r} of {tracker} to be changed; name one of: '
                f'{", ".join(free)}.'
            )
        kind = type(getattr(settings, name))
        try:
            value = WORDS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            wanted = {bool: 'true or false', int: 'a whole number'}.get(kind, 'a number')
            raise ConfigurationError(
                f'{name} of {tracker} cannot be {text!r}; give {wanted}.'
            ) from None
        if not (math.isfinite(value) and free[name] <= value <= MOST):
            raise ConfigurationError(
                f'{name} of {tracker} cannot be {text}; give {free[name]:g} to {MOST}.'
            )
        return value


DEFAULTS = Chosen()
