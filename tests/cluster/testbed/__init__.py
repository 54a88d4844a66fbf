"""A real Kubernetes for the tests: an API server on loopback, or a whole cluster on one machine."""
