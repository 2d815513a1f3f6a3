"""The pages: server-rendered, escaped, with a strict content security policy."""
