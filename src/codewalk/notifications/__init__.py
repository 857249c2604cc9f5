"""Notices for people, and hooks for programs."""
