/*
 * harness.h
 *	  What the sandbox's own tests share: a server to start, a raw client, and
 *	  checks that count.
 */
#ifndef SANDBOX_HARNESS_H
#define SANDBOX_HARNESS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY "SK_KWT_sandbox"

/* How a connection ended. */
typedef enum Ending
{
	STILL_OPEN,
	CLOSED,
	RESET
} Ending;

/* An answer as raw bytes, and what was found in it. */
typedef struct Reply
{
	char *raw;
	size_t len;
	Ending ending;
	int status; /* 0: no status line */
	char *body; /* into raw, or NULL */
	size_t body_len;
	cJSON *json; /* of the body, or NULL */
} Reply;

extern int passed;
extern int failed;
extern int port; /* of the server the requests go to */

extern bool check_at(bool ok, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#define CHECK(ok, ...) check_at((ok), __FILE__, __LINE__, __VA_ARGS__)

extern const char *sandbox_path(void);
extern int start_server(const char *const *extra, int *server_port);
extern int stop_server(int pid, int signal_number);
extern char *read_text(const char *path, size_t *len);
extern double seconds_now(void);

extern int dial(void);
extern void send_all(int fd, const char *data, size_t len);
extern char *compose(const char *method, const char *path, const char *headers, const char *body,
					 size_t body_len, size_t *len);
extern Reply read_reply(int fd, int timeout_ms);
extern Reply read_to_end(int fd, int timeout_ms);
extern void free_reply(Reply *r);
extern Reply call(const char *method, const char *path, const char *headers, const char *body);
extern Reply api(const char *name, const char *body);
extern Reply control(const char *method, const char *path, const char *body);
extern void arm(const char *rules);
extern void disarm(void);
extern void reset_server(void);
extern const cJSON *at(const cJSON *json, const char *path);
extern const char *text_at(const cJSON *json, const char *path);
extern double number_at(const cJSON *json, const char *path);
extern int64_t count_of(const char *query);
extern void text_like(const Reply *r, const char *text, const char *what);
extern void answer_like(const Reply *r, const char *fixture);
extern char *fixture_text(const char *name);

extern void test_units(void);
extern void test_api(void);
extern void test_validation(void);
extern void test_pages(void);
extern void test_control(void);
extern void test_faults(void);
extern void test_bytes(void);
extern void test_process(void);
extern void test_webhooks(void);
extern void test_get_webhooks(void);
extern void test_mischief(void);
extern void test_refunds(void);
extern void test_make_refund(void);
extern void test_deposits(void);
extern void test_idempotency(void);
extern void test_accounts(void);
extern void test_v3(void);
extern void test_plans(void);
extern void test_clients(void);
extern void test_fuzz(void);

#endif
