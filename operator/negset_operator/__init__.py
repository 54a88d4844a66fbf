"""The Kubernetes operator: observe → decide (pure) → apply.

Imports neither Ray nor TensorFlow, nor anything of the jobs.
"""
