"""The built-in engine: models of this machine's disk, asked over a socket as any other endpoint is.

`client` and `host` belong to the server's processes and know nothing of torch; all other modules are the engine's own
process, `python -m regrade.inference.local`.
"""
