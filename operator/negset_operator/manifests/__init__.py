"""Pure builders: each takes a subject and returns a new Kubernetes object.

They do not change their arguments.
"""
