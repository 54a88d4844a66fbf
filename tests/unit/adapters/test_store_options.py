"""The variables, files and options of the clouds mean what their users know."""

from __future__ import annotations

import builtins
import json
import sys
import types

import pytest

from negset_api.errors import CannotRunHere, InvalidInput
from negset_jobs.adapters.azure_options import azure_options
from negset_jobs.adapters.clouds import S3, Azure
from negset_jobs.adapters.google_options import google_options
from negset_jobs.adapters.s3_options import s3_options
from negset_jobs.adapters.store_options import StoreOptions, checked

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Write AWS's files. Returns the variables that name them."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def written(credentials="", config=""):
        (tmp_path / "credentials").write_text(credentials)
        (tmp_path / "config").write_text(config)
        return {"AWS_SHARED_CREDENTIALS_FILE": f"{tmp_path}/credentials", "AWS_CONFIG_FILE": f"{tmp_path}/config"}

    return written


def of_s3(options, environment, files, **written):
    return s3_options(options, {**files(**written), **environment})


S3_CASES = {
    "the keys of the environment": ({}, {**KEYS, "AWS_SESSION_TOKEN": "t"},
        {"access_key_id": "id", "secret_access_key": "secret", "session_token": "t"}),
    "an option is stronger than a variable": ({"key": "mine", "secret": "own"}, KEYS, {"access_key_id": "mine", "secret_access_key": "own"}),
    "the keys of the client's options": ({"client_kwargs": {"aws_access_key_id": "a", "aws_secret_access_key": "b"}}, KEYS,
        {"access_key_id": "a", "secret_access_key": "b"}),
    "nobody signs": ({"anon": True}, KEYS, {"skip_signature": "true"}),
    "nobody signs, as a variable says": ({"anon": "true"}, KEYS, {"skip_signature": "true"}),
    "false is not true": ({"anon": "false"}, KEYS, {"access_key_id": "id", "secret_access_key": "secret"}),
    "the region of boto": ({}, {**KEYS, "AWS_DEFAULT_REGION": "eu-west-1"},
        {"region": "eu-west-1", "access_key_id": "id", "secret_access_key": "secret"}),
    "the region of an option": ({"client_kwargs": {"region_name": "r"}, "anon": 1}, {"AWS_REGION": "x"}, {"region": "r", "skip_signature": "true"}),
    "encryption by a key": ({"anon": 1, "s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}}, {},
        {"skip_signature": "true", "server_side_encryption": "aws:kms", "sse_kms_key_id": "k"}),
    "who asks pays": ({"anon": 1, "requester_pays": True}, {}, {"skip_signature": "true", "request_payer": "true"}),
    "a pod's role": ({}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/t", "AWS_ROLE_ARN": "r"}, {}),
    "a container's role": ({}, {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, {}),
    "what changes the speed only": ({"anon": 1, "default_block_size": 5, "max_concurrency": 4}, {}, {"skip_signature": "true"}),
}  # fmt: skip


S3_STRAY = {
    "that of an option's keys": ({"key": "mine", "secret": "own"}, {"AWS_SESSION_TOKEN": "stray"}),
    "that of a file's keys": ({}, {"AWS_SESSION_TOKEN": "stray"}),
    "that of an option's profile": ({"profile": "default"}, {**KEYS, "AWS_SESSION_TOKEN": "stray"}),
    "that of obstore": ({"key": "mine", "secret": "own"}, {"AWS_TOKEN": "stray"}),
}


@pytest.mark.parametrize("case", S3_STRAY)
def test_a_token_of_other_keys_is_not_sent(case, files):
    """obstore adds the token of the variables to keys that have none."""
    options, environment = S3_STRAY[case]
    found = of_s3(options, environment, files, credentials="[default]\naws_access_key_id = mine\naws_secret_access_key = own\n")
    assert found.config == {}
    assert found.credentials() == {"access_key_id": "mine", "secret_access_key": "own", "expires_at": None}


@pytest.mark.parametrize("case", S3_CASES)
def test_options_and_variables_of_s3(case, files):
    options, environment, expected = S3_CASES[case]
    found = of_s3(options, environment, files)
    assert found.config == expected
    assert (found.credentials, found.instance) == (None, "")


ENDPOINTS = {
    "the variable of S3": ({}, {"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_ENDPOINT_URL": "http://all"}, "", "http://s3"),
    "the variable of all services": ({}, {"AWS_ENDPOINT_URL": "http://all"}, "", "http://all"),
    "an option": ({"endpoint_url": "http://own"}, {"AWS_ENDPOINT_URL": "http://all"}, "", "http://own"),
    "an option of the client": ({"client_kwargs": {"endpoint_url": "http://own"}}, {"AWS_ENDPOINT_URL": "http://all"}, "", "http://own"),
    "the profile's": ({}, {}, "[default]\nendpoint_url = http://profile\n", "http://profile"),
    "the profile's services": ({}, {}, "[default]\nservices = mine\n[services mine]\ns3 =\n  endpoint_url = http://s3\n", "http://s3"),
    "configured ones are not wanted": ({}, {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": "http://all"}, "", ""),
}


@pytest.mark.parametrize("case", ENDPOINTS)
def test_the_endpoint_of_s3_is_that_of(case, files):
    options, environment, config, expected = ENDPOINTS[case]
    assert of_s3(options, {**KEYS, **environment}, files, config=config).endpoint == expected


def test_settings_of_botocore_are_kept(files):
    details = {"connect_timeout": 2.5, "read_timeout": 60, "retries": {"max_attempts": 3}, "s3": {"addressing_style": "virtual"}}
    found = of_s3({"endpoint_url": "http://x", "config_kwargs": details}, KEYS, files)
    assert (found.client, found.retry, found.bucket_in_host) == (
        {"connect_timeout": "2500ms", "timeout": "60000ms"},
        {"max_retries": 3},
        True,
    )
    assert of_s3({}, {**KEYS, "AWS_MAX_ATTEMPTS": "3"}, files).retry == {"max_retries": 2}


REFUSED = {
    "an option that obstore does not have": ({"s3_additional_kwargs": {"ACL": "public-read"}}, KEYS, "cannot use the option 'ACL'"),
    "an unknown option": ({"nonsense": 1}, KEYS, "cannot use the option 'nonsense'"),
    "an option that is no mapping": ({"client_kwargs": "x"}, KEYS, "expected a mapping as client_kwargs"),
    "half of the keys": ({}, {"AWS_ACCESS_KEY_ID": "id"}, "expected both an access key and a secret key"),
    "a profile that does not exist": ({}, {"AWS_PROFILE": "none"}, "cannot find the profile 'none'"),
    "certificates that would not be used": ({}, {**KEYS, "AWS_CA_BUNDLE": "/ca.pem"}, "set SSL_CERT_FILE to the same file"),
    "retries that are no number": (
        {"config_kwargs": {"retries": {"max_attempts": "hunter2"}}},
        KEYS,
        "expected a whole number as max_attempts",
    ),
    "retries that are no mapping": ({"config_kwargs": {"retries": "5"}}, KEYS, "expected a mapping as retries"),
    "a style that is no mapping": ({"config_kwargs": {"s3": "virtual"}}, KEYS, "expected a mapping as s3"),
    "a timeout that is no number": ({"config_kwargs": {"read_timeout": "hunter2"}}, KEYS, "expected seconds as connect_timeout"),
    "attempts that are no number": ({}, {**KEYS, "AWS_MAX_ATTEMPTS": "many"}, "AWS_MAX_ATTEMPTS: expected a whole number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_s3_refuses(case, files):
    options, environment, message = REFUSED[case]
    with pytest.raises(InvalidInput, match=message):
        of_s3(options, environment, files)


def test_an_endpoint_that_is_not_wanted_is_not_obstores_either(files, monkeypatch):
    for name, value in {**files(), **KEYS, "AWS_ENDPOINT_URL": "http://all", "AWS_DEFAULT_REGION": "eu-west-1"}.items():
        monkeypatch.setenv(name, value)
    assert S3(skip_instance_cache=True).located("b") == {"aws_endpoint_url_s3": "http://all"}
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert S3(skip_instance_cache=True).located("b")["aws_endpoint_url_s3"] == "https://s3.eu-west-1.amazonaws.com"


# --- All ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["minio:9000", "localhost", "::", "ftp://h", "http://", "http://u:p@h", "http://h\n", " http://h"])
def test_what_is_no_endpoint_is_refused_without_quoting_it(endpoint):
    """obstore panics over most of them."""
    with pytest.raises(InvalidInput, match=r"^s3: expected an endpoint such as [^,]*, got something else$"):
        checked("s3", StoreOptions(endpoint=endpoint))


@pytest.mark.parametrize("endpoint", ["http://minio_1:9000", "https://h/path/", "http://[::1]:9000", "https://s3.eu.example"])
def test_an_endpoint_is_kept(endpoint):
    assert checked("s3", StoreOptions(endpoint=endpoint)).endpoint == endpoint
    assert checked("s3", StoreOptions(endpoint=endpoint.replace("http", "HTTP"))).endpoint == endpoint


@pytest.mark.parametrize("value", ["hunter2\n", " hunter2", "hunter2\r", "hun\nter2"])
def test_a_key_with_a_line_break_is_refused_without_quoting_it(value):
    with pytest.raises(InvalidInput, match=r"^s3: expected access_key_id without line breaks") as raised:
        checked("s3", StoreOptions(config={"access_key_id": value}))
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("region", ["eu west", "@evil.example/", "x:1", "x#"])
def test_a_region_names_no_other_host(region):
    with pytest.raises(InvalidInput, match="expected a region such as eu-west-1"):
        checked("s3", StoreOptions(config={"region": region}))
    assert checked("s3", StoreOptions(config={"region": "eu-west-1"})).config == {"region": "eu-west-1"}


def test_a_key_file_may_have_lines():
    given = StoreOptions(config={"service_account_key": "{\n}\n"})
    assert checked("gs", given) == given


# --- AWS's profiles -------------------------------------------------------------------------------

PROFILES = "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n[work]\naws_access_key_id = w\naws_secret_access_key = ws\n"


def test_the_keys_of_a_profile_are_read(files):
    default = of_s3({}, {}, files, credentials=PROFILES, config="[profile work]\nregion = eu-west-3\n")
    assert default.config == {"access_key_id": "d", "secret_access_key": "ds"}
    work = of_s3({}, {"AWS_PROFILE": "work"}, files, credentials=PROFILES, config="[profile work]\nregion = eu-west-3\n")
    assert work.config == {"access_key_id": "w", "secret_access_key": "ws", "region": "eu-west-3"}
    assert of_s3({"profile": "work"}, {}, files, credentials=PROFILES).config["access_key_id"] == "w"
    assert of_s3({}, {**KEYS, "AWS_PROFILE": "work"}, files, credentials=PROFILES).config["access_key_id"] == "id"


def test_without_any_credentials_an_instance_is_asked_except_where_that_is_off(files):
    assert of_s3({}, {}, files).instance == "169.254.169.254"
    assert of_s3({}, {"AWS_EC2_METADATA_DISABLED": "true"}, files).instance == "none"


def test_a_profile_of_a_role_needs_botocore_and_uses_it(files, monkeypatch):
    config = "[profile sso]\nsso_session = x\nsso_account_id = 1\n"
    monkeypatch.setitem(sys.modules, "botocore", None)
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(CannotRunHere, match=r"the AWS profile 'sso' .* needs botocore; install it with: pip install 'negset\[aws\]'"):
        of_s3({}, {"AWS_PROFILE": "sso"}, files, config=config)

    frozen = types.SimpleNamespace(access_key="a", secret_key="s", token="t")
    session = types.ModuleType("botocore.session")
    session.Session = lambda profile: types.SimpleNamespace(
        get_credentials=lambda: types.SimpleNamespace(get_frozen_credentials=lambda: frozen) if profile == "sso" else None
    )
    monkeypatch.setitem(sys.modules, "botocore", types.ModuleType("botocore"))
    monkeypatch.setitem(sys.modules, "botocore.session", session)
    sys.modules["botocore"].session = session
    given = of_s3({}, {"AWS_PROFILE": "sso"}, files, config=config).credentials()
    assert (given["access_key_id"], given["secret_access_key"], given["token"]) == ("a", "s", "t")


# --- Azure ----------------------------------------------------------------------------------------

CONNECTION = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=core.windows.net"

AZURE_CASES = {
    "the key of an account": ({}, {"AZURE_STORAGE_ACCOUNT_NAME": "acc", "AZURE_STORAGE_ACCOUNT_KEY": "k"},
        {"account_name": "acc", "account_key": "k"}, "", ""),
    "the variables of Azure's command line": ({}, {"AZURE_STORAGE_ACCOUNT": "acc", "AZURE_STORAGE_KEY": "k"},
        {"account_name": "acc", "account_key": "k"}, "", ""),
    "a connection string": ({}, {"AZURE_STORAGE_CONNECTION_STRING": CONNECTION},
        {"account_name": "acc", "account_key": "a2V5=="}, "https://acc.blob.core.windows.net", ""),
    "a connection string with a signature": (
        {"connection_string": "BlobEndpoint=https://acc.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x"}, {},
        {"account_name": "acc", "sas_key": "sv=1&sig=x"}, "https://acc.blob.core.windows.net", ""),
    "an option is stronger": ({"account_name": "own", "account_key": "o"}, {"AZURE_STORAGE_ACCOUNT_NAME": "acc", "AZURE_STORAGE_ACCOUNT_KEY": "k"},
        {"account_name": "own", "account_key": "o"}, "", ""),
    "the workload identity of a pod": ({"account_name": "acc"},
        {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t", "AZURE_FEDERATED_TOKEN_FILE": "/f"},
        {"account_name": "acc", "client_id": "c", "tenant_id": "t", "federated_token_file": "/f"}, "", ""),
    "a service principal": ({"account_name": "acc", "client_id": "c", "client_secret": "s", "tenant_id": "t"}, {},
        {"account_name": "acc", "client_id": "c", "client_secret": "s", "tenant_id": "t"}, "", ""),
    "nobody signs": ({"account_name": "acc", "anon": True}, {"AZURE_STORAGE_ACCOUNT_KEY": "k"},
        {"account_name": "acc", "skip_signature": "true"}, "", ""),
    "another cloud": ({"account_name": "acc", "account_host": "acc.blob.core.chinacloudapi.cn", "account_key": "k"}, {},
        {"account_name": "acc", "account_key": "k"}, "https://acc.blob.core.chinacloudapi.cn", ""),
    "no credentials": ({"account_name": "acc"}, {}, {"account_name": "acc"}, "", "169.254.169.254"),
    "half of a service principal": ({"account_name": "acc", "client_id": "c"}, {},
        {"account_name": "acc", "client_id": "c"}, "", "169.254.169.254"),
}  # fmt: skip


@pytest.mark.parametrize("case", AZURE_CASES)
def test_options_and_variables_of_azure(case):
    options, environment, config, endpoint, instance = AZURE_CASES[case]
    found = azure_options(options, environment)
    assert (found.config, found.endpoint, found.instance) == (config, endpoint, instance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected the name of a storage account"),
        ({"account_name": "a", "credential": object()}, "cannot use the option 'credential'"),
        ({"connection_string": "UseDevelopmentStorage=true"}, "cannot use UseDevelopmentStorage"),
        ({"connection_string": "AccountKey=hunter2"}, "expected AccountName or BlobEndpoint"),
    ],
)
def test_azure_refuses(options, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        azure_options(options, {})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "options", "path"),
    [
        ("abfs://c/a/b", {}, "c/a/b"),
        ("abfss://c@acc.dfs.core.windows.net/a", {"account_name": "acc"}, "c/a"),
        ("az://c@acc.dfs.core.chinacloudapi.cn/a", {"account_name": "acc", "account_host": "acc.blob.core.chinacloudapi.cn"}, "c/a"),
    ],
)
def test_a_url_of_azure_may_name_its_account(url, options, path):
    assert (Azure._get_kwargs_from_urls(url), Azure._strip_protocol(url)) == (options, path)


# --- Google ---------------------------------------------------------------------------------------


@pytest.fixture
def key_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))

    def written(kind):
        (tmp_path / "key.json").write_text(json.dumps({"type": kind}))
        return f"{tmp_path}/key.json"

    return written


@pytest.mark.parametrize("kind", ["service_account", "authorized_user"])
def test_a_key_file_of_google_is_obstores(kind, key_file):
    path = key_file(kind)
    for options, environment in (({}, {"GOOGLE_APPLICATION_CREDENTIALS": path}), ({"token": path}, {})):
        found = google_options(options, environment)
        assert (found.config, found.instance, found.credentials) == ({"application_credentials": path}, "", None)


def test_without_a_key_file_google_asks_the_instance(key_file):
    assert google_options({}, {}).instance == "metadata.google.internal"
    assert google_options({"token": "cloud"}, {"GCE_METADATA_HOST": "h:1"}).instance == "h:1"


def test_google_without_signatures_and_with_an_emulator(key_file):
    found = google_options({"token": "anon"}, {"STORAGE_EMULATOR_HOST": "localhost:4443"})
    assert (found.config, found.endpoint) == ({"skip_signature": "true"}, "http://localhost:4443")
    assert found.credentials() == {"token": "", "expires_at": None}


def test_a_key_in_an_option_is_passed_on(key_file):
    assert json.loads(google_options({"token": {"type": "service_account"}}, {}).config["service_account_key"]) == {
        "type": "service_account"
    }


def test_what_google_refuses(key_file, monkeypatch, tmp_path):
    with pytest.raises(InvalidInput, match="cannot find the credentials file"):
        google_options({}, {"GOOGLE_APPLICATION_CREDENTIALS": f"{tmp_path}/none"})
    (tmp_path / "text").write_text("hunter2")
    with pytest.raises(InvalidInput, match="expected a JSON object") as raised:
        google_options({"token": f"{tmp_path}/text"}, {})
    assert "hunter2" not in str(raised.value)
    with pytest.raises(InvalidInput, match="expected the type authorized_user, ") as raised:
        google_options({"token": key_file("hunter2")}, {})
    assert "hunter2" not in str(raised.value)
    real = builtins.__import__

    def missing(name, *rest):
        if name.startswith("google.auth"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(CannotRunHere, match=r"'external_account' need google-auth; install it with: pip install 'negset\[google\]'"):
        google_options({"token": key_file("external_account")}, {})
