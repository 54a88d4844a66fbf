"""The keys of the Object Detection API's TFRecords.

The source is object_detection/core/standard_fields.py (`TfExampleFields`), as `TfExampleDecoder`
reads them.
"""

from typing import Final

IMAGE_CLASS_CONFIDENCE: Final = "image/class/confidence"
IMAGE_CLASS_LABEL: Final = "image/class/label"
IMAGE_CLASS_TEXT: Final = "image/class/text"
ENCODED: Final = "image/encoded"
FILENAME: Final = "image/filename"
FORMAT: Final = "image/format"
HEIGHT: Final = "image/height"
SHA256: Final = "image/key/sha256"
NEG_CATEGORY_IDS: Final = "image/neg_category_ids"
NOT_EXHAUSTIVE_CATEGORY_IDS: Final = "image/not_exhaustive_category_ids"
AREA: Final = "image/object/area"
XMAX: Final = "image/object/bbox/xmax"
XMIN: Final = "image/object/bbox/xmin"
YMAX: Final = "image/object/bbox/ymax"
YMIN: Final = "image/object/bbox/ymin"
CLASS_LABEL: Final = "image/object/class/label"
CLASS_TEXT: Final = "image/object/class/text"
DIFFICULT: Final = "image/object/difficult"
GROUP_OF: Final = "image/object/group_of"
IS_CROWD: Final = "image/object/is_crowd"
TRUNCATED: Final = "image/object/truncated"
WEIGHT: Final = "image/object/weight"
SOURCE_ID: Final = "image/source_id"
WIDTH: Final = "image/width"
