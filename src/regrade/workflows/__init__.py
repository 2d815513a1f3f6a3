"""The durable work: plain functions of ids and ports, each safe to run again from any point."""
