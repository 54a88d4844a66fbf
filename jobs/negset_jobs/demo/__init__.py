"""The demo's own world: a small dataset with known truth, a web server for it, and the manifest
that runs the main job on it.
"""
