"""The Kubernetes operator: observe → decide (pure) → apply.

It imports neither Ray nor TensorFlow nor negset_jobs.
"""
