"""User Python, confined by the kernel. `jail` is the inside; the rest is the server's half."""
