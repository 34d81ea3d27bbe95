# Every recipe is what CI runs too. Slow, reusable things live in the cache folder, keyed by version.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(KFE2E_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kfe2e)
export KFE2E_CACHE := $(CACHE)
export CARGO_TARGET_DIR ?= $(CACHE)/target
TARGET := $(shell uname -m)-unknown-linux-musl
BIN := $(CARGO_TARGET_DIR)/$(TARGET)/debug
CARGO := cargo
# What needs root keeps the caller's PATH and cache.
AS_ROOT = $(if $(filter 0,$(shell id -u)),,sudo) env PATH="$$PATH" KFE2E="$(KFE2E)" KFE2E_CACHE="$(CACHE)"
# One cluster of each test binary at a time: two cores are not enough for two.
CLUSTER_TEST = $(AS_ROOT) RUST_BACKTRACE=0 CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)" KFE2E_TEST_IMAGE=$(TEST_IMAGE) \
	KFE2E_TEST_IMAGES="$(CACHE)/images/kubeflow-e2e:$$($(AS_ROOT) tests/images/python.sh)" \
	KFE2E_TEST_KIND_IMAGE="$$($(AS_ROOT) tests/kind/node-image.sh)" \
	$(CARGO) test --target $(TARGET) --package e2e-tests --quiet
CLUSTER_TESTS = $(CLUSTER_TEST) --no-fail-fast -- --test-threads 1

export KFE2E := $(BIN)/kfe2e
TEST_IMAGE := localhost/kfe2e-test-python:dev
SAMPLES := --notebook manifests/samples/kubeflow-pipelines.ipynb --script manifests/samples/kubeflow-pipelines.py
# Arguments for `kfe2e run`; without any, the samples run.
ARGS ?= $(SAMPLES)

.PHONY: run
run: build images ## Run the sample tests against the small Kubeflow on the embedded cluster; ARGS="--notebook FILE --out DIR" runs yours
	@$(AS_ROOT) $(KFE2E) run --cluster embedded --kubeflow tests/kubeflow-mini --image $(TEST_IMAGE) \
		--images $(CACHE)/images/kubeflow-e2e --images "$$($(AS_ROOT) tests/images/python.sh)" $(ARGS)

.PHONY: test
test: lint unit cluster ## Lint, unit, schema and real-cluster tests: what CI runs

.PHONY: lint
lint: packages ## Formatting, clippy, and the rules that keep the crates apart
	$(CARGO) fmt --all --check
	$(CARGO) clippy --target $(TARGET) --workspace --all-targets --quiet -- -D warnings
	tests/checks/dependencies.sh
	tests/checks/manifests.sh

.PHONY: deny
deny: ## Licences, sources and banned crates of every dependency; builds cargo-deny once
	@command -v cargo-deny > /dev/null || $(CARGO) install --locked --quiet cargo-deny@0.20.2
	$(CARGO) deny --all-features check bans licenses sources

.PHONY: unit
unit: packages ## Tests that need no cluster
	python3 -m unittest discover --quiet -s tests/kubeflow-mini/src
	cd tests/kind/modules/node && go test ./podnetwork
	@KFE2E_TEST_VENV="$$(operator/runner/tests/kernel-venv.sh)" $(CARGO) test --target $(TARGET) --quiet

.PHONY: cluster
cluster: build images kind-image ## Tests against a real Kubernetes that they start themselves
	@$(CLUSTER_TESTS)

.PHONY: test-all
test-all: lint deny unit build images kind-image ## Everything of `make test`, and what is slow: signals in every stage, kinds of cluster, versions
	@$(CLUSTER_TESTS) --include-ignored

.PHONY: build
build: packages ## kfe2e, operator and runner, static
	$(CARGO) build --target $(TARGET) --package bootstrap --package operator --package runner

.PHONY: images
images: build ## The images that a run needs, as OCI layouts
	@tests/images/kubeflow-e2e.sh $(BIN) $(CACHE)/images/kubeflow-e2e
	@$(AS_ROOT) tests/images/python.sh > /dev/null

.PHONY: kind-image
kind-image: build ## The node image of the tests with kind, made once from Kubernetes' own programs
	@tests/packages.sh $(TARGET) docker
	@$(AS_ROOT) $(KFE2E) assets > /dev/null
	@$(AS_ROOT) tests/kind/node-image.sh > /dev/null

.PHONY: packages
packages: ## Install what the machine lacks: Debian or Ubuntu packages, the static Rust target
	@tests/packages.sh $(TARGET)

.PHONY: manifests
manifests: ## Generate manifests/crd and docs/reference from the types
	$(CARGO) run --quiet --target $(TARGET) --package crds --example crdgen > manifests/crd/e2etests.e2e.kubeflow.org.yaml
	$(CARGO) run --quiet --target $(TARGET) --package crds --example reference > docs/reference/e2etest.md

.PHONY: bench
bench: build images kind-image ## Timings against a peer or a floor in the same run; BENCH="--churn 600" lets the operator's memory be watched for longer
	$(CARGO) build --target $(TARGET) --package runner --package operator --release
	tests/bench/notebook.sh $(CARGO_TARGET_DIR)/$(TARGET)/release/runner
	$(AS_ROOT) CARGO_TARGET_DIR="$(CARGO_TARGET_DIR)" $(CARGO) bench --quiet --target $(TARGET) --package e2e-tests --bench operator -- \
		--operator $(CARGO_TARGET_DIR)/$(TARGET)/release/operator --kopf "$$(tests/bench/operator/kopf-venv.sh)/bin/kopf" $(BENCH)
	@$(CLUSTER_TEST) --test readiness -- "a whole Kubeflow"
	@$(CLUSTER_TEST) --test faults -- --test-threads 1
	$(AS_ROOT) tests/bench/up.sh
	$(AS_ROOT) tests/bench/kind.sh

.PHONY: clean
clean: ## Remove what this checkout made; the cache stays
	$(AS_ROOT) $(KFE2E) down
	$(AS_ROOT) tests/kind/docker.sh stop
	rm -rf kfe2e-results .kfe2e

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
