# echolab: read from top to bottom: settings, object lists, products, images, lab, tests.
# `make help` lists the targets.

VERSION := 0.1.0

# ---- settings ----------------------------------------------------------------------------

# A compiler for musl: musl-gcc where the system's C library is another (Debian), the
# system's own where it is musl (Alpine). CC=... on the command line wins.
# Looked for at each use: `make setup` may install it in the same run.
ifeq ($(origin CC),default)
CC = $(firstword $(notdir $(shell command -v musl-gcc)) cc)
endif
# A compiler with sanitizers, for the tests.
HOST_CC := gcc

STD      := -std=c11 -D_GNU_SOURCE
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wold-style-definition -Wpointer-arith -Wwrite-strings -Wcast-qual -Wformat=2 \
            -Wundef -Wvla -Wnull-dereference
SAFETY   := -fno-common -fstack-protector-strong
DEFINES  := -DECHOLAB_VERSION='"$(VERSION)"'
ifeq ($(DEV),1)
WARNINGS += -Werror
endif
BASE_FLAGS := $(STD) $(WARNINGS) $(SAFETY) $(DEFINES) -MMD -MP -Isrc

# Small and static: the whole program is optimised for size at once (LTO), every function is
# in a section of its own, and the unused ones are dropped. Fat objects hold plain code, too,
# which the unit tests link: there, calls can be replaced (--wrap).
SMALL := -Oz -flto
# A static PIE where the toolchain makes a truly static one: musl's own compilers do, while
# Debian's musl-gcc, which wraps the one for glibc, makes a file that needs an interpreter.
IS_PIE = $(findstring musl,$(shell $(CC) -dumpmachine))
# Its relocations packed, which musl's start code understands since its <elf.h> names them.
PACKED = $(if $(shell printf '\#include <elf.h>\nDT_RELR\n' | $(CC) -E - | grep -x 36),-Wl$(,)-z$(,)pack-relative-relocs)
, := ,
STATIC_CFLAGS   = $(BASE_FLAGS) $(SMALL) -ffat-lto-objects -ffunction-sections -fdata-sections \
                  -fno-asynchronous-unwind-tables $(if $(IS_PIE),-fPIE,-fno-pie)
STATIC_LDFLAGS  = $(if $(IS_PIE),-static-pie $(PACKED),-static -no-pie) -s $(SMALL) -Wl,--gc-sections \
                  -Wl,-z,relro,-z,now,-z,noexecstack,-z,noseparate-code
# Symbols that others ask for: musl's inet_ntop() wants snprintf, and has format(); inih opens
# files in functions that are never called, so that stdio can stay out. (As packaged by
# Debian, for glibc, it asks for fopen64, which musl from 1.2.4 on does not have.)
STATIC_LDFLAGS += -Wl,--defsym=snprintf=format
STATIC_LDFLAGS += -Wl,--defsym=fopen64=abort,--defsym=fopen=abort
ASAN_CFLAGS    := $(BASE_FLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
                  -fno-sanitize-recover=all
ASAN_LDFLAGS   := -fsanitize=address,undefined

INIH = $(shell $(HOST_CC) -print-file-name=libinih.a 2>/dev/null || $(CC) -print-file-name=libinih.a)
# musl-gcc must not see /usr/include: a folder that holds only ini.h is enough.
INIH_HEADER := build/include/ini.h
STATIC_CFLAGS += -Ibuild/include

# Short lines for people; V=1 shows the commands.
ifneq ($(V),1)
Q = @echo "  $(1) $@"; 
endif

# ---- what links into which ---------------------------------------------------------------

COMMON_OBJECTS := format ensure write_all await log escape units config config_file config_value net program selfpipe \
                  probe thread landlock seccomp sandbox_mode sandbox
SERVER_OBJECTS := $(COMMON_OBJECTS) table deadlines sigio pollset echo server_config worker crew server server_main
CLIENT_OBJECTS := $(COMMON_OBJECTS) table deadlines sigio pollset histogram latency payload load_stream load_schedule resolve client_config client load_worker load_line report load client_main

# A unit test links its module and what lies below it, nothing else.
UNIT_TESTS := format units escape log selfpipe deadlines pollset net resolve config echo probe \
              histogram latency payload load_stream load_schedule seccomp landlock sandbox small
histogram_links := histogram
payload_links   := payload
latency_links   := latency histogram format
load_stream_links := load_stream payload format
load_schedule_links := load_schedule
format_links    := format
units_links     := units format
escape_links    := escape format
log_links       := log format
selfpipe_links  := selfpipe
deadlines_links := deadlines table
pollset_links   := pollset deadlines table ensure
net_links       := net units format
resolve_links   := resolve thread await net units format ensure
sigio_links     := sigio
seccomp_links   := seccomp thread ensure format
landlock_links  := landlock
small_links     := small
sandbox_links   := sandbox sandbox_mode seccomp landlock thread ensure log format
config_links    := config config_file config_value escape units format ensure net log server_config client_config sandbox_mode
echo_links      := echo net units format
probe_links     := probe await net units format

# Calls that a test replaces by its own.
echo_wrap := -Wl,--wrap=send,--wrap=recv,--wrap=malloc
echo_fuzz_wrap := $(echo_wrap) -Wl,--wrap=shutdown,--wrap=ioctl,--wrap=getsockopt
pollset_wrap := -Wl,--wrap=poll,--wrap=clock_gettime,--wrap=sigio_open,--wrap=sigio_arm \
                -Wl,--wrap=sigio_disarm,--wrap=sigio_take,--wrap=sigio_close

# ---- products ----------------------------------------------------------------------------

.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: all build sbom config images pins lab-setup compose up logs ps netcat down demo \
        docker-image docker-compose-up docker-compose-logs docker-compose-down \
        check-setup check fault aarch64 aarch64-vm reproduce size fuzz fuzz-setup soak coverage e2e test bench-setup bench lint format setup clean help

all: build/echo-server build/echo-client ## build both programs: build/echo-server, build/echo-client
build: all ## the same as all

# heap and small take the place of functions of the C library in the shipped programs; the
# sanitizers have their own.
SERVER_LIBRARY := heap
CLIENT_LIBRARY := heap small
build/static/heap.o build/static/small.o: STATIC_CFLAGS += -fno-builtin -fno-lto
build/echo-server: $(SERVER_OBJECTS:%=build/static/%.o) $(SERVER_LIBRARY:%=build/static/%.o)
# The server uses no stream at all; the client does, in getaddrinfo().
build/echo-server: STATIC_LDFLAGS += -Wl,--defsym=fgets=abort,--defsym=fclose=abort
build/echo-client: $(CLIENT_OBJECTS:%=build/static/%.o) $(CLIENT_LIBRARY:%=build/static/%.o)
build/echo-server build/echo-client:
	$(call Q,LINK)$(CC) $(STATIC_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(INIH) $(LDLIBS)
	@! readelf -lW $@ | grep -q INTERP || { echo "$@ needs an interpreter; allowed: CC=musl-gcc or another that makes static programs" >&2; exit 1; }

build/asan/echo-server: $(SERVER_OBJECTS:%=build/asan/%.o)
build/asan/echo-client: $(CLIENT_OBJECTS:%=build/asan/%.o)
build/asan/echo-server build/asan/echo-client:
	$(call Q,LINK)$(HOST_CC) $(ASAN_LDFLAGS) -o $@ $^ -linih -lpthread

build/tsan/echo-server: $(SERVER_OBJECTS:%=build/tsan/%.o)
build/tsan/echo-client: $(CLIENT_OBJECTS:%=build/tsan/%.o)
build/tsan/echo-server build/tsan/echo-client:
	$(call Q,LINK)$(HOST_CC) -fsanitize=thread -o $@ $^ -linih -lpthread

# One tier only: ThreadSanitizer's runtime keeps one pending signal of each number, so it
# loses those that idle connections tell by.
build/tsan/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(HOST_CC) $(BASE_FLAGS) -O1 -g -fsanitize=thread \
	    -DPOLLSET_ONE_TIER_MAX=UINT32_MAX -c -o $@ $<

# Counts the lines and branches that the tests run (gcov).
build/cov/echo-server: $(SERVER_OBJECTS:%=build/cov/%.o)
build/cov/echo-client: $(CLIENT_OBJECTS:%=build/cov/%.o)
build/cov/echo-server build/cov/echo-client:
	$(call Q,LINK)$(HOST_CC) --coverage -o $@ $^ -linih -lpthread

build/cov/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(HOST_CC) $(BASE_FLAGS) -O0 -g --coverage -fprofile-update=atomic -c -o $@ $<

build/static/%.o: src/%.c $(INIH_HEADER) Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(CC) $(STATIC_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/asan/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(HOST_CC) $(ASAN_CFLAGS) -c -o $@ $<

build/include/ini.h: /usr/include/ini.h
	@mkdir -p $(@D)
	$(call Q,COPY)cp $< $@

/usr/include/ini.h:
	compose/setup.sh build

build/sbom/%.spdx.json: build/% compose/sbom.sh LICENSE docs/licenses/musl.txt docs/licenses/inih.txt
	compose/sbom.sh $< $(@D)

sbom: build/sbom/echo-server.spdx.json build/sbom/echo-client.spdx.json ## bills of materials (SPDX) and licence texts: build/sbom/

config: build/echo-server build/echo-client ## write config/*.ini anew from the programs' tables
	env -i build/echo-server --print-config --log-level debug >config/server.ini
	env -i build/echo-client --print-config --server-address server:12345 >config/client.ini

# ---- images ------------------------------------------------------------------------------

# BASE, INSTALL and BUSYBOX_IMAGE choose other bases (compose/images.sh); SETUP=no installs
# nothing on this machine.
export BASE INSTALL BUSYBOX_IMAGE PLATFORM SETUP COMPOSE VERSION N

images: lab-setup ## build both images (PLATFORM=linux/arm64 with buildx)
	compose/images.sh server
	compose/images.sh client

pins: lab-setup ## renew the digests of the images that others make (compose/pins)
	compose/pins.sh

lab-setup:
	@compose/setup.sh lab

# ---- lab ---------------------------------------------------------------------------------

# Clients in the lab; host, port and message of the netcat check.
N         := 5
HOST      := server
PORT      := 12345
MESSAGE   := hello from netcat
TIMEOUT_S := 5

compose: ## write compose/lab.yaml with N clients (N=5)
	@compose/generate.sh "$$N"

up: compose images ## build the images, write the lab of N clients and start it
	compose/lab.sh up

logs: ## what server and clients said
	@compose/lab.sh logs

ps: ## the lab's containers
	@compose/lab.sh ps

netcat: export HOST := $(HOST)
netcat: export PORT := $(PORT)
netcat: export MESSAGE := $(MESSAGE)
netcat: export TIMEOUT_S := $(TIMEOUT_S)
netcat: export MESSAGE_FILE := $(MESSAGE_FILE)
netcat: ## check the echo from inside (MESSAGE=... PORT=... HOST=... MESSAGE_FILE=...)
	@compose/lab.sh netcat

down: ## stop the lab gracefully and remove it
	compose/lab.sh down

demo: build ## the lab as plain processes, without Docker (N=5)
	@compose/demo.sh "$$N"

# The names of the exercise.
docker-image: images ## the same as images
docker-compose-up: up ## the same as up
docker-compose-logs: logs ## the same as logs
docker-compose-down: down ## the same as down

# ---- tests -------------------------------------------------------------------------------

UNIT_ASAN   := $(UNIT_TESTS:%=build/asan/%_test)
UNIT_STATIC := $(UNIT_TESTS:%=build/static/%_test)

build/asan/%_test.o: test/unit/%_test.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(HOST_CC) $(ASAN_CFLAGS) -c -o $@ $<

build/static/%_test.o: test/unit/%_test.c $(INIH_HEADER) Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(CC) $(STATIC_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

.SECONDEXPANSION:
.SECONDARY:
build/asan/%_test: build/asan/%_test.o $$(addsuffix .o,$$(addprefix build/asan/,$$($$*_links)))
	$(call Q,LINK)$(HOST_CC) $(ASAN_LDFLAGS) -o $@ $^ $($*_wrap) -linih -lpthread

build/static/%_test: build/static/%_test.o $$(addsuffix .o,$$(addprefix build/static/,$$($$*_links)))
	$(call Q,LINK)$(CC) -static -no-pie -fno-lto -Wl,--defsym=fopen64=fopen -o $@ $^ $($*_wrap) $(INIH)

# Makes a running process do a call that it never meant to.
build/test/intruder: test/e2e/intruder.c Makefile
	@mkdir -p $(@D)
	$(call Q,LINK)$(HOST_CC) $(STD) $(WARNINGS) -O1 -o $@ $<

UNIT_COV := $(UNIT_TESTS:%=build/cov/%_test)

build/cov/%_test.o: test/unit/%_test.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(HOST_CC) $(BASE_FLAGS) -O0 -g -c -o $@ $<

build/cov/%_test: build/cov/%_test.o $$(addsuffix .o,$$(addprefix build/cov/,$$($$*_links)))
	$(call Q,LINK)$(HOST_CC) --coverage -o $@ $^ $($*_wrap) -linih -lpthread

# libFuzzer's targets, and each once more with something wrong that it must find.
FUZZ_CC     := clang
FUZZ_FLAGS  := $(BASE_FLAGS) -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all \
               -DPOLLSET_ONE_TIER_MAX=2
FUZZERS     := config echo load_stream pollset
FUZZ_ALL    := $(FUZZERS:%=build/fuzz/%_fuzz) $(FUZZERS:%=build/fuzz/%_control) \
               build/msan/echo_fuzz build/msan/load_stream_fuzz

build/fuzz/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

build/fuzz/%_fuzz.o: test/fuzz/%_fuzz.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

build/fuzz/%_control.o: test/fuzz/%_fuzz.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(FUZZ_CC) $(FUZZ_FLAGS) -DFUZZ_CONTROL=1 -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

build/fuzz/%_fuzz: build/fuzz/%_fuzz.o $$(addsuffix .o,$$(addprefix build/fuzz/,$$($$*_links)))
	$(call Q,LINK)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(or $($*_fuzz_wrap),$($*_wrap)) -linih

build/fuzz/%_control: build/fuzz/%_control.o $$(addsuffix .o,$$(addprefix build/fuzz/,$$($$*_links)))
	$(call Q,LINK)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(or $($*_fuzz_wrap),$($*_wrap)) -linih

build/msan/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,memory -c -o $@ $<

build/msan/%_fuzz.o: test/fuzz/%_fuzz.c Makefile
	@mkdir -p $(@D)
	$(call Q,CC  )$(FUZZ_CC) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,memory -c -o $@ $<

build/msan/%_fuzz: build/msan/%_fuzz.o $$(addsuffix .o,$$(addprefix build/msan/,$$($$*_links)))
	$(call Q,LINK)$(FUZZ_CC) -fsanitize=fuzzer,memory -o $@ $^ $(or $($*_fuzz_wrap),$($*_wrap))

coverage: check-setup build/cov/echo-server build/cov/echo-client $(UNIT_COV) ## lines and branches of src/ that the tests run
	test/coverage.sh $(UNIT_COV)

PROVE := prove -Itest/lib --timer
# The programs as shipped are tested in their whole sandbox; SANDBOX=auto for a kernel that
# cannot do all of it.
SANDBOX   := on
SANDBOXED  = ECHOLAB_SANDBOX=$(SANDBOX)

check-setup:
	@compose/setup.sh build check fuzz

check: check-setup build build/test/intruder build/asan/echo-server build/asan/echo-client build/tsan/echo-server build/tsan/echo-client $(UNIT_ASAN) $(UNIT_STATIC) $(FUZZ_ALL) ## unit, process and fuzz tests, without Docker
	$(PROVE) -e '' $(UNIT_ASAN) $(UNIT_STATIC)
	ECHOLAB_BUILD=build/asan $(PROVE) test/e2e/process
	ECHOLAB_BUILD=build/tsan $(PROVE) test/e2e/process/workers.t test/e2e/process/load.t
	$(SANDBOXED) $(PROVE) test/e2e/process
	$(SANDBOXED) FAULT_CORE=1 $(PROVE) test/fault
	FUZZ_SECONDS=2 $(PROVE) test/fuzz

fault: check-setup build ## fault injection, more than 1,000 stops, floods, chaos in the lab (about 5 minutes)
	$(SANDBOXED) $(PROVE) test/fault test/e2e/docker/chaos.t

# For aarch64: the same flags, another compiler. Beside each program stands a script of its
# name that runs it under qemu-user, so that the tests find it where they look.
CROSS    := build/aarch64
CROSS_CC := aarch64-linux-gnu-gcc -specs=$(CROSS)/musl-gcc.specs

$(CROSS)/musl-gcc.specs: compose/cross.sh
	compose/cross.sh $(CROSS)

$(CROSS)/%.o: src/%.c $(CROSS)/musl-gcc.specs $(INIH_HEADER) Makefile
	$(call Q,CC  )$(CROSS_CC) $(STATIC_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(CROSS)/heap.o $(CROSS)/small.o: STATIC_CFLAGS += -fno-builtin -fno-lto
$(CROSS)/bin/echo-server: $(SERVER_OBJECTS:%=$(CROSS)/%.o) $(SERVER_LIBRARY:%=$(CROSS)/%.o)
$(CROSS)/bin/echo-server: STATIC_LDFLAGS += -Wl,--defsym=fgets=abort,--defsym=fclose=abort
$(CROSS)/bin/echo-client: $(CLIENT_OBJECTS:%=$(CROSS)/%.o) $(CLIENT_LIBRARY:%=$(CROSS)/%.o)
$(CROSS)/bin/echo-server $(CROSS)/bin/echo-client:
	@mkdir -p $(@D)
	$(call Q,LINK)$(CROSS_CC) $(STATIC_LDFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ \
	    $(CROSS)/root/usr/lib/aarch64-linux-gnu/libinih.a $(LDLIBS)

$(CROSS)/echo-%: $(CROSS)/bin/echo-% test/qemu-aarch64.sh
	cp test/qemu-aarch64.sh $@

# qemu-user offers neither Landlock nor seccomp to the programs it runs.
aarch64: $(CROSS)/echo-server $(CROSS)/echo-client ## cross build for aarch64, the process tests under qemu-user
	ECHOLAB_BUILD=$(CROSS) ECHOLAB_SANDBOX=off $(PROVE) test/e2e/process

aarch64-vm: $(CROSS)/echo-server $(CROSS)/echo-client ## the programs for aarch64 in their sandbox, on a kernel in a virtual machine
	@compose/setup.sh vm
	$(PROVE) -v test/e2e/vm

reproduce: build ## build programs and images twice, in other folders, at other times: the same bytes?
	$(PROVE) -v test/e2e/process/reproduce.t test/e2e/docker/reproduce.t

# Linked like the products, but with symbols.
build/size/echo-server: $(SERVER_OBJECTS:%=build/static/%.o) $(SERVER_LIBRARY:%=build/static/%.o)
build/size/echo-server: STATIC_LDFLAGS += -Wl,--defsym=fgets=abort,--defsym=fclose=abort
build/size/echo-client: $(CLIENT_OBJECTS:%=build/static/%.o) $(CLIENT_LIBRARY:%=build/static/%.o)
build/size/echo-server build/size/echo-client:
	@mkdir -p $(@D)
	$(call Q,LINK)$(CC) $(filter-out -s,$(STATIC_LDFLAGS)) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(INIH) $(LDLIBS)

size: build build/size/echo-server build/size/echo-client ## what takes the bytes of the executables
	ls -l build/echo-server build/echo-client
	for file in build/size/echo-server build/size/echo-client; do \
	    size -A $$file && nm -S --size-sort --reverse-sort --radix=d $$file | head -n 25; done

FUZZ_SECONDS := 10

fuzz: fuzz-setup $(FUZZ_ALL) ## libFuzzer's targets, each for FUZZ_SECONDS=10
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(PROVE) -v test/fuzz/fuzz.t

fuzz-setup:
	@compose/setup.sh build check fuzz

soak: build ## the server for a long time: memory and descriptors must not grow (MINUTES=60)
	SOAK_SECONDS=$$(( $(MINUTES) * 60 )) $(PROVE) -v test/fault/soak.t

MINUTES := 60

e2e: lab-setup build ## images and lab with real Docker, once per Compose that is there
	$(PROVE) test/e2e/docker

test: check e2e ## check and e2e

# Peers of which the library is not there are left out.
BENCH_PROGRAMS := build/bench/generator build/bench/plain-poll build/bench/uv_echo \
                  build/bench/event_echo build/bench/go_echo

build/bench/generator: test/bench/generator.c src/clock.h
	@mkdir -p $(@D)
	$(call Q,LINK)$(HOST_CC) -O2 $(STD) $(WARNINGS) -Isrc -o $@ $<

# The same server with one tier only.
build/bench/plain-poll: $(SERVER_OBJECTS:%=src/%.c) $(INIH_HEADER)
	@mkdir -p $(@D)
	$(call Q,LINK)$(CC) $(filter-out -MMD -MP,$(STATIC_CFLAGS)) -DPOLLSET_ONE_TIER_MAX=UINT32_MAX \
	    $(STATIC_LDFLAGS) -o $@ $(filter %.c,$^) $(INIH)

build/bench/uv_echo: test/bench/peers/uv_echo.c
	-$(call Q,LINK)$(HOST_CC) -O2 -o $@ $< -luv

build/bench/event_echo: test/bench/peers/event_echo.c
	-$(call Q,LINK)$(HOST_CC) -O2 -o $@ $< -levent_core

build/bench/go_echo: test/bench/peers/go_echo.go
	-$(call Q,LINK)GOCACHE=$(CURDIR)/build/bench/go-cache go build -o $@ $<

bench-setup:
	@compose/setup.sh build bench

bench: bench-setup build $(BENCH_PROGRAMS) ## the server against itself and its peers (RUNS=5 SECONDS=1)
	test/bench/bench.pl --runs $(RUNS) --seconds $(SECONDS)

RUNS    := 5
SECONDS := 1

SCRIPTS := $(wildcard compose/*.sh test/*.sh test/*/*.sh test/*/*/*.sh) .ci/run

lint: $(INIH_HEADER) ## clang-format, clang-tidy, cppcheck, shellcheck, perl -c
	@compose/setup.sh lint
	clang-format --dry-run --Werror src/*.[ch] test/unit/*.[ch] test/fuzz/*.[ch]
	shellcheck $(SCRIPTS)
	cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
	    --inline-suppr -Isrc -Ibuild/include -DECHOLAB_VERSION='"lint"' src
	clang-tidy --quiet src/*.c -- $(STD) $(DEFINES) -Isrc
	for file in test/e2e/*/*.t test/fault/*.t test/fuzz/*.t test/lib/*.pm; do perl -Itest/lib -wc $$file || exit 1; done

format: ## let clang-format rewrite the sources
	clang-format -i src/*.[ch] test/unit/*.[ch] test/fuzz/*.[ch]

# ---- the rest ----------------------------------------------------------------------------

setup: ## install what is missing on Debian: toolchain, test tools, Docker Engine and Compose
	compose/setup.sh build check lint fuzz lab

clean: ## remove what was built (images stay)
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 24


# What each object was made from, as the compiler saw it.
-include $(wildcard build/*/*.d)
