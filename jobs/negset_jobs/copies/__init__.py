"""Finds held-out images that are copies of images that train."""
