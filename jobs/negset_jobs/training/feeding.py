"""The stream of training batches: stratified by kind of picture, seeded, and sharded over workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection import inputs as od_inputs
from object_detection.builders import decoder_builder

from negset_jobs.training.inputs import Inputs, pattern

_READERS: Final = 16  # files of one kind that are read at the same time


def batches(config: Any, model: Any, local: Inputs, *, negative_percent: int, seed: int, context: Any = None) -> Any:
    """A `tf.data.Dataset` of (features, labels), endless, as `object_detection.inputs.train_input` shapes them; `context` is the worker's `tf.distribute.InputContext`.

    The API's own reader draws each picture from a file by chance; this one feeds the kinds in a fixed pattern (`inputs.pattern`), so that every batch has its share.
    """
    kinds = [files for files in (local.positives, local.negatives, local.hard) if files]
    order = pattern(negative_percent if local.negatives else 0, hard_percent=local.hard_percent if local.hard else 0)

    def build(reader: Any, *, transform_input_data_fn: Any, batch_size: int, input_context: Any = None, **_: Any) -> Any:
        sources = [_records(files, reader, input_context, seed + index) for index, files in enumerate(kinds)]
        choice = tf.data.Dataset.from_tensor_slices(tf.constant(order, tf.int64)).repeat()
        stream = tf.data.Dataset.choose_from_datasets(sources, choice)
        each = batch_size if input_context is None else input_context.get_per_replica_batch_size(batch_size)
        for function in (decoder_builder.build(reader).decode, transform_input_data_fn):
            # Nothing of the API needs AutoGraph here, and converting its sources takes longer than a short training.
            stream = stream.map(tf.autograph.experimental.do_not_convert(function), tf.data.AUTOTUNE, deterministic=True)
        return stream.batch(each, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    with _reader(build):
        return od_inputs.train_input(config.train_config, config.train_input_reader, config.model, model=model, input_context=context)


@contextlib.contextmanager
def _reader(build: Any) -> Iterator[None]:
    """Puts `build` where the API looks its dataset builder up, for as long as the block runs."""
    table = od_inputs.INPUT_BUILDER_UTIL_MAP
    original, table["dataset_build"] = table["dataset_build"], build
    try:
        yield
    finally:
        table["dataset_build"] = original


def _records(files: Sequence[str], reader: Any, context: Any, seed: int) -> Any:
    """The serialised examples of one kind, shuffled again in each pass, for ever.

    A worker reads its own files where there are enough for all; otherwise each reads all of them in an order of its own, since a worker without a file would wait for ever.
    """
    if context is not None and context.num_input_pipelines > 1:
        seed += 1_000 * context.input_pipeline_id
        if len(files) >= context.num_input_pipelines:
            files = files[context.input_pipeline_id :: context.num_input_pipelines]
    names = tf.data.Dataset.from_tensor_slices(list(files)).shuffle(len(files), seed=seed)
    read = tf.autograph.experimental.do_not_convert(lambda name: tf.data.TFRecordDataset(name, buffer_size=8 << 20))
    records = names.interleave(read, cycle_length=min(len(files), _READERS), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return records.shuffle(reader.shuffle_buffer_size, seed=seed).repeat()
