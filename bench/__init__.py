"""Speed, measured: `make bench`, or `python -m bench NAME…` for some of it (docs/benchmarks.md)."""
