"""The inside of the jail: standard library only, run as a package of its own (`jail`) by the graders' interpreter.

Nothing here imports regrade, and nothing outside imports more than constants: the halves meet in frames over pipes.
"""
