/*
 * alloc.c
 *	  Every allocation of src/core fails once, and from each one on.
 *
 * For each task: the nth allocation fails, for every n until the task gets
 * through without meeting it.  This program's own malloc() and its kin stand
 * before the C library's (and AddressSanitizer's), so that those of libcurl,
 * cJSON and OpenSSL fail too.  Nothing may crash or leak, and no verdict may
 * be more certain than the evidence.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/fuzz/alloc.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "alloc.h"
#include "core/text/json.h"
#include "core/api/outcome.h"
#include "server.h"

#define PATH "/v2/SendPayment"
#define BODY "{\"CustomerName\":\"Ahmad\",\"InvoiceValue\":1.000,\"CustomerReference\":\"" REFERENCE "\",\"UserDefinedField\":\""
#define ACCEPTED_BEGIN \
	"{\"IsSuccess\":true,\"Message\":\""
#define ACCEPTED_END \
	"\",\"ValidationErrors\":null,\"Data\":{\"InvoiceId\":6345386,\"InvoiceURL\":\"https://demo.MyFatoorah.com/KWT/ie/1\"," \
	"\"CustomerReference\":\"" REFERENCE "\",\"UserDefinedField\":\"u\"}}"
#define REFUSED \
	"{\"IsSuccess\":false,\"Message\":\"Invalid data\",\"ValidationErrors\":[{\"Name\":\"InvoiceValue\",\"Error\":\"no\"}],\"Data\":null}"
#define NO_MATCH \
	"{\"IsSuccess\":false,\"Message\":\"No data match the provided values\",\"ValidationErrors\":null,\"Data\":null}"
#define STATUS \
	"{\"IsSuccess\":true,\"Message\":\"\",\"Data\":{\"InvoiceId\":6424733,\"InvoiceStatus\":\"Paid\",\"InvoiceReference\":\"2026\"," \
	"\"CustomerReference\":\"" REFERENCE "\",\"CreatedDate\":\"2026-01-10T00:15:07.293\",\"ExpiryDate\":\"January 13, 2026\"," \
	"\"ExpiryTime\":\"00:15:07.293\",\"InvoiceValue\":1e0,\"InvoiceDisplayValue\":\"1.000 KD\",\"InvoiceItems\":[1],\"Suppliers\":[]," \
	"\"InvoiceTransactions\":[{\"PaymentId\":\"07\",\"TransactionStatus\":\"Succss\",\"TransationValue\":\"1,000.000\"," \
	"\"TransactionDate\":\"2026-01-10T00:15:33.35\",\"PaidCurrency\":\"KD\",\"Card\":{\"Token\":null}}]}}"

/* AddressSanitizer's if it is linked, else the C library's */
extern void *__interceptor_malloc(size_t size) __attribute__((weak));
extern void *__interceptor_calloc(size_t count, size_t size) __attribute__((weak));
extern void *__interceptor_realloc(void *block, size_t size) __attribute__((weak));
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

/* Of this thread only: the server has threads too */
static __thread bool fail_here = false;
static __thread long seen = 0;
__thread bool fired = false;

const char *task_name = "";
long fail_at = 0;
bool forever = false;

/* Whether this allocation is to fail */
static bool
fails(void)
{
	if (!fail_here)
		return false;
	seen++;
	if (forever ? seen < fail_at : seen != fail_at)
		return false;
	fired = true;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	if (fails())
		return NULL;
	return __interceptor_malloc ? __interceptor_malloc(size) : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	if (fails())
		return NULL;
	return __interceptor_calloc ? __interceptor_calloc(count, size) : __libc_calloc(count, size);
}

void *
realloc(void *block, size_t size)
{
	if (fails())
		return NULL;
	return __interceptor_realloc ? __interceptor_realloc(block, size) : __libc_realloc(block, size);
}

/* AddressSanitizer's own malloc() would bypass this file. */
char *
strndup(const char *text, size_t most)
{
	size_t		len = strnlen(text, most);
	char	   *copy = malloc(len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *
strdup(const char *text)
{
	return strndup(text, strlen(text));
}

void
begin(void)
{
	fail_here = true;
}

void
end(void)
{
	fail_here = false;
}

/*
 * Runs a task until it meets no failure; with one failing allocation, and
 * with all from one on.
 */
static void
run(const char *name, void (*task) (void))
{
	long		most = 0;
	int			kind;

	task_name = name;
	for (kind = 0; kind < 2; kind++)
	{
		forever = (kind == 1);
		for (fail_at = 1;; fail_at++)
		{
			seen = 0;
			fired = false;
			task();
			CHECK(fail_at < 100000);
			if (!fired)
				break;
		}
		if (fail_at - 1 > most)
			most = fail_at - 1;
	}

	/* and nothing is broken for good */
	fail_at = 0;
	forever = false;
	task();
	printf("%s: %ld allocations\n", name, most);
}

/* ----------
 * Text
 * ----------
 */

static void
task_json(void)
{
	const char *error;
	cJSON	   *root;
	char	   *printed = NULL;

	begin();
	root = mf_json_parse(STATUS, strlen(STATUS), &error, NULL);
	if (root != NULL)
		printed = mf_json_print(root);
	end();
	if (root == NULL)
		CHECK(fired && strcmp(error, MF_JSON_OUT_OF_MEMORY) == 0);
	else if (printed == NULL)
		CHECK(fired);
	else
		CHECK(strcmp(printed, STATUS) == 0);
	free(printed);
	cJSON_Delete(root);
}

static void
task_envelope(void)
{
	static const char *const bodies[] = {REFUSED, NO_MATCH, ACCEPTED_BEGIN ACCEPTED_END, "<html>No</html>", ""};
	MfEnvelope	envelope;
	size_t		i;

	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
	{
		bool		read;

		begin();
		read = mf_envelope_read(&mf_endpoints[MF_SEND_PAYMENT], bodies[i], strlen(bodies[i]), NULL, &envelope);
		end();
		if (read)
		{
			CHECK(envelope.is_success == (i < 2 ? 0 : i == 2 ? 1 : -1));
			CHECK((envelope.error == NULL) == (i == 2));
			CHECK((envelope.root == NULL) == (i > 2));
		}
		else
			CHECK(fired && envelope.root == NULL && envelope.error == NULL && envelope.is_success == -1);
		mf_envelope_free(&envelope);
	}
}

static void
task_bodies(void)
{
	const char *values[MF_SP_COUNT] = {NULL};
	size_t		len;
	char	   *body;

	values[MF_SP_CUSTOMER_NAME] = "Ahmad";
	values[MF_SP_INVOICE_VALUE] = "250.000";
	values[MF_SP_EXPIRY_DATE] = "2026-11-22T10:00:00";
	values[MF_SP_INVOICE_ITEMS] = "[{\"ItemName\":\"a\",\"Quantity\":1,\"UnitPrice\":250.000}]";
	values[MF_SP_SHIPPING_METHOD] = "1";
	begin();
	body = mf_fields_body(mf_send_payment_fields, MF_SP_COUNT, values, &len);
	end();
	if (body == NULL)
		CHECK(fired && len == 0);
	else
		CHECK(len == strlen(body) &&
			  strcmp(body, "{\"CustomerName\":\"Ahmad\",\"InvoiceValue\":250.000,\"ExpiryDate\":\"2026-11-22T10:00:00\","
					 "\"InvoiceItems\":[{\"ItemName\":\"a\",\"Quantity\":1,\"UnitPrice\":250.000}],\"ShippingMethod\":1}") == 0);
	free(body);

	begin();
	body = mf_key_body("order_1", "CustomerReference", &len);
	end();
	if (body == NULL)
		CHECK(fired && len == 0);
	else
		CHECK(strcmp(body, "{\"Key\":\"order_1\",\"KeyType\":\"CustomerReference\"}") == 0);
	free(body);
}

/* ----------
 * Verdicts
 * ----------
 */

void
make_exchange(MfHttpExchange *exchange, long status, const char *body)
{
	memset(exchange, 0, sizeof(*exchange));
	exchange->body_len = exchange->body_sent = strlen(BODY);
	exchange->gate_reached = exchange->gate_passed = true;
	exchange->http_status = status;
	exchange->response = strdup(body);
	exchange->response_len = strlen(body);
	strcpy(exchange->host, "127.0.0.1");
	exchange->retry_after = 7;
}

/* Without memory the result is the right one or the one without proof. */
static void
check_send(const MfHttpExchange *exchange, MfOutcome right)
{
	MfSendResult result;

	begin();
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], exchange, REFERENCE, &result);
	end();
	CHECK(result.outcome == right || (fired && result.outcome == MF_OUTCOME_UNKNOWN));
	/* this needs no memory to be proven */
	if (right == MF_OUTCOME_NOT_SENT)
		CHECK(result.outcome == right);
	if (result.outcome == MF_OUTCOME_ACCEPTED)
	{
		CHECK(strcmp(result.invoice_id, "6345386") == 0);
		CHECK(result.error == NULL);
	}
	else
		CHECK(result.error != NULL || fired);
	mf_send_result_free(&result);
}

static void
task_send_result(void)
{
	static const struct
	{
		long		status;
		const char *body;
		MfOutcome	right;
	}			cases[] = {
		{200, ACCEPTED_BEGIN ACCEPTED_END, MF_OUTCOME_ACCEPTED},
		{400, REFUSED, MF_OUTCOME_REJECTED},
		{400, "<html>no", MF_OUTCOME_UNKNOWN},
		{429, "", MF_OUTCOME_THROTTLED},
		{403, "<html>no", MF_OUTCOME_ACCOUNT_PROBLEM},
		{500, REFUSED, MF_OUTCOME_UNKNOWN},
		{200, REFUSED, MF_OUTCOME_UNKNOWN},
	};
	MfHttpExchange exchange;
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		make_exchange(&exchange, cases[i].status, cases[i].body);
		check_send(&exchange, cases[i].right);
		exchange.curl_code = CURLE_PARTIAL_FILE;
		check_send(&exchange, MF_OUTCOME_UNKNOWN);
		free(exchange.response);
	}
	make_exchange(&exchange, 0, "");
	exchange.gate_passed = false;
	exchange.body_sent = 0;
	exchange.curl_code = CURLE_COULDNT_CONNECT;
	check_send(&exchange, MF_OUTCOME_NOT_SENT);
	free(exchange.response);
}

/* Values are the same as without a shortage, all of them, or not read. */
static void
check_values(char *const *values, char *const *right, int count)
{
	int			i;

	for (i = 0; i < count; i++)
		CHECK((values[i] == NULL) == (right[i] == NULL) && (values[i] == NULL || strcmp(values[i], right[i]) == 0));
}

static void
task_status_result(void)
{
	static const struct
	{
		long		status;
		const char *body;
		MfLookup	right;
	}			cases[] = {
		{200, STATUS, MF_LOOKUP_FOUND},
		{400, NO_MATCH, MF_LOOKUP_NOT_FOUND},
		{400, REFUSED, MF_LOOKUP_REFUSED},
		{429, "", MF_LOOKUP_THROTTLED},
		{401, "", MF_LOOKUP_ACCOUNT_PROBLEM},
		{503, "<html>no", MF_LOOKUP_FAILED},
		{200, "{\"IsSuccess\":true,\"Data\":{\"InvoiceId\":[]}}", MF_LOOKUP_INCONCLUSIVE},
	};
	MfHttpExchange exchange;
	MfStatusResult right;
	MfStatusResult result;
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		make_exchange(&exchange, cases[i].status, cases[i].body);
		mf_status_result_read(&exchange, &right);
		CHECK(right.base.lookup == cases[i].right);
		begin();
		mf_status_result_read(&exchange, &result);
		end();
		CHECK(result.base.lookup == right.base.lookup || (fired && result.base.lookup == MF_LOOKUP_FAILED));
		if (right.base.lookup == MF_LOOKUP_THROTTLED)
			CHECK(result.base.lookup == right.base.lookup);
		CHECK(!result.base.not_sent);
		if (result.base.lookup == MF_LOOKUP_FOUND)
			check_values(result.values, right.values, MF_PS_COUNT);
		else
			CHECK(result.values[MF_PS_INVOICE_ID] == NULL && (result.base.error != NULL || fired));
		mf_status_result_free(&result);
		mf_status_result_free(&right);
		free(exchange.response);
	}
}

static void
task_transaction(void)
{
	cJSON	   *root = mf_json_parse(STATUS, strlen(STATUS), NULL, NULL);
	const cJSON *transaction = mf_json_get(mf_json_get(root, "Data"), "InvoiceTransactions")->child;
	char	   *right[MF_TX_COUNT];
	char	   *values[MF_TX_COUNT];
	const char *bad;
	bool		read;

	CHECK(mf_transaction_read(transaction, right, &bad));
	begin();
	read = mf_transaction_read(transaction, values, &bad);
	end();
	if (read)
		check_values(values, right, MF_TX_COUNT);
	else
		CHECK(fired && bad == NULL);
	mf_values_free(values, MF_TX_COUNT);
	mf_values_free(right, MF_TX_COUNT);
	cJSON_Delete(root);
}

/* ----------
 * The transport
 * ----------
 */

static Server *server = NULL;

/*
 * Each exchange has a number, by which the server counts: a request may
 * arrive after the next exchange has begun.
 */
#define EXCHANGES_MAX 20000
static int	exchange_count = 0;
static int	arrived[EXCHANGES_MAX];
static bool not_sent[EXCHANGES_MAX];	/* as its outcome says */

/* Longer than the first block for answers */
static void
serve(Connection *connection)
{
	static char answer[8000];

	if (answer[0] == '\0')
		snprintf(answer, sizeof(answer), "%s%06000d%s", ACCEPTED_BEGIN, 0, ACCEPTED_END);
	while (connection_read_request(connection))
	{
		__atomic_add_fetch(&arrived[atoi(strstr(connection->body, BODY) + strlen(BODY))], 1, __ATOMIC_SEQ_CST);
		connection_reply(connection, "200 OK", answer);
	}
}

static int
arrivals(int number)
{
	return __atomic_load_n(&arrived[number], __ATOMIC_SEQ_CST);
}

/* The body of a new exchange, malloc'd */
static char *
new_body(void)
{
	char		body[sizeof(BODY) + 20];

	CHECK(exchange_count < EXCHANGES_MAX);
	snprintf(body, sizeof(body), BODY "%d\"}", exchange_count++);
	return strdup(body);
}

static MfHttp *
create(void)
{
	char		error[MF_HTTP_ERROR_SIZE] = "";
	MfHttp	   *http = mf_http_create(error, sizeof(error));

	if (http == NULL)
	{
		end();
		CHECK(fired && error[0] != '\0');
	}
	return http;
}

static MfHttpTarget *
create_target(MfHttp *http)
{
	MfHttpTargetOptions options = {0};
	char		error[MF_HTTP_ERROR_SIZE] = "";
	MfHttpTarget *target;

	options.base_url = server_url(server);
	options.api_key = "SK_KWT_topsecret";
	options.ca_file = "/nowhere/ca.pem";
	options.timeout_ms = 5000;
	options.connect_timeout_ms = 5000;
	target = mf_http_target_create(http, &options, error, sizeof(error));
	if (target == NULL)
	{
		end();
		CHECK(fired && error[0] != '\0');
		CHECK(strstr(error, "topsecret") == NULL);
	}
	return target;
}

static void
task_create(void)
{
	MfHttp	   *http;

	begin();
	http = create();
	end();
	mf_http_destroy(http);
}

static void
task_target(void)
{
	MfHttp	   *http = create();
	MfHttpTarget *target;
	char		error[MF_HTTP_ERROR_SIZE] = "";
	bool		valid;

	begin();
	target = create_target(http);
	end();
	mf_http_target_release(target);
	mf_http_destroy(http);

	begin();
	valid = mf_http_base_url_valid("https://api.myfatoorah.com/", error, sizeof(error));
	end();
	CHECK(valid == (error[0] == '\0') && (valid || fired));
}

static MfHttpExchange *
post(MfHttp *http, MfHttpTarget *target, char *body, char *error, size_t error_size)
{
	MfHttpRequest request = {.verb = MF_HTTP_POST, .path = PATH, .body = body, .body_len = strlen(body)};

	return mf_http_send(http, target, &request, error, error_size);
}

/* One POST: whatever fails, the server gets it once or not at all. */
static void
exchange_one(MfHttp *http, MfHttpTarget *target)
{
	int			number = exchange_count;
	char	   *body = new_body();
	char		error[MF_HTTP_ERROR_SIZE] = "";
	int64_t		until = mf_http_clock() + INT64_C(20000000000);
	MfHttpExchange *exchange;
	MfHttpExchange *done = NULL;
	MfSendResult result;

	begin();
	exchange = post(http, target, body, error, sizeof(error));
	end();
	if (exchange == NULL)
	{
		CHECK(fired && error[0] != '\0');
		CHECK(mf_http_in_flight(http) == 0);
		not_sent[number] = true;
		return;
	}
	while (done == NULL)
	{
		struct pollfd poll_fd = {0};
		long		timeout = mf_http_timeout(http);

		CHECK(mf_http_clock() < until);
		poll_fd.fd = mf_http_fd(http);
		poll_fd.events = POLLIN;
		poll(&poll_fd, 1, timeout < 0 || timeout > 1000 ? 1000 : (int) timeout);
		begin();
		mf_http_perform(http);
		done = mf_http_next_done(http);
		end();
	}
	CHECK(done == exchange && mf_http_in_flight(http) == 0);

	begin();
	mf_send_result_read(&mf_endpoints[MF_SEND_PAYMENT], done, REFERENCE, &result);
	end();
	CHECK(fired || result.outcome == MF_OUTCOME_ACCEPTED);
	switch (result.outcome)
	{
		case MF_OUTCOME_ACCEPTED:
			CHECK(arrivals(number) == 1);
			CHECK(strcmp(result.invoice_id, "6345386") == 0);
			break;
		case MF_OUTCOME_NOT_SENT:
			CHECK(!done->gate_passed && done->body_sent == 0);
			not_sent[number] = true;
			break;
		default:
			CHECK(result.outcome == MF_OUTCOME_UNKNOWN);
			CHECK(done->gate_passed);
			break;
	}
	mf_send_result_free(&result);
	mf_http_exchange_free(done);
}

/* On a new connection, and on one that was used before */
static void
task_exchange(void)
{
	MfHttp	   *http = create();
	MfHttpTarget *target = create_target(http);

	exchange_one(http, target);
	exchange_one(http, target);
	mf_http_target_release(target);
	mf_http_destroy(http);
}

/* Destroys a client with requests in every state: nothing is left behind. */
static void
task_destroy(void)
{
	MfHttp	   *http = create();
	MfHttpTarget *target = create_target(http);
	char		error[MF_HTTP_ERROR_SIZE];
	int			i;

	for (i = 0; i < 3; i++)
	{
		char	   *body = new_body();

		begin();
		(void) post(http, target, body, error, sizeof(error));
		mf_http_perform(http);
		end();
	}
	begin();
	mf_http_destroy(http);
	end();
}

int
main(void)
{
	int			number;

	setvbuf(stdout, NULL, _IOLBF, 0);
	run("json", task_json);
	run("envelope", task_envelope);
	run("bodies", task_bodies);
	run("send_result", task_send_result);
	run("status_result", task_status_result);
	run("transaction", task_transaction);
	run("webhook", task_webhook);
	run("webhook_log", task_webhook_log);
	run("refunds", task_refunds);

	/* OpenSSL's own start waits for itself if it gets no memory, and libcurl's can be another OpenSSL than the one used above. */
	CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	curl_global_cleanup();

	server = server_start(serve, NULL);
	run("http create", task_create);
	run("http target", task_target);
	run("http exchange", task_exchange);
	run("http destroy", task_destroy);
	server_stop(server);

	/* whatever was sent has arrived by now */
	for (number = 0; number < exchange_count; number++)
		CHECK(arrivals(number) <= (not_sent[number] ? 0 : 1));
	printf("every allocation has failed: nothing crashed, leaked or was told wrongly\n");
	return 0;
}
