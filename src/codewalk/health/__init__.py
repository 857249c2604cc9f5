"""How the servers are."""
