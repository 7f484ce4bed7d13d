"""Attributes of which some are found by a first pass over the scan, when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["DeferredAttrs", "known_attrs", "with_attrs"]


class DeferredAttrs(Mapping[str, Any]):
    """A field's attributes; `deferred` ones are computed by looking them up, and only by that.

    Which there are can be asked without computing any.
    """

    def __init__(self, known: Mapping[str, Any], deferred: Mapping[str, Callable[[], Any]]) -> None:
        self._known = dict(known)
        self._deferred = {name: find for name, find in deferred.items() if name not in known}

    @property
    def known(self) -> dict[str, Any]:
        """Those that need no computing, and None for each of the others."""
        return self._known | dict.fromkeys(self._deferred)

    def merged(self, changes: Mapping[str, Any]) -> DeferredAttrs:
        """The same with some set anew."""
        return DeferredAttrs(self._known | dict(changes), self._deferred)

    def __getitem__(self, name: str) -> Any:
        return self._deferred[name]() if name in self._deferred else self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._deferred

    def __iter__(self) -> Iterator[str]:
        return iter([*self._known, *self._deferred])

    def __len__(self) -> int:
        return len(self._known) + len(self._deferred)


def known_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as a dict, None for those that would have to be computed."""
    return attrs.known if isinstance(attrs, DeferredAttrs) else dict(attrs)


def with_attrs(attrs: Mapping[str, Any], changes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes with some set anew, computing none."""
    return attrs.merged(changes) if isinstance(attrs, DeferredAttrs) else {**attrs, **changes}
