"""Benchmarks of ptystore beside what people use now: `python -m benchmarks`, see README.md."""
