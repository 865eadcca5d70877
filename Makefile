# make demo   follow real and drawn targets (or VIDEO=file BOX=x,y,w,h) through the live nodes, into demo/
# make demo PAGE=1   show the video (or VIDEO=file) in the browser, to point at
# make follow-demo   keep a drawn target in view with a virtual camera, through the live nodes
# make test   run the tests
# All set up .venv with everything they need, ROS 2 included, the first time.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: demo follow-demo test clean

PYTHON ?= $(firstword $(foreach python,python3 python3.12 python3.11 python3.10,\
	$(shell $(python) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	2>/dev/null && echo $(python))))
# A machine without an NVIDIA GPU is spared the gigabytes of CUDA.
TORCH ?= torch==2.13.0$(if $(shell nvidia-smi -L 2>/dev/null),,+cpu)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

venv := .venv
log := $(venv)/setup.log
interfaces := CMakeLists.txt package.xml $(wildcard msg/*.msg srv/*.srv)

# The code is run from the checkout; the installed package adds the generated messages.
run := PYTHONPATH=$(CURDIR) $(venv)/bin/python -m
# .venv brings its own ROS: a sourced one must not shine through.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PYTHONPATH \
	_ROS_WHEELS_BOOTSTRAP_COMPLETE
# From pip 25.3 on, a build in isolation has a constraint of its own.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Development data beside the checkout, where there is any.
ifneq ($(wildcard ../shared/data),)
export MEMTRACK_DATA ?= $(abspath ../shared/data)
endif
ifneq ($(wildcard ../shared/reference),)
export MEMTRACK_REFERENCE ?= $(abspath ../shared/reference)
endif

demo: $(venv)/.ready
	@$(run) memtrack_ros.tools.demo \
		$(if $(VIDEO),--video '$(VIDEO)') $(if $(BOX),--box '$(BOX)') \
		$(if $(TRACKER),--tracker '$(TRACKER)') $(if $(PAGE),--page)

follow-demo: $(venv)/.ready
	@$(run) memtrack_ros.tools.follow_demo $(if $(SEED),--seed '$(SEED)')

test: $(venv)/.ready $(venv)/vot/.ready
	@OMP_NUM_THREADS=1 $(run) pytest -n 2 --dist loadgroup

clean:
	rm -rf $(venv) build demo memtrack_ros.egg-info

# $(call logged,COMMAND,WHAT TO DO WHEN IT FAILS)
logged = $(1) >>$(log) 2>&1 || { tail -n 6 $(log) >&2; echo 'memtrack_ros: $(strip $(2))' >&2; exit 1; }
needed = { echo 'memtrack_ros: $(strip $(1))' >&2; exit 1; }
comma := ,

$(venv)/.python:
	@[ "$$(uname -sm)" = 'Linux x86_64' ] || $(call needed,the ROS 2 wheels exist for Linux on \
	x86_64 only; elsewhere build with colcon on an installed ROS 2 (see README.md).)
	@[ -n '$(PYTHON)' ] || $(call needed,Python 3.10$(comma) 3.11 or 3.12 is needed and none is on \
	the PATH; install one or name it: make PYTHON=/path/to/python3.12)
	@command -v c++ >/dev/null && command -v cc >/dev/null || $(call needed,a C and C++ compiler is \
	needed (Debian and Ubuntu: apt install g++).)
	@$(PYTHON) -c 'import pathlib as p, sysconfig as s, sys, ensurepip, venv; \
	sys.exit(not (p.Path(s.get_path("include")) / "Python.h").exists())' 2>/dev/null || $(call \
	needed,$(PYTHON) lacks its venv module or its headers (Debian and Ubuntu: apt install \
	python3-venv python3-dev).)
	@echo "memtrack_ros: setting up $(venv) with $$($(PYTHON) --version), once, a few minutes"
	@$(PYTHON) -m venv --clear $(venv)
	@touch $(venv)/COLCON_IGNORE
	@echo 'memtrack_ros: installing $(TORCH)'
	@$(call logged,$(venv)/bin/pip install --no-deps --retries 1 --extra-index-url $(TORCH_INDEX) \
	'$(TORCH)',$(TORCH) could not be installed for this Python: name an index that has this build \
	(make TORCH_INDEX=URL)$(comma) another Python (make PYTHON=python3.11)$(comma) or take the \
	larger CUDA build (make TORCH=torch==2.13.0).)
	@touch $@

$(venv)/.ready: $(venv)/.python $(interfaces) setup.py setup.cfg pyproject.toml constraints.txt
	@echo 'memtrack_ros: installing the other packages and compiling the messages'
	@$(call logged,$(venv)/bin/pip install \
	'.[training$(comma)evaluation$(comma)bags$(comma)page$(comma)toolkits$(comma)test]',the set-up failed; the \
	whole log is in $(log).)
	@# The same OpenCV with its contributed modules: KCF and CSRT are among them.
	@$(call logged,$(venv)/bin/pip install --no-deps opencv-contrib-python-headless,the peers could \
	not be installed; the whole log is in $(log).)
	@touch $@

# Beside the other packages, not among them: it is GPL, and wants another OpenCV.
$(venv)/vot/.ready: $(venv)/.ready test/vot-requirements.txt
	@echo 'memtrack_ros: installing the VOT toolkit for its test'
	@$(call logged,$(venv)/bin/pip install --no-deps --upgrade --target $(venv)/vot \
	-r test/vot-requirements.txt,the VOT toolkit could not be installed; the whole log is in $(log).)
	@touch $@
