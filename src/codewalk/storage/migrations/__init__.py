"""The schema's history. `codewalk.storage.migrate` runs it when the store is opened."""
