# myfatoorah: invoices and payments through MyFatoorah, driven by the database.
#
#   make, make install        build and install into the PostgreSQL that PG_CONFIG names
#   make check                all tests, in a scratch directory; installs nothing into that PostgreSQL
#   make installcheck         the tests of pg_regress, on a running server into which it was installed; leaves that as it was
#   make dist                 the source as a tarball
#   make deb, make rpm        packages of Debian, and of RPM systems, built and tried in chroots
#   make docker-check         what docker/ says, done in chroots
#   make matrix               all of that on other systems, in chroots; one table; see scripts/matrix.sh
#   make attack               what was tried against it by class, and what held; see docs/security.md
#   make chaos                the long runs: kills, a hostile network, thousands of invoices; make chaos-mutate
#   make billing-year         two years of bills of 500 tenants, with a clock that is moved
#   make ha                   three nodes under Patroni, which are killed, frozen and cut off; see docs/ha.md
#   make bench                how fast it is, beside others; see bench/README.md
#   make demo                 a database and the stand-in API to try things in
#   make help                 every target and the variables it takes

# Targets of our own. They work where no PostgreSQL is installed yet, so PGXS is not read for them;
# its own `check`, which only says that it does not exist, is thereby out of the way too.
OWN_TARGETS = check installcheck dist deb rpm docker-check matrix attack chaos chaos-mutate billing-year ha demo demo-shell demo-stop bench valgrind sanitize fuzz format format-check help

ifneq (,$(filter $(OWN_TARGETS),$(MAKECMDGOALS)))
ifneq (,$(filter-out $(OWN_TARGETS),$(MAKECMDGOALS)))

# Mixed goals (`make clean check`): one make for each, in the order given.
.NOTPARALLEL:
.PHONY: $(MAKECMDGOALS)
$(MAKECMDGOALS):
	@$(MAKE) --no-print-directory $@

else

.PHONY: $(OWN_TARGETS)

# SUITES="core fuzz sandbox regress isolation tap crash", REGRESS="name ...", ISOLATION="name ...",
# TESTS="t/001_commit_to_request.pl ...", JOBS=n, KEEP=1; see scripts/check.sh
check:
	@scripts/check.sh

# REGRESS="name billing/name ..."; see scripts/installcheck.sh
installcheck:
	@scripts/installcheck.sh

# myfatoorah-VERSION.tar.gz of what is committed; the same bytes each time
dist:
	@scripts/dist.sh

# SUITE="bookworm trixie testing", STEPS="try test"; see scripts/deb.sh
deb:
	@scripts/deb.sh

# SUITE=trixie; see scripts/rpm.sh
rpm:
	@scripts/rpm.sh

# see scripts/docker.sh
docker-check:
	@scripts/docker.sh

# MATRIX="trixie forky", SUITES="core regress", PG_CONFIGS="/opt/pgsql/bin/pg_config"; see scripts/matrix.sh
matrix:
	@scripts/matrix.sh

# ATTACKS="class ...", JOBS=n; see scripts/attack.sh
attack:
	@scripts/attack.sh

# MF_CHAOS_SEED=n, MF_CHAOS_INVOICES=n, MF_CHAOS_KILLS=n; see test/chaos/run.sh
chaos:
	@test/chaos/run.sh

# MUTATIONS="name ..."; see test/chaos/mutate.sh
chaos-mutate:
	@test/chaos/mutate.sh

# MF_YEAR_TENANTS=n, MF_YEAR_DAYS=n, MF_YEAR_KILLS=n, MF_YEAR_SEED=n; see test/chaos/billing_year.sh
billing-year:
	@test/chaos/billing_year.sh

# MF_HA_ROUNDS=n, MF_HA_MODES, MF_HA_EVENTS, MF_HA_SEED; see test/ha/run.sh
ha:
	@test/ha/run.sh

valgrind:
	@scripts/valgrind.sh

sanitize:
	@scripts/sanitize.sh

# FUZZ_SECONDS=300 per target, TARGETS="json url"; see test/fuzz/Makefile
fuzz:
	@$(MAKE) --no-print-directory -s -C test/fuzz fuzz

demo:
	@scripts/demo.sh start

demo-shell:
	@scripts/demo.sh shell

demo-stop:
	@scripts/demo.sh stop

# BENCH="part ...", BENCH_QUICK=1 and others; see bench/run.sh
bench:
	@bench/run.sh

CLANG_FORMAT ?= clang-format
# src/ and test/ look as pgindent leaves them, which clang-format cannot
FORMATTED = $(wildcard sandbox/*.[ch] bench/*.[ch])

format:
	$(CLANG_FORMAT) -i $(FORMATTED)

format-check:
	$(CLANG_FORMAT) --dry-run --Werror $(FORMATTED)

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

endif
else # targets of PGXS

# Where the sources are, also if this is built somewhere else (make -f DIR/Makefile VPATH=DIR)
SOURCE_DIR := $(if $(VPATH),$(VPATH),.)
# The control file is the one place where the version is written.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'$$/\1/p" $(SOURCE_DIR)/myfatoorah.control)

# The oldest version of the SQL objects that this library works with: the present one, unless they are the same as those of
# an earlier one, so that ALTER EXTENSION UPDATE can come later. t/120_upgrade.pl compares them.
SQL_SINCE = 1.0.0

MODULE_big = myfatoorah
EXTENSION = myfatoorah billing/myfatoorah_billing
DATA = $(patsubst $(SOURCE_DIR)/%,%,$(sort $(wildcard $(SOURCE_DIR)/sql/myfatoorah--*.sql) $(wildcard $(SOURCE_DIR)/billing/upgrade/*.sql)))
DATA_built = $(BILLING_SCRIPT)
PGFILEDESC = "myfatoorah - invoices and payments through MyFatoorah"

# The second extension: the script of its first version is made of parts, and its library is small.
BILLING_BASE = 1.0.0
BILLING_SCRIPT = $(CURDIR)/billing/myfatoorah_billing--$(BILLING_BASE).sql
BILLING_PARTS = $(sort $(wildcard $(SOURCE_DIR)/billing/install/*.sql))
BILLING_OBJS = $(patsubst $(SOURCE_DIR)/%.c,%.o,$(sort $(wildcard $(SOURCE_DIR)/billing/src/*.c)))
BILLING_LIBRARY = $(CURDIR)/billing/myfatoorah_billing$(DLSUFFIX)

# Folders of src/ and what stands in each: docs/design.md. src/core is plain C, without PostgreSQL.
CORE_OBJS = $(patsubst $(SOURCE_DIR)/%.c,%.o,$(sort $(wildcard $(SOURCE_DIR)/src/core/*/*.c)))
OBJS = $(patsubst $(SOURCE_DIR)/%.c,%.o,$(sort $(wildcard $(SOURCE_DIR)/src/*.c $(SOURCE_DIR)/src/*/*.c))) $(CORE_OBJS)

# Tests of pg_regress, for scripts/check.sh and scripts/installcheck.sh, which start the stand-in API.
# sql/ holds the install and upgrade scripts too: they have "--" in their names. A test named "setup" goes first.
REGRESS_ALL = $(basename $(notdir $(filter-out sql/myfatoorah--%,$(sort $(wildcard sql/*.sql)))))
REGRESS ?= $(filter setup,$(REGRESS_ALL)) $(filter-out setup,$(REGRESS_ALL))
ISOLATION ?= $(basename $(notdir $(sort $(wildcard specs/*.spec))))
# Those of the second extension, as scripts/suites.sh names them
BILLING_REGRESS = $(patsubst billing/sql/%.sql,billing/%,$(sort $(wildcard billing/sql/*.sql)))
BILLING_ISOLATION = $(patsubst billing/specs/%.spec,billing/%,$(sort $(wildcard billing/specs/*.spec)))

PG_CONFIG ?= pg_config
PKG_CONFIG ?= pkg-config

# What of ours is linked in, by pkg-config names, and what to do without pkg-config
DEPENDENCIES = libcurl libcjson libcrypto libmicrohttpd
DEP_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(DEPENDENCIES) 2>/dev/null)
DEP_LIBS := $(shell $(PKG_CONFIG) --libs $(DEPENDENCIES) 2>/dev/null || echo -lcurl -lcjson -lcrypto -lmicrohttpd)
# The same of the library of bills
BILLING_DEPENDENCIES = libqrencode icu-i18n
BILLING_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(BILLING_DEPENDENCIES) 2>/dev/null)
BILLING_LIBS := $(shell $(PKG_CONFIG) --libs $(BILLING_DEPENDENCIES) 2>/dev/null || echo -lqrencode -licui18n -licuuc)

# OPTFLAGS is added to the compiler's flags last: OPTFLAGS="-O3 -march=native", OPTFLAGS="-O0 -g3"
OPTFLAGS =
# SANITIZE names sanitizers to build with: SANITIZE=address,undefined (the server then needs the sanitizer's
# library preloaded; `make sanitize` does it all)
SANITIZE =
# FAILPOINTS=1 compiles in the places where tests can stop the worker or have it fail (src/base/failpoint.h)
FAILPOINTS =
# WERROR= lets the build go on with a compiler that knows warnings we have not met
WERROR ?= -Werror

WARNINGS = -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
	-Wformat=2 -Wimplicit-fallthrough -Wdeclaration-after-statement -Wwrite-strings -Wundef
# Functions called through the server's tables take arguments they do not need, and PG_TRY trips -Wclobbered.
SERVER_WARNINGS = -Wno-unused-parameter -Wno-clobbered
CORE_WARNINGS = -Wold-style-definition
ifneq (,$(findstring clang,$(CC)))
WARNINGS += -Wno-unknown-warning-option -Wno-ignored-optimization-argument
endif

# The server's headers are not ours to warn about: as system headers they are read in silence.
PG_CPPFLAGS = -I$(SOURCE_DIR)/src -isystem $(shell $(PG_CONFIG) --includedir-server) $(DEP_CFLAGS) -DMF_VERSION='"$(EXTVERSION)"' \
	-DMF_SQL_SINCE='"$(SQL_SINCE)"'
# -MMD -MP: each object leaves the list of headers it was made from in a .d file
PG_CFLAGS = $(WARNINGS) -MMD -MP $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer) \
	$(if $(FAILPOINTS),-DMF_FAILPOINTS) $(OPTFLAGS)
SHLIB_LINK = $(DEP_LIBS) $(if $(SANITIZE),-fsanitize=$(SANITIZE))

# Bitcode serves to inline functions into JIT-compiled expressions; ours wait for a network. Without it the
# build does not need the clang that PostgreSQL was built with.
override with_llvm := no

# Modules are loaded into one name space, so only what the server looks up by name is exported: see the .map rule.
EXPORT_MAP = src/myfatoorah.map
SHLIB_PREREQS = $(EXPORT_MAP)
SHLIB_LINK += -Wl,--version-script=$(EXPORT_MAP)

EXTRA_CLEAN = $(EXPORT_MAP) $(OBJS:.o=.d) $(BILLING_OBJS) $(BILLING_OBJS:.o=.d) $(BILLING_LIBRARY)

# Messages are translated (nls.mk, po/) where the server's are, and where gettext is there to compile the catalogs.
ifeq (,$(shell command -v msgfmt))
override enable_nls := no
endif

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq (,$(wildcard $(PGXS)))
$(error PostgreSQL's build files are missing ($(PG_CONFIG) --pgxs): run scripts/install-deps.sh, or set PG_CONFIG)
endif
include $(PGXS)

# There are none yet in a build somewhere else.
OBJECT_DIRS = $(addprefix $(CURDIR)/,$(sort $(patsubst %/,%,$(dir $(OBJS)))))
$(OBJS): | $(OBJECT_DIRS)
$(OBJECT_DIRS):
	@mkdir -p $@
ifneq (,$(MO_FILES))
$(MO_FILES): | $(CURDIR)/po
$(CURDIR)/po:
	@mkdir -p $@
endif

all: $(BILLING_LIBRARY)
$(BILLING_SCRIPT): $(BILLING_PARTS)
	@mkdir -p $(@D)
	cat $(BILLING_PARTS) > $@
$(BILLING_OBJS): | $(CURDIR)/billing/src
$(CURDIR)/billing/src:
	@mkdir -p $@
$(BILLING_OBJS): override CFLAGS += $(SERVER_WARNINGS) $(BILLING_CFLAGS)
$(BILLING_LIBRARY): $(BILLING_OBJS)
	$(CC) $(CFLAGS) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@ $(BILLING_LIBS)
install: install-billing
install-billing: $(BILLING_LIBRARY)
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_SHLIB) $(BILLING_LIBRARY) '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-billing
uninstall-billing:
	rm -f '$(DESTDIR)$(pkglibdir)/$(notdir $(BILLING_LIBRARY))' '$(DESTDIR)$(datadir)/extension/myfatoorah_billing'*
.PHONY: install-billing uninstall-billing

# The core sees neither the server's headers nor its leniency.
$(CORE_OBJS): override CPPFLAGS := -I$(SOURCE_DIR)/src $(filter -D%,$(CPPFLAGS)) $(DEP_CFLAGS)
$(CORE_OBJS): override CFLAGS += $(CORE_WARNINGS)
$(filter-out $(CORE_OBJS),$(OBJS)): override CFLAGS += $(SERVER_WARNINGS)

# Exported are: every function with PG_FUNCTION_INFO_V1, the module's magic and init, and the main functions of
# background workers.
$(EXPORT_MAP): $(OBJS)
	@{ echo '{ global: _PG_init; Pg_magic_func; pg_finfo_*; mf_*_main;'; \
	nm --defined-only $(OBJS) | sed -n 's/^.* [TDR] pg_finfo_\(.*\)$$/\1;/p'; \
	echo 'local: *; };'; } > $@

# The stand-in API and the tests of the core have makefiles of their own.
PARTS = $(patsubst %/Makefile,%,$(wildcard sandbox/Makefile test/core/Makefile test/fuzz/Makefile bench/Makefile))

.PHONY: sandbox clean-parts
# make print-REGRESS: the value of a variable, for scripts
print-%:
	@echo $($*)

sandbox:
	$(MAKE) -C sandbox all

clean: clean-parts
clean-parts:
	@for part in $(PARTS); do $(MAKE) --no-print-directory -C $$part clean || exit; done

# What Prometheus and Grafana read: docs/monitoring.md
MONITORING = $(sort $(wildcard $(SOURCE_DIR)/monitoring/*))
monitoringdir = $(datadir)/$(firstword $(EXTENSION))

.PHONY: install-monitoring uninstall-monitoring
install: install-monitoring
install-monitoring:
	$(MKDIR_P) '$(DESTDIR)$(monitoringdir)'
	$(INSTALL_DATA) $(MONITORING) '$(DESTDIR)$(monitoringdir)/'

uninstall: uninstall-monitoring
uninstall-monitoring:
	rm -f $(addprefix '$(DESTDIR)$(monitoringdir)'/,$(notdir $(MONITORING)))
	-rmdir '$(DESTDIR)$(monitoringdir)'

-include $(wildcard $(OBJS:.o=.d) $(BILLING_OBJS:.o=.d))

endif
