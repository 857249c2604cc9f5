"""The work on one server: its sessions, projects, models and stored state."""
