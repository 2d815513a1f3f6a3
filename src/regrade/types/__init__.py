"""The wire: what clients send and get, as data only, one file a resource."""
