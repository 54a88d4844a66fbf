"""Start and stop a real Kubernetes on this Linux machine, for tests.

See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from testbed import addons, binaries, cluster, images, machine, oci, sbom, supervisor
from testbed.binaries import Unavailable
from testbed.processes import Failed

log = logging.getLogger("cluster")

_SBOM_FOLDER = os.path.join(images.ROOT, "dist", "sbom")


def main() -> int:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7.0f ms  %(message)s", stream=sys.stderr)
    started = time.monotonic()
    try:
        options.act(options)
    except (Unavailable, Failed) as problem:
        # The message is for the user. A traceback would hide it.
        log.error("%s", problem)  # noqa: TRY400
        return 1
    log.info("%s took %.1f s", options.action, time.monotonic() - started)
    return 0


def _up(options: argparse.Namespace) -> None:
    machine.install_programs()
    around = images.make_program_images(kueue=options.kueue)
    one = cluster.Cluster(cluster.layout(options.nodes))
    one.up()
    images.load(around, [node.socket for node in one.layout.nodes])
    client = one.dynamic()
    # The add-ons run on the first node, so that a test may lose the other one.
    _cordon(one, "cordon")
    addons.install_dns(client)
    addons.install_kuberay(one.kubeconfig)
    if options.kueue:
        addons.install_kueue(one.kubeconfig)
    for node in one.layout.nodes:
        addons.advertise_gpus(client, node.name, options.gpus)
    addons.wait_for_deployment(client, "coredns", "kube-system")
    addons.wait_for_deployment(client, "kuberay-operator", addons.KUBERAY_NAMESPACE)
    if options.kueue:
        addons.wait_for_deployment(client, "kueue-controller-manager", "kueue-system")
    _cordon(one, "uncordon")
    print(f"export KUBECONFIG={one.kubeconfig}")


def _cordon(one: cluster.Cluster, verb: str) -> None:
    for node in one.layout.nodes[1:]:
        addons.kubectl(one.kubeconfig, verb, node.name)


def _down(_: argparse.Namespace) -> None:
    cluster.Cluster(cluster.layout()).down()


def _test(options: argparse.Namespace) -> None:
    """Build the images, start the cluster, load the images, run the tests, stop the cluster.

    A cluster that was up before stays up. With NEGSET_TEST_KUBECONFIG, only run the tests.
    """
    if "NEGSET_TEST_KUBECONFIG" in os.environ:
        _pytest(options.pytest)
        return
    machine.install_programs()
    for target in images.TARGETS:
        images.build(target, images.default_tag())
    up_before = cluster.Cluster(cluster.layout()).running
    if not up_before:
        _up(options)
    try:
        names = [images.image_name(target, images.default_tag()) for target in images.TARGETS]
        images.load(names, [node.socket for node in cluster.layout().nodes])
        _pytest(options.pytest)
    finally:
        if not up_before:
            _down(options)


def _pytest(arguments: Sequence[str]) -> None:
    # In its own process: pytest has its own logging, and prints its whole summary even if a test
    # fails.
    code = subprocess.run([sys.executable, "-m", "pytest", os.path.dirname(os.path.abspath(__file__)), *arguments], check=False).returncode
    if code:
        raise Failed(f"pytest ended with exit code {code}.")


def _supervise(options: argparse.Namespace) -> None:
    supervisor.supervise(cluster.layout(options.nodes))


def _build_images(options: argparse.Namespace) -> None:
    """Build images. Print the name, the size and the digest of each, and write its SBOM."""
    machine.install_programs()
    os.makedirs(_SBOM_FOLDER, exist_ok=True)
    for target in options.targets or images.TARGETS:
        name = images.build(target, options.tag, *options.build_arg)
        image = oci.get(name)
        with open(os.path.join(_SBOM_FOLDER, f"{target}.cdx.json"), "w", encoding="utf-8") as stream:
            json.dump(sbom.write(name), stream, indent=2)
        print(f"{name}  {oci.size(image) / 1e6:.1f} MB  {image['digest']}", flush=True)


def _build_programs(_: argparse.Namespace) -> None:
    print(binaries.kubernetes_folder())
    print(binaries.pause_program())
    for name in binaries.PROGRAMS:
        print(binaries.program(name))


def _load_images(options: argparse.Namespace) -> None:
    layout = cluster.layout()
    names = [images.image_name(target, options.tag) for target in options.targets or images.TARGETS]
    images.load(names, [node.socket for node in layout.nodes])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", help="start the cluster and print how to reach it")
    up.set_defaults(act=_up)
    down = actions.add_parser("down", help="stop the cluster and delete everything but the cache")
    down.set_defaults(act=_down)
    build = actions.add_parser("build", help="build the targets of images/Dockerfile by buildah")
    build.add_argument("--build-arg", action="append", default=[], help="an argument of the build, such as ACCELERATOR=gpu")
    build.set_defaults(act=_build_images)
    programs = actions.add_parser("programs", help="build every program of the tests ahead, once; takes about 15 minutes")
    programs.set_defaults(act=_build_programs)
    load = actions.add_parser("load", help="load built images into every node")
    load.set_defaults(act=_load_images)
    test = actions.add_parser("test", help="build the images, run the tests of this folder, and start and stop the cluster if it is not up")
    test.add_argument("pytest", nargs="*", help="pytest's own arguments, after `--`")
    test.set_defaults(act=_test)
    for starting in (up, test):
        starting.add_argument("--nodes", type=int, choices=(1, 2), default=1, help="how many nodes (default: 1)")
        starting.add_argument("--gpus", type=int, default=1, help="how many GPUs each node advertises without having them (default: 1)")
        starting.add_argument("--kueue", action="store_true", help="install Kueue")
    for parser_of_images in (build, load):
        parser_of_images.add_argument("targets", nargs="*", metavar="target", help=f"which of {', '.join(images.TARGETS)} (default: all)")
        parser_of_images.add_argument("--tag", default=images.default_tag(), help="the images' tag (default: the chart's appVersion)")
    supervise = actions.add_parser("supervise")
    supervise.add_argument("--nodes", type=int, required=True)
    supervise.set_defaults(act=_supervise)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
