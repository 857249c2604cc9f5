"""How to talk to one OpenCode server."""
