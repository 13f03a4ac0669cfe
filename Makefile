# SPDX-License-Identifier: Apache-2.0
# amphi: one OCI runtime, two isolations. "make help" lists the targets.

# Who may include whom: a directory stands on these and on nothing else (tests/check/layers reads this table).
DIRS := base oci container network images vm vm/guest runtime
USES_base :=
USES_oci := base
USES_container := base oci
USES_network := base
USES_images := base oci
USES_vm := base oci
USES_vm/guest := base oci container network/rtnl.h vm/proto.h
USES_runtime := base oci container network vm images/images.h

VERSION := 0.1.0
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBEXECDIR ?= $(PREFIX)/libexec/amphi
MANDIR ?= $(PREFIX)/share/man
COMPDIR ?= $(PREFIX)/share/bash-completion/completions

# DEBUG and SANITIZE builds keep to directories of their own.
ifneq ($(SANITIZE),)
BUILD ?= build/sanitize
else ifneq ($(DEBUG),)
BUILD ?= build/debug
else
BUILD ?= build
endif

CC ?= cc
AR ?= ar
Q := $(if $(V),,@)
OPT := $(if $(DEBUG),-O0 -g3 -DAMPHI_DEBUG -Wno-format-truncation,$(if $(SANITIZE),-O1 -g -Wno-format-truncation -Wno-maybe-uninitialized,-O2 -g1))
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef \
	-Wno-unused-parameter $(if $(filter 0,$(WERROR)),,-Werror)
CFLAGS_ALL := -std=gnu11 $(OPT) $(WARN) -fno-strict-aliasing -fno-common -ffunction-sections -fdata-sections \
	-fstack-protector-strong -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DAMPHI_VERSION='"$(VERSION)"' -I. \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer,-fPIE) $(CFLAGS)
# What commands are made of runs once, for milliseconds: few pages to touch count for more than fast loops.
SMALL := $(if $(DEBUG)$(SANITIZE),,oci container network runtime)
LDFLAGS_ALL := -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,pack-relative-relocs $(LDFLAGS)
# amphi and amphi-init are static: nothing to link at start, nothing to find in the guest.
LINK_SANITIZE := -fsanitize=$(SANITIZE) $(BUILD)/base/sanitize.o
LINK_STATIC := $(if $(SANITIZE),$(LINK_SANITIZE),-static-pie)
LINK_DYNAMIC := $(if $(SANITIZE),$(LINK_SANITIZE),-pie)

LIBS_base := -lyajl$(if $(SANITIZE),,_s) -lm
LIBS_container := -lseccomp -lcap
LIBS_images := -lcurl -lcrypto -lz -lzstd -llzma -lisal
LIBS_vm := -lz -llzma -lzstd -llz4 -lpthread

SRCS := $(foreach d,$(DIRS),$(wildcard $(d)/*.c))
OBJS := $(SRCS:%.c=$(BUILD)/%.o)
lib = $(foreach d,$(1),$(BUILD)/lib/$(subst /,-,$(d)).a)

PROGRAMS := $(if $(wildcard runtime/main.c),$(BUILD)/amphi) $(if $(wildcard images/main.c),$(BUILD)/amphi-images) \
	$(if $(wildcard vm/guest/guest_init.c),$(BUILD)/amphi-init)

.PHONY: all
all: $(PROGRAMS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  CC      $<")
	$(Q)$(CC) $(CFLAGS_ALL) $(if $(filter $(<D),$(SMALL)),-Os) -MMD -MP -c -o $@ $<

# What runs before the C library is set up.
$(BUILD)/container/selfexe_entry.o: CFLAGS_ALL := $(filter-out -fsanitize=% -fstack-protector-strong,$(CFLAGS_ALL)) \
	-fno-stack-protector -fno-tree-loop-distribute-patterns

define archive_rule
$(call lib,$(1)): $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(1)/main.c,$(wildcard $(1)/*.c)))
	@mkdir -p $$(@D)
	@rm -f $$@
	$(Q)$(AR) rcs $$@ $$^
endef
$(foreach d,$(DIRS),$(eval $(call archive_rule,$(d))))

# What create and run of a container touch stands together, as few pages as can be; behind it what other commands, other
# hosts, machines and networks need.
COLD := $(addprefix container/,cgroup_property cgroup_stats cgroup_systemd criu criu_dump criu_restore criu_rpc dbus \
	mount_live) base/sanitize \
	$(addprefix runtime/,backend_vm cmd_checkpoint cmd_cni cmd_doctor cmd_events cmd_features cmd_images cmd_kernel cmd_mounts \
	cmd_network cmd_pause cmd_ps cmd_restore cmd_stats cmd_update counters criuopts jail jailview machine machine_network monitor oomfill pod \
	proctable vm_check vm_stats)
HOT := $(filter-out $(COLD:%=$(BUILD)/%.o),$(foreach d,runtime container oci base,$(filter $(BUILD)/$(d)/%,$(OBJS))))
AMPHI_LIBS := $(call lib,runtime container oci base network vm)
$(BUILD)/amphi: $(BUILD)/runtime/main.o $(AMPHI_LIBS) runtime/hot.ld
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(LINK_STATIC) $(LDFLAGS_ALL) -Wl,-e,selfexe_entry $(if $(SANITIZE),,-Wl,-T,runtime/hot.ld) -o $@ $(HOT) -Wl,--start-group $(LIBS_base) $(LIBS_container) \
		$(AMPHI_LIBS) $(LIBS_vm) -Wl,--end-group

$(BUILD)/amphi-images: $(BUILD)/images/main.o $(call lib,images oci base)
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(LINK_DYNAMIC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_images) $(LIBS_base) -lpthread

# The guest's PID 1: the container room, the link calls and the agent protocol.
GUEST_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard vm/guest/*.c) $(wildcard network/rtnl*.c) vm/proto.c)
$(BUILD)/amphi-init: $(GUEST_OBJS) $(call lib,container oci base)
	@$(if $(V),,echo "  LINK    $@")
	$(Q)$(CC) $(if $(SANITIZE),$(LINK_SANITIZE),-static) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_container) -lpthread $(LIBS_base)

# Unit tests: one program per source, linked with every archive below the runtime.
UNIT_SRCS := $(wildcard tests/unit/test_*.c)
UNIT := $(UNIT_SRCS:tests/unit/%.c=$(BUILD)/tests/unit/%)
UNIT_LIBS := $(call lib,runtime vm vm/guest network images container oci base)
.PHONY: unit
unit: $(UNIT)
$(BUILD)/tests/unit/%: tests/unit/%.c $(UNIT_LIBS)
	@mkdir -p $(@D)
	@$(if $(V),,echo "  TEST    $@")
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -MF $@.d $(LINK_DYNAMIC) -o $@ $< -Wl,--start-group $(UNIT_LIBS) -Wl,--end-group \
		$(LDFLAGS_ALL) $(LIBS_images) $(LIBS_container) $(LIBS_vm) $(LIBS_base)

# Fuzz targets (libFuzzer, clang): one program for each parser of foreign bytes.
FUZZ_SRCS := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ := $(FUZZ_SRCS:tests/fuzz/%.c=build/fuzz/%)
.PHONY: fuzz
fuzz: $(FUZZ)
FUZZ_FLAGS := $(filter-out -Werror -fPIE -O2 -g1 -Wno-format-truncation -Wno-maybe-uninitialized,$(CFLAGS_ALL)) -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  FUZZCC  $<")
	$(Q)clang $(FUZZ_FLAGS) -MMD -MP -c -o $@ $<
build/fuzz/all.a: $(patsubst %.c,build/fuzz/obj/%.o,$(filter-out %/main.c,$(SRCS)))
	@rm -f $@
	$(Q)$(AR) rcs $@ $^
build/fuzz/%: tests/fuzz/%.c build/fuzz/all.a
	@mkdir -p $(@D)
	@$(if $(V),,echo "  FUZZ    $@")
	$(Q)clang $(FUZZ_FLAGS) -MMD -MP -MF $@.d -fsanitize=fuzzer -o $@ $< build/fuzz/all.a $(LIBS_images) $(LIBS_container) $(LIBS_vm) -lyajl

# Small programs that the tests run on the host or inside a bundle (static).
HELPERS := $(patsubst tests/helpers/%.c,$(BUILD)/tests/helpers/%,$(wildcard tests/helpers/*.c))
.PHONY: helpers
helpers: $(HELPERS)
$(BUILD)/tests/helpers/%: tests/helpers/%.c
	@mkdir -p $(@D)
	@$(if $(V),,echo "  HELPER  $@")
	$(Q)$(CC) $(filter-out -fsanitize=%,$(CFLAGS_ALL)) -static -pthread -o $@ $<

# The minimal kernel for machines, built from Debian's sources (minutes) and added to the store as "minimal".
.PHONY: kernel
kernel: $(BUILD)/amphi $(BUILD)/amphi-init
	@contrib/packages kernel
	@image=$$(contrib/kernel/make-kernel build/kernel-minimal) || exit 1; \
		AMPHI_KERNELS=$${AMPHI_KERNELS:-$(abspath $(BUILD))/kernels}; export AMPHI_KERNELS; \
		$(BUILD)/amphi kernel rm minimal 2>/dev/null; $(BUILD)/amphi kernel add --name minimal --image "$$image"

# Tests. SUITES chooses some of: style unit root vm kvm lab fuzz asan.
.PHONY: check check-root check-vm check-asan check-fuzz lab demo bench deps
check:
	@tests/run $(SUITES)
check-root:
	@tests/run style unit root
check-vm:
	@tests/run vm kvm
check-asan:
	@tests/run asan
check-fuzz:
	@tests/run fuzz
lab:
	@tests/run lab-all
demo:
	@contrib/demo
bench:
	@tests/bench/run
deps:
	@contrib/packages

.PHONY: install uninstall
install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBEXECDIR) $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 \
		$(DESTDIR)$(COMPDIR)
	install -m 755 $(BUILD)/amphi $(DESTDIR)$(BINDIR)/amphi
	ln -sf amphi $(DESTDIR)$(BINDIR)/amphi-vm
	install -m 755 $(BUILD)/amphi-images $(BUILD)/amphi-init $(DESTDIR)$(LIBEXECDIR)/
	install -m 644 runtime/amphi.1 $(DESTDIR)$(MANDIR)/man1/
	install -m 644 runtime/amphi.5 $(DESTDIR)$(MANDIR)/man5/
	install -m 644 contrib/completion/amphi.bash $(DESTDIR)$(COMPDIR)/amphi

uninstall:
	rm -rf $(DESTDIR)$(BINDIR)/amphi $(DESTDIR)$(BINDIR)/amphi-vm $(DESTDIR)$(LIBEXECDIR)
	rm -f $(DESTDIR)$(MANDIR)/man1/amphi.1 $(DESTDIR)$(MANDIR)/man5/amphi.5 $(DESTDIR)$(COMPDIR)/amphi

.PHONY: format tidy clean help compile_commands.json
format:
	@clang-format -i $(wildcard $(foreach d,$(DIRS) tests/unit tests/fuzz tests/helpers tests/bench,$(d)/*.c $(d)/*.h))
tidy:
	@command -v clang-tidy >/dev/null || { echo "tidy: needs clang-tidy (Debian package clang-tidy)" >&2; exit 1; }
	clang-tidy --quiet $(SRCS) -- $(filter-out -Werror,$(CFLAGS_ALL))
compile_commands.json:
	@command -v bear >/dev/null || { echo "compile_commands.json: needs bear (Debian package bear)" >&2; exit 1; }
	bear -- $(MAKE) -B all
clean:
	rm -rf build
help:
	@echo "all              amphi, amphi-images, amphi-init into build/ (the default)"
	@echo "demo             one bundle both ways: what a newcomer runs first"
	@echo "check            every suite; SUITES=\"style unit root vm kvm lab fuzz asan\" chooses"
	@echo "check-root       style, unit tests, containers on this host"
	@echo "check-vm         machines: under QEMU, and on this host's own KVM where it is usable"
	@echo "check-asan       unit tests and bats files of a sanitized build; check-fuzz: every fuzz target"
	@echo "lab              every bats file, machines on our own monitor, in the nested KVM (hours)"
	@echo "kernel           a minimal kernel for machines, built from Debian's sources, into the build's store"
	@echo "bench            side by side with crun, runc, QEMU; deps: installs what build and tests need"
	@echo "install uninstall    PREFIX, BINDIR, LIBEXECDIR, MANDIR, COMPDIR, DESTDIR"
	@echo "format tidy clean compile_commands.json help"
	@echo "SANITIZE=address,undefined  DEBUG=1  WERROR=0  V=1  BUILD=DIR"

-include $(OBJS:.o=.d) $(UNIT:=.d) $(SRCS:%.c=build/fuzz/obj/%.d) $(FUZZ:=.d)
