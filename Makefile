# pybible: everything a contributor runs. `make demo` and `make test` need nothing but Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup
PLOTS := $(VENV)/.plots
PROTOS := agent enrollment run fleet blob
REAL := .venv-real
# The system's own Python has the libraries of its packages, which stock modules import: apt, firewall.
SYSTEM_PYTHON ?= /usr/bin/python3
MODULES := .venv-modules

.DEFAULT_GOAL := help
.PHONY: help setup protos docs lint test conformance conformance-real demo peers bench bench-scale clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(SETUP) ## make .venv with pybible and its development tools

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "pybible needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[server,dev,protos]'
	@touch $@

$(PLOTS): $(SETUP)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[plots]'
	@touch $@

protos: $(SETUP) ## generate the code of protos/pybible/v1 again
	$(BIN)/python -m grpc_tools.protoc --proto_path=protos --python_out=protos --grpc_python_out=protos \
		--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--mypy_out=quiet:protos --mypy_grpc_out=quiet:protos $(PROTOS:%=protos/pybible/v1/%.proto)

docs: $(SETUP) ## write the parts of docs/reference that come from the code again
	$(BIN)/python -m tests.support.reference

lint: $(SETUP) ## ruff, mypy, import contracts, layout, drift of the generated code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m pytest -q tests/unit/test_layout.py tests/unit/test_protos.py

test: $(SETUP) ## run the whole test suite
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m pytest -n 2 --dist loadfile tests

conformance: $(SETUP) .venv-ansible/bin/ansible-playbook $(MODULES)/.setup ## run every conformance playbook and module case, modules through the bridge and facts live in both; record ansible-core's side
	$(BIN)/python -m tests.conformance.oracle
	$(BIN)/python -m pytest tests/conformance/test_oracle.py
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m tests.conformance.record
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m tests.conformance.modules_record
	ANSIBLE_VENV=$(abspath $(MODULES)) PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m pytest \
		tests/conformance/test_bridge.py tests/conformance/test_facts.py

$(MODULES)/.setup:
	$(SYSTEM_PYTHON) -m venv --system-site-packages $(MODULES)
	$(MODULES)/bin/pip install --quiet --disable-pip-version-check 'ansible==12.3.0' 'ansible-core==2.19.14' \
		passlib lxml pexpect python-debian
	@touch $@

.venv-ansible/bin/ansible-playbook:
	$(PYTHON) -m venv .venv-ansible
	.venv-ansible/bin/pip install --quiet --disable-pip-version-check 'ansible-core==2.19.14' passlib

conformance-real: $(SETUP) $(REAL)/.setup ## check and list thousands of published playbooks in both
	$(BIN)/python -m tests.conformance.real_material --venv $(REAL) --cache $(REAL)/answers $(REAL)/packages/*

$(REAL)/.setup:
	$(PYTHON) -m venv $(REAL)
	$(REAL)/bin/pip install --quiet --disable-pip-version-check 'ansible==12.3.0' 'ansible-core==2.19.14'
	for package in kolla-ansible==22.2.0 tripleo-ansible==6.0.0 validations-common==1.9.0 \
		ansible-role-chrony==1.3.0 ansible-role-collect-logs==1.5.0 ansible-role-container-registry==1.4.0 \
		ansible-role-redhat-subscription==1.3.0 ansible-role-thales-hsm==11.0.0; do \
		$(REAL)/bin/pip install --quiet --disable-pip-version-check --no-deps \
			--prefix $(REAL)/packages/$${package%%=*} $$package || exit; \
	done
	@touch $@

demo: $(SETUP) ## a controller, three agents, a playbook run twice, and their recaps
	PATH=$(abspath $(BIN)):$$PATH deploy/demo.sh

peers: .venv-ansible/bin/ansible-playbook .venv-mitogen/.setup .venv-pyinfra/.setup ## install the tools that bench compares with

.venv-mitogen/.setup:
	$(PYTHON) -m venv .venv-mitogen
	.venv-mitogen/bin/pip install --quiet --disable-pip-version-check 'mitogen==0.3.54' 'ansible-core==2.19.14'
	@touch $@

.venv-pyinfra/.setup:
	$(PYTHON) -m venv .venv-pyinfra
	.venv-pyinfra/bin/pip install --quiet --disable-pip-version-check 'pyinfra==3.10.0'
	@touch $@

bench: $(SETUP) ## measure the floor, pybible and the peers that are installed (BENCH: options)
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m tests.load.bench $(BENCH)

bench-scale: $(PLOTS) ## measure one controller as its agents grow in number; plots go to build/plots (SCALE: options)
	PATH=$(abspath $(BIN)):$$PATH $(BIN)/python -m tests.load.scale --plots build/plots $(SCALE)

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
