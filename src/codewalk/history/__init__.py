"""How the servers were: checks, changes of state, uptime."""
