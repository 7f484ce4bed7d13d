"""Studies of a small reconstruction, and what several test files ask of their hubs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ptystore import run_study
from ptystore.study.run import StudyReport
from reconstructions import reconstruction


def save_base(path: Path) -> Path:
    """A reconstruction of 32 frames of 32×32 pixels, as another tool would leave it."""
    given = reconstruction()
    del given["detector_mask"]
    np.savez(path, **given)
    return path


def small(hub: Path, base: Path, **changes: Any) -> StudyReport:
    """One dose, one view, both splits, unless asked."""
    options: dict[str, Any] = {"doses": [200], "views": ["dense"], **changes}
    return run_study(hub, base, **options)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and its bytes."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def digests(hub: Path) -> dict[str, str]:
    """What the manifest says of every product."""
    document = json.loads((hub / "run_manifest.json").read_text())
    return {one["path"]: one["digest"] for one in document["products"]}
