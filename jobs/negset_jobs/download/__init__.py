"""Fetches images and records them in shards."""
