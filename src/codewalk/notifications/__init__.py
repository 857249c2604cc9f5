"""What people and programs are notified of: notices and hooks."""
