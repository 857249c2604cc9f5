"""The health of the servers: checks, statuses, their schedule, and the live links."""
