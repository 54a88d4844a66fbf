"""Select images: from a source to a plan. Only `stage` and `sources` do I/O."""
