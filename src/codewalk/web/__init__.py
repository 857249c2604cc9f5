"""CodeWalk in a browser: the local web app and its HTTP API."""
