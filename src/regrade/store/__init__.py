"""SQL on SQLite or PostgreSQL, and blobs: everything that outlives a process."""
