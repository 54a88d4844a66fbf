"""Requests to the API server, over the connections of the official client.

The official client reads the kubeconfig or the in-cluster configuration. It handles TLS, proxies
and token refresh. msgspec encodes and decodes bodies as the types of `kube.objects`, because the
client's own models take several times the memory and the time (operator/README.md).
"""

from __future__ import annotations

import threading
import urllib.parse
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import msgspec

from negset_api import decoding, names
from negset_api.errors import InvalidInput

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"

T = TypeVar("T")


class ApiError(Exception):
    """The API server answered with an error.

    `status` is the HTTP status, `reason` is for programs, `message` is the API server's message.
    `seconds` is its Retry-After, or 0.
    """

    def __init__(self, status: int, reason: str, message: str, seconds: float = 0) -> None:
        super().__init__(message)
        self.status, self.reason, self.message, self.seconds = status, reason, message, seconds


class Unreachable(Exception):
    """The API server did not answer: a connection refused or broken, a timeout, or a shutdown."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of object and its path at the API server."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = "/api/" if "/" not in self.api_version else "/apis/"
        parts = (root + self.api_version, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource)
        return "/".join(part for part in parts if part)


DATASET: Final = Kind(names.API_VERSION, names.KIND, names.PLURAL)
RAY_JOB: Final = Kind("ray.io/v1", "RayJob", "rayjobs")
JOB: Final = Kind("batch/v1", "Job", "jobs")
POD: Final = Kind("v1", "Pod", "pods")
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
SERVICE: Final = Kind("v1", "Service", "services")
ROLE: Final = Kind("rbac.authorization.k8s.io/v1", "Role", "roles")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
NETWORK_POLICY: Final = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
EVENT: Final = Kind("v1", "Event", "events")
WORKLOADS: Final = tuple(Kind(f"kueue.x-k8s.io/{version}", "Workload", "workloads") for version in ("v1beta2", "v1beta1"))
"""Kueue 0.19 serves both versions, earlier releases only the second."""
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")

KINDS: Final = {
    kind.kind: kind
    for kind in (DATASET, RAY_JOB, JOB, POD, CONFIG_MAP, SERVICE_ACCOUNT, SERVICE, ROLE, ROLE_BINDING, NETWORK_POLICY, EVENT, LEASE)
}

JSON: Final = "application/json"


class _Status(msgspec.Struct):
    reason: str = ""
    message: str = ""


class Client:
    """One API server. Safe to use from several threads."""

    def __init__(self, api: Any) -> None:
        """`api` is the official client's `ApiClient`."""
        self._api = api
        self.requests: Counter[tuple[str, str]] = Counter()
        """The number of requests by method and status code, or "none" without an answer."""
        self._counting = threading.Lock()
        self._host: str = api.configuration.host
        self._pool = api.rest_client.pool_manager

    # --- single objects: the answer is decoded as `as_type` --------------------------------------

    def get(self, kind: Kind, namespace: str, name: str, as_type: type[T]) -> T:
        return self._decoded("GET", kind.path(namespace, name), as_type)

    def create(self, kind: Kind, body: Mapping[str, Any], as_type: type[T]) -> T:
        path = kind.path(body["metadata"].get("namespace", ""))
        return self._decoded("POST", path, as_type, body=body, query=[("fieldManager", names.OPERATOR_FIELD_MANAGER)])

    def replace(self, kind: Kind, body: Mapping[str, Any], as_type: type[T]) -> T:
        return self._decoded("PUT", kind.path(body["metadata"]["namespace"], body["metadata"]["name"]), as_type, body=body)

    def apply(self, kind: Kind, body: Mapping[str, Any], as_type: type[T], *, subresource: str = "") -> T:
        """Apply an object by server-side apply.

        Fields of other managers stay. Fields of the operator that others changed are set again.
        """
        path = kind.path(body["metadata"]["namespace"], body["metadata"]["name"], subresource)
        query = [("fieldManager", names.OPERATOR_FIELD_MANAGER), ("force", "true")]
        return self._decoded("PATCH", path, as_type, body=body, query=query, content_type=APPLY)

    def merge(self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, as_type: type[T], subresource: str = "") -> T:
        """Apply a JSON merge patch: it replaces lists as a whole, and null removes a field."""
        query = [("fieldManager", names.OPERATOR_FIELD_MANAGER)]
        return self._decoded("PATCH", kind.path(namespace, name, subresource), as_type, body=patch, query=query, content_type=MERGE)

    def delete(self, kind: Kind, namespace: str, name: str, uid: str, *, at_once: bool = False) -> None:
        """Delete the object with this uid, and no other of the same name.

        The object stays until everything that it owns is deleted. A pod stays until its node
        reports its end; with `at_once`, it is deleted immediately
        (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-forced).
        """
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": uid},
        }
        if at_once:
            body["gracePeriodSeconds"] = 0
        self._call("DELETE", kind.path(namespace, name), body=body)

    # --- many objects ----------------------------------------------------------------------------

    def list_page(self, kind: Kind, namespace: str, as_type: type[T], *, query: Mapping[str, str]) -> list[T]:
        """Return the items of the first page of a list."""
        data = self._call("GET", kind.path(namespace), query=list(query.items()))
        return decoding.from_json(data, _Page[as_type]).items or []  # type: ignore[valid-type]

    # --- transport -------------------------------------------------------------------------------

    def _decoded(self, method: str, path: str, as_type: type[T], **options: Any) -> T:
        return decoding.from_json(self._call(method, path, **options), as_type)

    def _call(self, method: str, path: str, **options: Any) -> bytes:
        response = self._send(method, path, **options)
        try:
            data: bytes = response.data
        except Exception as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        if response.status >= ERRORS_FROM:
            raise refusal(response.status, response.headers, data)
        return data

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: list[tuple[str, str]] | None = None,
        content_type: str = JSON,
    ) -> Any:
        import urllib3

        url, headers = self.prepared(method, path, query or [], content_type=content_type)
        code = "none"
        try:
            response = self._pool.request(
                method,
                url,
                body=None if body is None else msgspec.json.encode(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
                preload_content=False,
                redirect=False,
            )
            code = str(response.status)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Unreachable(f"{method} {path}: {error}") from error
        finally:
            self.count(method, code)
        return response

    # --- shared with `kube.streams` --------------------------------------------------------------

    @property
    def configuration(self) -> Any:
        """The official client's `Configuration`: the server's address, certificates and proxy."""
        return self._api.configuration

    def prepared(
        self, method: str, path: str, query: list[tuple[str, str]], *, accept: str = JSON, content_type: str = JSON
    ) -> tuple[str, dict[str, str]]:
        """Return the URL and the headers of a request.

        The official client refreshes the token in time. Raise `Unreachable` if that fails.
        """
        from kubernetes.config import ConfigException

        headers, parameters = {"Accept": accept, "Content-Type": content_type, "User-Agent": names.OPERATOR_FIELD_MANAGER}, list(query)
        # The official client would copy every object twice to send a request. Only its credentials
        # and its address are used.
        try:
            self._api.update_params_for_auth(headers, parameters, ["BearerToken"], path, method, None)
        except (ConfigException, OSError) as error:
            raise Unreachable(f"failed to read the token: {error}") from error
        return f"{self._host}{path}" + (f"?{urllib.parse.urlencode(parameters)}" if parameters else ""), headers

    def count(self, method: str, code: str) -> None:
        """Count a request for the metrics."""
        with self._counting:
            self.requests[method, code] += 1


OK: Final = 200
ERRORS_FROM: Final = 300
GONE: Final = 410
NOT_FOUND: Final = 404
CONFLICT: Final = 409
FORBIDDEN: Final = 403
UNPROCESSABLE: Final = 422


class _Page(msgspec.Struct, Generic[T]):
    items: list[T] | None = None


def refusal(status: int, headers: Mapping[str, str], data: bytes) -> ApiError:
    """Return the error in an answer."""
    try:
        answer = decoding.from_json(data, _Status)
    except msgspec.DecodeError:
        answer = _Status(message=data.decode(errors="replace")[:200])
    try:
        seconds = float(headers.get("Retry-After", 0))
    except ValueError:
        seconds = 0.0
    return ApiError(status, answer.reason, answer.message or f"HTTP {status}", seconds)


def connect(kubeconfig: str | None = None, *, connections: int = 32) -> Client:
    """Return a client, configured from the first of these that exists.

    The given kubeconfig file, the file in `KUBECONFIG`, the pod's service account, ~/.kube/config.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        if kubeconfig is None and _inside_pod():
            config.load_incluster_config(client_configuration=configuration)
        else:
            config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    except config.ConfigException as error:
        raise InvalidInput(f"--kubeconfig: {' '.join(str(error).split())}") from error
    configuration.connection_pool_maxsize = connections
    # The work queue retries with backoff. Immediate retries of the transport would hide an outage.
    configuration.retries = False
    return Client(client.ApiClient(configuration))


def _inside_pod() -> bool:
    import os

    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
