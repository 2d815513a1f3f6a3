"""HTTP: parse, call one service, answer. One file a resource."""
