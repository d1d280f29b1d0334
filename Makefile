# SPDX-License-Identifier: Apache-2.0
# A page of targets over Meson. `make` alone shows it.
PREFIX  ?= /usr/local
DESTDIR ?=
BUILD   ?= build
SECONDS ?= 30

.PHONY: help all deps demo check check-fast asan clang fuzz bench install clean format

help:
	@echo "make all         build into $(BUILD)/: $(BUILD)/atoll and its siblings run from there"
	@echo "make demo        a Debian image, nginx from it, exec, logs, stats, then a comparison"
	@echo "make check       everything: unit, house, fuzz replay, end-to-end, clang, sanitizers"
	@echo "make check-fast  unit, house and fuzz replay: under a minute"
	@echo "make asan        unit and fuzz replay under AddressSanitizer and UBSan"
	@echo "make clang       the same sources with clang, every warning an error; unit tests"
	@echo "make fuzz        every fuzz target for SECONDS=$(SECONDS) with libFuzzer"
	@echo "make bench       tests/perf: the figures, as ratios against other runtimes and QEMU"
	@echo "make install     into DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)"
	@echo "make format      clang-format over what it would change"
	@echo "make deps        Debian's packages for all of this (apt, only what is missing)"
	@echo "make clean       remove $(BUILD)*/"

deps:
	@tools/deps

all: deps
	@tools/check.py build --build $(BUILD)

demo: all
	@tools/demo --build $(BUILD)

check: deps
	@tools/check.py all --build $(BUILD)

check-fast: deps
	@tools/check.py fast --build $(BUILD)

asan: deps
	@tools/check.py asan --build $(BUILD)

clang: deps
	@tools/check.py clang --build $(BUILD)

fuzz: deps
	@tools/check.py fuzz --build $(BUILD) --seconds $(SECONDS)

bench: all
	@tests/perf/run --build $(BUILD)

# The prefix is Meson's to know: programs find libexec/atoll from their own place, so a build made
# for another prefix needs only to be configured again, not compiled again.
install: all
	@meson configure $(BUILD) --prefix=$(abspath $(PREFIX)) >/dev/null
	@DESTDIR=$(abspath $(DESTDIR)) meson install -C $(BUILD)

format:
	@tools/house.py format --fix

clean:
	rm -rf $(BUILD) $(BUILD)-*
