"""CodeWalk in a terminal: it calls the core's use cases and holds no rules of its own."""
