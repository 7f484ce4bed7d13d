"""The options that verbs share, as groups, and how they become options of a verb."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, cast, get_type_hints

import typer

from ptystore import AxisOrder, Filters, MetadataMode, Missing, OtherTools, Signal
from ptystore_cli.options_of_scans import OtherScans
from ptystore_cli.suffixes import told_suffixes

if TYPE_CHECKING:
    import ptystore

__all__ = [
    "ANONYMOUS_HELP",
    "Destination",
    "Jobs",
    "Output",
    "Reading",
    "ReadingHeaders",
    "Slice",
    "Source",
    "Writing",
    "expand_groups",
    "parse_size",
]

_READING = "Reading SRC"
_WRITING = "Writing DST"
_OUTPUT = "Output"

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?\s*", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Bytes from ``"400MB"``, ``"1.5 GiB"``, ``"64k"`` or ``"1000"``: kB is 1000, KiB 1024.

    Raises `typer.BadParameter`, a usage error, for anything else, zero included.
    """
    found = _SIZE.fullmatch(text)
    size = 0
    if found:
        number, prefix, binary = found.groups()
        base = 1024 if binary else 1000
        power = " kmgt".index(prefix.lower()) if prefix else 0
        size = int(Decimal(number) * base**power)
    if not 0 < size < 1 << 63:
        raise typer.BadParameter(f"{text!r} is not a size such as 400MB, 2GB or 1.5GiB")
    return size


def _scan_shape(text: str | None) -> tuple[int, int] | None:
    """``"12,40"`` as (12, 40). Raises `typer.BadParameter` for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,9})\s*[,x]\s*(\d{1,9})\s*", text, re.ASCII)
    if not found:
        raise typer.BadParameter(f"{text!r} is no shape such as 12,40", param_hint="--scan-shape")
    return int(found[1]), int(found[2])


Source = Annotated[
    Path,
    typer.Argument(
        metavar="SRC",
        help="A scan: a file or store of any format (ptystore formats), a folder of "
        "frames, or a quoted pattern of their names.",
    ),
]
Destination = Annotated[
    Path,
    typer.Argument(
        metavar="DST",
        help=f"Where to write; its suffix says the format: {told_suffixes()}.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Workers; one a core if not given."),
]

ANONYMOUS_HELP = "Leave hosts, users and folders out of what is written (or PTYSTORE_ANONYMOUS=1)."

Slice = Annotated[
    int | None,
    typer.Option(min=0, metavar="K", help="Of an object of several slices: which, from 0."),
]


class OpenOptions(OtherTools, total=False):
    """The keyword arguments of `ptystore.open`."""

    axis_order: AxisOrder | None
    per_frame: tuple[str, ...]
    global_: tuple[str, ...]
    signal: Signal | None
    metadata: MetadataMode
    allow_nonfinite: bool
    max_bytes: int | None
    skip: tuple[str, ...]
    rename: dict[str, str]
    missing: Missing
    filters: Filters
    scan_shape: tuple[int, int] | None


class WriteLimits(TypedDict, total=False):
    """The keyword arguments that `ptystore.write` and `ptystore.plan` share."""

    overwrite: bool
    jobs: int | None
    max_memory: int


@dataclass(frozen=True)
class ReadingHeaders(OtherScans):
    """How to take a source whose arrays do not say it all; values are not concerned."""

    axis_order: Annotated[
        AxisOrder | None,
        typer.Option(
            rich_help_panel=_READING,
            help="Order of image stacks: frames first or last. Found out if not given.",
        ),
    ] = None
    per_frame: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="NAME",
            help="An array with one entry for each frame. May be repeated.",
        ),
    ] = None
    global_: Annotated[
        list[str] | None,
        typer.Option(
            "--global",
            rich_help_panel=_READING,
            metavar="NAME",
            help="An array that is one for the whole scan. May be repeated.",
        ),
    ] = None
    skip: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="NAME",
            help="Leave this member or field out, whatever is wrong with it. May be repeated.",
        ),
    ] = None
    rename: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="OLD=NEW",
            help="Take the member OLD as the field NEW. May be repeated.",
        ),
    ] = None
    scan_shape: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=_READING,
            metavar="NY,NX",
            help="Raster of the scan, slow axis first; positions on such a grid are put in a row.",
        ),
    ] = None
    metadata: Annotated[
        MetadataMode,
        typer.Option(
            rich_help_panel=_READING,
            help="A metadata document that is no valid JSON is refused, or kept as it is.",
        ),
    ] = "strict"
    filters: Annotated[
        Filters,
        typer.Option(
            rich_help_panel=_READING,
            help="HDF5 filters that may run: well-known ones, or any that is installed.",
        ),
    ] = "listed"

    def scan(self, source: Path) -> ptystore.Dataset:
        """The scan in `source`, only its headers read."""
        self.require_no_flips_left()
        return self.scan_to_be_flipped(source)

    def scan_to_be_flipped(self, source: Path) -> ptystore.Dataset:
        """The same for a verb that does what `flips_left` tells."""
        import ptystore

        return ptystore.open(source, **self.options())

    def options(self) -> OpenOptions:
        """The keyword arguments of `ptystore.open`."""
        return {
            "axis_order": self.axis_order,
            "per_frame": tuple(self.per_frame or ()),
            "global_": tuple(self.global_ or ()),
            "skip": tuple(self.skip or ()),
            "rename": _pairs(self.rename or ()),
            "scan_shape": _scan_shape(self.scan_shape),
            "metadata": self.metadata,
            "filters": self.filters,
            **cast("OpenOptions", self.other_tools()),
        }


def _pairs(given: Iterable[str]) -> dict[str, str]:
    """New names by old ones, from ``OLD=NEW``: an old name may hold anything, ``=`` too.

    Raises `typer.BadParameter`, a usage error, for another form and for an old name twice.
    """
    pairs: dict[str, str] = {}
    for text in given:
        old, _, new = text.rpartition("=")
        if not (old and new):
            raise typer.BadParameter(f"{text!r} is not OLD=NEW", param_hint="--rename")
        if old in pairs:
            raise typer.BadParameter(f"{old!r} is renamed twice", param_hint="--rename")
        pairs[old] = new
    return pairs


@dataclass(frozen=True)
class Reading(ReadingHeaders):
    """How to take a source that will be read in full."""

    input_signal: Annotated[
        Signal | None,
        typer.Option(
            rich_help_panel=_READING,
            help="What floating-point frames are. Amplitude if neither this nor the metadata says; "
            "of whole numbers canonicalize wants to know.",
        ),
    ] = None
    allow_nonfinite: Annotated[
        bool,
        typer.Option(
            "--allow-nonfinite",
            rich_help_panel=_READING,
            help="Let NaN and infinite scan positions pass.",
        ),
    ] = False
    missing: Annotated[
        Missing,
        typer.Option(
            rich_help_panel=_READING,
            help="Frames and positions never written are refused, or get the fill value.",
        ),
    ] = "refuse"
    max_bytes: Annotated[
        int | None,
        typer.Option(
            parser=parse_size,
            rich_help_panel=_READING,
            metavar="SIZE",
            help="Refuse a source that declares more, uncompressed.",
        ),
    ] = None

    def options(self) -> OpenOptions:
        return {
            **super().options(),
            "signal": self.input_signal,
            "allow_nonfinite": self.allow_nonfinite,
            "missing": self.missing,
            "max_bytes": self.max_bytes,
        }


@dataclass(frozen=True)
class Writing:
    """How to write a destination."""

    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel=_WRITING,
            help="Replace DST, once the new one is complete, if ptystore wrote it.",
        ),
    ] = False
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=_WRITING,
            metavar="N",
            help="Workers; one a core if not given, fewer where memory is short.",
        ),
    ] = None
    max_memory: Annotated[
        int | None,
        typer.Option(
            parser=parse_size,
            rich_help_panel=_WRITING,
            metavar="SIZE",
            help="Memory to use beside probe and object; about 400MB if not given.",
        ),
    ] = None
    anonymous: Annotated[
        bool, typer.Option("--anonymous", rich_help_panel=_WRITING, help=ANONYMOUS_HELP)
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=_WRITING,
            help="Print the plan (fields, chunks, bytes, peak memory); write nothing.",
        ),
    ] = False

    def limits(self) -> WriteLimits:
        """The keyword arguments of `ptystore.write` and `ptystore.plan`."""
        given: WriteLimits = {"overwrite": self.overwrite, "jobs": self.jobs}
        return given if self.max_memory is None else {**given, "max_memory": self.max_memory}


@dataclass(frozen=True)
class Output:
    """What to print."""

    json: Annotated[
        bool,
        typer.Option("--json", rich_help_panel=_OUTPUT, help="Print one JSON object."),
    ] = False
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", rich_help_panel=_OUTPUT, help="Print nothing but errors."),
    ] = False
    debug: Annotated[
        bool,
        typer.Option("--debug", rich_help_panel=_OUTPUT, help="Show the traceback of an error."),
    ] = False


def expand_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """`verb` with a parameter for each option of the groups (dataclasses) that it takes.

    An option of its own counts more than one of that name in a group, which keeps its default.
    typer reads signatures, so the groups' fields are put into one; otherwise each verb would
    repeat some twenty parameters and hand them on one by one.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }

    own = set(hints) - set(groups)

    @functools.wraps(verb)
    def expanded(**given: object) -> None:
        for name, group in groups.items():
            members = [field.name for field in dataclasses.fields(group) if field.name not in own]
            given[name] = group(**{member: given.pop(member) for member in members})
        verb(**given)

    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb).parameters.items():
        if name in groups:
            group: Any = groups[name]  # to mypy a class of classes can't be a key of the cache
            parameters += [one for one in _parameters_of(group) if one.name not in own]
        else:
            keyword = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=keyword, annotation=hints[name]))
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded


@functools.cache
def _parameters_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in dataclasses.fields(group)
    ]
