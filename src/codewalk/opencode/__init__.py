"""An HTTP client and an event-stream client of one OpenCode server."""
