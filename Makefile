# `make demo` and `make test` set everything up. They need make, and Python 3.11 to 3.13 or uv.
# .github/CONTRIBUTING.md lists how long each target takes and its other requirements.
.DEFAULT_GOAL := help
# The newest that TensorFlow has wheels for. Another one: `make setup PYTHON=python3.12`.
PYTHONS := python3.13 python3.12 python3.11 python3
PYTHON ?= $(shell for python in $(PYTHONS); do $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)
UV := $(shell command -v uv)
BIN := .venv/bin

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.venv/.complete: requirements.lock pyproject.toml jobs/object_detection_api.py jobs/object_detection_api.lock
ifdef UV
	$(UV) venv --quiet --allow-existing --python '$(or $(PYTHON),>=3.11,<3.14)' .venv
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
	@[ -n '$(PYTHON)' ] || { echo 'make setup: expected Python 3.11, 3.12 or 3.13, or uv, found none of them' >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@

.PHONY: setup
setup: .venv/.complete ## Create .venv/ with everything in it, from the lock

.PHONY: demo
demo: setup ## Run select, download, train, mine and report on a generated dataset
	$(BIN)/negset demo

.PHONY: check
check: setup ## Lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin
	$(BIN)/lint-imports

.PHONY: test
test: check ## Everything that needs no cluster (PYTEST="-k stalled" for some)
	$(BIN)/pytest $(PYTEST)

.PHONY: test-install
test-install: setup ## Install each extra from the wheel into fresh environments, with pip and uv, and use it
	NEGSET_TEST_NEWEST=1 NEGSET_TEST_PYTHON='$(PYTHON)' $(BIN)/pytest tests/packages $(PYTEST)

.PHONY: coverage
coverage: setup ## Which lines and branches these tests reach: dist/coverage/index.html (PYTEST=…)
	@mkdir -p dist
	$(BIN)/pytest --cov --cov-report=term:skip-covered --cov-report=html:dist/coverage $(PYTEST)

.PHONY: hooks
hooks: setup ## Check the changed files before each commit
	$(BIN)/pre-commit install

.PHONY: crd
crd: setup ## Write the chart's CRD, and the generated parts of its page of the kind
	@mkdir -p dist
	$(BIN)/python -m negset_jobs crd > dist/crd.yaml
	mv dist/crd.yaml charts/negset/files/crd.yaml
	$(BIN)/python -m tests.contract.kind_page

.PHONY: version
version: ## Set the version of the distribution, the chart and its images (V=1.2.3)
	@echo '$(V)' | grep -qE '^[0-9]+\.[0-9]+\.[0-9]+$$' || { echo 'make version: expected V=1.2.3, got V=$(V)' >&2; exit 2; }
	sed -i.before -E 's/^version = ".*"/version = "$(V)"/' pyproject.toml
	sed -i.before -E 's/^(version|appVersion): .*/\1: $(V)/; s|(image: negset/[a-z]+:).*|\1$(V)|' charts/negset/Chart.yaml
	@rm pyproject.toml.before charts/negset/Chart.yaml.before
	$(MAKE) setup

# Variables choose the cluster and the tests:
# `make cluster NODES=2 KUEUE=1`, `make test-cluster PYTEST="-k kueue"`.
NODES ?= 1
HELM ?= helm
CLUSTER := $(BIN)/python tests/cluster/cluster.py

.PHONY: cluster
cluster: setup ## Start a real Kubernetes here and print its kubeconfig (root, Go, Debian; NODES=2, KUEUE=1)
	$(CLUSTER) up --nodes $(NODES) $(if $(KUEUE),--kueue)

.PHONY: cluster-down
cluster-down: setup ## Stop that cluster; only the cache of programs and images stays
	$(CLUSTER) down

.PHONY: images
images: setup ## Build the images (TAG=…). Print size and digest of each, write its SBOM to dist/sbom/
	$(CLUSTER) build $(if $(TAG),--tag $(TAG))

# Two nodes: one of the tests loses a node.
.PHONY: test-cluster
test-cluster: NODES = 2
test-cluster: setup ## From helm install and kubectl apply to Ready, on that cluster or on yours (NEGSET_TEST_KUBECONFIG)
	$(CLUSTER) test --nodes $(NODES) --kueue $(if $(PYTEST),-- $(PYTEST))

.PHONY: manifest
manifest: ## Render the chart as one file for kubectl apply (needs helm): dist/negset.yaml
	@mkdir -p dist
	$(HELM) template negset charts/negset --namespace negset-system --set createNamespace=true --kube-version 1.36.0 > dist/negset.yaml

COMPILE := --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --quiet

# What only `negset plan` needs. It does not run in the operator's image.
UNUSED_BY_THE_OPERATOR := fsspec numpy obstore

.PHONY: lock
lock: ## Pin the dependencies again, and those of each image (needs uv)
	$(UV) pip compile $(COMPILE) --extra dev pyproject.toml -o requirements.lock
	$(UV) pip compile $(COMPILE) -c requirements.lock --extra cluster $(addprefix --no-emit-package ,$(UNUSED_BY_THE_OPERATOR)) pyproject.toml -o images/operator.lock
	$(UV) pip compile $(COMPILE) -c requirements.lock --extra cluster --extra jobs pyproject.toml -o images/jobs.lock
	$(UV) pip compile $(COMPILE) -c requirements.lock --extra cluster --extra training --no-emit-package tensorflow pyproject.toml -o images/trainer.lock
	printf 'hatchling\npip\nsetuptools\n' | $(UV) pip compile $(COMPILE) -c requirements.lock - -o images/build.lock
	printf 'tensorflow-cpu; platform_machine == "x86_64"\ntensorflow; platform_machine != "x86_64"\n' | $(UV) pip compile $(COMPILE) -c requirements.lock - -o images/trainer-cpu.lock
	echo 'tensorflow[and-cuda]==2.21.0' | $(UV) pip compile $(COMPILE) -c requirements.lock --no-config --no-emit-package libclang - -o images/trainer-gpu.lock
