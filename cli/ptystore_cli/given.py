"""The options that the user gave, as they would be given again."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any, get_type_hints

__all__ = ["given_options"]


def given_options(group: Any) -> list[str]:
    """The options of a group that have other values than their defaults, quoted for a shell."""
    hints = get_type_hints(type(group), include_extras=True)
    told = []
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if value == field.default:
            continue
        declared = next(
            (name for name in _declared(hints[field.name]) if name.startswith("--")),
            f"--{field.name.rstrip('_').replace('_', '-')}",
        )
        if value is True:
            told.append(declared)
            continue
        each = value if isinstance(value, (list, tuple)) else [value]
        told += [f"{declared} {shlex.quote(str(one))}" for one in each]
    return told


def _declared(hint: Any) -> list[str]:
    """The names that an annotation gives an option."""
    return [
        name for option in hint.__metadata__ for name in getattr(option, "param_decls", None) or ()
    ]
