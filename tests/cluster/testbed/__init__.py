"""A real Kubernetes for the tests: an API server on loopback in seconds, or a whole cluster with
nodes on one Linux machine.
"""
