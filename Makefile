# The two commands of README are `make demo` and `make test`; each sets up what it needs, and can be repeated.
# Nothing but make and Python 3.11 or newer is expected. PYTHON=… chooses another interpreter, ARGS=… adds options.

VENV := .venv
RUN := $(VENV)/bin/python
# The environment belongs to these dependencies at this place: when either changes, it is made anew.
KEY := $(shell { pwd; cat pyproject.toml; } | cksum | tr -cd '0-9')
READY := $(VENV)/ready-$(KEY)
DEMO ?= demo
CORPUS ?=
ARGS ?=

.PHONY: demo test check lint bench canaries fuzz docs tables setup clean

demo: $(READY)
	$(RUN) -m tce demo $(DEMO) $(ARGS)

# One worker a core; the tests of a file stay together, because they share what took long to start.
test: $(READY)
	$(RUN) -m pytest -n auto --dist loadfile $(ARGS)

lint: $(READY)
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

check: lint
	$(RUN) -m pytest -n auto --dist loadfile -q -m "not peer and not vault" $(ARGS)

docs: $(READY)
	$(RUN) -m tests.docs.generated
	$(RUN) -m pytest -q tests/docs $(ARGS)

canaries: $(READY)
	$(RUN) -m tests.canaries $(if $(CORPUS),--corpus $(CORPUS)) $(ARGS)

bench: $(READY)
	$(RUN) -m tests.bench $(ARGS)

# ARGS="reader" fuzzes the reader alone; options of libFuzzer follow, for example ARGS="engine -max_total_time=3600".
fuzz: $(READY)
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	$(RUN) -W ignore -m tests.fuzz $(ARGS)

# What a new edition of the standard changes: DOCBOOK is a folder with its part15.xml, part16.xml and part06.xml.
# ARGS=--write takes it over.
tables: $(READY)
	@test -n "$(DOCBOOK)" || { echo "Say where the standard lies: make tables DOCBOOK=folder" >&2; exit 2; }
	$(RUN) -m policies.standard.generate $(ARGS) $(DOCBOOK)

setup: $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# The stamp is written last: a set-up that was interrupted has none, and begins again from an empty environment.
$(READY): pyproject.toml
	@set -e; \
	python=; \
	for candidate in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	  then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Python 3.11 or newer with venv was not found; install it, or name it: make PYTHON=/path/to/python" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$($$python --version); this is done once."; \
	"$$python" -m venv --clear $(VENV); \
	$(RUN) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	touch $@
