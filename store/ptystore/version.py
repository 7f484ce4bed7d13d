"""The name and version that go into records and stores."""

from __future__ import annotations

__all__ = ["software", "version"]


def version() -> str:
    """The installed version of ptystore, ``0+unknown`` where it runs from a bare checkout."""
    # Imported only when asked for: it costs more than the rest of a short command.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("ptystore")
    except PackageNotFoundError:
        return "0+unknown"


def software() -> str:
    """``ptystore X.Y.Z``, as transformation records and stores name it."""
    return f"ptystore {version()}"
