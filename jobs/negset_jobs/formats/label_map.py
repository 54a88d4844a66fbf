"""Label maps: the text form of the Object Detection API's `StringIntLabelMap`.

The message (object_detection/protos/string_int_label_map.proto) is described here again, with the
three fields that matter. So reading one needs neither the Object Detection API nor TensorFlow. Its
other fields (keypoints, hierarchy, LVIS frequency) are skipped.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from negset_api.errors import InvalidInput
from negset_jobs.adapters.quoting import of_text_format, quoted, quoted_id


class Item(NamedTuple):
    """One class of a label map.

    `display_name` is empty if it has none. The Object Detection API accepts either name for the
    class.
    """

    id: int
    name: str
    display_name: str = ""


def write_label_map(classes: Sequence[str]) -> bytes:
    """Return the label map that gives the classes the ids 1, 2, … in their order.

    0 is the API's background.
    """
    from google.protobuf import text_format

    message = _message()
    for number, name in enumerate(classes, 1):
        message.item.add(id=number, name=name)
    return bytes(text_format.MessageToString(message, as_utf8=True).encode())


def read_label_map(data: bytes, where: str) -> tuple[Item, ...]:
    """Return the items of a label map, by id.

    Raises `InvalidInput`, naming `where`, if it is not a label map. It also does so if an item has
    no name or no id above 0, or if a name or an id occurs twice.
    """
    from google.protobuf import text_format

    try:
        message = text_format.Parse(data.decode("utf-8-sig"), _message(), allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        reason = f"byte {error.start} is not UTF-8" if isinstance(error, UnicodeDecodeError) else of_text_format(error)
        raise InvalidInput(f"{where}: expected a label map such as `item {{ id: 1 name: 'person' }}`: {reason}") from error
    named = (Item(item.id, item.name or item.display_name, item.display_name) for item in message.item)
    items = sorted(item for item in named if item[:2] != (0, "background"))  # no box has this class
    _check(items, where)
    return tuple(items)


def called(item: Item, wanted: Collection[str]) -> Item:
    """Return the item with the name that the manifest uses in front.

    `name` may be an identifier such as /m/01g317, while `display_name` is "person".
    """
    first, second = item.name, item.display_name
    if second and first not in wanted:
        first, second = second, first
    return Item(item.id, first, second)


def _check(items: Sequence[Item], where: str) -> None:
    if not items:
        raise InvalidInput(f"{where}: expected a label map with at least one item, found none")
    for item in items:
        if item.id < 1 or not item.name:
            raise InvalidInput(
                f"{where}: expected a name and an id of at least 1 in every item, got id {item.id} and name {quoted(item.name)}"
            )
    for what, values in (("id", (item.id for item in items)), ("name", (item.name for item in items))):
        if twice := _repeated(values):
            raise InvalidInput(f"{where}: expected unique {what}s, got {', '.join(map(quoted_id, twice))} more than once")


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in collections.Counter(values).items() if count > 1]


def _message() -> Any:
    return _message_class()()


@functools.cache
def _message_class() -> Any:
    """Return the message's class, in a descriptor pool of its own.

    The Object Detection API registers the original message in the default pool.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    optional, repeated = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    item = descriptor_pb2.DescriptorProto(
        name="Item",
        field=[
            field(name="name", number=1, type=field.TYPE_STRING, label=optional),
            field(name="id", number=2, type=field.TYPE_INT32, label=optional),
            field(name="display_name", number=3, type=field.TYPE_STRING, label=optional),
            # Unused, but declared: protobuf cannot skip an unknown field that is written as a list,
            # as in `ancestor_ids: [1, 2]`.
            field(name="ancestor_ids", number=5, type=field.TYPE_INT32, label=repeated),
            field(name="descendant_ids", number=6, type=field.TYPE_INT32, label=repeated),
        ],
    )
    label_map = descriptor_pb2.DescriptorProto(
        name="LabelMap",
        field=[field(name="item", number=1, type=field.TYPE_MESSAGE, type_name=".negset.Item", label=repeated)],
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto(name="label_map.proto", package="negset", syntax="proto2", message_type=[item, label_map]))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("negset.LabelMap"))
