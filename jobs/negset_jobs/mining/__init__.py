"""Hard negative mining between training rounds: finds hard negatives, and images for review."""
