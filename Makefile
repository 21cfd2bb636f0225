# SPDX-License-Identifier: GPL-2.0
# KERNEL_SRC=/path uses that kernel tree instead of Debian's source package.

export KERNEL_SRC DESTDIR PREFIX

help: ## print this (default)
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

demo: ## show it in a guest: checkpoint, archive, truncate, kexec, verify
	@scripts/demo

check: ## run every test; ends with "N passed, N failed, N skipped"
	@scripts/check

check-hard: ## stress the kernel side with sanitizers and failing allocations (CHECK_HARD_SECONDS=600)
	@scripts/install-deps
	@scripts/check-hard

fuzz: ## fuzz the program's parsers (TARGET=all SECONDS=600 each)
	@scripts/install-deps
	@scripts/fuzz $(or $(TARGET),all) $(SECONDS)

bench: ## compare the kernel side with upstream: reading, memory, appending, waiting, freeing, kexec
	@scripts/install-deps
	@scripts/bench $(ARGS)

bench-verify: ## measure the program: replay against evmctl, memory, archive and cat against the disk
	@scripts/install-deps
	@scripts/bench-verify

lint: ## rustfmt, clippy of the programs, shellcheck, SPDX lines; needs no kernel
	@scripts/lint

kernel-lint: ## clippy of the extension, which is built for it
	@scripts/install-deps
	@scripts/kernel-lint

kernel: ## build the test guest's kernel with the extension
	@scripts/install-deps
	@scripts/build-kernel on

kernel-without: ## build it without the option, and without Rust
	@scripts/install-deps
	@scripts/build-kernel without

kernel-debug: ## build it with lockdep and KASAN; GUEST_KERNEL=debug makes the tests use it
	@scripts/install-deps
	@scripts/build-kernel debug

kernel-uml: ## build it for User-Mode Linux, the other bed of the tests
	@scripts/install-deps
	@scripts/build-kernel uml

run: ## boot the guest with SCRIPT=file (ARGS=options of scripts/run-guest)
	@scripts/run-guest $(ARGS) $(or $(SCRIPT),$(error say which: make run SCRIPT=file))

tool: ## build the program and print its path
	@scripts/build-tool

install: ## install the program (DESTDIR=, PREFIX=/usr/local)
	@scripts/install

deb: ## build a Debian package of the program and print its path
	@scripts/install-deps
	@scripts/build-deb

prepare: ## put the extension into the kernel tree KERNEL_SRC=/path
	@scripts/kernel-tree prepare $(or $(KERNEL_SRC),$(error say which tree: make $@ KERNEL_SRC=/path))

unprepare: ## remove it from KERNEL_SRC=/path again
	@scripts/kernel-tree undo $(or $(KERNEL_SRC),$(error say which tree: make $@ KERNEL_SRC=/path))

edit-tree: ## make a git tree with a commit for each patch, to change the series (EDIT_TREE=/path)
	@scripts/kernel-tree edit $(EDIT_TREE)

refresh-patches: ## write its commits back to patches/
	@scripts/kernel-tree refresh $(EDIT_TREE)

series: ## write the series as it is sent to a mailing list (SERIES=/path, a new directory)
	@scripts/series $(or $(SERIES),$(error say where to: make $@ SERIES=/path))

clean: ## remove what was built here and in the cache, but keep downloads
	@scripts/clean

.PHONY: help demo check check-hard fuzz bench bench-verify lint kernel-lint kernel kernel-without kernel-debug kernel-uml run tool install deb prepare unprepare edit-tree refresh-patches series clean
