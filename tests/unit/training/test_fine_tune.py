"""The checkpoint to start from is found in every form that users have.

An incomplete one is refused before any training.
"""

import functools
import http.server
import io
import os
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import PipelineConfig, Training
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.training import config as configs
from negset_jobs.training import fine_tune

FIELD = "spec.training.fineTuneCheckpoint"


def index(shards=1):
    """The start of an index as TensorFlow 2.15 writes it.

    It has an empty key, then a BundleHeaderProto of six bytes.
    """
    return b"\0\0" + bytes([6, 0x08, shards, 0x1A, 0x02, 0x08, 0x01]) + b"..."


def training(url=None, **fields):
    return Training(steps=10, pipeline_config=PipelineConfig(preset="ssd-mobilenet-v2-tiny-96"), fine_tune_checkpoint=url, **fields)


def write(folder, name="ckpt-0", *, shards=1, left_out=()):
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"{name}.index": index(shards), **{f"{name}.data-{i:05d}-of-{shards:05d}": f"{name} {i}".encode() for i in range(shards)}}
    for file, content in files.items():
        if file not in left_out:
            (folder / file).write_bytes(content)
    return folder


def note(folder, name):
    """TensorFlow's own note of its newest checkpoint."""
    (folder / "checkpoint").write_text(f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n')


def archive(path, members, mode="w:gz"):
    """A tar archive of pairs of a name and its content.

    None as content is a folder, a `str` the target of a symbolic link.
    """
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def zoo_archive(path, **options):
    return archive(
        path,
        [
            ("./model_coco17", None),
            ("./model_coco17/pipeline.config", b"model { }"),
            ("./model_coco17/saved_model/variables/variables.index", index()),
            ("./model_coco17/saved_model/variables/variables.data-00000-of-00001", b"not a checkpoint to start from"),
            ("./model_coco17/saved_model/saved_model.pb", b"graph"),
            ("./model_coco17/checkpoint/checkpoint", b'model_checkpoint_path: "ckpt-0"\n'),
            ("./model_coco17/checkpoint/ckpt-0.data-00000-of-00001", b"ckpt-0 0"),
            ("./model_coco17/checkpoint/ckpt-0.index", index()),
        ],
        **options,
    )


def got(url, folder):
    """The name and the data of the checkpoint that a URL means, after the fetch.

    The static check passes as well.
    """
    fine_tune.check(configs.parse(b"", "own"), training(str(url)), Access())
    prefix = fine_tune.fetch(fine_tune.find(str(url), Access(), FIELD), Access(), FIELD, str(folder / "fetched"))
    assert os.path.exists(f"{prefix}.index")
    return os.path.basename(prefix), [path.read_text() for path in sorted(Path(prefix).parent.glob(f"{os.path.basename(prefix)}.data-*"))]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("model/ckpt-0", id="a prefix"),
        pytest.param("model/ckpt-0.index", id="the index"),
        pytest.param("model/ckpt-0.data-00001-of-00002", id="a data file"),
        pytest.param("model", id="the folder"),
        pytest.param("model/", id="the folder with a slash"),
    ],
)
def test_a_checkpoint_of_two_data_files_is_found_by(tmp_path, url):
    write(tmp_path / "model", shards=2)
    assert got(tmp_path / url, tmp_path) == ("ckpt-0", ["ckpt-0 0", "ckpt-0 1"])


def test_a_folder_of_the_model_zoo_has_its_checkpoint_in_a_folder_of_that_name(tmp_path):
    write(tmp_path / "model" / "checkpoint")
    (tmp_path / "model" / "pipeline.config").write_text("model { }")
    assert got(tmp_path / "model", tmp_path) == ("ckpt-0", ["ckpt-0 0"])


@pytest.mark.parametrize(
    ("names", "noted", "expected"),
    [
        pytest.param(["ckpt-9", "ckpt-10"], "", "ckpt-10", id="the highest number"),
        pytest.param(["ckpt-9", "ckpt-10"], "ckpt-9", "ckpt-9", id="the one that TensorFlow noted"),
        pytest.param(
            ["ckpt-9", "ckpt-10"], "/gone/elsewhere/ckpt-9", "ckpt-9", id="the one that TensorFlow noted with the folder it was in"
        ),
        pytest.param(["ckpt-9", "ckpt-10"], "ckpt-11", "ckpt-10", id="the highest number where the noted one is gone"),
        pytest.param(["weights"], "", "weights", id="the only one, whatever its name"),
    ],
)
def test_of_several_checkpoints_of_a_folder_it_takes(tmp_path, names, noted, expected):
    for name in names:
        write(tmp_path / "model", name)
    if noted:
        note(tmp_path / "model", noted)
    assert got(tmp_path / "model", tmp_path)[0] == expected


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_an_archive_of_the_model_zoo_is_unpacked(tmp_path, mode):
    path = zoo_archive(tmp_path / f"model.tar{'.gz' if mode == 'w:gz' else ''}", mode=mode)
    assert got(path, tmp_path) == ("ckpt-0", ["ckpt-0 0"])


def test_of_an_archive_only_the_checkpoint_is_written_and_never_outside_of_the_folder(tmp_path):
    members = [
        ("../../outside/ckpt-0.index", index()),
        ("../../outside/ckpt-0.data-00000-of-00001", b"ckpt-0 0"),
        ("model/ckpt-1.index", "/etc/passwd"),
        ("/absolute/evil.sh", b"rm"),
    ]
    path = archive(tmp_path / "model.tar.gz", members)
    assert got(path, tmp_path / "inner") == ("ckpt-0", ["ckpt-0 0"])
    written = {str(entry.relative_to(tmp_path)) for entry in tmp_path.rglob("*") if entry.is_file()}
    assert written == {"model.tar.gz", "inner/fetched/0/ckpt-0.index", "inner/fetched/0/ckpt-0.data-00000-of-00001"}


def refused(url, folder):
    location = fine_tune.find(str(url), Access(), FIELD)
    fine_tune.fetch(location, Access(), FIELD, str(folder / "fetched"))


@pytest.mark.parametrize("share", [10, 30, 60, 95])
def test_an_archive_that_is_cut_short_is_refused_wherever_it_is_cut(tmp_path, share):
    big = [("m/ckpt-0.index", index()), ("m/ckpt-0.data-00000-of-00001", os.urandom(300_000))]
    whole = archive(tmp_path / "whole.tar.gz", big).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) * share // 100])
    with pytest.raises(InvalidInput, match=r"^spec\.training\.fineTuneCheckpoint: ") as caught:
        refused(tmp_path / "cut.tar.gz", tmp_path)
    assert "\n" not in str(caught.value)


def test_an_archive_that_is_none_is_refused_before_anything_is_downloaded(tmp_path):
    (tmp_path / "page.tar.gz").write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(InvalidInput, match=r"expected a complete \.tar\.gz archive"):
        fine_tune.check(configs.parse(b"", "own"), training(str(tmp_path / "page.tar.gz")), Access())


def test_an_archive_without_a_checkpoint_or_without_its_data_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="has none"):
        refused(archive(tmp_path / "empty.tar.gz", [("m/pipeline.config", b"x")]), tmp_path)
    with pytest.raises(InvalidInput, match=r"is incomplete, ckpt-0\.data-00000-of-00001 is missing"):
        refused(archive(tmp_path / "half.tar.gz", [("m/ckpt-0.index", index())]), tmp_path)


def test_an_archive_that_unpacks_to_more_than_any_model_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fine_tune, "_MOST_BYTES", 1 << 20)
    path = archive(tmp_path / "bomb.tar.gz", [("m/zeros.bin", bytes(2 << 20)), ("m/ckpt-0.index", index())])
    with pytest.raises(InvalidInput, match="unpacks to more"):
        refused(path, tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        pytest.param("nowhere/ckpt-0", "expected a checkpoint of TensorFlow 2 .*, found none at", id="a prefix of nothing"),
        pytest.param("gone/ckpt-0.index", r"gone/ckpt-0\.index' does not exist", id="an index that is not there"),
        pytest.param("gone/model.tar.gz", r"gone/model\.tar\.gz' does not exist", id="an archive that is not there"),
        pytest.param("half/ckpt-0", r"is incomplete, .*ckpt-0\.data-00001-of-00002' does not exist", id="one of two data files missing"),
        pytest.param("empty/ckpt-0", r"data-00000-of-00001' is empty", id="a data file without a byte"),
        pytest.param("page/ckpt-0", r"ckpt-0\.index' is not the index of one", id="a web page in place of the index"),
        pytest.param("saved", "found none at", id="a folder with a SavedModel"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_is_downloaded(tmp_path, url, message):
    write(tmp_path / "half", shards=2, left_out=("ckpt-0.data-00001-of-00002",))
    (write(tmp_path / "empty") / "ckpt-0.data-00000-of-00001").write_bytes(b"")
    (write(tmp_path / "page") / "ckpt-0.index").write_bytes(b"<html></html>")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(InvalidInput, match=message) as caught:
        fine_tune.check(configs.parse(b"", "own"), training(str(tmp_path / url)), Access())
    assert str(caught.value).startswith(FIELD)


@pytest.mark.parametrize("url", ["/", "s3://.index", "zip://.index::/data/x.zip", "zip://a::b::s3://c/d"])
def test_a_url_that_names_nothing_is_refused(url):
    with pytest.raises(InvalidInput, match=r"^spec\.training\.fineTuneCheckpoint: "):
        fine_tune.check(configs.parse(b"", "own"), training(url), Access())


def test_a_checkpoint_in_an_archive_of_any_kind_is_found(tmp_path):
    write(tmp_path / "model", shards=2)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        for path in (tmp_path / "model").iterdir():
            packed.write(path, f"m/{path.name}")
    for member in ("m", "m/ckpt-0", "m/ckpt-0.index"):
        assert got(f"zip://{member}::{tmp_path}/x.zip", tmp_path / member.replace("/", "-")) == ("ckpt-0", ["ckpt-0 0", "ckpt-0 1"])


def test_the_checkpoint_is_the_specs_before_the_configurations():
    config = configs.parse(b"", "own")
    assert fine_tune.origin(config, training()) == ("", "spec.training.pipelineConfig: train_config.fine_tune_checkpoint")
    config.train_config.fine_tune_checkpoint = "s3://models/ckpt-0"
    assert fine_tune.origin(config, training())[0] == "s3://models/ckpt-0"
    assert fine_tune.origin(config, training("s3://mine/ckpt-3")) == ("s3://mine/ckpt-3", FIELD)


def test_the_placeholder_of_a_downloaded_configuration_is_refused_with_advice_unless_the_spec_names_a_checkpoint(tmp_path):
    config = configs.parse(b"train_config { fine_tune_checkpoint: 'PATH_TO_BE_CONFIGURED/ckpt-0' }", "own")
    with pytest.raises(InvalidInput, match=r"placeholder.*spec\.training\.fineTuneCheckpoint"):
        fine_tune.check(config, training(), Access())
    write(tmp_path)
    fine_tune.check(config, training(str(tmp_path)), Access())


def test_a_start_is_of_the_version_that_tensorflow_2_restores():
    patched = fine_tune.patch(configs.parse(b"", "own"), "/models/ckpt-0", "detection")
    assert (patched.train_config.fine_tune_checkpoint_type, patched.train_config.fine_tune_checkpoint_version) == ("detection", 2)
    assert not fine_tune.patch(patched, "", "").train_config.fine_tune_checkpoint


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """A web server of a folder, and its address."""
    served = tmp_path / "served"
    served.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(served))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["model/ckpt-0", "model/ckpt-0.index", "model", "model.tar.gz", "model.tar.gz?token=a.b"])
def test_a_checkpoint_on_a_web_server_is_found_although_it_cannot_be_asked_what_it_has(web, tmp_path, path):
    served, url = web
    write(served / "model", shards=2)
    zoo_archive(served / "model.tar.gz")
    access = Access(allowed_networks=("127.0.0.1/32",))
    config = configs.parse(b"", "own")
    fine_tune.check(config, training(f"{url}/{path}"), access)
    prefix = fine_tune.fetch(fine_tune.find(f"{url}/{path}", access, FIELD), access, FIELD, str(tmp_path / "fetched"))
    assert os.path.basename(prefix) == "ckpt-0"
    assert Path(f"{prefix}.index").read_bytes() == index(1 if "tar" in path else 2)


def test_a_web_server_on_an_address_that_is_not_allowed_is_not_asked(web):
    served, url = web
    write(served / "model")
    with pytest.raises(InvalidInput, match=r"127\.0\.0\.1"):
        fine_tune.check(configs.parse(b"", "own"), training(f"{url}/model/ckpt-0"), Access())


def test_a_checkpoint_in_object_storage_is_found(tmp_path):
    store = Store("memory://fine-tune-test")
    for path in sorted(write(tmp_path / "model" / "checkpoint", shards=2).iterdir()):
        store.write(f"zoo/checkpoint/{path.name}", path.read_bytes())
    for url in ("zoo", "zoo/checkpoint", "zoo/checkpoint/ckpt-0"):
        assert got(f"memory://fine-tune-test/{url}", tmp_path / url.replace("/", "-")) == ("ckpt-0", ["ckpt-0 0", "ckpt-0 1"])
