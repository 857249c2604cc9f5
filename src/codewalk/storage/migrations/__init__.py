"""The schema's history, as Alembic's migrations. `codewalk.storage.migrate` runs them."""
