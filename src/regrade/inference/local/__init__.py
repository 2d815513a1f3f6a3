"""The built-in engine: models of this machine's disk, asked over a socket as any other endpoint is.

`host` belongs to the server's processes and knows nothing of torch; all other modules are the engine's own process,
`python -m regrade.inference.local`.
"""
