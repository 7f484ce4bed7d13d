"""The options of `prepare` by which another scan was made, in one pass or in several."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ptystore.errors import InputError, located
from ptystore.model.contract import RECORD_NAMES
from ptystore.model.dataset import Dataset

__all__ = ["prepare_options"]

_IMAGES = ("mask", "dark", "flat")
_PAIRS = ("threshold", "crop", "bin", "pad")

# The steps of one pass in their order, by what is there if none was asked for.
_STEPS: Sequence[Mapping[str, Any]] = (
    {"mask": None, "find_bad": False},
    {"dark": None, "flat": None},
    {"threshold": None},
    {"orientation": 0, "crop": None, "bin": [1, 1], "pad": None},
)


def prepare_options(dataset: Dataset, *, given: Collection[str] = ()) -> dict[str, Any]:
    """The keyword arguments of `prepare` that its record in a scan's history says.

    Several records are taken for one where each goes on where the last one ended: a centre that
    was said, a mask, and then a crop. A centre that the scan's own file gave is left to the next
    file. `given` are arguments that the caller has himself: images come from files, of which a
    record keeps the names alone.

    Raises `InputError` where the scan was not prepared, or in several passes that are not one,
    or where it was with an image that is not given.
    """
    with located(file=dataset.file):
        found = _as_one(_records(dataset))
        options: dict[str, Any] = {
            name: found[name] for name in ("orientation", "mask_good", "find_bad") if name in found
        }
        options |= {name: tuple(found[name]) for name in _PAIRS if isinstance(found[name], list)}
        if found.get("center_from") in ("caller", "estimate"):
            options["center"] = tuple(found["center"])
        for name in _IMAGES:
            if found[name] == "own":
                options[name] = True
            elif found[name] is not None and name not in given:
                raise InputError(
                    f"was prepared with the {name} of a file, {found[name]!r}",
                    advice=f"--{name} FILE names it",
                )
        return {name: value for name, value in options.items() if name not in given}


def _records(dataset: Dataset) -> list[dict[str, Any]]:
    history = dataset.metadata.history if dataset.metadata is not None else []
    names = RECORD_NAMES["prepare"]
    told = [one for one in history if (one.get("tool"), one.get("operation")) == names]
    if not told:
        raise InputError("was never prepared: there is no way that could be repeated")
    found = []
    for record in told:
        parameters = record.get("parameters")
        needed = {*_IMAGES, *_PAIRS, "orientation"}
        if not isinstance(parameters, dict) or not needed <= parameters.keys():
            raise InputError("its record of prepare is not what ptystore writes")
        found.append(parameters)
    return found


def _as_one(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What one pass would record. Raises `InputError` where none does what several did."""
    made = dict(records[0])
    last = _steps(made)
    for record in records[1:]:
        steps = _steps(record)
        if last and steps and min(steps) <= max(last):
            raise InputError(
                f"was prepared {len(records)} times, of which one pass does not do the same: "
                "there is no one way that could be repeated"
            )
        asked = {
            name: record[name]
            for step in _STEPS
            for name, unset in step.items()
            if record.get(name, unset) != unset
        }
        if record["mask"] is not None:
            asked["mask_good"] = record.get("mask_good", False)
        if record.get("center_from") in ("caller", "estimate"):
            asked |= {name: record[name] for name in ("center", "center_from")}
        made |= asked
        last = [*last, *steps]
    return made


def _steps(record: Mapping[str, Any]) -> list[int]:
    """Which steps of a pass were asked for."""
    return [
        number
        for number, step in enumerate(_STEPS)
        if any(record.get(name, unset) != unset for name, unset in step.items())
    ]
