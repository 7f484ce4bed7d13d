"""One measured run in a process of its own.

`python -m benchmarks.worker REQUEST`, both it and the answer, the last line printed, are JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.timing import Run, measure


def main() -> None:
    """Answer the one request on the command line."""
    request = json.loads(sys.argv[1])
    run = Run(Path(request["data"]), Path(request["out"]), request["seed"])
    print(json.dumps(measure(request["function"], request["arguments"], run)))


if __name__ == "__main__":
    main()
