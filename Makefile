# Every target of the project; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEB := build/web
RELEASE := build/release
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

HOST ?= 127.0.0.1
HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
WEB_PORT ?= 7860
MODEL_REPOSITORY ?= model_repository
DETECTOR ?= BlazeFace
IMAGE ?= tritonface:latest
ENGINE ?= docker podman buildah
WEIGHTS ?= weights/$(DETECTOR).safetensors
# Three files of tests at a time, which wait for servers and the like for half of it, in the order of tests/conftest.py;
# threads that wait leave the cores to the others.
PYTEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

.PHONY: help setup setup-training setup-dev setup-examples demo serve web test test-fast test-long test-web lint format bench bench-quick bench-soak chaos bench-locust accuracy report docs docs-serve release-check licences fuzz export official-weights demo-dataset repository tensorrt image test-deploy lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.serving ## Make .venv with all that serving and the SDK need
setup-training: $(VENV)/.training ## Add Paddle and the ONNX converter
setup-dev: $(VENV)/.dev ## Add tests and linters
setup-examples: $(VENV)/.examples ## Add what the scripts of examples/ need

demo: setup ## Start a server, find the faces of demo/photos, write output/, stop the server
	@$(BIN)/python demo/demo.py

serve: setup ## Run the server in the foreground (HOST, HTTP_PORT, GRPC_PORT, METRICS_PORT, MODEL_REPOSITORY, CPUS, DETECTORS=A,B, WATCH=1, INSECURE=1)
	@exec $(BIN)/tritonface-server serve --host $(HOST) --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT) \
		--metrics-port $(METRICS_PORT) --model-repository $(MODEL_REPOSITORY) $(if $(CPUS),--cpus $(CPUS)) $(if $(DETECTORS),--detectors $(DETECTORS)) $(if $(WATCH),--watch) \
		$(if $(INSECURE),--insecure)

web: setup $(WEB)/.done ## A page to try detectors on, http://127.0.0.1:7860, and a server unless one is there (WEB_PORT, HOST, GRPC_PORT)
	@exec $(BIN)/python demo/web.py --tritonface $(WEB)/bin/tritonface --host $(HOST) --grpc-port $(GRPC_PORT) \
		--port $(WEB_PORT) -- $(BIN)/tritonface-server serve --host $(HOST) --http-port $(HTTP_PORT) \
		--grpc-port $(GRPC_PORT) --metrics-port $(METRICS_PORT) --model-repository $(MODEL_REPOSITORY)

test: setup-dev $(VENV)/.cli ## Run all tests against a real server
	@$(PYTEST)

test-fast: setup-dev $(VENV)/.cli ## Run the tests that need neither a server nor steps of training: 90 seconds
	@$(PYTEST) tests/unit tests/contract --ignore tests/unit/training/engine -m "not server and not long"

test-long: setup-dev $(VENV)/.examples $(VENV)/.batch build/store/.ready ## Run the tests that take minutes, which `make test` leaves out, one after the other
	@$(BIN)/python -m pytest -m long

test-web: $(VENV)/.test-web $(WEB)/.done ## Click on the page in a headless Chromium, against a real server (needs chromium; SCREENSHOT=1 renews that of docs/web.md)
	@$(BIN)/python -m pytest tests/functional/L0_web/check_page.py

lint: setup-dev ## Check style and types
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: setup-dev ## Apply the style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

bench: setup-dev ## One report on speed, peers and growth: output/bench/report.md, some 28 minutes (DETECTORS=A,B, RESUME=1 continues)
	@$(BIN)/python -m perf.bench $(if $(DETECTORS),--detectors $(DETECTORS)) $(if $(RESUME),--resume)

bench-quick: setup-dev ## The same of one detector in some minutes, for a look (DETECTORS=A,B)
	@$(BIN)/python -m perf.bench --quick $(if $(DETECTORS),--detectors $(DETECTORS))

bench-soak: setup-dev ## Add a long run to the report: 20,000 requests
	@$(BIN)/python -m perf.bench --only soak --soak 20000

chaos: setup-dev ## Overload, kill and mistreat the server; what was lost: output/chaos/report.md, 24 minutes (QUICK=1: 9)
	@$(BIN)/python -m perf.chaos $(if $(QUICK),--quick)

bench-locust: setup-dev ## A server, and locust's web interface on http://127.0.0.1:8089
	@$(BIN)/python -m perf.locust_run

accuracy: setup-dev ## How good what is served is on your photos: output/accuracy/report.md (IMAGES=DIR ANNOTATIONS=JSON, YUNET=FILE)
	@$(BIN)/python -m perf.accuracy --images "$(IMAGES)" --annotations "$(ANNOTATIONS)" $(if $(YUNET),--yunet "$(YUNET)")

report: setup-dev ## Every detector against everything it must satisfy, normal against high-performance speed
	@$(BIN)/python -m perf.report

docs: $(VENV)/.docs ## Build the documentation site, strictly: output/docs/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs --quiet build --strict

docs-serve: $(VENV)/.docs ## The same on http://127.0.0.1:8090, built anew when a page changes
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8090

release-check: setup $(RELEASE)/.ready ## Build both distributions and try them with Python 3.10 to 3.12: output/release
	@$(BIN)/python -m tests.contract.check_release

licences: setup-training $(VENV)/.batch $(WEB)/.done $(RELEASE)/.ready ## Write the licences of all dependencies into docs/licences.md
	@$(RELEASE)/bin/python docs/licences.py --python $(BIN)/python $(WEB)/bin/python

fuzz: $(VENV)/.fuzz ## Fuzz decoding, guided by coverage (INPUTS=1000000; goes on where it stopped; Python 3.11 or 3.12)
	@$(BIN)/python -m tests.fuzz $(if $(INPUTS),--inputs $(INPUTS))

export: setup-training ## Export WEIGHTS (weights/DETECTOR.safetensors) to the model repository (DETECTOR=BlazeFace)
	@$(BIN)/python training/main.py -c training/configs/$(DETECTOR).yaml -o Global.mode=export \
		-o Global.output=output/export/$(DETECTOR) -o Export.weight_path=$(WEIGHTS)
	@$(BIN)/tritonface-server repository --model-repository $(MODEL_REPOSITORY) --exported output/export/$(DETECTOR)

official-weights: setup-training ## Download PaddleX's official weights into weights/official/ (needs the internet)
	@$(BIN)/python -m training.official_weights

demo-dataset: setup-training ## Download PaddleX's demo data set into dataset/ (ARCHIVE=FILE unpacks a copy of it)
	@$(BIN)/python -m training.demo_dataset $(if $(ARCHIVE),--archive $(ARCHIVE))

repository: setup ## Write the configurations of MODEL_REPOSITORY anew (SCALED_DECODING=0: decode large JPEGs whole, 1: at a fraction again)
	@$(BIN)/tritonface-server repository --model-repository $(MODEL_REPOSITORY) $(if $(SCALED_DECODING),$(if $(filter 0,$(SCALED_DECODING)),--no-scaled-decoding,--scaled-decoding))

tensorrt: ## Build TensorRT engines on this GPU (in the NGC container)
	@PYTHONPATH=server $(PYTHON) -m tritonface_server tensorrt build --model-repository $(MODEL_REPOSITORY)

image: ## Build the server's image with docker, podman or buildah (IMAGE=NAME, TARGET=nvidia, BUILD_OPTIONS=...)
	@for engine in $(ENGINE); do \
		$$engine info >/dev/null 2>&1 || continue; \
		exec env BUILDAH_FORMAT=docker $$engine build --file deploy/Dockerfile --tag $(IMAGE) \
			$(if $(TARGET),--target $(TARGET)) $(BUILD_OPTIONS) .; \
	done; echo "error: none of $(ENGINE) is here and works" >&2; exit 1

test-deploy: $(VENV)/.deploy build/kubernetes/.ready ## Build and run the image, and the parts of deploy/ together (root, Debian's podman, nginx, prometheus ...; kubectl 1.27)
	@$(BIN)/python -m pytest tests/deploy

lock: setup-dev ## Pin requirements/*.in to versions and hashes
	@for name in serving training dev docs release cli examples deploy nvidia kubernetes web test-web batch store; do $(BIN)/uv pip compile --quiet --universal --python-version 3.10 \
		--generate-hashes --no-header --no-emit-index-url --no-annotate \
		requirements/$$name.in --output-file requirements/$$name.txt; done
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--no-annotate requirements/fuzz.in --output-file requirements/fuzz.txt

clean: ## Remove .venv, caches and output
	rm -rf $(VENV) output build .mypy_cache .pytest_cache .ruff_cache *.egg-info {client,server}/*.egg-info {client,server}/build
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else \
		"error: Python 3.10 to 3.12 is needed, $(PYTHON) is %d.%d; choose one with `make PYTHON=python3.11 ...`" % v)'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "error: cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.serving: requirements/serving.txt VERSION server/pyproject.toml client/pyproject.toml | $(VENV)/bin/python
	@echo "setting up $(VENV): requirements/serving.txt ..."
	@$(PIP) install --require-hashes -r requirements/serving.txt
	@$(PIP) install --no-deps --no-build-isolation --editable ./server --editable ./client
	@touch $@

# What else the environment can have: requirements/NAME.txt.
$(VENV)/.%: requirements/%.txt
	@echo "setting up $(VENV): $< ..."
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(VENV)/.training $(VENV)/.docs $(VENV)/.cli: $(VENV)/.serving
$(VENV)/.dev: $(VENV)/.training
$(VENV)/.fuzz $(VENV)/.deploy: $(VENV)/.dev
$(VENV)/.test-web: $(VENV)/.dev $(VENV)/.cli
$(VENV)/.examples: $(VENV)/.cli
$(VENV)/.batch: $(VENV)/.examples

# Environments of their own.
build/%/.ready: requirements/%.txt | $(VENV)/bin/python
	@echo "setting up build/$*: $< ..."
	@$(BIN)/python -m venv --clear build/$*
	@build/$*/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@touch $@

# Gradio keeps back Pillow; the SDK is installed as it stands here.
$(WEB)/.done: $(WEB)/.ready client/pyproject.toml
	@$(WEB)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation --editable ./client
	@touch $@
