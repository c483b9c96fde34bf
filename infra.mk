# What is about AWS: the build and the checks of template.yaml. The root's Makefile includes this file.
# sam and checkov ask for different versions of the same packages, so each has an environment of its own.
SAM ?= $(VENV)-sam/bin/sam
CHECKOV ?= $(VENV)-checkov/bin/checkov
CFN_LINT ?= $(BIN)/cfn-lint
# Checking needs a region and no account: these never reach AWS.
NO_ACCOUNT := SAM_CLI_TELEMETRY=0 AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none

sam-ready:
	@command -v $(SAM) >/dev/null || { echo "Setting up $(VENV)-sam (the first time only)"; \
	  $(PYTHON) -m venv $(VENV)-sam && $(VENV)-sam/bin/python -m pip install --quiet aws-sam-cli; }

checkov-ready:
	@command -v $(CHECKOV) >/dev/null || { echo "Setting up $(VENV)-checkov (the first time only)"; \
	  $(PYTHON) -m venv $(VENV)-checkov && $(VENV)-checkov/bin/python -m pip install --quiet checkov; }

build: sam-ready  ## Build the router and the policies layer for AWS into .aws-sam/ (ARCH=x86_64: not for arm64)
	@ARCH=$(or $(ARCH),arm64) $(NO_ACCOUNT) $(SAM) build --parameter-overrides Architecture=$(or $(ARCH),arm64)

validate: $(READY) sam-ready checkov-ready  ## Check template.yaml with sam, cfn-lint and checkov
	@$(NO_ACCOUNT) $(SAM) validate --lint
	@$(CFN_LINT)
	@$(CHECKOV) --config-file .checkov.yaml

# The processor of this machine, on which `sam local` runs the function, and a command that gets a Docker engine ready.
LOCAL_ARCH := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)
HMS_SVC_SAM_ENGINE ?= docker info >/dev/null

sam-local: $(READY) sam-ready  ## Run the built function and the walkthrough under `sam local`; needs Docker
	@$(BIN)/python -m pip install --quiet --group sam-local
	@$(HMS_SVC_SAM_ENGINE)
	@$(MAKE) --no-print-directory build ARCH=$(LOCAL_ARCH)
	@HMS_SVC_SAM_LOCAL=$(LOCAL_ARCH) HMS_SVC_SAM=$(SAM) $(BIN)/python -m pytest tests/sam_local $(ARGS)

dynamodb-local: $(READY)  ## Test the tables on DynamoDB Local; needs Java, and HMS_SVC_DYNAMODB_JAR naming its jar
	@java -jar "$(HMS_SVC_DYNAMODB_JAR)" -inMemory -disableTelemetry -port 8056 >/dev/null & started=$$!; \
	  trap "kill $$started" EXIT; \
	  $(BIN)/python -c 'import urllib3; urllib3.PoolManager().request("GET", "http://127.0.0.1:8056", retries=urllib3.Retry(total=None, connect=9, backoff_factor=0.1, status=0, redirect=0))' && \
	  HMS_SVC_DYNAMODB_ENDPOINT=http://127.0.0.1:8056 $(BIN)/python -m pytest tests/aws/test_dynamodb_local.py \
	  tests/aws/test_killed_environments.py tests/contract/test_limit_stores.py tests/contract/test_key_stores.py $(ARGS)

.PHONY: sam-ready checkov-ready build validate sam-local dynamodb-local
