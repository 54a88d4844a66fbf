"""Label datasets for other tools, made from the stored TFRecords.

The formats are YOLO, COCO and Pascal VOC. Each dataset has its own copy of the images.
"""
