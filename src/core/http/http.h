/*
 * http.h
 *	  Requests on one libcurl multi handle, with evidence of what left.
 *
 * Plain C: no PostgreSQL header, no palloc, no longjmp.  All functions must be
 * called on one thread, the owner, which must ignore SIGPIPE, as PostgreSQL's
 * processes do.  The threads that libcurl starts have all signals blocked.
 * Nothing here blocks: the owner waits on mf_http_fd() for at most
 * mf_http_timeout() milliseconds and then calls mf_http_perform().
 *
 * mf_http_perform() does the work itself or, after mf_http_start_thread(),
 * exchanges requests and answers with a thread that does it.  The owner's calls
 * are the same.
 *
 * Before libcurl writes a request it asks a gate, which lets each exchange pass
 * once.  So libcurl cannot send a request a second time by itself, whatever its verb.
 *
 * Connections stay open for the next requests, up to the limit of
 * mf_http_limit_connections().  One that was idle for 50 seconds is not used
 * again.  When nothing runs for that long, all are closed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http.h
 */
#ifndef MF_HTTP_H
#define MF_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_HTTP_ERROR_SIZE 256

/* Answers larger than this are cut off and count as incomplete. */
#define MF_HTTP_MAX_RESPONSE (4 * 1024 * 1024)
#define MF_HTTP_LARGE_RESPONSE (16 * 1024 * 1024)	/* if the request expects a long one */
#define MF_RETRY_AFTER_CAP 3600	/* seconds */
#define MF_WAIT_MAX_MS 86400000 /* upper limit of every wait in the extension */

typedef struct MfHttp MfHttp;
typedef struct MfHttpTarget MfHttpTarget;

/* One account: where requests go, and with which key.  Strings are copied. */
typedef struct MfHttpTargetOptions
{
	const char *base_url;		/* "https://host[:port]", "http://" only to
								 * loopback */
	const char *api_key;		/* sent as "Authorization: Bearer ..." */
	const char *ca_file;		/* PEM bundle, or NULL for the system's */
	long		timeout_ms;		/* whole exchange, > 0 */
	long		connect_timeout_ms; /* name lookup to end of TLS, > 0 */
	int			tag;			/* for the owner's use */
	bool		remote_only;	/* never connect to this machine, whatever the
								 * host's name resolves to */
} MfHttpTargetOptions;

typedef enum MfHttpVerb
{
	MF_HTTP_POST,
	MF_HTTP_GET				/* has no body */
} MfHttpVerb;

#define MF_IDEMPOTENCY_KEY_MAX 255

/* What is to be sent.  Strings are copied. */
typedef struct MfHttpRequest
{
	MfHttpVerb	verb;
	const char *path;			/* "/v2/SendPayment", with a query if need be */
	char	   *body;			/* malloc'd, given away; NULL for GET, else NULL
								 * counts as out of memory */
	size_t		body_len;
	const char *idempotency_key;	/* printable ASCII, or NULL for none */
	bool		large_response; /* allow for MF_HTTP_LARGE_RESPONSE */
	int64_t		send_by;		/* a reading of mf_http_clock(): if the gate is reached
								 * later than that, nothing is sent; 0 = no limit */
	void	   *tag;			/* for the caller's use */
} MfHttpRequest;

/*
 * One request and what is known of it afterwards.  Once the gate is passed, any part
 * of the request may have left, whatever libcurl reports; before, nothing has.
 */
typedef struct MfHttpExchange
{
	void	   *tag;			/* for the caller's use */

	/* evidence of what left */
	bool		gate_reached;	/* connected, about to send */
	bool		gate_passed;	/* and allowed to */
	size_t		body_sent;		/* body bytes that libcurl has written */
	size_t		body_len;

	/* how it ended */
	int			curl_code;		/* CURLcode; headers that were cut off count
								 * as CURLE_PARTIAL_FILE here */
	char		curl_error[MF_HTTP_ERROR_SIZE]; /* message of libcurl or of
												 * this client, or "" */
	long		http_status;	/* 0 if no status line was read */
	bool		starved;		/* not sent because this process lacked
								 * descriptors or memory */
	bool		truncated;		/* the answer exceeded its limit */
	size_t		max_response;	/* that limit */
	char	   *response;		/* malloc'd, NUL-terminated, never NULL */
	size_t		response_len;	/* without the NUL */
	char		location[256];	/* the header's value, cut to fit, or ""; not to
								 * be shown as it is */
	int			retry_after;	/* seconds that Retry-After asks for, at most
								 * MF_RETRY_AFTER_CAP; 0 for none, "now" and
								 * times past */
	char		date[40];		/* the header Date, cut to fit, or ""; see mf_http_date() */
	char	   *api_key;		/* of the target, malloc'd, for
								 * mf_http_hide_key(); may be NULL */

	/* when each phase ended, in microseconds since mf_http_send(), 0 = it did not */
	int64_t		name_lookup_us;
	int64_t		connect_us;
	int64_t		tls_us;
	int64_t		total_us;
	bool		connection_reused;
	char		host[128];		/* "host[:port]", for messages, cut to fit */

	struct MfHttpTransfer *transfer;	/* private */
} MfHttpExchange;

/*
 * Creates a client.  Calls curl_global_init() on first use in the process, so
 * never call it in a process that will fork.  Returns NULL and writes "error" on
 * failure.
 */
extern MfHttp *mf_http_create(char *error, size_t error_size);

/*
 * From now on a thread runs the requests while the owner does other things.  It
 * touches nothing but this client, and handles no signal.  Call it before
 * mf_http_fd() is used.  Returns false and writes "error" if no thread can be
 * started; the client then works without one.
 */
extern bool mf_http_start_thread(MfHttp *http, char *error, size_t error_size);

/*
 * Ends the thread, which takes no time: requests under way stay as they are, and
 * the client goes on without a thread.  Does nothing if there is none.  Must be
 * called before the process exits.
 */
extern void mf_http_stop_thread(MfHttp *http);

/*
 * Aborts every exchange, closes every connection, wipes every key.  Frees the
 * targets, released or not, and the exchanges not handed out.  NULL is allowed.
 */
extern void mf_http_destroy(MfHttp *http);

/*
 * Creates a target.  Returns NULL and writes "error" for a URL that is not https,
 * or http to 127.0.0.0/8, [::1] or "localhost", for one with user info, path,
 * query or fragment, for a key with characters that cannot be part of a header,
 * and for time-outs that are not positive.
 */
extern MfHttpTarget *mf_http_target_create(MfHttp *http, const MfHttpTargetOptions *options,
										   char *error, size_t error_size);

/*
 * Whether a target was created with these options.  The key is not compared if
 * "api_key" is NULL.
 */
extern bool mf_http_target_matches(const MfHttpTarget *target, const MfHttpTargetOptions *options);

/*
 * Whether mf_http_target_create() would accept this URL; if not, writes "error".
 */
extern bool mf_http_base_url_valid(const char *base_url, char *error, size_t error_size);

/*
 * Gives up the caller's reference; the target and its copy of the key are
 * wiped once the last exchange that uses it has been handed out or aborted.
 */
extern void mf_http_target_release(MfHttpTarget *target);

/*
 * A checksum of URL and key, which never changes: equal if two targets lead to the
 * same host as the same merchant.  It is 32 bits of SHA-256, too little to find
 * the key by.
 */
extern int32_t mf_http_target_checksum(const MfHttpTarget *target);

/* The URL of the options, without a slash at its end. */
extern const char *mf_http_target_base_url(const MfHttpTarget *target);

/* The tag of the options. */
extern int	mf_http_target_tag(const MfHttpTarget *target);

/*
 * Keeps a target alive after its release, for a request that is still to be
 * posted, until it is let go as often as it was held.
 */
extern void mf_http_target_hold(MfHttpTarget *target);
extern void mf_http_target_let_go(MfHttpTarget *target);

/*
 * Submits a request to base_url + path; the next mf_http_perform() starts it, and
 * mf_http_timeout() is 0 until then.  Takes ownership of the body, also on failure.
 * Returns the exchange, owned by "http" until it is handed out by mf_http_next_done()
 * or given to mf_http_abort().  Returns NULL and writes "error" if there is no memory
 * for it, or if the Idempotency-Key cannot be part of a header; then nothing was sent.
 * Any other failure is the result of the exchange.
 */
extern MfHttpExchange *mf_http_send(MfHttp *http, MfHttpTarget *target, const MfHttpRequest *request,
									char *error, size_t error_size);

/* The descriptor to wait on; when it is readable, call mf_http_perform(). */
extern int	mf_http_fd(const MfHttp *http);

/*
 * Milliseconds until mf_http_perform() must be called anyway; -1 = no limit.
 * Call it before each wait: with nothing in flight it also sees to it that the
 * server's closing of idle connections does not wake the owner.
 */
extern long mf_http_timeout(MfHttp *http);

/* Does what can be done without blocking.  Failures are results of exchanges. */
extern void mf_http_perform(MfHttp *http);

/*
 * Hands out one finished exchange, NULL if there is none.  The caller owns it
 * and frees it with mf_http_exchange_free().
 */
extern MfHttpExchange *mf_http_next_done(MfHttp *http);

/* The server's time when it answered, in seconds since 1970; 0 = it told none that can be read. */
extern int64_t mf_http_date(const MfHttpExchange *exchange);

/* Also wipes the exchange's copy of the key.  NULL is allowed. */
extern void mf_http_exchange_free(MfHttpExchange *exchange);

/*
 * Replaces the key in "text" by asterisks.  Gateways and debugging pages repeat
 * request headers.  "response" stays as it came, because it is parsed; but what of
 * it goes into tables, logs and messages must be passed through this first.
 */
extern void mf_http_hide_key(const char *api_key, char *text, size_t len);

/*
 * Ends and frees an exchange that was not handed out.  Does not wait for a name
 * lookup that hangs.  To know what had left, read the evidence members before.
 * Not allowed while a thread runs: stop it first.
 */
extern void mf_http_abort(MfHttp *http, MfHttpExchange *exchange);

/*
 * While the gate is closed no request starts to be sent.  One that has passed it
 * just before may still be on its way out.
 */
extern void mf_http_close_gate(MfHttp *http, bool closed);

/*
 * Limits the number of connections, for requests that start from now on.  Idle
 * ones are closed to make room for new ones, and a request beyond them waits.
 */
extern void mf_http_limit_connections(MfHttp *http, int limit);

/*
 * After the whole process stood still for longer than MF_FREEZE_MS, nothing is sent
 * for MF_FREEZE_HOLD_MS: see mf_http_hold_left().
 */
#define MF_FREEZE_MS 5000
#define MF_FREEZE_HOLD_MS 15000

/*
 * Whether requests may be posted soon.  While they may, and while any is under
 * way, the thread checks the clock once a second, to detect that the process
 * stood still.
 */
extern void mf_http_watch_clock(MfHttp *http, bool watch);

/* The owner's own wait has ended "late" nanoseconds later than it should have. */
extern void mf_http_report_late_wakeup(MfHttp *http, int64_t late);

/*
 * For how many more nanoseconds nothing is sent, 0 = there is no hold.  A process
 * that stood still (frozen, stopped, suspended) may belong to a server that another
 * one has replaced; the hold gives the failover software time to end it.  What was
 * posted before the hold is never sent, unless its body has begun to leave.
 */
extern int64_t mf_http_hold_left(const MfHttp *http);

/* Exchanges submitted and not yet handed out or aborted. */
extern size_t mf_http_in_flight(const MfHttp *http);

/*
 * Nanoseconds of a monotonic clock that goes on during suspend
 * (CLOCK_BOOTTIME).
 */
extern int64_t mf_http_clock(void);

/*
 * One line on how an exchange failed that brought no whole answer, and how long
 * each phase took: "could not connect to host: ...", "no answer within 30.0 s
 * (name lookup 0.0 s, ...)".
 */
extern void mf_http_describe(const MfHttpExchange *exchange, char *buffer, size_t size);

#endif							/* MF_HTTP_H */
