"""All benchmarks, as data."""

from benchmarks.case import Case
from benchmarks.cases import detector, exporting, reading, writing

CASES: tuple[Case, ...] = (*writing.CASES, *exporting.CASES, *reading.CASES, *detector.CASES)
