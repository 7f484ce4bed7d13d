"""Peak resident memory, measured in child processes: bounded, whatever the number of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scans import spawned

MIB = 1 << 20
LIMIT = 400 * MIB
FLAT = 1.15

WORK = """
import re, sys
import ptystore

verb, source, target = sys.argv[1:]
dataset = ptystore.open(source)
if verb == "ingest":
    dataset = ptystore.ingest(dataset)
elif verb == "canonicalize":
    dataset = ptystore.canonicalize(dataset)
elif verb == "patch":
    dataset = ptystore.extract_patches(dataset)
if verb == "digest":
    ptystore.digest(dataset)
else:
    ptystore.write(dataset, target)
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def raw(path: Path, nbytes: int, *, last: bool = False, deflated: bool = True) -> Path:
    \"\"\"A raw scan of 64×64 uint16 counts, `nbytes` large, written frame block by frame block.\"\"\"
    return path
