"""Select images: from COCO annotations to a plan. Only `stage` does I/O."""
