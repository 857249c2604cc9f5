"""The servers: profiles, their list, and its rules."""
