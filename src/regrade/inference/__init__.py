"""Asking models: the registry of endpoints, and the client that asks them."""
