"""What each endpoint means: one file a resource, plain methods, no HTTP, no SQL."""
