"""Label datasets for other tools, made from the stored TFRecords.

Each dataset has its own copy of the images. `label_task.FORMATS` lists the formats.
"""
