"""Images with objects: read from COCO, Pascal VOC or TFRecords, checked, and stored in the same
records as the negatives.
"""
