"""What all printing has in common: counts and shapes in words, and the JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ptystore_cli.options import Output

__all__ = ["by", "plural", "print_json"]


def print_json(document: Mapping[str, Any], output: Output) -> None:
    """The one JSON object of a verb, where it is asked for; plain ASCII, so safe anywhere."""
    if output.json:
        print(json.dumps(document, allow_nan=False, indent=2))


def by(shape: Sequence[int] | None) -> str:
    """``(64, 32)`` → ``64×32``; empty where there is none."""
    return "×".join(str(n) for n in shape or ())


def plural(count: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
