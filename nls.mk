# Native language support of PGXS: make init-po writes po/myfatoorah.pot, make update-po a new po/*.po.new
CATALOG_NAME     = myfatoorah
AVAIL_LANGUAGES  = ar
GETTEXT_FILES    = $(patsubst $(srcdir)/%,%,$(sort $(wildcard $(srcdir)/src/*.c $(srcdir)/src/*/*.c)))
GETTEXT_TRIGGERS = $(BACKEND_COMMON_GETTEXT_TRIGGERS) mf_log_event:2
GETTEXT_FLAGS    = $(BACKEND_COMMON_GETTEXT_FLAGS) mf_log_event:2:c-format
