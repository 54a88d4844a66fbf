"""Run a real Prometheus with the chart's alerts, as the Prometheus operator would set it up.

It finds the operator's replicas through the chart's Service, and adds the labels that a
ServiceMonitor adds. It reaches the pods through the API server, so it needs no route to them.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

import yaml
from kubernetes.client import Configuration
from kubernetes.config import load_kube_config
from testbed import addons, binaries
from testbed.images import ROOT
from testbed.processes import Daemon

SECONDS_BETWEEN_SCRAPES: Final = 2
_PORT: Final = 8080
_RULES: Final = "templates/prometheusrule.yaml"


class Prometheus:
    """A Prometheus that scrapes one release of the chart and evaluates its alerts."""

    def __init__(self, kubeconfig: str, namespace: str, folder: pathlib.Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        (folder / "rules.yaml").write_text(yaml.safe_dump(_rules(kubeconfig, namespace)), encoding="utf-8")
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(_configuration(kubeconfig, namespace)), encoding="utf-8")
        options = {
            "config.file": folder / "prometheus.yaml",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": self._address,
        }
        command = [binaries.program("prometheus"), *(f"--{name}={value}" for name, value in options.items())]
        self.began = 0.0
        self._daemon = Daemon("prometheus", command, str(folder))

    def start(self) -> None:
        """Start it, and wait until it has scraped two replicas. `so_far` counts from then."""
        self._daemon.start()
        self._daemon.wait_for("two replicas were scraped", self._two_scraped, seconds=60)
        self.began = time.time()

    def stop(self) -> None:
        self._daemon.stop()

    @property
    def so_far(self) -> str:
        """Return the time since the start, as a range of PromQL."""
        return f"[{int(time.time() - self.began)}s]"

    def raised(self) -> set[tuple[str, str]]:
        """Return name and state (pending or firing) of each alert raised since the start."""
        found = self.query(f"count by (alertname, alertstate) (last_over_time(ALERTS{self.so_far}))")
        return {(labels["alertname"], labels["alertstate"]) for labels, _ in found}

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Run an instant query. Return the labels and the value of each series."""
        url = f"http://{self._address}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            result = json.load(answer)["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def _two_scraped(self) -> bool:
        try:
            return len(self.query("negset_leader")) == 2
        except (urllib.error.URLError, ConnectionError):
            return False


def _rules(kubeconfig: str, namespace: str) -> dict[str, Any]:
    """Return the groups of the chart's PrometheusRule."""
    chart = os.path.join(ROOT, "charts", "negset")
    options = (
        f"--namespace={namespace}",
        f"--kube-version={binaries.KUBERNETES_VERSION}",
        "--set=metrics.rules.enabled=true",
        f"--show-only={_RULES}",
    )
    rendered = yaml.safe_load(addons.helm(kubeconfig, "template", "negset", chart, *options))
    return {"groups": rendered["spec"]["groups"]}


def _configuration(kubeconfig: str, namespace: str) -> dict[str, Any]:
    api = Configuration()
    load_kube_config(config_file=kubeconfig, client_configuration=api)
    host = urllib.parse.urlsplit(api.host)
    interval = f"{SECONDS_BETWEEN_SCRAPES}s"
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {
                "job_name": "negset",
                "scheme": host.scheme,
                **_identity(api),
                "kubernetes_sd_configs": [{"role": "endpointslice", "kubeconfig_file": kubeconfig, "namespaces": {"names": [namespace]}}],
                "relabel_configs": _relabelling(host.netloc),
            }
        ],
    }


def _identity(api: Configuration) -> dict[str, Any]:
    """Return the credentials for the API server."""
    files = {"ca_file": api.ssl_ca_cert, "cert_file": api.cert_file, "key_file": api.key_file}
    scheme, _, token = (api.get_api_key_with_prefix("BearerToken") or "").partition(" ")
    return {
        "tls_config": {name: path for name, path in files.items() if path},
        **({"authorization": {"type": scheme, "credentials": token}} if token else {}),
    }


def _relabelling(host: str) -> list[dict[str, Any]]:
    """Return rules that add the Prometheus operator's labels and route through the API server."""
    service, port, pod = (f"__meta_kubernetes_{name}" for name in ("service_name", "endpointslice_port_name", "pod_name"))
    namespace = "__meta_kubernetes_namespace"
    return [
        {"source_labels": [service], "regex": "negset-metrics", "action": "keep"},
        {"source_labels": [port], "regex": "metrics", "action": "keep"},
        {"source_labels": [namespace], "target_label": "namespace"},
        {"source_labels": [pod], "target_label": "pod"},
        {"source_labels": [service], "target_label": "service"},
        {"source_labels": [service], "target_label": "job"},
        {
            "source_labels": [namespace, pod],
            "separator": "/",
            "regex": "(.+)/(.+)",
            "target_label": "__metrics_path__",
            "replacement": f"/api/v1/namespaces/$1/pods/$2:{_PORT}/proxy/metrics",
        },
        {"target_label": "__address__", "replacement": host},
    ]
