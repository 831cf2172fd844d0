/*
 * check.c
 *	  Runs the sandbox's tests against a server of its own.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harness.h"

/*
 * wanted
 *		Is a test among those named, or are none?
 */
static bool
wanted(const char *name, char **names)
{
	bool any = *names != NULL;

	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return !any;
}

/*
 * main
 *		Run the tests named as arguments, or all.
 */
int
main(int argc, char **argv)
{
	static const char *const extra[] = {"--key", KEY "=KWT",       "--key", "SK_SAU_demo",
										"--key", "second-kwt-key", "--key", "SK_BHR_demo", NULL};
	static const struct
	{
		const char *name;
		void (*run)(void);
	} tests[] = {
		{"units", test_units},
		{"api", test_api},
		{"validation", test_validation},
		{"pages", test_pages},
		{"control", test_control},
		{"faults", test_faults},
		{"bytes", test_bytes},
		{"process", test_process},
		{"webhooks", test_webhooks},
		{"get-webhooks", test_get_webhooks},
		{"mischief", test_mischief},
		{"refunds", test_refunds},
		{"make-refund", test_make_refund},
		{"deposits", test_deposits},
		{"idempotency", test_idempotency},
		{"accounts", test_accounts},
		{"v3", test_v3},
		{"plans", test_plans},
		{"clients", test_clients},
		{"fuzz", test_fuzz},
	};
	int pid = start_server(extra, &port);

	(void) argc;
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
	{
		int passed_before = passed;
		int failed_before = failed;
		double start = seconds_now();

		if (!wanted(tests[i].name, argv + 1))
			continue;
		tests[i].run();
		printf("%-12s %6d passed, %d failed (%.1f s)\n", tests[i].name, passed - passed_before,
			   failed - failed_before, seconds_now() - start);
		fflush(stdout);
	}
	CHECK(stop_server(pid, SIGTERM) == 0, "the server ends cleanly");
	printf("%d passed, %d failed\n", passed, failed);
	return failed > 0;
}
