"""Benchmarks: `make bench`, or `python -m bench PART…` for some of them (docs/benchmarks.md)."""
