"""The past health of servers: checks, changes of state, uptime."""
