"""The formats that are known, as a table, and one of them as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ptystore_cli.options import Output
from ptystore_cli.printing.words import print_json
from ptystore_cli.terminal import printable, say, table

if TYPE_CHECKING:
    import ptystore

__all__ = ["print_format", "print_formats"]

# What a scan is made of, by fields and facts, and what the table calls it.
_PARTS = (
    ("frames", ("diffraction",)),
    ("positions", ("xcoords",)),
    ("probe", ("probeGuess",)),
    ("object", ("objectGuess",)),
    ("mask", ("mask",)),
    ("energy", ("photon_energy_eV", "electron_energy_eV", "wavelength_m")),
    ("distance", ("detector_distance_m",)),
    ("pixel", ("detector_pixel_size_m", "object_pixel_size_m")),
)


def print_formats(found: Sequence[ptystore.KnownFormat], output: Output) -> None:
    """A line for each: name, what it is, containers, what is read of it, what is written."""
    rows = [
        [
            one.name,
            one.title,
            ", ".join(one.layout.containers),
            "all" if one.is_ours else ", ".join(_parts(one.layout.gives)) or "nothing by itself",
            ", ".join(one.suffixes),
        ]
        for one in found
    ]
    say(table(["name", "what it is", "container", "read", "written as"], rows), output)
    say("", output)
    say("ptystore formats --show NAME has its keys; --dialect NAME reads a file as one", output)
    print_json({"formats": [one.to_dict() for one in found]}, output)


def _parts(gives: Iterable[str]) -> list[str]:
    known = set(gives)
    return [part for part, names in _PARTS if known.intersection(names)]


def print_format(one: ptystore.KnownFormat, output: Output) -> None:
    """How a format is laid out: its keys as a tree, what is needed, units, what each becomes."""
    say(f"{one.name}: {one.title}", output)
    say(f"in {', '.join(one.layout.containers)}; known by {one.layout.known_by}", output)
    say("", output)
    rows = list(_tree(one.layout.items))
    columns = ["key", "", "what", "unit", "becomes"]
    say(table(columns, rows), output)
    for note in one.layout.notes:
        say("", output)
        say(printable(note), output)
    print_json(one.to_dict(), output)


def _tree(items: Sequence[ptystore.Item]) -> Iterator[list[str]]:
    """A row for each item and for each group above it, indented, groups together."""
    branches: dict[str, ptystore.Item | None] = {}
    for one in items:
        place, mark, attribute = one.path.partition("@")
        names = [name for name in place.split("/") if name]
        for depth in range(1, len(names)):
            branches.setdefault("/" + "/".join(names[:depth]), None)
        path = "/" + "/".join(names) + (f"{mark}{attribute}" if mark else "")
        branches[path] = one
        if mark and names:
            branches.setdefault("/" + "/".join(names), None)
    yield ["/", "", "", "", ""]
    for path, item in sorted(branches.items(), key=_Places(list(branches))):
        place, mark, attribute = path.partition("@")
        depth = place.rstrip("/").count("/") + bool(mark)
        name = f"@{attribute}" if mark else place.rpartition("/")[2]
        below = any(other.startswith(f"{path}/") for other in branches)
        told = f"{'  ' * depth}{name}{'/' if below else ''}"
        if item is None:
            yield [told, "", "", "", ""]
        else:
            need = "needed" if item.required else ""
            yield [told, need, item.what, item.unit, ", ".join(item.gives)]


class _Places:
    """The key by which what is in a group stands below it, in the order in which groups came."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._order = {path: at for at, path in enumerate(paths)}

    def __call__(self, branch: tuple[str, ptystore.Item | None]) -> list[int]:
        path = branch[0]
        place, mark, _ = path.partition("@")
        names = [name for name in place.split("/") if name]
        above = ["/" + "/".join(names[: depth + 1]) for depth in range(len(names))]
        # Attributes stand before what is in a group.
        own = [self._order[path] - len(self._order)] if mark else []
        return [self._order[one] for one in above] + own
