"""Label datasets for other tools, made from the stored TFRecords: YOLO, COCO and Pascal VOC, each
with its own copy of the images.
"""
