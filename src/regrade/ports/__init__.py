"""What the inside asks of the outside, as Protocols; `main` hands in the real ones."""
