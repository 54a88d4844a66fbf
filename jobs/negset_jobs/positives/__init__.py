"""Images with objects: read from COCO, Pascal VOC, YOLO or TFRecords, checked and stored.

They are stored in the same kind of records as the negatives.
"""
