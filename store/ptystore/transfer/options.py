"""How to write and how to check: what a caller may say of a pass over all values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ptystore.errors import ParameterError
from ptystore.model.choices import Compression
from ptystore.pools.base import Pool

__all__ = ["DEFAULT_MAX_MEMORY", "CheckOptions", "Progress", "WorkOptions", "WriteOptions"]

# Called with the uncompressed bytes that were finished since the last call.
Progress = Callable[[int], None]

#: What a write may use beside the global arrays, by default.
DEFAULT_MAX_MEMORY = 400 << 20


@dataclass(frozen=True, kw_only=True)
class WorkOptions:
    """Who does the work: `jobs` threads, by default one a core, in `max_memory` bytes.

    A `pool` of the caller's does it instead, and stays open.
    """

    jobs: int | None = None
    max_memory: int = DEFAULT_MAX_MEMORY
    pool: Pool | None = None
    progress: Progress = lambda _: None


@dataclass(frozen=True, kw_only=True)
class CheckOptions(WorkOptions):
    """How to verify: `fast` compares lengths and headers, and reads no values."""

    fast: bool = False


@dataclass(frozen=True, kw_only=True)
class WriteOptions(WorkOptions):
    """How to write: whether to replace what is there.

    `renews` says that the destination may be the source, a new version of which takes its place.
    `compression` and `level` are for the formats whose rows name them. Raises
    `ParameterError` for a level that there is not, or one of what is stored uncompressed.
    """

    overwrite: bool = False
    renews: bool = False
    compression: Compression = "deflate"
    level: int | None = None

    def __post_init__(self) -> None:
        if self.level is None:
            return
        if not 0 <= self.level <= 9:
            raise ParameterError(f"level {self.level}: there are 0 to 9")
        if self.compression == "store":
            raise ParameterError("a level is for deflate; what is stored is not compressed")
