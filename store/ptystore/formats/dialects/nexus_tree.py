"""Groups of a NeXus file by their class, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterator

from ptystore.formats.dialects.tree import Tree, text

__all__ = ["below", "class_of", "definition_of", "entries_of"]

#: Links may lead round in a circle: nobody nests groups deeper.
_DEPTH = 6

_MOST = 10_000


def class_of(tree: Tree, path: str) -> str | None:
    """The NX_class of a group."""
    found = text(tree, f"{path}@NX_class")
    return None if found is None else found[0].strip()


def entries_of(tree: Tree, definition: str | None = None) -> list[str]:
    """The names of the entries at the root; of those with a definition, if it is given."""
    groups = [name for name in tree.children() if tree.kind(f"/{name}") == "group"]
    if definition is not None:
        return [name for name in groups if definition_of(tree, f"/{name}") == definition]
    return [name for name in groups if class_of(tree, f"/{name}") == "NXentry"]


def definition_of(tree: Tree, entry: str) -> str | None:
    """The application that an entry says it follows."""
    found = text(tree, f"{entry}/definition")
    return None if found is None else found[0].strip()


def below(tree: Tree, group: str, *classes: str) -> list[str]:
    """The paths of all groups of one of the classes in a group, the nearest first.

    One that links lead to as well is there once.
    """
    found: list[str] = []
    for path in _groups(tree, group):
        if class_of(tree, path) in classes and not any(tree.is_same(path, one) for one in found):
            found.append(path)
    return found


def _groups(tree: Tree, group: str) -> Iterator[str]:
    level, count = [group], 0
    for _ in range(_DEPTH):
        inner = [
            f"{path}/{name}"
            for path in level
            for name in tree.children(path)
            if tree.kind(f"{path}/{name}") == "group"
        ]
        count += len(inner)
        if count > _MOST:
            return
        yield from inner
        level = inner
