"""The programs that are measured, each in its own process.

A contender prints `begin` once it is warm, and `end N` after the given seconds, in which it made N
checks; what it used in between is read from outside, in the same way for all. Then it waits for the
end of its stdin.
"""
