"""Advice as the verb that is running can take it: whose options it names is said where not its own.

The library advises in the words of the command line, but does not know which verb called it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

__all__ = ["fitting_advice", "options_in"]

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def options_in(text: str) -> list[str]:
    """The options that a text names, in order: ``["--axis-order"]``."""
    return _OPTION.findall(text)


def fitting_advice(advice: str, verb: str, options: Mapping[str, Collection[str]]) -> str:
    """The advice, with the verb that takes an option of which the running one has none.

    `options` are those of every verb. What is no verb's is another program's (``pip install
    --upgrade``), and an option after the name of a verb that has it is clear as it is.
    """
    foreign: dict[str, str] = {}
    for found in _OPTION.finditer(advice):
        option, before = found.group(), set(re.findall(r"\w+", advice[: found.start()]))
        takers = [name for name, own in options.items() if option in own]
        if takers and verb not in takers and not before.intersection(takers):
            foreign[option] = takers[0]
    told = [f"{option} is an option of ptystore {taker}" for option, taker in foreign.items()]
    return f"{advice} ({'; '.join(told)})" if told else advice
