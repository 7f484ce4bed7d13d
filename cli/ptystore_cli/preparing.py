"""The options of `prepare`, which `ingest` takes too, and presets that keep options in a file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import ptystore

__all__ = ["Preparing"]

_PREPARING = "Preparing raw frames"
_IMAGE = "FILE[:KEY]"


def _load_preset(context: typer.Context, file: Path | None) -> Path | None:
    """Take a TOML file's options for what the command line does not say.

    Raises `typer.BadParameter` for a file that can't be read and for what is no option.
    """
    if file is None:
        return None
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise typer.BadParameter(f"{file}: {reason}", param_hint="--preset") from None
    known = {
        name.removeprefix("--"): one
        for one in context.command.params
        for name in one.opts
        if name.startswith("--") and name not in ("--preset", "--help", "--debug")
    }
    values: dict[str, Any] = {}
    for key, value in found.items():
        option = known.get(key.replace("_", "-"))
        if option is None or option.name is None:
            there = ", ".join(sorted(known))
            raise typer.BadParameter(
                f"{file}: {key} is no option of ptystore {context.info_name}; there are {there}",
                param_hint="--preset",
            )
        values[option.name] = _as_typed(value, is_multiple=getattr(option, "multiple", False))
    context.default_map = {**(context.default_map or {}), **values}
    return file


def _as_typed(value: Any, *, is_multiple: bool) -> Any:
    """A value of TOML as the command line has it: lists with commas, tables as KEY=VALUE."""
    if isinstance(value, dict):
        return [f"{key}={_as_typed(one, is_multiple=False)}" for key, one in value.items()]
    if isinstance(value, list):
        parts = [str(one) for one in value]
        return parts if is_multiple else ",".join(parts)
    if isinstance(value, bool):
        return value
    return [str(value)] if is_multiple else str(value)


@dataclass(frozen=True)
class Preparing:
    """What becomes of raw frames; see `ptystore.prepare`."""

    preset: Annotated[
        Path | None,
        typer.Option(
            callback=_load_preset,
            is_eager=True,
            rich_help_panel=_PREPARING,
            metavar="scan.toml",
            help="Options of this verb, of any group, kept in a file; those that are given count "
            "more.",
        ),
    ] = None
    like: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar="PATH",
            help="Prepare as the record in this scan says; options that are given count more.",
        ),
    ] = None
    orientation: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=7,
            rich_help_panel=_PREPARING,
            metavar="0..7",
            help="Turn raw frames: 4 transposes, then 2 flips rows, then 1 flips columns.",
        ),
    ] = None
    mask: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar=_IMAGE,
            help="Bad pixels besides those of SRC: True, or CXI bits.",
        ),
    ] = None
    mask_good: Annotated[
        bool,
        typer.Option(
            "--mask-good", rich_help_panel=_PREPARING, help="In --mask True is a good pixel."
        ),
    ] = False
    find_bad: Annotated[
        bool,
        typer.Option(
            "--find-bad",
            rich_help_panel=_PREPARING,
            help="Mask hot and dead pixels too, by the counts of a sample of frames.",
        ),
    ] = False
    dark: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar=f"own|{_IMAGE}",
            help="Counts to take off every frame; own is the scan's background.",
        ),
    ] = None
    flat: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar=f"own|{_IMAGE}",
            help="Sensitivity to divide by; own is the scan's flatfield.",
        ),
    ] = None
    threshold: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar="LO,HI",
            help="Counts below LO or above HI become zero; either may be left out.",
        ),
    ] = None
    center: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar="Y,X|auto",
            help="Pixel of zero frequency in the frames of SRC; counts more than what SRC says; "
            "auto estimates it.",
        ),
    ] = None
    crop: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar="N[,M]",
            help="Keep so many pixels around the centre.",
        ),
    ] = None
    bin: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING, metavar="N[,M]", help="Sum so many pixels into one."
        ),
    ] = None
    pad: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_PREPARING,
            metavar="N[,M]",
            help="Put masked zeros around, up to so many pixels.",
        ),
    ] = None

    @property
    def is_asked(self) -> bool:
        """Whether any of them was given."""
        return any(
            getattr(self, one.name) not in (None, False)
            for one in fields(self)
            if one.name != "preset"
        )

    def prepared(self, scan: ptystore.Dataset) -> ptystore.Dataset:
        """The scan as these options say."""
        import ptystore

        given = self._given()
        if self.like is not None:
            other = ptystore.open(self.like)
            given = {**ptystore.prepare_options(other, given=given), **given}
        return ptystore.prepare(scan, **given)

    def _given(self) -> dict[str, Any]:
        """The keyword arguments of `ptystore.prepare` that were given."""
        import ptystore

        given: dict[str, Any] = {}
        names: dict[str, str] = {}
        for name in ("mask", "dark", "flat"):
            place = getattr(self, name)
            if place == "own" and name != "mask":
                given[name] = True
            elif place is not None:
                given[name], names[name] = ptystore.read_image(place)
        for name, is_given in (("mask_good", self.mask_good), ("find_bad", self.find_bad)):
            given |= {name: True} if is_given else {}
        for name in ("crop", "bin", "pad"):
            text = getattr(self, name)
            if text is not None:
                given[name] = _sizes(text, f"--{name}")
        if self.orientation is not None:
            given["orientation"] = self.orientation
        if self.threshold is not None:
            given["threshold"] = _limits(self.threshold)
        if self.center is not None:
            given["center"] = "auto" if self.center == "auto" else _point(self.center)
        return given | ({"names": names} if names else {})


def _sizes(text: str, option: str) -> tuple[int, int]:
    try:
        sizes = [int(one) for one in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) not in (1, 2):
        raise typer.BadParameter(f"{text!r} is neither N nor N,M", param_hint=option)
    return sizes[0], sizes[-1]


def _limits(text: str) -> tuple[float | None, float | None]:
    low, _, high = text.partition(",")
    try:
        return (float(low) if low.strip() else None), (float(high) if high.strip() else None)
    except ValueError:
        reason = f"{text!r} is no range LO,HI"
        raise typer.BadParameter(reason, param_hint="--threshold") from None


def _point(text: str) -> tuple[float, float]:
    try:
        y, x = (float(one) for one in text.split(","))
    except ValueError:
        reason = f"{text!r} is neither Y,X nor auto"
        raise typer.BadParameter(reason, param_hint="--center") from None
    return y, x
