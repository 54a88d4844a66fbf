"""Which images: COCO annotations → a plan. Everything here but `stage` is pure."""
