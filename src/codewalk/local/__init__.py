"""The managed OpenCode server on this machine: started, watched and stopped by CodeWalk."""
