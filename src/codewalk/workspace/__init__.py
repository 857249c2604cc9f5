"""What belongs to one server: its sessions, models and kept state."""
