"""The images of a test cluster.

negset's are built from images/Dockerfile, those of the add-ons from the programs' binaries.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Sequence

from testbed import binaries, machine, objects, oci, pip_settings
from testbed.binaries import COREDNS, KUBERAY, KUEUE, Unavailable, cache_folder, locked
from testbed.node import PAUSE_IMAGE

log = logging.getLogger(__name__)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TARGETS = ("operator", "jobs", "trainer")

COREDNS_IMAGE = f"registry.k8s.io/coredns/coredns:{COREDNS.version}"
KUBERAY_IMAGE = f"quay.io/kuberay/operator:{KUBERAY.version}"
KUEUE_IMAGE = f"registry.k8s.io/kueue/kueue:{KUEUE.version}"

# What Debian's own "slim" image lacks. dpkg does not install documentation later either.
_CACHES = ("var/cache/apt/archives", "var/lib/apt/lists")
_DOCUMENTATION = ("usr/share/doc", "usr/share/man", "usr/share/locale")
_DPKG = "".join(f"path-exclude /{path}/*\n" for path in _DOCUMENTATION) + "path-include /usr/share/doc/*/copyright\n"
_BASE = "docker.io/library/debian:trixie-slim"  # the BASE of images/Dockerfile

# The storage mounts its folder on itself, and does not unmount it. In its own mount namespace, the
# mount ends with the program.
_OWN_MOUNTS = ("unshare", "--mount")


def default_tag() -> str:
    """Return the chart's default tag: its appVersion."""
    (chart,) = objects.read_objects(os.path.join(ROOT, "charts", "negset", "Chart.yaml"))
    return str(chart["appVersion"])


def image_name(target: str, tag: str) -> str:
    """Return the full name of a target's image: the chart's `negset/<target>:<tag>` in full."""
    return f"docker.io/negset/{target}:{tag}"


def make_program_images(*, kueue: bool) -> list[str]:
    """Build the add-ons' images that are not in the cache. Return the names of all of them."""
    wanted = [(COREDNS_IMAGE, "coredns", "/coredns"), (KUBERAY_IMAGE, "kuberay-operator", "/manager")]
    if kueue:
        wanted.append((KUEUE_IMAGE, "kueue", "/manager"))
    for image, program, entrypoint in wanted:
        if oci.find(image) is None:
            oci.write_program(image, binaries.program(program), entrypoint)
    if oci.find(PAUSE_IMAGE) is None:
        oci.write_program(PAUSE_IMAGE, binaries.pause_program(), "/pause")
    return [PAUSE_IMAGE, *(image for image, _, _ in wanted)]


def build(target: str, tag: str, *arguments: str) -> str:
    """Build the image of a target (`operator`, `jobs`, `trainer`) by buildah. Return its name.

    Layers are kept, so a build starts at the first line that changed. `arguments` are build
    arguments, such as `ACCELERATOR=gpu`.
    """
    image = image_name(target, tag)
    started = time.monotonic()
    with locked("buildah"):
        _make_base()
        settings = pip_settings.read_settings(os.environ)
        mounts = pip_settings.mounts(settings, os.path.join(cache_folder(), "pip-settings"))
        _buildah(
            *("build-using-dockerfile", "--layers", "--pull-never", "--format=oci", "--isolation=chroot", "--network=host"),
            *(f"--volume={here}:{there}:ro" for here, there in mounts),
            *(f"--build-arg={argument}" for argument in (f"VERSION={default_tag()}", *arguments)),
            *(f"--tag={image}", f"--target={target}", f"--file={ROOT}/images/Dockerfile", ROOT),
        )
        built = time.monotonic()
        _store(image)
    log.info("built %s in %.1f s, stored it in %.1f s", image, built - started, time.monotonic() - built)
    return image


def load(images: Sequence[str], sockets: Sequence[str]) -> None:
    """Load images into nodes, by the sockets of their containerds."""
    for image in images:
        for socket in sockets:
            started = time.monotonic()
            if lacked := oci.load(image, socket):
                log.info("loaded %s, %.0f MB of it new, in %.1f s", image, lacked / 1e6, time.monotonic() - started)


def _make_base() -> None:
    """Build the base image of images/Dockerfile by debootstrap, so that no registry is needed.

    The packages come from the machine's Debian mirror. The image gets the name that the Dockerfile
    uses.
    """
    if _buildah("images", "--quiet", "--filter", f"reference={_BASE}").strip():
        return
    folder = cache_folder("debian-trixie")
    shutil.rmtree(folder)
    log.info("building %s by debootstrap", _BASE)
    machine.run("debootstrap", "--variant=minbase", "--include=ca-certificates", "trixie", folder)
    for path in (*_CACHES, *_DOCUMENTATION):
        shutil.rmtree(os.path.join(folder, path))
        os.makedirs(os.path.join(folder, path))
    with open(os.path.join(folder, "etc", "dpkg", "dpkg.cfg.d", "slim"), "w", encoding="ascii") as stream:
        stream.write(_DPKG)
    container = _buildah("from", "scratch").strip()
    _buildah("add", "--quiet", container, folder, "/")
    _buildah("config", "--cmd", "bash", container)
    _buildah("commit", "--quiet", "--rm", container, _BASE)
    shutil.rmtree(folder)


def _store(image: str) -> None:
    """Copy an image from buildah's storage into the layout.

    Layers stay uncompressed. So their digests are known beforehand, and layers that the layout
    has are not written again. buildah's own `push` compresses all of them each time.
    """
    storage, run = _storage_folders()
    source = f"containers-storage:[overlay@{storage}+{run}]{image}"
    machine.run(
        *_OWN_MOUNTS,
        "skopeo",
        "--insecure-policy",
        "copy",
        "--quiet",
        "--dest-oci-accept-uncompressed-layers",
        source,
        f"oci:{oci.layout_folder()}:{image}",
    )


def _buildah(*arguments: str) -> str:
    """Run buildah on its own storage in the cache. Raise Unavailable with its output on failure."""
    storage, run = _storage_folders()
    done = subprocess.run(
        [*_OWN_MOUNTS, "buildah", "--storage-driver=overlay", f"--root={storage}", f"--runroot={run}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        output = f"{done.stdout}\n{done.stderr}".strip()[-4000:]
        raise Unavailable(f"`buildah {' '.join(arguments)}` ended with {done.returncode}:\n{output}")
    return done.stdout


def _storage_folders() -> tuple[str, str]:
    """Return buildah's folders for layers and run state, apart from the machine's own."""
    return cache_folder("buildah", "storage"), cache_folder("buildah", "run")
