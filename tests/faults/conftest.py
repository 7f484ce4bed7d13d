"""Prints what the fault tests counted, as one table at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Notes numbers of the running test: ``count("killed", absent=120, complete=80)``."""

    def note(what: str, **numbers: object) -> None:
        words = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in numbers.items())
        record_property("faults", f"{what:<44} {words}")

    return note


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    lines = [
        str(value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", ())
        if name == "faults"
    ]
    if lines:
        terminalreporter.section("faults")
        for line in sorted(lines):
            terminalreporter.write_line(line)
