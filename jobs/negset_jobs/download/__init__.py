"""Download images and record them in shards."""
