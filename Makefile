# Every target is a script in tools/, which you can also call yourself.
.DEFAULT_GOAL := help
.PHONY: help run test build bench soak lint fuzz proto sdk console

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

run: ## set up, build, and start Sterling with the demo bank
	@tools/run.sh

test: ## lint and every test at its sample size (under 20 minutes on 2 cores)
	@tools/test.sh

build: ## bin/sterling and bin/sterling-sandbox
	@tools/build.sh

bench: ## measure; results under bench/results
	@tools/bench.sh

soak: ## every test at its full size, and the race detector (hours)
	@tools/soak.sh

lint: ## all linters, generated code, known vulnerabilities
	@tools/lint.sh

fuzz: ## every fuzz target for FUZZTIME (20s) each
	@tools/fuzz.sh

proto: sdk ## regenerate proto/gen and the clients in sdk/ from the .proto files
	@tools/install.sh buf protoc-gen-go protoc-gen-go-grpc protoc-gen-connect-go protoc-gen-openapi
	@tools/proto.sh

sdk: ## regenerate the TypeScript and Python clients only
	@tools/sdk.sh generate

console: ## build the console's pages, which `make build` puts into bin/sterling
	@tools/console.sh require
