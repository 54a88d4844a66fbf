"""Say what a file is that is not COCO's instances format, and what to do about it. Pure.

People give the file beside the right one, or a server's error page. No message quotes the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

_EXAMPLE: Final = "give the instances file, such as instances_train2017.json"
_CONVERT: Final = "export it in the COCO format"

OTHER_XML: Final = "XML; " + _CONVERT
"""What a file is that has XML of an unknown kind."""

_STARTS: Final = (
    (b"\x1f\x8b", "compressed with gzip twice; decompress it once"),
    (b"PK\x03\x04", "a zip archive; give the file in it as zip://NAME::URL"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; decompress it, or compress it with gzip"),
    (b"\xfd7zXZ", "compressed with xz; decompress it, or compress it with gzip"),
    (b"BZh", "compressed with bzip2; decompress it, or compress it with gzip"),
    (b"7z\xbc\xaf", "a 7-Zip archive; extract the JSON file"),
    (b"Rar!", "a RAR archive; extract the JSON file"),
    (b"PAR1", "a Parquet table; " + _CONVERT),
    (b"SQLite format 3", "an SQLite database; " + _CONVERT),
    (b"\x89HDF", "an HDF5 file; " + _CONVERT),
    (b"%PDF", "a PDF document; " + _EXAMPLE),
    (b"\xff\xd8\xff", "a JPEG image; " + _EXAMPLE),
    (b"\x89PNG", "a PNG image; " + _EXAMPLE),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself; run git lfs pull where it comes from"),
    (b"version http://git-lfs", "a pointer of Git LFS and not the file itself; run git lfs pull where it comes from"),
)

_TEXTS: Final = (
    (r"(?is)\s*<(!doctype\s+html|html|head|body)", "a web page (HTML); the URL may need a login, or may have moved; open it in a browser"),
    (r"(?s)\s*(<\?xml[^>]*>\s*)?<Error>", "an error of an object store (XML); check the URL and the credentials"),
    (
        r"(?s)\s*(<\?xml[^>]*>\s*)?<annotation[\s>]",
        "an annotation in Pascal VOC's format (XML); positives can be given as spec.positives.voc, a source must be in the COCO format",
    ),
    (r"(?s)\s*(<\?xml[^>]*>\s*)?<annotations[\s>]", "an export of CVAT (XML); export it as COCO 1.0"),
    (r"\s*<", OTHER_XML),
    (r"\s*\d+([ \t]+-?\d+(\.\d+)?(e-?\d+)?){4,}[ \t]*\r?(\n|\Z)", "a label file of YOLO; " + _CONVERT),
    (
        r"(?s)(\s*#[^\n]*\n|\s*---\s*\n)*\s*(train|val|test|path|nc|names)\s*:",
        "a dataset file of YOLO (YAML); positives can be given as spec.positives.yolo, a source must be in the COCO format",
    ),
    (r"\s*/[/*]", "JSON with comments; remove them"),
    (r"(?s)\s*item\s*\{", "a label map; " + _EXAMPLE),
    (r"ImageID,Source,LabelName,", "a table of Open Images (CSV); for negatives, give it as spec.source.openImages.labels"),
    (r"[^\n{}\[\]]*[,;\t][^\n{}\[\]]*\r?(\n|\Z)", "a table (CSV); " + _CONVERT),
    (r"(?s)\s*(#[^\n]*\n\s*)*[A-Za-z_][\w-]*\s*:\s", "YAML; " + _CONVERT),
)

_LISTS: Final = (
    (
        r"\s*\[\s*\{\s*\"(?:info|licenses|images|annotations|categories)\"\s*:\s*[{\[]",
        "a list with an object of COCO in it; give the object itself",
    ),
    (
        r"\"(?:image_id|score)\"\s*:",
        "a list of detections or of annotations (COCO's results format); expected an object with images, annotations and categories; give the annotations file that the results belong to",
    ),
    (
        r"\"(?:completed_by|result|data|annotation_id|annotator|original_width)\"\s*:",
        "an export of Label Studio in its own format; export it as COCO",
    ),
    (r"\"(?:image|imagefilename)\"\s*:", "an export of CreateML; " + _CONVERT),
)

_OBJECTS: Final = (
    ({"shapes", "imagePath"}, "an annotation of labelme for one image; convert its folder with labelme2coco"),
    ({"dm_format_version"}, "a dataset of Datumaro in its own format; " + _CONVERT),
    ({"info", "categories", "items"}, "a dataset of Datumaro in its own format; " + _CONVERT),
    ({"classes", "labels"}, "a dataset of FiftyOne in its own format; export it as COCODetectionDataset"),
    ({"samples"}, "a dataset of FiftyOne in its own format; export it as COCODetectionDataset"),
    ({"size", "objects"}, "an annotation of Supervisely for one image; " + _CONVERT),
    ({"assets"}, "a project of VoTT; " + _CONVERT),
    ({"asset", "regions"}, "an annotation of VoTT for one image; " + _CONVERT),
    (
        {"type", "task", "class_names"},
        "a dataset of Ultralytics in JSON Lines; export it as YOLO for positives, a source must be in the COCO format",
    ),
    ({"_via_img_metadata"}, "a project of the VGG Image Annotator; " + _CONVERT),
    ({"videos", "annotations", "tracks"}, "a file of videos (TAO); images with boxes are needed"),
    ({"type", "features"}, "GeoJSON; " + _CONVERT),
    ({"questions"}, "a file of questions (VQA); " + _EXAMPLE),
    ({"error"}, "a server's error message; check the URL and the credentials"),
    ({"message"}, "a server's error message; check the URL and the credentials"),
)

_ENOUGH: Final = 4096


def recognised(start: bytes) -> str | None:
    """Return what a file is that does not begin with a JSON object, and the advice; else None.

    `start` are its first bytes; a few thousand are enough.
    """
    for mark, name in _STARTS:
        if start.startswith(mark):
            return name
    text = start[:_ENOUGH].decode("utf-8", "replace")
    if text.lstrip().startswith("["):
        return next((name for pattern, name in _LISTS if re.search(pattern, text)), None)
    return next((name for pattern, name in _TEXTS if re.match(pattern, text)), None)


def recognised_object(keys: Collection[str]) -> str | None:
    """Return what a JSON object with these top-level keys is, and the advice; None if unknown."""
    return next((name for known, name in _OBJECTS if known <= set(keys)), None)
