/*
 * test_process.c
 *	  The program itself: options, limits, TLS, load, a clean end.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define SEND \
	"{\"CustomerName\":\"A\",\"InvoiceValue\":1,\"NotificationOption\":\"LNK\",\"CustomerReference\":\"p\"}"

/*
 * run
 *		Exit status of a shell command.
 */
static int
run(const char *fmt, ...)
{
	char command[2048];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/*
 * test_options
 *		Wrong options are refused with a message; --help helps.
 */
static void
test_options(void)
{
	CHECK(run("%s --help | grep -q 'port-file'", sandbox_path()) == 0, "--help");
	CHECK(run("%s --nonsense 2>/dev/null", sandbox_path()) == 1, "an unknown option");
	CHECK(run("%s --port 70000 2>/dev/null", sandbox_path()) == 1, "a port out of range");
	CHECK(run("%s --port x 2>/dev/null", sandbox_path()) == 1, "no number");
	CHECK(run("%s --key abc=ZZZ 2>/dev/null", sandbox_path()) == 1, "an unknown country");
	CHECK(run("%s --tls-cert /dev/null 2>/dev/null", sandbox_path()) == 1, "half of a pair");
	CHECK(run("%s --webhook-url http://example.com/ 2>/dev/null", sandbox_path()) == 1, "webhooks elsewhere");
	CHECK(run("%s --webhook-version v3 2>/dev/null", sandbox_path()) == 1, "no such version");
	CHECK(run("%s extra 2>/dev/null", sandbox_path()) == 1, "an argument");
	CHECK(run("%s --port %d 2>/dev/null", sandbox_path(), port) == 1, "a port in use");
}

/*
 * test_limits
 *		A small ledger, none, a small store; another public address.
 */
static void
test_limits(void)
{
	static const char *const small[] = {"--ledger-limit",
										"3",
										"--invoice-limit",
										"5",
										"--public-url",
										"https://pay.example.com/x/",
										"--threads",
										"2",
										NULL};
	static const char *const none[] = {"--ledger-limit", "0", NULL};
	int outer = port;
	int pid = start_server(small, &port);
	Reply r;

	for (int i = 0; i < 7; i++)
	{
		r = api("SendPayment", SEND);
		CHECK(r.status == (i < 5 ? 200 : 503), "invoice %d: %d", i + 1, r.status);
		if (i == 0)
			CHECK(strncmp(text_at(r.json, "Data.InvoiceURL"), "https://pay.example.com/x/KWT/ie/", 33) == 0,
				  "the public address: %s", r.body);
		free_reply(&r);
	}
	r = control("GET", "ledger", "");
	CHECK(cJSON_GetArraySize(at(r.json, "entries")) == 3 && number_at(r.json, "entries.0.seq") == 5 &&
			  number_at(r.json, "oldest_held") == 5,
		  "the last three: %s", r.body);
	free_reply(&r);
	CHECK(count_of("path=SendPayment") == 7 && count_of("reference=p") == 7, "all are counted");
	CHECK(stop_server(pid, SIGINT) == 0, "ends on SIGINT");

	pid = start_server(none, &port);
	r = api("SendPayment", SEND);
	CHECK(r.status == 200, "without a ledger");
	free_reply(&r);
	r = control("GET", "ledger", "");
	CHECK(cJSON_GetArraySize(at(r.json, "entries")) == 0 && number_at(r.json, "last") == 1, "no entries");
	free_reply(&r);
	CHECK(count_of("path=SendPayment") == 1, "but counters");
	arm("{\"cut_answer_at\":7}");
	r = api("SendPayment", SEND);
	CHECK(r.len == 7 && r.ending == CLOSED, "and faults");
	free_reply(&r);
	CHECK(stop_server(pid, SIGTERM) == 0, "ends on SIGTERM");
	port = outer;
}

/*
 * test_end
 *		A clean end while requests sleep, stall, wait and break off.
 */
static void
test_end(void)
{
	int outer = port;
	int pid = start_server(NULL, &port);
	int fds[5];
	size_t len;
	char *text = compose("POST", "/v2/SendPayment", "", SEND, strlen(SEND), &len);
	const char *wait = "GET /_sandbox/wait?count=99&timeout_ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n";
	double start;
	Reply r;

	arm("[{\"delay_ms\":60000},{\"never\":true},{\"stall_at\":20}]");
	for (int i = 0; i < 5; i++)
		fds[i] = dial();
	for (int i = 0; i < 3; i++)
		send_all(fds[i], text, len);
	send_all(fds[3], wait, strlen(wait));
	send_all(fds[4], text, len - 5);
	r = control("GET", "wait?path=SendPayment&count=3", "");
	CHECK(cJSON_IsTrue(at(r.json, "reached")), "three came in");
	free_reply(&r);
	start = seconds_now();
	CHECK(stop_server(pid, SIGTERM) == 0, "a clean end");
	CHECK(seconds_now() - start < 3, "at once");
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	free(text);
	port = outer;
}

/*
 * test_tls
 *		HTTPS with a certificate that can be checked, and faults under it.
 */
static void
test_tls(void)
{
	char dir[] = "/tmp/mf-sandbox-tls-XXXXXX";
	char cert[64];
	char key[64];
	const char *extra[] = {"--tls-cert", cert, "--tls-key", key, NULL};
	int server;
	int pid;

	if (!CHECK(mkdtemp(dir) != NULL, "a directory"))
		return;
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(key, sizeof(key), "%s/key.pem", dir);
	CHECK(
		run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=sandbox "
			"-addext subjectAltName=IP:127.0.0.1 -keyout %s -out %s 2>/dev/null",
			key, cert) == 0,
		"a certificate");
	pid = start_server(extra, &server);
#define CURL \
	"curl -s -o /dev/null --noproxy '*' -H 'Authorization: Bearer " KEY \
	"' -H 'Content-Type: application/json' -d '" SEND "' "
	CHECK(run(CURL "--cacert %s https://127.0.0.1:%d/v2/SendPayment", cert, server) == 0,
		  "a trusted certificate");
	CHECK(run(CURL "https://127.0.0.1:%d/v2/SendPayment", server) == 60, "an unknown one");
	CHECK(
		run("curl -s --noproxy '*' --cacert %s -d '{\"cut_answer_at\":9}' https://127.0.0.1:%d/_sandbox/faults | grep -q error",
			cert, server) == 0,
		"no bytes can be cut inside TLS");
	CHECK(run("curl -s --noproxy '*' --cacert %s -d '[{\"reset_answer_at\":0},{\"cut_request_at\":5}]' "
			  "https://127.0.0.1:%d/_sandbox/faults | grep -q rules",
			  cert, server) == 0,
		  "but at 0, and of the request");
	for (int i = 0; i < 2; i++)
	{
		int status = run(CURL "--cacert %s https://127.0.0.1:%d/v2/SendPayment", cert, server);

		CHECK(status == 56 || status == 52 || status == 55, "broken off under TLS: %d", status);
	}
	CHECK(run(CURL "--cacert %s https://127.0.0.1:%d/v2/SendPayment", cert, server) == 0, "and well again");
	CHECK(stop_server(pid, SIGTERM) == 0, "a clean end");
	run("rm -r %s", dir);
}

/*
 * settled
 *		The server's health once it has dealt with every SendPayment it got.
 */
static Reply
settled(void)
{
	Reply r = control("GET", "health", "");

	for (int i = 0; i < 500 && (double) count_of("path=SendPayment") != number_at(r.json, "invoices"); i++)
	{
		free_reply(&r);
		usleep(10000);
		r = control("GET", "health", "");
	}
	return r;
}

/*
 * test_load
 *		Hundreds of connections at once, every answer right; with two threads,
 *		and with faults and readers in between.
 */
static void
test_load(void)
{
	static const char *const two[] = {"--threads", "2", "--ledger-limit", "1000", NULL};
	int outer = port;
	int pid = start_server(two, &port);
	double first, second;
	Reply r;

	CHECK(run("%s %d 300 1 >/dev/null", getenv("LOAD") != NULL ? getenv("LOAD") : "build/load", port) == 0,
		  "300 connections");
	r = settled();
	first = number_at(r.json, "requests.received");
	CHECK(first > 0 && number_at(r.json, "invoices") == first, "an invoice for each: %s", r.body);
	CHECK(number_at(r.json, "ledger.held") == 1000, "the ledger is bounded");
	free_reply(&r);
	arm("{\"delay_ms\":20,\"skip\":100,\"times\":500}");
	CHECK(
		run("%s %d 100 1 >/dev/null & for i in 1 2 3 4 5 6 7 8 9 10; do "
			"curl -s -o /dev/null http://127.0.0.1:%d/_sandbox/ledger; curl -s -o /dev/null http://127.0.0.1:%d/; done; wait $!",
			getenv("LOAD") != NULL ? getenv("LOAD") : "build/load", port, port, port) == 0,
		"with delays and readers");
	r = settled();
	second = number_at(r.json, "invoices");
	CHECK(second > first, "more invoices");
	free_reply(&r);
	CHECK(stop_server(pid, SIGTERM) == 0, "a clean end");
	port = outer;
}

/*
 * test_process
 *		All of it.
 */
void
test_process(void)
{
	test_options();
	test_limits();
	test_end();
	test_tls();
	test_load();
}
