# echolab: read from top to bottom: settings, flavours, products, images, lab, the rest. Tests, fuzzing and benchmarks are in
# test/test.mk. `make help` lists the targets.
VERSION := 0.1.0

# ---- settings ----------------------------------------------------------------------------
# A compiler for musl: musl-gcc where the system's C library is another (Debian), the system's own where it is musl (Alpine). CC=... on
# the command line wins. It is looked up at each use, since `make setup` may install it in the same run. HOST_CC has sanitizers.
ifeq ($(origin CC),default)
CC = $(firstword $(notdir $(shell command -v musl-gcc)) cc)
endif
HOST_CC  ?= gcc
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
            -Wpointer-arith -Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wvla -Wnull-dereference
STD      := -std=c11 -D_GNU_SOURCE
BASE_FLAGS := $(STD) $(WARNINGS) $(if $(filter 1,$(DEV)),-Werror) -fno-common -fstack-protector-strong -DECHOLAB_VERSION='"$(VERSION)"' -MMD -MP -Isrc
# Small: the whole program is optimised for size at once (LTO; in one partition: with more gcc warns), every function is in a section of
# its own, and unused functions are dropped. Fat objects also hold plain code, which the unit tests link, since only there calls can be
# replaced (--wrap). Tables instead of switches, and values kept over a loop, take more code than they save.
SMALL := -Oz -fno-tree-switch-conversion -fno-move-loop-invariants -flto -flto-partition=one
# A static PIE where the toolchain makes a truly static one: musl's own compilers do, Debian's musl-gcc does not.
MACHINE = $(shell $(CC) -dumpmachine)
IS_PIE  = $(findstring musl,$(MACHINE))
# Packed relocations, if musl's start code reads them: then its <elf.h> names them.
PACKED = $(if $(shell printf '$(hash)include <elf.h>\nDT_RELR\n' | $(CC) -E - | grep -x 36),-Wl$(,)-z$(,)pack-relative-relocs)
, := ,
hash := \#
# No code for floating point, which the programs do not use: functions of printf's kind need not save its registers. On x86-64, callers
# need not tell such functions how many of these they use, and constants are not aligned more strictly than the ABI wants.
SMALL_MACHINE = $(if $(filter x86_64-% aarch64-%,$(MACHINE)),-mgeneral-regs-only) $(if $(filter x86_64-%,$(MACHINE)),$(SMALL_X86))
SMALL_X86 := -mskip-rax-setup -malign-data=abi
# musl-gcc must not see /usr/include: a folder that holds only ini.h is enough.
INIH_HEADER := build/include/ini.h
STATIC_CFLAGS   = $(BASE_FLAGS) $(SMALL) -ffat-lto-objects -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables $(SMALL_MACHINE) $(if $(IS_PIE),-fPIE,-fno-pie) -Ibuild/include
# No RELRO: only a dynamic linker would act on it (elf.t looks at running programs). So the data follows the constants without a gap,
# where a page is small for the linker (common-page-size). Of the start code only musl's: gcc's is for constructors, of which there are
# none. Functions that are replaced by others (--defsym): src/musl/README.md.
STATIC_LDFLAGS  = $(if $(IS_PIE),-static-pie $(PACKED),-static -no-pie) $(SMALL) -Wl,--gc-sections -nostartfiles -l:$(if $(IS_PIE),rcrt1.o,crt1.o) \
                  -Wl,-z,norelro,-z,common-page-size=512,-z,noexecstack,-z,noseparate-code \
                  -Wl,--defsym=fopen64=abort,--defsym=fopen=abort,--defsym=fclose=abort
INIH = $(shell $(HOST_CC) -print-file-name=libinih.a 2>/dev/null || $(CC) -print-file-name=libinih.a)
# Short lines for people; V=1 shows the commands. The target's folder is made first.
Q = @mkdir -p $(@D); $(if $(filter 1,$(V)),set -x,echo "  $(1) $@");
.DELETE_ON_ERROR .SECONDARY:
.SUFFIXES:
.DEFAULT_GOAL := all

# ---- flavours ----------------------------------------------------------------------------
# The sources are built in several flavours: `static` for the shipped programs, the others for tests. A flavour has a compiler and
# flags; its objects are under build/FLAVOUR, at the paths of their sources.
define flavour
build/$(1)/%.o: %.c Makefile | $$(INIH_HEADER)
	$$(call Q,CC  )$$($(1)_CC) $$($(1)_FLAGS) $$(if $$(filter test/%,$$<),-Itest -Itest/unit) -c -o $$@ $$<
endef
static_CC    = $(CC)
static_FLAGS = $(STATIC_CFLAGS) $(CPPFLAGS) $(CFLAGS)
$(eval $(call flavour,static))
$(INIH_HEADER): /usr/include/ini.h
	@mkdir -p $(@D) && cp $< $@
/usr/include/ini.h:
	tools/setup.sh build
# The commit, for the metric build_info: one object knows it, and is made anew with another one.
REVISION ?= $(or $(if $(wildcard .git),$(shell git rev-parse HEAD 2>/dev/null)),unknown)
build/revision: $(if $(filter $(REVISION),$(file <build/revision)),,anew)
	@mkdir -p $(@D) && echo '$(REVISION)' >$@
build/static/src/base/build.o build/aarch64/src/base/build.o: build/revision
build/static/src/base/build.o build/aarch64/src/base/build.o: STATIC_CFLAGS += -DECHOLAB_REVISION='"$(REVISION)"'

# ---- products ----------------------------------------------------------------------------
SERVER_OBJECTS := echo_server $(addprefix base/,build calendar ensure escape format log metrics table thread units) $(addprefix io/,activation admin deadlines fdwait http net pollset probe process selfpipe sigio) \
                  $(addprefix config/,config config_file config_value program) $(addprefix sandbox/,landlock sandbox sandbox_mode seccomp) \
                  $(addprefix server/,echo health pending server server_config server_metrics worker worker_pool)
CLIENT_OBJECTS := echo_client $(filter-out echo_server io/activation server/%,$(SERVER_OBJECTS)) $(addprefix base/,histogram latency metrics_histogram) $(addprefix io/,output resolve) \
                  $(addprefix client/,client client_admin client_config client_metrics exit_code) $(addprefix examine/,character checks crowd examine examine_report talk) \
                  $(addprefix load/,load load_addresses load_connection load_figures load_judge load_live load_open_loop load_progress load_report load_report_csv \
                    load_report_hgrm load_report_json load_report_prometheus load_report_text load_result load_schedule load_share load_sources load_stream load_thread load_timeline payload)
# Stand-ins for functions of the C library in the shipped programs (src/musl).
SERVER_MUSL := $(addprefix musl/,calls_small ctype_small inet_small mmap_malloc strerror_small string_small)
CLIENT_MUSL := $(SERVER_MUSL) musl/libc_small
build/static/src/musl/% build/aarch64/src/musl/%: STATIC_CFLAGS += -fno-builtin -fno-lto
# The server reads no stdio stream; the client does, in getaddrinfo().
%/echo-server: PROGRAM_LDFLAGS := -Wl,--defsym=fgets=abort
# libinih comes with tables that say how to unwind its stack, for which there is no use here. Debian's musl has its functions aligned
# for speed, with a kilobyte of fill between them.
static_LIBC = $(if $(filter x86_64-%,$(MACHINE)),--set-section-alignment '.text*=1')
libc_of = $(firstword $(filter %/libc.a,$(shell echo 'int main(void) { return 0; }' | $($(1)_CC) -static -x c - -o /dev/null -Wl,--trace)))
define programs # flavour, folder, -s or nothing, libinih.a
$(2)/echo-server: $$(patsubst %,build/$(1)/src/%.o,$$(SERVER_OBJECTS) $$(SERVER_MUSL))
$(2)/echo-client: $$(patsubst %,build/$(1)/src/%.o,$$(CLIENT_OBJECTS) $$(CLIENT_MUSL))
$(2)/libinih.a: | $$(INIH_HEADER)
	$$(call Q,COPY)$$$$($$($(1)_CC) -print-prog-name=objcopy) --remove-section=.eh_frame $(4) $$@
$(2)/libc.a: | $$(INIH_HEADER)
	$$(call Q,COPY)$$$$($$($(1)_CC) -print-prog-name=objcopy) $$($(1)_LIBC) $$(call libc_of,$(1)) $$@
$(2)/echo-server $(2)/echo-client: | $(2)/libinih.a $(2)/libc.a
	$$(call Q,LINK)$$($(1)_CC) $$(STATIC_LDFLAGS) $(3) -L$(2) $$(PROGRAM_LDFLAGS) -Wl,-Map=$$@.map,--cref $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $(2)/libinih.a $$(LDLIBS)
	@! readelf -lW $$@ | grep -q INTERP || { echo "$$@ needs an interpreter; allowed: CC=musl-gcc or another that makes static programs" >&2; exit 1; }
	@awk -f src/musl/check_map.awk $$@.map
endef
$(eval $(call programs,static,build,-s,$$(INIH)))
all: build/echo-server build/echo-client ## build both programs: build/echo-server, build/echo-client
build: all ## the same as all
build/sbom/%.spdx.json: build/% tools/sbom.sh LICENSE $(wildcard docs/licenses/*.txt)
	tools/sbom.sh $< $(@D)
sbom: build/sbom/echo-server.spdx.json build/sbom/echo-client.spdx.json ## bills of materials (SPDX) and licence texts: build/sbom/
build/man/%.1: build/% docs/man/%.in tools/man.sh
	@mkdir -p $(@D) && tools/man.sh $< docs/man/$*.in >$@
man: build/man/echo-server.1 build/man/echo-client.1 ## manual pages: build/man/
install: build man ## programs, manual pages, example configurations (PREFIX=/usr/local DESTDIR=)
	tools/install.sh
uninstall: ## remove the files that install put there (PREFIX=/usr/local DESTDIR=)
	tools/install.sh --remove
config: build ## write config/*.ini anew from the programs' tables
	env -i build/echo-server --print-config --log-level debug --admin-address 0.0.0.0:9100 >config/server.ini
	env -i build/echo-client --print-config --server-address server:12345 --admin-address 0.0.0.0:9100 >config/client.ini

# ---- images ------------------------------------------------------------------------------
# BASE, INSTALL choose other bases; SERVER_IMAGE, CLIENT_IMAGE, BUSYBOX_IMAGE, PROMETHEUS_IMAGE other images.
export BUSYBOX_IMAGE PROMETHEUS_IMAGE PLATFORM SETUP COMPOSE VERSION
images: lab-setup ## build both images (PLATFORM=linux/arm64 with buildx; V=1: all that the builder says)
	@tools/images.sh server client
clean-images: ## remove all images that were made here
	@tools/images.sh clean
pins: lab-setup ## renew the digests of the pinned images (tools/pins)
	tools/pins.sh
lab-setup: ; @tools/setup.sh lab

# ---- lab ---------------------------------------------------------------------------------
N         ?= 5
HOST      ?= server
PORT      ?= 12345
MESSAGE   ?= hello from netcat
TIMEOUT_S ?= 5
# N: clients; HOST, PORT, MESSAGE: of netcat. The scripts get these values as they were typed: make does not expand a $ in them.
$(foreach name,N HOST PORT MESSAGE MESSAGE_FILE TIMEOUT_S FOLLOW BASE INSTALL LOAD LAPSE PUBLISH OBSERVE SERVER_IMAGE CLIENT_IMAGE,$(eval \
    compose demo netcat metrics load logs images up: override export $(name) := $$(value $(name))))
compose: ## write compose/lab.yaml with N clients (N=5 LAPSE=1m2s PUBLISH=127.0.0.1:12345 OBSERVE=1)
	@compose/generate.sh "$$N"
up: compose images ## build the images, write the lab of N clients and start it (OBSERVE=1: with Prometheus)
logs: ## the logs of server and clients (FOLLOW=1: and new lines as they come)
ps: ## the lab's containers
netcat: ## check the echo from inside (MESSAGE=... PORT=... HOST=... MESSAGE_FILE=...)
metrics: ## what the server counts, as Prometheus sees it (HOST=client1: a client)
load: ## a load from inside the lab's network (LOAD='--connections 50 --duration 10s')
policy: images ## who reaches the server and who does not: tries the matrix of POLICY=compose/policy.txt
grade: lab-setup ## points and remarks for an echo server's image (SERVER_IMAGE=... CONFIG=file[:/target])
down: ## stop the lab gracefully and remove it
up logs ps netcat metrics load policy grade down:
	@compose/lab.sh $@
demo: build ## the lab as plain processes, without Docker (N=5)
	@tools/demo.sh "$$N"
docker-image: images ## the exercise's name for images
docker-compose-up: up ## the same as up
docker-compose-logs: logs ## the same as logs
docker-compose-down: down ## the same as down

# ---- the rest ----------------------------------------------------------------------------
-include test/test.mk
setup: ## install what is missing on Debian: toolchain, test tools, Docker Engine and Compose
	tools/setup.sh build check lint fuzz lab
clean: ## remove what was built (images stay)
	rm -rf build
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' Makefile test/test.mk | expand -t 24

# Targets that are not files, and the objects' dependencies, which the compiler writes.
.PHONY: anew $(shell sed -n 's/^\([a-z][a-z0-9 -]*\):.*/\1/p' Makefile $(wildcard test/test.mk))
-include $(wildcard $(addprefix build/*/,src/*.d src/*/*.d test/*/*.d test/*/*/*.d))
