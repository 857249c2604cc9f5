"""The use cases, and the composition root that puts an app together."""
