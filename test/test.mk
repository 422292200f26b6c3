# Tests, fuzzing, coverage and benchmarks: included by the Makefile.
# ---- flavours ----------------------------------------------------------------------------
HOST_FLAGS := $(BASE_FLAGS) -g -fno-omit-frame-pointer
FUZZ_FLAGS := $(HOST_FLAGS) -O1 -fno-sanitize-recover=all
$(foreach name,asan tsan cov,$(eval $(name)_CC = $$(HOST_CC)))
$(foreach name,fuzz msan,$(eval $(name)_CC = clang))
static_LINK = -static -no-pie -fno-lto -Wl,--defsym=fopen64=fopen
asan_LINK  := -fsanitize=address,undefined
asan_FLAGS := $(HOST_FLAGS) -O1 $(asan_LINK) -fno-sanitize-recover=all
tsan_LINK  := -fsanitize=thread
tsan_FLAGS := $(HOST_FLAGS) -O1 $(tsan_LINK)
cov_LINK   := --coverage
# (gcov counts the lines and branches of src/, not those of the tests.)
cov_FLAGS   = $(HOST_FLAGS) -O0 $(if $(findstring /test/,$@),,--coverage -fprofile-update=atomic)
fuzz_LINK  := -fsanitize=fuzzer,address,undefined
fuzz_FLAGS := $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,address,undefined
msan_LINK  := -fsanitize=fuzzer,memory
msan_FLAGS := $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link,memory
$(foreach name,asan tsan cov fuzz msan,$(eval $(call flavour,$(name))))
# Calls that a test replaces by its own (--wrap). The control of a fuzz target has a fault that must be found.
echo_test_wrap     := send recv malloc
preamble_fuzz_wrap := send recv
echo_fuzz_wrap     := $(echo_test_wrap) shutdown ioctl getsockopt
pollset_test_wrap  := poll clock_gettime sigio_open sigio_arm sigio_disarm sigio_take sigio_wait sigio_close
pollset_fuzz_wrap  := $(pollset_test_wrap)
MODULES := $(filter-out src/musl/%,$(patsubst %.c,%,$(wildcard src/*/*.c test/unit/*.c)))
link = $(call Q,LINK)$($(1)_CC) $($(1)_LINK) -o $@ $^ $(addprefix -Wl$(,)--wrap=,$($(subst _control,_fuzz,$(@F))_wrap)) $(if $(filter static,$(1)),$(INIH),-linih -lpthread)
STAND_INS := ctype_small inet_small libc_small strerror_small string_small
define tests # flavour
build/$(1)/libecholab.a: $(MODULES:%=build/$(1)/%.o)
	$$(call Q,AR  )rm -f $$@ && ar rcs $$@ $$^
build/$(1)/echo-server: $$(SERVER_OBJECTS:%=build/$(1)/src/%.o)
build/$(1)/echo-client: $$(CLIENT_OBJECTS:%=build/$(1)/src/%.o)
build/$(1)/echo-server build/$(1)/echo-client:
	$$(call link,$(1))
$(patsubst %,build/$(1)/unit/musl/%_test,$(STAND_INS)): build/$(1)/unit/musl/%_test: build/$(1)/src/musl/%.o
build/$(1)/unit/%: build/$(1)/test/unit/%.o build/$(1)/libecholab.a
	$$(call link,$(1))
build/$(1)/%: build/$(1)/test/fuzz/%.o build/$(1)/libecholab.a
	$$(call link,$(1))
endef
$(foreach name,static asan tsan cov fuzz msan,$(eval $(call tests,$(name))))
build/fuzz/test/fuzz/%_control.o: test/fuzz/%_fuzz.c Makefile
	$(call Q,CC  )$(fuzz_CC) $(fuzz_FLAGS) -Itest -Itest/unit -DFUZZ_CONTROL=1 -c -o $@ $<
# Makes a running process do a system call that its code does not contain.
build/test/intruder: test/e2e/intruder.c
	$(call Q,LINK)$(HOST_CC) $(STD) $(WARNINGS) -O1 -o $@ $<
CROSS      := build/aarch64
UNIT_TESTS := $(patsubst test/%.c,%,$(wildcard test/unit/*/*_test.c))
UNIT_CHECK := $(foreach name,asan static,$(UNIT_TESTS:%=build/$(name)/%))
UNIT_COV   := $(UNIT_TESTS:%=build/cov/%)
FUZZ_ALL   := $(foreach name,config echo http load_stream pollset preamble,build/fuzz/$(name)_fuzz build/fuzz/$(name)_control) build/msan/echo_fuzz build/msan/load_stream_fuzz
CHECKED    := build/test/intruder build/bench/generator $(foreach name,asan tsan,build/$(name)/echo-server build/$(name)/echo-client) $(UNIT_CHECK) $(FUZZ_ALL)

# ---- tests -------------------------------------------------------------------------------
PROVE := prove -Itest/lib --timer
# Process tests that measure time or fill the machine run one by one, the others two at a time, those that wait longest first.
ALONE    := $(patsubst %,test/e2e/process/%.t,admin bench client client_admin idle inherited kubernetes load memory reports server signals stop urgent witness workers)
TOGETHER := $(patsubst %,test/e2e/process/%.t,examine config elf compose classroom)
TOGETHER += $(filter-out $(ALONE) $(TOGETHER),$(wildcard test/e2e/process/*.t))
process_tests = $(1) $(PROVE) -j2 $(TOGETHER) && $(1) $(PROVE) $(ALONE)
# Builds on all processors, unless -j says how many.
BUILD = @+$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
# The shipped programs are tested in their whole sandbox; SANDBOX=auto: in what the kernel offers.
SANDBOXED = ECHOLAB_SANDBOX=$(or $(SANDBOX),on)
check-setup: ; @tools/setup.sh build check fuzz
check-build: build $(CHECKED)
aarch64-build: $(CROSS)/echo-server $(CROSS)/echo-client
check: check-setup ## unit, process, fault and fuzz tests, without Docker
	$(BUILD) check-build
	$(PROVE) -e '' $(UNIT_CHECK)
	$(call process_tests,ECHOLAB_BUILD=build/asan)
	ECHOLAB_BUILD=build/tsan $(PROVE) test/e2e/process/workers.t test/e2e/process/admin.t test/e2e/process/load.t
	$(call process_tests,$(SANDBOXED))
	$(SANDBOXED) FAULT_CORE=1 $(PROVE) test/fault
	FUZZ_SECONDS=2 $(PROVE) test/fuzz
e2e: lab-setup build ## images and lab with real Docker, once per Compose that is there
	$(PROVE) test/e2e/docker
test: check e2e ## check and e2e
fault: check-setup build ## fault injection, more than 1,000 stops, floods, chaos in the lab (about 10 minutes)
	$(SANDBOXED) FULL=1 $(PROVE) test/fault $(addprefix test/e2e/docker/,chaos.t deaf.t)
fuzz: check-setup $(FUZZ_ALL) ## libFuzzer's targets, each for FUZZ_SECONDS=10
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),10) $(PROVE) -v test/fuzz/fuzz.t
fresh: ## README's commands on a bare Debian: is everything installed? (FULL=1: all tests)
	test/fresh/fresh.sh
soak: build ## the server for a long time: memory and descriptors must not grow (MINUTES=60)
	SOAK_SECONDS=$$(( $(or $(MINUTES),60) * 60 )) $(PROVE) -v test/fault/soak.t
coverage: check-setup build/cov/echo-server build/cov/echo-client $(UNIT_COV) ## lines and branches of src/ that the tests run
	test/coverage.sh $(UNIT_COV)
reproduce: build ## build programs and images twice, in other folders, at other times: the same bytes?
	$(PROVE) -v test/e2e/process/reproduce.t test/e2e/docker/reproduce.t
# Linked without LTO, so that the map shows each module's size.
$(eval $(call programs,static,build/size,-fno-lto,$$(INIH)))
size: build build/size/echo-server build/size/echo-client ## size of each module in the executables, and the budget left
	@tools/size.sh build/echo-server build/echo-client

# ---- aarch64 -----------------------------------------------------------------------------
# The same flags, another compiler. The tests run scripts that run the programs (bin/) under qemu-user.
aarch64_CC    := aarch64-linux-gnu-gcc -specs=$(CROSS)/musl-gcc.specs
aarch64_FLAGS  = $(filter-out $(SMALL_X86),$(static_FLAGS))
$(eval $(call flavour,aarch64))
$(eval $(call programs,aarch64,$(CROSS)/bin,-s,$(CROSS)/root/usr/lib/aarch64-linux-gnu/libinih.a))
$(patsubst %,$(CROSS)/src/%.o,$(sort $(SERVER_OBJECTS) $(CLIENT_OBJECTS) $(CLIENT_MUSL))) $(CROSS)/bin/libinih.a $(CROSS)/bin/libc.a: | $(CROSS)/musl-gcc.specs
$(CROSS)/musl-gcc.specs: tools/cross.sh
	tools/cross.sh $(CROSS)
$(CROSS)/echo-%: $(CROSS)/bin/echo-% test/qemu-aarch64.sh
	cp test/qemu-aarch64.sh $@
# qemu-user offers neither Landlock nor seccomp to the programs it runs.
aarch64: ## cross build for aarch64, the process tests under qemu-user
	$(BUILD) aarch64-build
	$(call process_tests,ECHOLAB_BUILD=$(CROSS) ECHOLAB_SANDBOX=off)
aarch64-vm: $(CROSS)/echo-server $(CROSS)/echo-client ## the programs for aarch64 in their sandbox, on a kernel in a virtual machine
	@tools/setup.sh vm && $(PROVE) -v test/e2e/vm

# ---- benchmarks --------------------------------------------------------------------------
# A plain epoll loop, and the peers whose libraries are installed; plain-poll is our server with one tier.
build/bench/generator: test/bench/generator.c src/base/clock.h
	$(call Q,LINK)$(HOST_CC) -O2 $(STD) $(WARNINGS) -Isrc -o $@ $<
build/bench/plain-poll: $(SERVER_OBJECTS:%=src/%.c) $(INIH_HEADER)
	$(call Q,LINK)$(CC) $(filter-out -MMD -MP,$(STATIC_CFLAGS)) -DPOLLSET_ONE_TIER=1 $(STATIC_LDFLAGS) -s -Wl,--defsym=fgets=abort -o $@ $(filter %.c,$^) $(INIH)
build/bench/peers: test/bench/build-peers.sh $(wildcard test/bench/peers/*)
	CC=$(HOST_CC) test/bench/build-peers.sh $(@D) && touch $@
bench-setup: ; @tools/setup.sh build bench
bench: bench-setup build $(addprefix build/bench/,generator plain-poll peers) ## the server against itself and its peers (RUNS=5 SECONDS=0.5 WORKERS=1)
	test/bench/bench.pl --runs $(or $(RUNS),5) --seconds $(or $(SECONDS),0.5) --workers $(or $(WORKERS),1)

# ---- lint --------------------------------------------------------------------------------
lint: $(INIH_HEADER) ## formats, static analysis, scripts, the graph of includes, manifests
	@tools/setup.sh lint && STD='$(STD)' test/lint.sh
manifests-check: ## the manifests for Kubernetes: schemas, pod security, a dry run; no cluster
	@tools/setup.sh lint && test/manifests/check.sh
format: ## let clang-format rewrite the sources; write ARCHITECTURE's table of modules
	clang-format -i $(wildcard src/*.c src/*/*.[ch] test/unit/*.[ch] test/unit/*/*.[ch] test/fuzz/*.[ch] test/classroom/*.c)
	tools/modules.pl --write
