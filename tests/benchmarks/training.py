"""Compare the speed of negset's training loop with the Object Detection API's own.

    python -m tests.benchmarks.training [--steps 300] [--pairs 3] [--preset PRESET]

The API's loop is `model_lib_v2.train_loop`, which `model_main_tf2` runs. Both loops use the same
configuration and the same files. They run in turn, in one process. The speed of a run is the median
of the steps per second in its own event files, without the first chunk, which includes tracing. Run
it on an otherwise idle machine. The goal is a ratio of at least 0.97.

It also measures batches per second of the bare input pipelines: read, decode, augment and batch,
without a step. An accelerator that is faster than its pipeline waits for it.

Results depend on the machine. The latest ones are in a commit message.
"""

from __future__ import annotations

import argparse
import glob
import os
import statistics
import tempfile
import time

import msgspec
from tests.local.training_data import make_revision, manifest, step
from tests.progress import Silent

from negset_api import names
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.training import config as configs
from negset_jobs.training import mix
from negset_jobs.training.task import prepare

PER_ITERATION = 20  # steps between two entries of the API's event files
CHUNKS = 5


def ours(task, folder):
    from negset_jobs.training import feeding, loop
    from negset_jobs.training.trainer import Start

    def batches(model, context):
        return feeding.batches(task.config, model, task.chosen, negative_percent=task.negative_percent, seed=0, context=context)

    loop.train(
        task.config,
        batches,
        Start(),
        strategy=loop.distribution_strategy(),
        seed=0,
        folder=folder,
        checkpoint_every=10**6,
        save=lambda *_: None,
        progress=Silent(),
    )


def theirs(task, folder):
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    from object_detection import model_lib_v2

    path = os.path.join(folder, "pipeline.config")
    with open(path, "wb") as stream:
        stream.write(configs.render(task.config))
    model_lib_v2.train_loop(path, folder, record_summaries=False, num_steps_per_iteration=PER_ITERATION, checkpoint_every_n=10**6)


def pipeline(stream):
    """Return the median of batches per second over chunks of `PER_ITERATION`, without the first."""
    batches, speeds = iter(stream), []
    for _ in range(CHUNKS + 1):
        began = time.perf_counter()
        for _ in range(PER_ITERATION):
            next(batches)
        speeds.append(PER_ITERATION / (time.perf_counter() - began))
    return statistics.median(speeds[1:])


def our_pipeline(task, model):
    from negset_jobs.training import feeding

    return pipeline(feeding.batches(task.config, model, task.chosen, negative_percent=task.negative_percent, seed=0))


def their_pipeline(task, model):
    from object_detection import inputs as od_inputs

    config = task.config
    return pipeline(od_inputs.train_input(config.train_config, config.train_input_reader, config.model, model=model))


def speed(folder):
    """Return the median of the speeds in the event files, without the first."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    (path,) = glob.glob(f"{folder}/train/*tfevents*")
    events = (event_pb2.Event.FromString(record) for record in tf.data.TFRecordDataset(path).as_numpy_iterator())
    values = [float(tf.make_ndarray(value.tensor)) for event in events for value in event.summary.value if value.tag == "steps_per_sec"]
    return statistics.median(values[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--preset", default="ssd-mobilenet-v2-tiny-96")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        store = Store(f"{root}/revision")
        make_revision(store)
        dataset = manifest(steps=arguments.steps, pipelineConfig={"preset": arguments.preset})
        task = prepare(store, dataset, step(dataset, 1), Access())
        task = msgspec.structs.replace(task, chosen=mix.materialise(store, task.chosen, root))
        task.config.train_input_reader.label_map_path = store.location(names.LABEL_MAP)
        from negset_jobs.training import models

        model = models.build(task.config, training=True)
        for name, bare in (("ours", our_pipeline), ("theirs", their_pipeline)):
            print(
                f"{name:7} {bare(task, model):8.2f} batches/s of {task.config.train_config.batch_size} images, the bare input pipeline",
                flush=True,
            )
        ratios = []
        for pair in range(arguments.pairs):
            measured = {}
            for run in (theirs, ours) if pair % 2 else (ours, theirs):
                folder = tempfile.mkdtemp(dir=root)
                began = time.perf_counter()
                run(task, folder)
                measured[run.__name__] = speed(folder)
                print(f"{run.__name__:7} {measured[run.__name__]:8.2f} steps/s, {time.perf_counter() - began:6.1f} s in all", flush=True)
            ratios.append(measured["ours"] / measured["theirs"])
        print(f"ratio   {statistics.median(ratios):8.3f} (median of {', '.join(f'{ratio:.3f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
