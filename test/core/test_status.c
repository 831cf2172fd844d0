/*
 * test_status.c
 *	  The states of an invoice, and each way from one to another.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/test_status.c
 */
#include "support.h"

#include <string.h>

#include "core/api/invoice_status.h"

/* Each state, and what may follow it */
static const struct
{
	const char *from;
	const char *to;
}			state_machine[] = {
	{"queued", "sending rejected unknown review cancelled"},
	{"sending", "queued sent rejected unknown cancelled"},
	{"sent", "review"},
	{"rejected", "queued cancelled"},
	{"unknown", "queued sending sent review"},
	{"review", "queued sent cancelled"},
	{"cancelled", ""}
};

static void
transitions(void **state)
{
	size_t		from;
	size_t		to;

	(void) state;
	assert_int_equal(sizeof(state_machine) / sizeof(state_machine[0]), MF_STATUS_COUNT);
	for (from = 0; from < MF_STATUS_COUNT; from++)
	{
		for (to = 0; to < MF_STATUS_COUNT; to++)
		{
			int			a = mf_status_from_name(state_machine[from].from);
			int			b = mf_status_from_name(state_machine[to].from);

			assert_true(a >= 0 && b >= 0);
			if (mf_transition_allowed((MfStatus) a, (MfStatus) b) !=
				(strstr(state_machine[from].to, state_machine[to].from) != NULL))
				fail_msg("%s to %s", state_machine[from].from, state_machine[to].from);
		}
	}
}

static void
names(void **state)
{
	int			status;

	(void) state;
	for (status = 0; status < MF_STATUS_COUNT; status++)
		assert_int_equal(mf_status_from_name(mf_status_name((MfStatus) status)), status);
	assert_int_equal(mf_status_from_name("SENT"), -1);
	assert_int_equal(mf_status_from_name(""), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(transitions),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
