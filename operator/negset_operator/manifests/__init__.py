"""Pure builders: a subject in, a new Kubernetes object out.

They change nothing that they are given.
"""
