"""The OpenCode server on this machine that CodeWalk starts, watches and stops."""
