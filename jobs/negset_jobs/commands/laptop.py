"""Commands that run every step on this machine."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence

import msgspec

from negset_api import extras, names, stages, validation
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset
from negset_jobs import children, pipeline, revisions
from negset_jobs.adapters import address_guard, console
from negset_jobs.commands import distributed_stages, manifest_file, needs, output, reach


def run(options: argparse.Namespace) -> int:
    dataset = manifest_file.read(options.file)
    extras.require("negset run", needs.of_run(dataset.spec))
    needs.check_back_ends(dataset.spec, reach.access(options))
    return _run(dataset, options)


def demo(options: argparse.Namespace) -> int:
    extras.require("negset demo", needs.DEMO)
    import yaml

    from negset_jobs.demo import dataset, manifest, server

    source = os.path.join(options.output, "source")
    try:
        os.makedirs(source, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--output: cannot write {options.output!r}: {error.strerror}") from error
    with server.serve(source, port=server.USUAL_PORT) as url:
        truth = dataset.make(source, base_url=url)
        document = manifest.manifest(url, output=os.path.join(options.output, "output"))
        path = os.path.join(options.output, "demo.yaml")
        with open(path, "w", encoding="utf-8") as stream:
            yaml.safe_dump(document, stream, sort_keys=False)
        output.say(f"generated {len(truth.with_object)} images with a red disc and {len(truth.without_object)} without, served at {url}")
        output.say(f"running: negset run {path} --allow-address {server.HOST}/32 --trainings {manifest.trainings()}")
        reached = argparse.Namespace(
            allow_address=[f"{server.HOST}/32"], cluster=False, trainings=manifest.trainings(), debug=options.debug
        )
        return _run(validation.parse(document), reached)


def _run(dataset: NegativeDataset, options: argparse.Namespace) -> int:
    access = reach.of_dataset(reach.access(options), dataset.spec)
    with address_guard.enforced(access):
        revision = pipeline.prepare(dataset, access)
        with pipeline.alone(revision, output.say):
            return _every_step(revision, options)


def _every_step(revision: pipeline.Revision, options: argparse.Namespace) -> int:
    progress = console.for_stream()
    spec = revision.dataset.spec
    for group in stages.groups(spec, options.trainings or stages.parallel(spec)):
        step = group[0]
        match step.kind:
            case "check":
                pipeline.check(revision)
                if pipeline.data_missing(revision):
                    _check_in_child(revision, step, options)
            case "data" if pipeline.data_missing(revision):
                distributed_stages.data(revision, progress)
            case "train":
                _in_children(revision, [each for each in group if pipeline.trained(revision, each) is None], options)
            case "mine":
                distributed_stages.mine(revision, step.round, progress)
    pipeline.report(revision, progress)
    if summary := revisions.trim(revision):
        output.say(summary)
    output.result(revision.store.location(names.REPORT_PAGE))
    return 0


def _check_in_child(revision: pipeline.Revision, step: stages.Step, options: argparse.Namespace) -> None:
    """Check the user's own configuration with the Object Detection API, before the first download.

    negset's own presets need no check: its tests check them.
    """
    if pipeline.needs_api_check(revision):
        output.say("checking the configuration with the Object Detection API")
        _in_children(revision, [step], options)


def _in_children(revision: pipeline.Revision, steps: Sequence[stages.Step], options: argparse.Namespace) -> None:
    """Run steps at the same time, each in a process of its own.

    TensorFlow frees its memory only when its process ends. It must not share a process with Ray's
    driver.
    """
    with tempfile.NamedTemporaryFile("wb", suffix=".json") as stream:
        stream.write(msgspec.json.encode(validation.manifest(revision.dataset)))
        stream.flush()
        common = ["--file", stream.name, *(part for network in options.allow_address for part in ("--allow-address", network))]
        common += ["--debug"] if options.debug else []
        children.run({step.role: [sys.executable, "-m", "negset_jobs", "job", *step.command, *common] for step in steps})
