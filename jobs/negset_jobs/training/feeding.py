"""The stream of training batches: stratified by kind of image, seeded, sharded over workers.

It is fast enough for an accelerator, in bounded memory. `mix.materialise` downloads the files once.
The shuffle buffers hold encoded records, `shuffle_buffer_size` of each kind. Files are read, images
decoded and augmented, and batches assembled in parallel; tf.data tunes how many. Some batches wait
on the host. The distribution strategy copies the next ones to the devices during a step.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection import inputs as od_inputs
from object_detection.builders import decoder_builder

from negset_jobs.formats.stored_images import Features
from negset_jobs.training import failures
from negset_jobs.training.mix import Mix, pattern
from negset_jobs.training.screening import Check

_IMAGE_RANK: Final = 3  # an animation has one more
_READERS: Final = 16  # files of one kind that are read at the same time


def batches(config: Any, model: Any, local: Mix, *, negative_percent: int, seed: int, context: Any = None) -> Any:
    """Return an endless `tf.data.Dataset` of (features, labels), as `train_input` shapes it.

    `context` is the worker's `tf.distribute.InputContext`. The API's own reader draws each image
    from a file by chance. This one feeds the kinds in a fixed pattern (`mix.pattern`), so every
    batch has its share of negatives.
    """
    kinds = [files for files in (local.positives, local.negatives, local.hard) if files]
    order = pattern(local.negative_percent(negative_percent), hard_percent=local.hard_percent if local.hard else 0)

    def build(reader: Any, *, transform_input_data_fn: Any, batch_size: int, input_context: Any = None, **_: Any) -> Any:
        sources = [_records(files, reader, input_context, seed + index) for index, files in enumerate(kinds)]
        choice = tf.data.Dataset.from_tensor_slices(tf.constant(order, tf.int64)).repeat()
        stream = tf.data.Dataset.choose_from_datasets(sources, choice)
        each = batch_size if input_context is None else input_context.get_per_replica_batch_size(batch_size)
        for function in (decoder_builder.build(reader).decode, transform_input_data_fn):
            stream = _mapped(stream, function)
        # Copying images into a batch also uses a core: 64 images of 640 pixels are 300 MB.
        stream = stream.batch(each, drop_remainder=True, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return stream.prefetch(tf.data.AUTOTUNE).with_options(_bounded(_memory()))

    with _reader(build):
        return od_inputs.train_input(config.train_config, config.train_input_reader, config.model, model=model, input_context=context)


def _bounded(memory: int) -> Any:
    """Return options that keep prefetched batches below a quarter of the memory."""
    options = tf.data.Options()
    options.autotune.ram_budget = memory // 4
    return options


def _memory() -> int:
    """Return the bytes of memory that this container may use.

    TensorFlow assumes the memory of the whole machine, and the pod would be killed.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as stream:
            limit = stream.read().strip()
    except OSError:  # cgroup v1, or no Linux
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine


def record_check(config: Any) -> Check:
    """Return a check that says why the API's decoder refuses a record; empty if it does not."""
    decode = decoder_builder.build(config.train_input_reader).decode

    def shape(payload: Any) -> Any:
        return tf.shape(decode(payload)["image"])

    # The decoder's sources need no AutoGraph, and only the shape of the image is used.
    traced = tf.function(shape, autograph=False, input_signature=[tf.TensorSpec((), tf.string)])

    def check(payload: bytes, _: Features) -> str:
        try:
            found = traced(tf.constant(payload)).numpy()
        except (tf.errors.OpError, ValueError) as error:
            return failures.reason_of(error)
        if len(found) == _IMAGE_RANK and all(found):
            return ""
        return f"expected an image of height, width and channels, got the shape {found.tolist()}"

    return check


def _mapped(stream: Any, function: Any) -> Any:
    """Return the stream with a function of the API applied to each element.

    AutoGraph needs longer to convert the API's sources than a short training takes. Almost nothing
    in them needs it, except the augmentation `random_square_crop_by_scale`, which uses a tensor as
    a bool. So the function is first tried without AutoGraph.
    """
    try:
        return stream.map(tf.autograph.experimental.do_not_convert(function), tf.data.AUTOTUNE, deterministic=True)
    except tf.errors.OperatorNotAllowedInGraphError:
        return stream.map(function, tf.data.AUTOTUNE, deterministic=True)


@contextlib.contextmanager
def _reader(build: Any) -> Iterator[None]:
    """Replace the API's dataset builder with `build` while the block runs."""
    table = od_inputs.INPUT_BUILDER_UTIL_MAP
    original, table["dataset_build"] = table["dataset_build"], build
    try:
        yield
    finally:
        table["dataset_build"] = original


def _records(files: Sequence[str], reader: Any, context: Any, seed: int) -> Any:
    """Return the serialised examples of one kind, without end, shuffled again in each pass.

    If there are enough files, each worker reads its own. Otherwise each worker reads all files in
    its own order, because a worker without a file would wait for ever.
    """
    if context is not None and context.num_input_pipelines > 1:
        seed += 1_000 * context.input_pipeline_id
        if len(files) >= context.num_input_pipelines:
            files = files[context.input_pipeline_id :: context.num_input_pipelines]
    names = tf.data.Dataset.from_tensor_slices(list(files)).shuffle(len(files), seed=seed)
    read = tf.autograph.experimental.do_not_convert(lambda name: tf.data.TFRecordDataset(name, buffer_size=8 << 20))
    records = names.interleave(read, cycle_length=min(len(files), _READERS), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return records.shuffle(reader.shuffle_buffer_size, seed=seed).repeat()
