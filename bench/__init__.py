"""Benchmarks: `make bench`, or `python -m bench PART…` for some (docs/benchmarks.md)."""
