"""How a file was taken, what is known of the experiment, and what would complete it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ptystore_cli.options import Output
from ptystore_cli.terminal import printable, say, table

__all__ = ["print_experiment", "understood_line"]

# Prefixes of units by powers of ten.
_PREFIXES = ((3, "k"), (0, ""), (-3, "m"), (-6, "u"), (-9, "n"), (-12, "p"))
_UNITS = {"_eV": "eV", "_m": "m", "_s": "s"}


def understood_line(about: Mapping[str, Any]) -> str | None:
    """``read as cxi (CXI 1.6), known by …; it has /cxi_version``, or what it is near to.

    None of what ptystore wrote.
    """
    understood = about["understood"]
    if understood is None or understood["ours"]:
        return None
    dialect, keys = understood["dialect"], ", ".join(understood["keys"])
    if dialect is None:
        nearest = f"; {understood['nearest']}" if understood["nearest"] else ""
        return printable(f"read as {understood['title']}: {understood['why']}{nearest}")
    has = f"; it has {keys}" if keys else ""
    return printable(f"read as {dialect} ({understood['title']}), {understood['why']}{has}")


def print_experiment(about: Mapping[str, Any], output: Output) -> None:
    """The facts with their sources, those that are missing, and the commands that give them."""
    rows = [
        [name, _shown(name, fact["value"]), fact["source"]]
        for name, fact in about["geometry"].items()
    ]
    center = (about["raw_frame"] or {}).get("center_px")
    if center is not None:
        rows.append(["center_px", _shown("center_px", center), "raw_frame"])
    if rows:
        say("", output)
        say(table(["fact", "value", "from"], rows), output)
    if about["missing"]:
        say("", output)
        names = ", ".join(lack["name"] for lack in about["missing"])
        say(f"missing: {printable(names)}", output)
    for command in about["completed_by"]:
        say(f"complete it with: {printable(command)}", output)


def _shown(name: str, value: Any) -> str:
    """``8.8 keV``, ``75 × 75 um``; numbers without a unit, and texts, as they are."""
    unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)
    values: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    between = ", " if "center" in name else " × "
    if unit is None or name.endswith("_per_s"):
        return between.join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    largest = max(abs(float(one)) for one in values)
    power, prefix = next(
        ((power, prefix) for power, prefix in _PREFIXES if largest >= 0.9999 * 10.0**power),
        _PREFIXES[-1] if largest else (0, ""),
    )
    numbers = between.join(f"{float(one) / 10.0**power:.6g}" for one in values)
    return f"{numbers} {prefix}{unit}"
