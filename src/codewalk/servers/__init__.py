"""Which servers there are."""
