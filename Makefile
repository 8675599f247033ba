# Makefile - builds, tests and installs kpop.  GNU make 4.3 or newer.
#
#   make            the module, kpopd, kpopctl (into build/)
#   make demo       a throwaway realm, and mail fetched by Kerberos ticket
#   make deb, rpm   packages of HEAD
#   make test       no network, no root, installs nothing
#   make check      installs what is missing, then runs everything
#
# Honoured: CC CFLAGS CPPFLAGS LDFLAGS LDLIBS DESTDIR prefix exec_prefix
# bindir sbindir libdir includedir sysconfdir mandir docdir BUILD V=1 WERROR=1
# SANITIZE=address,undefined.  CONTRIBUTING.md says where a new file goes:
# nowhere here, files are found by their folder.
#
# SPDX-License-Identifier: MIT

VERSION := 0.1.0

BUILD ?= build
CFLAGS ?= -O2 -g
prefix ?= /usr/local
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
sbindir ?= $(exec_prefix)/sbin
libdir ?= $(exec_prefix)/lib
includedir ?= $(prefix)/include
sysconfdir ?= /etc
mandir ?= $(prefix)/share/man
docdir ?= $(prefix)/share/doc/kpop
moduledir = $(libdir)/kpop
INSTALL ?= install
PYTHON ?= python3
KRB5_LIBS ?= -lkrb5 -lk5crypto -lcom_err
# Mechanism GSSAPI.
SASL_LIBS ?= -lsasl2 -lgssapi_krb5
# TLS; hashes of CRAM-MD5, APOP and SCRAM; SASLprep.
CRYPTO_LIBS ?= -lssl -lcrypto -lidn
# kpopd's sources of passwords and secrets: hashes, PAM, saslauthd and sasldb.
LOGIN_LIBS ?= -lcrypt -lpam -lsasl2
# kpopd's processes: which system calls they can make.
CONFINE_LIBS ?= -lseccomp
# KPOP for Dovecot is built where dovecot-dev is; DOVECOT_CONFIG= leaves it out.
DOVECOT_CONFIG ?= $(firstword $(wildcard /usr/lib/dovecot/dovecot-config \
	/usr/lib64/dovecot/dovecot-config /usr/local/lib/dovecot/dovecot-config))
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

V ?= 0
ifeq ($(V),0)
quiet = @printf '  %-7s %s\n' $(1) $@;
else
quiet =
endif

# ---------------------------------------------------------------- flags

# What a compiler or linker does not know is left out.
try = $(shell echo 'int main(void) { return 0; }' | $(CC) $(1) -Werror \
	-x c -o /dev/null - >/dev/null 2>&1 && echo '$(1)')

warnings := -Wall -Wextra -Wpedantic -Wformat=2 -Wshadow -Wconversion \
	-Wsign-conversion -Wcast-qual -Wstrict-prototypes \
	-Wmissing-prototypes -Wswitch-enum -Wvla -Wundef -Wnull-dereference

ifdef SANITIZE
harden := -fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
else
harden := -fstack-protector-strong $(call try,-fstack-clash-protection) \
	$(call try,-fcf-protection)
# _FORTIFY_SOURCE wants optimisation, and a packager's own value wins.
ifeq ($(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),)
ifneq ($(filter -O -O1 -O2 -O3 -Os -Og,$(CFLAGS)),)
harden += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
endif
endif

# -fPIC everywhere: one object serves kpop.so, kpopd and the tests.
own_cppflags = -I. -D_POSIX_C_SOURCE=200809L -DKPOP_VERSION='"$(VERSION)"' \
	-DKPOP_MODULE_DIR='"$(moduledir)"' \
	-DKPOP_SYSCONFDIR='"$(sysconfdir)"'
own_cflags = -std=c11 -fPIC -fvisibility=hidden $(warnings) \
	$(if $(WERROR),-Werror) $(harden)
own_ldflags := -Wl,-z,relro,-z,now -Wl,--as-needed \
	$(if $(SANITIZE),-fsanitize=$(SANITIZE))

compile = $(CC) $(own_cppflags) $(CPPFLAGS) $(own_cflags) $(CFLAGS) \
	-MMD -MP -c -o $@ $<
link = $(CC) $(own_cflags) $(CFLAGS) $(own_ldflags) $(LDFLAGS)
program = -pie -fPIE

# ---------------------------------------------------------------- files

objects = $(patsubst %.c,$(BUILD)/%.o,$(wildcard $(1)))

# The last one is made of the catalogues.
module_objects := $(call objects,kpop/*.c sasl/*.c plugin/*.c) \
	$(BUILD)/kpop/lang_table.o
kpopd_objects := $(call objects,plugin/host/kpopd/*.c)
# kpopctl checks a configuration as kpopd does, so it has all of it but main().
kpopctl_objects := $(call objects,plugin/cli/*.c) \
	$(filter-out %/main.o,$(kpopd_objects))

programs := $(if $(module_objects),$(BUILD)/kpop.so) \
	$(if $(wildcard plugin/host/kpopd/main.c),$(BUILD)/kpopd) \
	$(if $(wildcard plugin/cli/*.c),$(BUILD)/kpopctl) \
	$(if $(wildcard plugin/host/null.c),$(BUILD)/null-host)

# What dovecot-dev says of its Dovecot.
dovecot = $(shell . $(DOVECOT_CONFIG) && echo "$$$(1)")
DOVECOT_INCLUDE ?= $(if $(DOVECOT_CONFIG),$(call dovecot,dovecot_pkgincludedir))
# Its programs know no sanitizer; the libraries are in dovecot-core.
has_dovecot := $(if $(SANITIZE),,$(if $(DOVECOT_CONFIG),$(and $(wildcard \
	$(DOVECOT_INCLUDE)/login-common.h),$(wildcard \
	$(call dovecot,dovecot_pkglibdir)/libdovecot-login.so))))
dovecot_objects := $(call objects,plugin/host/dovecot/*.c)
programs += $(if $(has_dovecot),$(BUILD)/dovecot/kpop-login \
	$(BUILD)/dovecot/libmech_kpop.so)

# A file with a main is a test program; one without is linked to all of its
# folder.  A first line "/* LDFLAGS: ... */" adds to the linking of that test,
# and so does a file NAME.wrap beside NAME.c.
has_main := -lE -e '^(int )?main *[(]' -e '^TEST_MAIN *[(]'
mains = $(if $(wildcard tests/$(1)/*.c),$(shell grep $(has_main) \
	tests/$(1)/*.c))
parts = $(call objects,$(filter-out $(call mains,$(1)), \
	$(wildcard tests/$(1)/*.c)))
test_programs := $(foreach g,unit dialog abi bench, \
	$(patsubst %.c,$(BUILD)/%,$(call mains,$(g))))
helper_sources := $(filter-out tests/lib/check.c,$(wildcard tests/lib/*.c))
helpers := $(patsubst %.c,$(BUILD)/%, \
	$(filter-out tests/lib/preload_%,$(helper_sources))) \
	$(patsubst %.c,$(BUILD)/%.so, \
	$(filter tests/lib/preload_%,$(helper_sources)))
# By an engine that looks for inputs, or in all other builds for each seed.
fuzzers := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
fuzz_engine := $(if $(findstring fuzzer,$(SANITIZE))$(findstring afl,$(CC)), \
	-fsanitize=fuzzer)
check_object := $(call objects,tests/lib/check.c)

# ---------------------------------------------------------------- building

.PHONY: all demo test check check-run check-long check-asan check-valgrind \
	check-tsan coverage \
	check-fuzz check-style check-clang bench install uninstall clean \
	install-dovecot uninstall-dovecot \
	dist helpers test-programs FORCE

all: $(programs)

test-programs: all helpers $(test_programs) $(fuzzers)

helpers: $(helpers)

# Other flags than last time: everything is built anew.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$FLAGS" | cmp -s - $@ || printf '%s\n' "$$FLAGS" >$@
flags_now := $(CC) $(own_cppflags) $(CPPFLAGS) $(own_cflags) $(CFLAGS) \
	$(own_ldflags) $(LDFLAGS)
$(BUILD)/flags: export FLAGS = $(flags_now)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,CC)$(compile)

# Tests may use what glibc has; the programs say so file by file.
$(BUILD)/tests/%.o: own_cppflags += -D_GNU_SOURCE=

$(BUILD)/kpop/lang_table.c: packaging/lang/table.awk \
	$(sort $(wildcard packaging/lang/*.po))
	@mkdir -p $(@D)
	$(call quiet,AWK)LC_ALL=C awk -f $^ >$@

$(BUILD)/kpop/lang_table.o: $(BUILD)/kpop/lang_table.c $(BUILD)/flags
	$(call quiet,CC)$(compile)

$(BUILD)/libkpop.a: $(module_objects)
	$(call quiet,AR)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/kpop.so: $(module_objects) $(wildcard plugin/kpop.map)
	$(call quiet,LINK)$(link) -shared -o $@ $(filter %.o,$^) \
		$(patsubst %,-Wl$(comma)--version-script=%,$(filter %.map,$^)) \
		-Wl,-z,nodelete $(if $(SANITIZE),,-Wl$(comma)-z$(comma)defs) \
		-Wl,-soname,kpop.so $(SASL_LIBS) $(KRB5_LIBS) \
		$(CRYPTO_LIBS) $(LDLIBS)
comma := ,

$(BUILD)/kpopd: $(kpopd_objects)
	$(call quiet,LINK)$(link) $(program) -o $@ $^ -ldl -lpthread \
		$(LOGIN_LIBS) $(CONFINE_LIBS) $(LDLIBS)

$(BUILD)/kpopctl: $(kpopctl_objects)
	$(call quiet,LINK)$(link) $(program) -o $@ $^ -ldl -lpthread \
		$(LOGIN_LIBS) $(CONFINE_LIBS) $(SASL_LIBS) $(KRB5_LIBS) \
		$(CRYPTO_LIBS) $(LDLIBS)

# Dovecot's headers are GNU C and are not ours to warn of; functions that
# don't fit its tables are never to be built.
$(dovecot_objects): own_cppflags += -isystem $(DOVECOT_INCLUDE) \
	$(if $(shell grep -l LIMIT_REACHED $(DOVECOT_INCLUDE)/client-common.h), \
	-DDOVECOT_HAS_LIMITS=1) \
	-DDOVECOT_STATEDIR='"$(call dovecot,dovecot_statedir)"'
$(dovecot_objects): own_cflags := -std=gnu11 \
	$(filter-out -std=c11 -Wpedantic -Wvla,$(own_cflags)) \
	-Werror=incompatible-pointer-types
dovecot_link = -L$(call dovecot,dovecot_pkglibdir) \
	-Wl,-rpath,$(call dovecot,dovecot_pkglibdir)

$(BUILD)/dovecot/kpop-login: $(filter %/module.o %/login.o %/login_auth.o \
		%/login_proxy.o %/login_pump.o,$(dovecot_objects))
	@mkdir -p $(@D)
	$(call quiet,LINK)$(link) $(program) -o $@ $^ $(dovecot_link) \
		-ldovecot-login -ldovecot -ldl $(LDLIBS)

# The rest of its symbols are the auth process's.
$(BUILD)/dovecot/libmech_kpop.so: $(filter %/module.o %/mech.o \
		%/mech_world.o,$(dovecot_objects)) plugin/host/dovecot/mech.map
	@mkdir -p $(@D)
	$(call quiet,LINK)$(link) -shared -o $@ $(filter %.o,$^) \
		-Wl,--version-script=plugin/host/dovecot/mech.map \
		-Wl,-z,nodelete -ldl $(LDLIBS)

$(BUILD)/null-host: $(BUILD)/plugin/host/null.o
	$(call quiet,LINK)$(link) $(program) -o $@ $^ -ldl $(LDLIBS)

own_link = $$(sed -n '1s|^/\* LDFLAGS: \(.*\) \*/.*|\1|p' $(1))
test_libs = -lcunit $(SASL_LIBS) $(KRB5_LIBS) $(CRYPTO_LIBS) -ldl \
	-lpthread $(LOGIN_LIBS) $(CONFINE_LIBS) $(LDLIBS)

define test_group
$(patsubst %.c,$(BUILD)/%,$(call mains,$(1))): $(BUILD)/%: $(BUILD)/%.o \
		$(call parts,$(1)) $(check_object) $(BUILD)/libkpop.a
	$$(call quiet,LINK)$$(link) $$(program) -o $$@ $$(filter %.o,$$^) \
		$$(call own_link,$$*.c) $$(addprefix @,$$(filter %.wrap,$$^)) \
		$$(filter %.a,$$^) $(test_libs)
endef
$(foreach g,unit dialog abi bench,$(if $(call mains,$(g)), \
	$(eval $(call test_group,$(g)))))
$(foreach w,$(wildcard tests/*/*.wrap), \
	$(eval $(BUILD)/$(basename $(w)): $(w)))

# Tests of kpopd's own parts see all of it but main().
$(filter $(BUILD)/tests/unit/kpopd_%,$(test_programs)): \
	$(filter-out %/main.o,$(kpopd_objects))

$(filter-out %.so,$(helpers)): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libkpop.a
	$(call quiet,LINK)$(link) $(program) -o $@ $^ \
		$(call own_link,$*.c) $(SASL_LIBS) $(KRB5_LIBS) \
		$(CRYPTO_LIBS) -ldl -lpthread $(LDLIBS)

# Preloaded into programs that are not ours: no sanitizer.
$(filter %.so,$(helpers)): harden :=
$(filter %.so,$(helpers)): $(BUILD)/%.so: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call quiet,LINK)$(CC) $(own_cppflags) -D_GNU_SOURCE= $(CPPFLAGS) \
		-std=c11 -fPIC $(warnings) $(if $(WERROR),-Werror) $(CFLAGS) \
		$(LDFLAGS) -shared -MMD -MP -MF $(@:.so=.d) -o $@ $< -ldl

$(fuzzers): $(BUILD)/%: $(BUILD)/%.o $(BUILD)/libkpop.a \
		$(if $(fuzz_engine),,$(BUILD)/tests/fuzz/replay.o)
	$(call quiet,LINK)$(link) $(fuzz_engine) -o $@ $(filter %.o,$^) \
		$(call own_link,$*.c) $(filter %.a,$^) $(SASL_LIBS) \
		$(KRB5_LIBS) $(CRYPTO_LIBS) $(LDLIBS)
$(addprefix $(BUILD)/tests/fuzz/fuzz_,apreq gssapi scram shared): \
	$(BUILD)/tests/fuzz/bend.o
$(addprefix $(BUILD)/tests/fuzz/fuzz_,apreq gssapi): \
	$(BUILD)/tests/fuzz/forge.o
$(BUILD)/tests/fuzz/fuzz_session: $(addprefix $(BUILD)/tests/, fuzz/steady.o \
	unit/tls_fixture.o)
$(BUILD)/tests/fuzz/fuzz_tls: $(addprefix $(BUILD)/tests/, fuzz/bentclient.o \
	fuzz/steady.o fuzz/tlstalk.o fuzz/tlstalk_host.o unit/tls_fixture.o)
$(BUILD)/tests/fuzz/fuzz_abi: $(addprefix $(BUILD)/tests/fuzz/, abihost.o \
	steady.o)
$(BUILD)/tests/fuzz/fuzz_control: $(addprefix $(BUILD)/tests/fuzz/, \
	control_auth.o control_master.o control_metrics.o control_tool.o \
	quietlog.o steady.o) $(filter-out $(addprefix %/, main.o log.o auth.o \
	master_tool.o metrics_serve.o),$(kpopd_objects))
$(BUILD)/tests/fuzz/fuzz_control: LDLIBS += $(LOGIN_LIBS) $(CONFINE_LIBS) \
	-ldl -lpthread
$(BUILD)/tests/fuzz/fuzz_index: $(filter-out %/main.o \
	%/maildir_index.o,$(kpopd_objects))
$(BUILD)/tests/fuzz/fuzz_index: LDLIBS += $(LOGIN_LIBS) $(CONFINE_LIBS) \
	-ldl -lpthread
$(BUILD)/tests/fuzz/fuzz_uidl: $(BUILD)/tests/fuzz/uidltext.o \
	$(filter-out $(addprefix %/, kpopctl.o uidl_import.o uidl_message.o \
	uidlmap.o),$(kpopctl_objects))
$(BUILD)/tests/fuzz/fuzz_uidl: LDLIBS += $(LOGIN_LIBS) $(CONFINE_LIBS) \
	-ldl -lpthread
$(BUILD)/tests/fuzz/fuzz_lists: $(addprefix $(BUILD)/plugin/host/kpopd/, \
	filestate.o passdb.o secretdb.o secretlocks.o)
$(BUILD)/tests/fuzz/fuzz_lists: LDLIBS += $(LOGIN_LIBS)
$(BUILD)/tests/fuzz/fuzz_proxy: $(addprefix $(BUILD)/plugin/host/kpopd/, \
	proxy.o address.o)

# Not all of the folder: tests/long has whole systems in it.
-include $(shell find $(addprefix $(BUILD)/,kpop sasl plugin tests) \
	-name '*.d' -type f 2>/dev/null)

# ---------------------------------------------------------------- testing

# -j unless the caller chose.
sub_make = $(MAKE) --no-print-directory \
	$(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS))

test: test-programs
	BUILD=$(BUILD) tests/run unit dialog abi fuzz style

demo:
	packaging/install-packages build demo
	+$(sub_make) all helpers
	BUILD=$(BUILD) tests/demo

# A second make, because the first one may have run without a compiler.
check:
	packaging/install-packages build test check
	packaging/unpack-packages $(BUILD)/unpacked
	+$(sub_make) WERROR=1 check-run

check-run: check-clang
	+$(sub_make) WERROR=1 test-programs
	BUILD=$(BUILD) tests/run unit dialog abi fuzz style lint system

check-clang:
	+$(sub_make) CC=clang WERROR=1 BUILD=build-clang test-programs

# Plain shell, awk, grep and nm first; then clang-tidy, cppcheck, mandoc.
check-style:
	packaging/install-packages build test check
	+$(sub_make) all
	BUILD=$(BUILD) tests/run style lint

check-asan:
	packaging/install-packages build test check
	packaging/unpack-packages build-asan/unpacked
	+$(sub_make) SANITIZE=address,undefined BUILD=build-asan \
		CFLAGS='-O1 -g' test-programs
	BUILD=build-asan tests/run --asan unit dialog abi fuzz system

check-tsan:
	packaging/install-packages build test check
	packaging/unpack-packages build-tsan/unpacked
	+$(sub_make) SANITIZE=thread BUILD=build-tsan CFLAGS='-O1 -g' \
		test-programs
	BUILD=build-tsan tests/run --tsan unit system

# Prints lines and branches that the tests have passed, a line a file.  The
# files of the counts are there before, because each user adds to them.
coverage:
	packaging/install-packages build test check
	packaging/unpack-packages build-coverage/unpacked
	+$(sub_make) BUILD=build-coverage LDFLAGS=--coverage \
		CFLAGS='-O0 -g --coverage -fprofile-update=atomic' test-programs
	find build-coverage -name '*.gcno' | sed 's/gcno$$/gcda/' | xargs touch
	chmod -R a+rwX build-coverage
	BUILD=build-coverage tests/run --coverage unit dialog abi fuzz system
	find build-coverage -name '*.gcda' -empty -delete
	$(PYTHON) tests/lib/coverage.py build-coverage

check-valgrind:
	packaging/install-packages build test check
	packaging/unpack-packages build-valgrind/unpacked
	+$(sub_make) BUILD=build-valgrind CFLAGS='-O1 -g' test-programs
	BUILD=build-valgrind tests/run --valgrind unit dialog abi fuzz system

# By libFuzzer, or with FUZZER=afl by AFL++: its compiler adds what it needs.
FUZZ_SECONDS ?= 60
FUZZER ?= libfuzzer
fuzz_build := $(if $(filter afl,$(FUZZER)),build-afl,build-fuzz)
check-fuzz:
	packaging/install-packages build check fuzz
	+$(sub_make) $(if $(filter afl,$(FUZZER)),CC=afl-clang-fast \
		SANITIZE=address$(comma)undefined,CC=clang \
		SANITIZE=fuzzer-no-link$(comma)address$(comma)undefined) \
		BUILD=$(fuzz_build) CFLAGS='-O1 -g' fuzzers
	BUILD=$(fuzz_build) FUZZER=$(FUZZER) FUZZ_SECONDS=$(FUZZ_SECONDS) \
		tests/fuzz/run
.PHONY: fuzzers
fuzzers: $(fuzzers)

check-long:
	$(MAKE) check
	packaging/install-packages long
	KPOP_LANES=1 BUILD=$(BUILD) tests/run long
	$(MAKE) check-asan
	$(MAKE) check-tsan
	$(MAKE) check-valgrind
	$(MAKE) check-fuzz
	$(MAKE) check-fuzz FUZZER=afl

bench: test-programs
	BUILD=$(BUILD) tests/bench/run

# ---------------------------------------------------------------- installing

datadir = $(prefix)/share
bashdir ?= $(datadir)/bash-completion/completions
zshdir ?= $(datadir)/zsh/site-functions
man_pages := $(wildcard packaging/man/*.[1-8])
unitdir ?= $(prefix)/lib/systemd/system
sysusersdir ?= $(prefix)/lib/sysusers.d
tmpfilesdir ?= $(prefix)/lib/tmpfiles.d
apparmordir ?= $(sysconfdir)/apparmor.d
fail2bandir ?= $(sysconfdir)/fail2ban
units := $(wildcard packaging/systemd/*)
# FROM:TO of what is installed as it is; a site's changes to the jail stay.
kept := packaging/fail2ban/jail.d/kpopd.conf:$(fail2bandir)/jail.d
plain := packaging/sysusers.d/kpopd.conf:$(sysusersdir) \
	packaging/tmpfiles.d/kpopd.conf:$(tmpfilesdir) \
	packaging/apparmor/usr.sbin.kpopd:$(apparmordir) \
	packaging/fail2ban/filter.d/kpopd.conf:$(fail2bandir)/filter.d

install: all
	$(INSTALL) -d $(DESTDIR)$(moduledir) $(DESTDIR)$(bindir) \
		$(DESTDIR)$(sbindir) $(DESTDIR)$(includedir) \
		$(DESTDIR)$(libdir)/pkgconfig $(DESTDIR)$(docdir)
	$(INSTALL) -m 644 $(BUILD)/kpop.so $(DESTDIR)$(moduledir)/
	$(INSTALL) -m 755 $(BUILD)/kpopd $(DESTDIR)$(sbindir)/
	$(INSTALL) -m 755 $(BUILD)/kpopctl $(DESTDIR)$(bindir)/
	$(INSTALL) -m 644 plugin/kpop_plugin.h $(DESTDIR)$(includedir)/
	sed -e 's|@libdir@|$(libdir)|' -e 's|@includedir@|$(includedir)|' \
		-e 's|@version@|$(VERSION)|' packaging/kpop.pc.in \
		>$(DESTDIR)$(libdir)/pkgconfig/kpop.pc
	$(INSTALL) -m 644 plugin.conf.sample README.md SECURITY.md NEWS \
		LICENSE packaging/admin-guide.md plugin/host/null.c \
		$(DESTDIR)$(docdir)/
	$(INSTALL) -d $(DESTDIR)$(bashdir) $(DESTDIR)$(zshdir)
	$(INSTALL) -m 644 packaging/completion/kpopctl $(DESTDIR)$(bashdir)/
	$(INSTALL) -m 644 packaging/completion/_kpopctl $(DESTDIR)$(zshdir)/
	for page in $(man_pages); do \
		dir=$(DESTDIR)$(mandir)/man$${page##*.}; \
		$(INSTALL) -d "$$dir" && \
		$(INSTALL) -m 644 "$$page" "$$dir/" || exit 1; \
	done
	$(INSTALL) -d $(DESTDIR)$(unitdir)
	set -e; for unit in $(units); do \
		sed 's|/usr/sbin/kpopd|$(sbindir)/kpopd|' "$$unit" \
			>$(DESTDIR)$(unitdir)/$${unit##*/}; \
		chmod 644 $(DESTDIR)$(unitdir)/$${unit##*/}; \
	done
	set -e; for pair in $(plain) $(kept); do \
		dir=$(DESTDIR)$${pair#*:}; file=$${pair%%:*}; \
		case " $(kept) " in *" $$pair "*) \
			[ ! -e "$$dir/$${file##*/}" ] || continue ;; esac; \
		$(INSTALL) -d "$$dir"; \
		$(INSTALL) -m 644 "$$file" "$$dir/"; \
	done

# Into the folders of Dovecot, as dovecot-dev names them.
DOVECOT_LIBEXEC ?= $(if $(has_dovecot),$(call dovecot,dovecot_pkglibexecdir))
DOVECOT_MODULES ?= $(if $(has_dovecot),$(call dovecot,dovecot_moduledir))

install-dovecot: all
	@test -n "$(has_dovecot)" || \
		{ echo "dovecot-dev is missing: nothing was built for it" >&2; \
		exit 1; }
	$(INSTALL) -d $(DESTDIR)$(DOVECOT_LIBEXEC) \
		$(DESTDIR)$(DOVECOT_MODULES)/auth $(DESTDIR)$(docdir)/dovecot
	$(INSTALL) -m 755 $(BUILD)/dovecot/kpop-login \
		$(DESTDIR)$(DOVECOT_LIBEXEC)/
	$(INSTALL) -m 644 $(BUILD)/dovecot/libmech_kpop.so \
		$(DESTDIR)$(DOVECOT_MODULES)/auth/
	$(INSTALL) -m 644 packaging/dovecot/*.conf $(DESTDIR)$(docdir)/dovecot/

uninstall-dovecot:
	rm -f $(DESTDIR)$(DOVECOT_LIBEXEC)/kpop-login \
		$(DESTDIR)$(DOVECOT_MODULES)/auth/libmech_kpop.so
	rm -rf $(DESTDIR)$(docdir)/dovecot

# Configuration, keytabs and mail are never touched.
uninstall:
	rm -f $(DESTDIR)$(moduledir)/kpop.so $(DESTDIR)$(sbindir)/kpopd \
		$(DESTDIR)$(bindir)/kpopctl \
		$(DESTDIR)$(bashdir)/kpopctl $(DESTDIR)$(zshdir)/_kpopctl \
		$(DESTDIR)$(includedir)/kpop_plugin.h \
		$(DESTDIR)$(libdir)/pkgconfig/kpop.pc
	for page in $(man_pages); do \
		rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/}; \
	done
	for file in plugin.conf.sample README.md SECURITY.md NEWS LICENSE \
			admin-guide.md null.c; do rm -f $(DESTDIR)$(docdir)/$$file; done
	for unit in $(units); do \
		rm -f $(DESTDIR)$(unitdir)/$${unit##*/}; \
	done
	for pair in $(plain); do \
		file=$${pair%%:*}; \
		rm -f $(DESTDIR)$${pair#*:}/$${file##*/}; \
	done
	-rmdir $(DESTDIR)$(moduledir) $(DESTDIR)$(docdir)

clean:
	rm -rf $(BUILD) build-asan build-valgrind build-clang build-fuzz \
		build-afl build-tsan build-coverage

# The same octets of each commit: what a user has told git or gzip is not asked.
dist:
	@mkdir -p $(BUILD)
	git -c tar.umask=022 -c core.autocrlf=false -c core.eol=lf archive \
		--prefix=kpop-$(VERSION)/ -o $(BUILD)/kpop-$(VERSION).tar HEAD
	GZIP= gzip -9nf $(BUILD)/kpop-$(VERSION).tar
	@echo $(BUILD)/kpop-$(VERSION).tar.gz

# Packages of HEAD, into $(BUILD)/deb and $(BUILD)/rpm.  They want what the
# control file and the spec ask for, no network and no root.
.PHONY: deb rpm
deb: dist
	rm -rf $(BUILD)/deb
	mkdir -p $(BUILD)/deb
	cp $(BUILD)/kpop-$(VERSION).tar.gz \
		$(BUILD)/deb/kpop_$(VERSION).orig.tar.gz
	tar -xzf $(BUILD)/kpop-$(VERSION).tar.gz -C $(BUILD)/deb
	cp -R $(BUILD)/deb/kpop-$(VERSION)/packaging/debian \
		$(BUILD)/deb/kpop-$(VERSION)/debian
	cd $(BUILD)/deb/kpop-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL \
		-u MFLAGS -u BUILD dpkg-buildpackage -us -uc $(DEB_OPTIONS)
	@ls $(BUILD)/deb/*.deb

# Debian's rpmbuild knows neither the names of Fedora's packages nor the macros
# of systemd-rpm-macros.
rpm_foreign := $(if $(wildcard /etc/debian_version),--nodeps \
	--define '_unitdir /usr/lib/systemd/system' \
	--define '_tmpfilesdir /usr/lib/tmpfiles.d' \
	--define '_sysusersdir /usr/lib/sysusers.d')
ifneq ($(rpm_foreign),)
rpm_foreign += $(if $(has_dovecot),--define 'dovecot_evr $(shell sed -n \
	's/.*DOVECOT_VERSION "\([0-9.]*\).*/\1/p' \
	$(DOVECOT_INCLUDE)/config.h)',--without dovecot)
endif
rpm: dist
	rm -rf $(BUILD)/rpm
	mkdir -p $(BUILD)/rpm
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u BUILD rpmbuild -ba \
		--define "_topdir $(abspath $(BUILD)/rpm)" \
		--define "_sourcedir $(abspath $(BUILD))" $(rpm_foreign) \
		$(RPM_OPTIONS) \
		packaging/rpm/kpop.spec
	@find $(BUILD)/rpm -name '*.rpm'
