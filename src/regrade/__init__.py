"""Regrade: a self-hosted server for the Evals, Graders, Files, Fine-tuning and Models API."""

__version__ = "0.1.0"
