"""What each command of the command line does."""

from __future__ import annotations

import argparse
import json
import os
import posixpath
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import msgspec

from negset_api import names, stages, validation
from negset_api.errors import InvalidInput, InvalidSpec
from negset_api.spec import NegativeDataset
from negset_api.values import Plan, Report, decode
from negset_api.version import version
from negset_jobs import children, pipeline, revisions
from negset_jobs.adapters import address_guard, console, ray_session
from negset_jobs.adapters.access import DEFAULT_SCHEMES, Access, parse_networks, parse_schemes
from negset_jobs.adapters.kubernetes_status import StatusProgress, StatusWriter, tell_pod
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.quoting import of_yaml
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject


def run(options: argparse.Namespace) -> int:
    return _run(_load(options.file), options)


def plan(options: argparse.Namespace) -> int:
    from negset_jobs.selection.stage import plan_stage

    dataset, access = _load(options.file), _access(options)
    with address_guard.enforced(access):
        value = plan_stage(dataset, access)
    if options.json:
        _print(json.dumps(_plan_as_json(value)))
    else:
        from negset_jobs.selection.text import describe

        _print(describe(value))
    return 0


def validate(options: argparse.Namespace) -> int:
    dataset = _load(options.file)
    _print(f"{dataset.metadata.namespace}/{dataset.metadata.name} is valid")
    return 0


def crd(_options: argparse.Namespace) -> int:
    import yaml

    from negset_api.schema import custom_resource_definition

    _print(yaml.safe_dump(custom_resource_definition(), sort_keys=False, width=120, allow_unicode=True).rstrip("\n"))
    return 0


def report(options: argparse.Namespace) -> int:
    root = options.url.rstrip("/")
    for suffix in (names.REPORT_PAGE, names.REPORT, posixpath.dirname(names.REPORT)):
        root = root.removesuffix(suffix).rstrip("/") if root.endswith(suffix) else root
    store = Store(root or ".")
    try:
        data = store.read(names.REPORT)
    except MissingObject as error:
        raise InvalidInput(f"URL: expected the folder of a finished revision, {store.location(names.REPORT)} does not exist") from error
    if options.json:
        sys.stdout.buffer.write(data)
        return 0
    from negset_jobs.reporting.text import describe

    _print(describe(decode(data, Report)))
    return 0


def demo(options: argparse.Namespace) -> int:
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
        _say(f"made {len(truth.with_object)} images with a red disc and {len(truth.without_object)} without, served at {url}")
        _say(f"now, as anybody would: negset run {path} --allow-address {server.HOST}/32 --trainings {manifest.trainings()}")
        reached = argparse.Namespace(
            allow_address=[f"{server.HOST}/32"], cluster=False, trainings=manifest.trainings(), debug=options.debug
        )
        return _run(validation.parse(document), reached)


def job(options: argparse.Namespace) -> int:
    document, access = _document(options.file), _access(options)
    dataset = _admitted(document)
    with address_guard.enforced(access):
        told, content = validation.told_revision(document), validation.told_pipeline(document)
        _job(pipeline.prepare(dataset, access, told, pipeline=content), options, validation.told_spec_hash(document))
    return 0


def _job(opened: pipeline.Run, options: argparse.Namespace, run: str) -> None:
    if options.stage == "delete":
        _tell_left(revisions.delete(opened))
        return
    if options.stage == "check":  # has nothing to report, and its pod no token to report with
        pipeline.check(opened)
        pipeline.check_with_api(opened)
        return
    step = _step(opened, options)
    writer = _status_writer(opened.dataset, options, run)
    progress = console.for_stream() if writer is None else StatusProgress(writer.write, console.for_stream())
    match step.kind:
        case "data":
            _data(opened, progress)
        case "train":
            pipeline.train(opened, step, progress)
        case "mine":
            _mine(opened, step.round, progress)
    # On a laptop whoever runs the steps writes the report.
    ends = options.cluster and step == opened.last and _is_chief()
    if ends:
        pipeline.report(opened, progress)
    if writer is not None:
        writer.write_last(pipeline.status(opened), final=ends)
    if ends:
        _trim(opened)


def _trim(opened: pipeline.Run) -> None:
    """Removes earlier revisions beyond the limit, once the present one is done."""
    if told := revisions.trim(opened):
        _say(told)


def _tell_left(left: Sequence[str]) -> None:
    """Says what a deletion has left alone: to whoever reads the log, and to the operator by way of
    the pod.
    """
    if left:
        message = f"left alone, since it is not this object's own: {', '.join(left)}"
        _say(message)
        tell_pod(message)


def _step(opened: pipeline.Run, options: argparse.Namespace) -> stages.Step:
    """The step that the command line names.

    Raises `InvalidInput` where the manifest does not ask for it.
    """
    wanted = (options.stage, options.round, options.arm if options.stage == "train" else "")
    for step in opened.steps:
        if (step.kind, step.round, step.arm) == wanted:
            return step
    known = ", ".join(f"`{' '.join(step.command)}`" for step in opened.steps)
    raise InvalidInput(f"job: expected one of this dataset's steps ({known}), got {' '.join(map(str, filter(None, wanted)))}")


def _run(dataset: NegativeDataset, options: argparse.Namespace) -> int:
    access = _access(options)
    with address_guard.enforced(access):
        return _every_step(pipeline.prepare(dataset, access), options)


def _every_step(opened: pipeline.Run, options: argparse.Namespace) -> int:
    progress = console.for_stream()
    spec = opened.dataset.spec
    for group in stages.groups(spec, options.trainings or stages.parallel(spec)):
        step = group[0]
        match step.kind:
            case "check":
                pipeline.check(opened)
                if pipeline.data_missing(opened):
                    _check_in_child(opened, step, options)
            case "data" if pipeline.data_missing(opened):
                _data(opened, progress)
            case "train":
                _in_children(opened, [each for each in group if pipeline.trained(opened, each) is None], options)
            case "mine":
                _mine(opened, step.round, progress)
    pipeline.report(opened, progress)
    _trim(opened)
    _print(opened.store.location(names.REPORT_PAGE))
    return 0


def _data(opened: pipeline.Run, progress: Progress) -> None:
    pipeline.plan(opened)  # before Ray starts: a wrong class name should not cost seconds
    with ray_session.session(opened.dataset.spec.ray.workers):
        pipeline.data(opened, progress)


def _mine(opened: pipeline.Run, number: int, progress: Progress) -> None:
    if pipeline.mined(opened, number) is None:
        with ray_session.session(opened.dataset.spec.ray.workers):
            pipeline.mine(opened, number, progress)


def _check_in_child(opened: pipeline.Run, step: stages.Step, options: argparse.Namespace) -> None:
    """Tries what is the user's own with the Object Detection API, before the first download.

    What comes with negset is tried by its tests.
    """
    if pipeline.needs_api_check(opened):
        _say("checking the configuration with the Object Detection API")
        _in_children(opened, [step], options)


def _in_children(opened: pipeline.Run, steps: Sequence[stages.Step], options: argparse.Namespace) -> None:
    """Runs steps at the same time, each in a process of its own: TensorFlow gives its memory back
    only by ending, and never shares a process with Ray's driver.
    """
    with tempfile.NamedTemporaryFile("wb", suffix=".json") as stream:
        stream.write(msgspec.json.encode(validation.manifest(opened.dataset)))
        stream.flush()
        common = ["--file", stream.name, *(part for network in options.allow_address for part in ("--allow-address", network))]
        common += ["--debug"] if options.debug else []
        children.run({step.role: [sys.executable, "-m", "negset_jobs", "job", *step.command, *common] for step in steps})


def _load(path: str) -> NegativeDataset:
    """The dataset of a manifest that a person wrote: a field that is unknown is a mistake."""
    return validation.parse(_document(path))


def _admitted(document: Any) -> NegativeDataset:
    """The dataset of a manifest that the operator wrote.

    It may be newer than these jobs: a field that is unknown is skipped.
    """
    try:
        return validation.parse_admitted(document)
    except InvalidSpec as error:
        problems = "; ".join(map(str, error.problems))
        raise InvalidInput(f"{problems} (negset {version()} does not understand this manifest; use jobs of the CRD's version)") from error


def _document(path: str) -> Any:
    import yaml

    if path == "-":
        text = sys.stdin.read()
    else:
        try:
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"FILE: cannot read {path!r}: {getattr(error, 'strerror', None) or 'expected UTF-8 text'}") from error
    try:
        documents = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise InvalidInput(f"FILE: expected YAML in {path!r}, found something else at {of_yaml(error)}") from error
    if len(documents) != 1:
        raise InvalidInput(f"FILE: expected one {names.KIND} in {path!r}, got {len(documents)} documents")
    if not isinstance(documents[0], dict):
        raise InvalidInput(
            f"FILE: expected one {names.KIND} in {path!r}, with the keys apiVersion, kind, metadata and spec; found something else"
        )
    return documents[0]


def _access(options: argparse.Namespace) -> Access:
    """What the command may reach.

    A laptop's stores and schemes are the person's own business; on a cluster nothing is reached
    that nobody allowed.
    """
    networks = parse_networks(options.allow_address, "--allow-address")
    stores = parse_networks(getattr(options, "allow_store", ()), "--allow-store")
    schemes = parse_schemes(getattr(options, "allow_scheme", ()), "--allow-scheme")
    if not options.cluster:
        return Access(allowed_networks=networks)
    return Access(allowed_networks=networks, store_networks=stores, schemes=schemes or DEFAULT_SCHEMES, local_files=False)


def _status_writer(dataset: NegativeDataset, options: argparse.Namespace, run: str) -> StatusWriter | None:
    """The way to the object's status, on a cluster. Of several training pods one tells."""
    return StatusWriter(dataset.metadata, run) if options.cluster and _is_chief() else None


def _is_chief() -> bool:
    """Whether this process is the first of the training's workers, or the only one
    (https://www.tensorflow.org/guide/distributed_training#TF_CONFIG).
    """
    return bool(json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0) == 0)


def _plan_as_json(value: Plan) -> dict[str, Any]:
    """What `negset plan --json` promises, and nothing that it does not."""
    return {
        "imageIds": list(value.image_ids),
        "candidates": value.candidates,
        "planned": value.planned,
        "bytesEstimate": value.bytes_estimate,
        "licenses": msgspec.to_builtins(value.licenses),
        "remainingClasses": value.remaining_classes,
        "rejected": value.rejected,
        "excludedClasses": list(value.excluded_classes),
    }


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
