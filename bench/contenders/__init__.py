"""The programs that are measured, each a process of its own.

A contender prints `begin` when it is warm, and `end N` when it has worked for the seconds it was
told and done N checks since; what it used in between is read from outside, the same way for all.
Then it waits for the end of its stdin.
"""
