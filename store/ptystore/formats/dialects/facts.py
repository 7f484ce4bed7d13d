"""What the caller knows of a scan and its file does not say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ptystore.errors import InputError, InputMissingError, ParameterError
from ptystore.formats.assemble import ReadOptions
from ptystore.formats.dialects.tree import Tree
from ptystore.model.geometry import Fact

__all__ = ["Context", "caller_facts"]


@dataclass(frozen=True)
class Context:
    """All that a dialect is given beside the tree: what the caller said, and how to open a partner.

    `open_tree` raises as opening a file does, and for a file that ptystore wrote.
    """

    options: ReadOptions
    open_tree: Callable[[Path], Tree]
    _asked: set[str] = field(default_factory=set)

    @property
    def entry(self) -> str | None:
        """Which of several entries the caller named."""
        self._asked.add("--entry")
        return self.options.entry

    @property
    def may_lack(self) -> bool:
        """Whether positions of numbers that no frame has are left out, as frames always are.

        Raises `ParameterError` where the caller wants to keep such frames.
        """
        self._asked.add("--unpaired")
        unpaired = self.options.frames.unpaired
        if unpaired == "keep" and self.options.positions.place is None:
            raise ParameterError(
                "can't keep frames without a position of files that are paired by the numbers of "
                "frames: drop, or --positions",
                member="--unpaired",
            )
        return unpaired == "drop"

    def partner(self, tree: Tree, candidates: Iterable[str]) -> Tree | None:
        """The file that belongs to this one: the one the caller named, or the first beside it.

        Raises as `open_tree` does for one that the caller named.
        """
        named = self.options.partner
        self._asked.add("--with")
        if named is not None:
            return self.open_tree(Path(named))
        for name in candidates:
            beside = tree.path.with_name(name)
            if beside != tree.path and beside.is_file():
                try:
                    return self.open_tree(beside)
                except (InputError, InputMissingError):
                    continue
        return None

    def require_all_asked(self, title: str) -> None:
        """Raise `ParameterError` for what the caller said and no reader asked for."""
        is_paired = self.options.positions.place is not None
        unpaired = self.options.frames.unpaired != "refuse" and not is_paired
        for option, is_given, what in (
            ("--with", self.options.partner is not None, "scans in two files"),
            ("--entry", self.options.entry is not None, "files of several entries"),
            ("--unpaired", unpaired, "--positions, and files paired by the numbers of frames"),
        ):
            if is_given and option not in self._asked:
                raise ParameterError(f"is for {what}; this is read as {title}", member=option)


def caller_facts(options: ReadOptions) -> dict[str, Fact]:
    """The facts that the caller gave, which count more than what files say."""
    given = {
        "photon_energy_eV": (options.energy, "--energy"),
        "electron_energy_eV": (options.electron_energy, "--electron-energy"),
        "wavelength_m": (options.wavelength, "--wavelength"),
        "detector_distance_m": (options.distance, "--distance"),
        "detector_pixel_size_m": (options.detector_pixel, "--detector-pixel"),
        "object_pixel_size_m": (options.pixel_size, "--pixel-size"),
        "scan_shape": (options.scan_shape, "--scan-shape"),
    }
    return {
        name: Fact(list(value) if isinstance(value, tuple) else value, source)
        for name, (value, source) in given.items()
        if value is not None
    }
