"""Finds the Object Detection API, and makes its messages work with today's protobuf.

Import them from here, or this module before `object_detection`. Imports no TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Final

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.internal import builder

# negset's wheel brings the API along: the requirements of its own package cannot be installed
# together. The packages in this folder are `object_detection` and `official`.
BUNDLED: Final = os.path.join(os.path.dirname(__file__), "object_detection_api")

_PROTOS: Final = "object_detection.protos."


class _Loader(SourceFileLoader):
    """Makes a module of messages from the file descriptor in its source.

    The API's modules were generated before 2022. Their own code creates descriptors one by one.
    Since protobuf 4, only the pure Python implementation allows that, and a process has to choose
    that implementation before anything imports protobuf (https://protobuf.dev/news/2022-05-06).
    """

    def exec_module(self, module: ModuleType) -> None:
        code = self.get_code(module.__name__)
        # Every other bytes constant is the options of one field.
        serialized = max((value for value in code.co_consts if isinstance(value, bytes)), key=len) if code else b""
        for imported in descriptor_pb2.FileDescriptorProto.FromString(serialized).dependency:
            importlib.import_module(imported.removesuffix(".proto").replace("/", ".") + "_pb2")
        file = descriptor_pool.Default().AddSerializedFile(serialized)
        contents = vars(module)
        contents["DESCRIPTOR"] = file
        builder.BuildMessageAndEnumDescriptors(file, contents)
        builder.BuildTopDescriptorsAndMessages(file, module.__name__, contents)


class _Finder:
    """Finds the API's modules of messages, for the loader above."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(_PROTOS) or not name.endswith("_pb2"):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin)
        return spec


# Last, so that packages that are installed are taken instead.
if os.path.isdir(BUNDLED):
    sys.path.append(BUNDLED)
sys.meta_path.insert(0, _Finder)

from object_detection.protos import (  # noqa: E402
    input_reader_pb2,
    losses_pb2,
    pipeline_pb2,
    post_processing_pb2,
    train_pb2,
)

__all__ = ["BUNDLED", "input_reader_pb2", "losses_pb2", "pipeline_pb2", "post_processing_pb2", "train_pb2"]
