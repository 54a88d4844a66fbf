"""Compare selection with pycocotools on a file of train2017's size.

    .venv/bin/python tests/benchmarks/selection.py [--repeat N]

The file has 118,287 images, a million annotations with their polygons, and 565 MB. It is generated
once, into a folder below the system's temporary directory.

Each side runs in a fresh process, and reads the file from the page cache. It reports its CPU time,
the CPU time of its imports, and its peak resident memory. It also reports a digest of the ids of
all images without a person and without a car. Both sides use one core. Unlike wall-clock time, CPU
time can be compared on a busy machine.

pycocotools' side is what its users write: `COCO(file)` and the union of `getImgIds(catIds=[c])`.
negset's side is the whole plan stage, drawing included, for all images. The exit code is 0 if the
ids are equal and the goals are met, otherwise 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from negset_api.spec import CocoSource, Metadata, NegativeDataset, NegativeDatasetSpec, Output, Selection, Source

IMAGES, ANNOTATIONS, POLYGONS = 118_287, 1_000_000, 4096
EXCLUDED = ("person", "car")
CLASSES = (*EXCLUDED, *(f"thing {number}" for number in range(78)))
GOALS = {"cpu": 15.0, "bytes": 5.0}


def generate(path: pathlib.Path) -> None:
    """Write the file with COCO's own order of keys and spacing.

    A class's share is proportional to 1/rank, roughly as in COCO.
    """
    draw = random.Random(17)
    shapes = [_shape(draw) for _ in range(POLYGONS)]
    categories = [{"supercategory": f"group {index // 8}", "id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    weights = [1 / (rank + 1) for rank in range(len(CLASSES))]
    part = path.with_suffix(".part")
    with part.open("w", buffering=1 << 20) as stream:
        stream.write(
            '{"info": {"description": "generated"}, "licenses": [{"url": "http://example.org/by/", "id": 4, "name": "Attribution License"}], "images": ['
        )
        stream.writelines(_joined(_image(number) for number in range(IMAGES)))
        stream.write('], "annotations": [')
        chosen = draw.choices(range(1, len(CLASSES) + 1), weights, k=ANNOTATIONS)
        stream.writelines(_joined(_annotation(index, draw, category, shapes) for index, category in enumerate(chosen)))
        stream.write(f'], "categories": {json.dumps(categories)}}}')
    part.rename(path)


def _image(number: int) -> str:
    return (
        f'{{"license": 4, "file_name": "{number * 4 + 9:012d}.jpg", "coco_url": "http://images.example.org/train2017/{number * 4 + 9:012d}.jpg", "height": 480, '
        f'"width": 640, "date_captured": "2013-11-14 17:02:52", "flickr_url": "http://farm9.staticflickr.com/8186/{8119368305 + number}_4e622c8349_z.jpg", "id": {number * 4 + 9}}}'
    )


def _annotation(index: int, draw: random.Random, category: int, shapes: list[str]) -> str:
    # To the fourth power, so that some images have many annotations, and some none.
    image = int(draw.random() ** 4 * IMAGES) * 4 + 9
    return f'{{{shapes[index % POLYGONS]}, "image_id": {image}, "bbox": [473.07, 395.93, 38.65, 28.67], "category_id": {category}, "id": {index + 1}}}'


def _shape(draw: random.Random) -> str:
    if draw.random() < 0.012:  # COCO's share of crowd regions
        counts = ", ".join(str(draw.randrange(1, 5000)) for _ in range(600))
        return f'"segmentation": {{"counts": [{counts}], "size": [480, 640]}}, "area": 21464.0, "iscrowd": 1'
    points = ", ".join(f"{draw.uniform(0, 640):.2f}" for _ in range(2 * int(draw.expovariate(1 / 20) + 3)))
    return f'"segmentation": [[{points}]], "area": {draw.uniform(10, 9e4):.4f}, "iscrowd": 0'


def _joined(parts: Iterator[str]) -> Iterator[str]:
    yield next(parts)
    for part in parts:
        yield ", "
        yield part


def by_pycocotools(path: str) -> list[int]:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
        shown = [coco.getImgIds(catIds=[category]) for category in coco.getCatIds(catNms=list(EXCLUDED))]
        return sorted(set(coco.getImgIds()).difference(*shown))


def by_negset(path: str) -> list[int]:
    from negset_jobs.adapters.access import Access
    from negset_jobs.selection.stage import plan_stage

    return sorted(plan_stage(_dataset(path), Access()).image_ids)


def _dataset(path: str) -> NegativeDataset:
    source = Source(coco=CocoSource(annotations=path))
    selection = Selection(count=IMAGES, seed=17, allow_fewer=True)
    spec = NegativeDatasetSpec(source=source, exclude_classes=EXCLUDED, selection=selection, output=Output(url=tempfile.gettempdir()))
    return NegativeDataset(metadata=Metadata(name="benchmark"), spec=spec)


SIDES = {"pycocotools": by_pycocotools, "negset": by_negset}
MODULES = {"pycocotools": "pycocotools.coco", "negset": "negset_jobs.selection.stage"}


def measure(side: str, path: str) -> dict[str, object]:
    """Run one side in this process, and return its numbers.

    They are the CPU seconds of the work and of its imports, and the peak of resident memory in
    bytes (Linux reports KiB). The number and the digest of the ids follow.
    """
    importlib.import_module(MODULES[side])
    imports = time.process_time()
    ids = SIDES[side](path)
    cpu, peak = time.process_time() - imports, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "cpu": cpu,
        "imports": imports,
        "bytes": peak,
        "ids": len(ids),
        "digest": hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16],
    }


def measure_in_child(side: str) -> dict[str, Any]:
    started = time.perf_counter()
    finished = subprocess.run([sys.executable, __file__, "--side", side], check=True, capture_output=True)
    return {"seconds": time.perf_counter() - started, **json.loads(finished.stdout)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=1, help="measure each side N times and keep its best")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = pathlib.Path(tempfile.gettempdir()) / "negset-benchmark" / f"instances-{IMAGES}-{ANNOTATIONS}.json"
    if options.side:
        print(json.dumps(measure(options.side, str(path))))
        return 0
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        generate(path)
    with path.open("rb") as stream:  # into the page cache, so that the disk is not measured
        while stream.read(1 << 20):
            pass
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {IMAGES:,} images, {ANNOTATIONS:,} annotations")
    best = {}
    for side in SIDES:
        runs = [measure_in_child(side) for _ in range(options.repeat)]
        best[side] = {key: min(run[key] for run in runs) for key in runs[0]}
        numbers = "{seconds:6.2f} s, {cpu:6.2f} s of CPU and {imports:.2f} s for imports, {megabytes:6.0f} MB, {ids:,} candidates"
        print(f"{side:<12}", numbers.format(megabytes=best[side]["bytes"] / 1e6, **best[side]))
    theirs, ours = best["pycocotools"], best["negset"]
    equal = theirs["digest"] == ours["digest"]
    print(
        f"negset takes 1/{theirs['seconds'] / ours['seconds']:.1f} of the time, 1/{theirs['cpu'] / ours['cpu']:.1f} of the CPU (goal: 1/{GOALS['cpu']:.0f})",
        end=" ",
    )
    print(
        f"and 1/{theirs['bytes'] / ours['bytes']:.1f} of the memory (goal: 1/{GOALS['bytes']:.0f}); the ids are {'equal' if equal else 'DIFFERENT'}"
    )
    return int(not equal or any(theirs[key] < goal * ours[key] for key, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
