"""The store: SQLite or PostgreSQL, its schema, and the vault for passwords."""
