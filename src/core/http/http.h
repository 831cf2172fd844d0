/*
 * http.h
 *	  POST requests on one libcurl multi handle, with evidence of what left.
 *
 * Plain C: no PostgreSQL header, no palloc, no longjmp.  All functions belong
 * to one thread, the owner, which must ignore SIGPIPE, as PostgreSQL's processes
 * do.  The threads that libcurl starts have all signals blocked.  Nothing here
 * blocks: the owner waits on mf_http_fd() for at most mf_http_timeout()
 * milliseconds and then calls mf_http_perform().
 *
 * That call does the work itself, or, after mf_http_start_thread(), exchanges
 * requests and answers with a thread that does it.  For the owner it is the same.
 *
 * Before libcurl writes a request it asks a gate of ours, which lets each
 * exchange pass once, so that libcurl cannot send a POST a second time by
 * itself.
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
#define MF_RETRY_AFTER_CAP 3600	/* seconds */
#define MF_WAIT_MAX_MS 86400000	/* no wait is longer, of anybody */

typedef struct MfHttp MfHttp;
typedef struct MfHttpTarget MfHttpTarget;

/* Where requests go and as whom: one account.  Strings are copied. */
typedef struct MfHttpTargetOptions
{
	const char *base_url;		/* "https://host[:port]", "http://" only to
								 * loopback */
	const char *api_key;		/* sent as "Authorization: Bearer ..." */
	const char *ca_file;		/* PEM bundle, or NULL for the system's */
	long		timeout_ms;		/* whole exchange, > 0 */
	long		connect_timeout_ms; /* name lookup to end of TLS, > 0 */
	int			tag;			/* the owner's, untouched */
	bool		remote_only;	/* no connection to this machine, whatever the
								 * host's name leads to */
} MfHttpTargetOptions;

/*
 * One POST and what is known of it afterwards.  Behind the gate any part of
 * the request may have left, whatever libcurl says; before it nothing has.
 */
typedef struct MfHttpExchange
{
	void	   *tag;			/* the submitter's, untouched */

	/* evidence of what left */
	bool		gate_reached;	/* connected, about to send */
	bool		gate_passed;	/* and allowed to */
	size_t		body_sent;		/* body bytes that libcurl has written */
	size_t		body_len;		/* of so many */

	/* how it ended */
	int			curl_code;		/* CURLcode; headers that were cut off count
								 * as CURLE_PARTIAL_FILE here */
	char		curl_error[MF_HTTP_ERROR_SIZE]; /* libcurl's words or ours, or
												 * "" */
	long		http_status;	/* 0 if no status line was read */
	bool		starved;		/* it could not leave for want of descriptors or
								 * memory in this process */
	bool		truncated;		/* the answer exceeded MF_HTTP_MAX_RESPONSE */
	char	   *response;		/* malloc'd, NUL-terminated, never NULL when
								 * done */
	size_t		response_len;	/* without the NUL */
	char		content_type[128];	/* the header's value, or "" */
	char		location[256];	/* likewise, cut to fit; not to be shown as it is */
	int			retry_after;	/* seconds that Retry-After asks for, at most
								 * MF_RETRY_AFTER_CAP; 0 for none, "now" and
								 * times past */
	char	   *api_key;		/* as which it was sent, malloc'd; see
								 * mf_http_hide_key(); may be NULL */

	/* where the time went, microseconds since submission, 0 = not reached */
	int64_t		name_lookup_us;
	int64_t		connect_us;
	int64_t		tls_us;
	int64_t		total_us;
	bool		connection_reused;
	char		host[128];		/* "host[:port]" for messages, cut to fit */

	struct MfHttpTransfer *transfer;	/* private */
} MfHttpExchange;

/*
 * Creates the multi handle and its epoll descriptor.  Calls
 * curl_global_init() on first use in the process, so never call it in a
 * process that will fork.  Returns NULL and writes "error" on failure.
 */
extern MfHttp *mf_http_create(char *error, size_t error_size);

/*
 * From now on a thread of its own talks to libcurl, while the owner does other
 * things.  It touches nothing but this transport, and no signal is handled on
 * it.  To be called before mf_http_fd() is used.  If it cannot be (false, with
 * "error"), the transport works without one.
 */
extern bool mf_http_start_thread(MfHttp *http, char *error, size_t error_size);

/*
 * Waits for the end of the thread, which comes at once: requests under way
 * stay as they are, and the transport goes on without a thread.  Nothing to do is
 * fine.  Must be called before the process exits.
 */
extern void mf_http_stop_thread(MfHttp *http);

/*
 * Aborts every transfer, closes every connection, wipes every key.  Frees the
 * targets, released or not, and the exchanges not handed out.  NULL is fine.
 */
extern void mf_http_destroy(MfHttp *http);

/*
 * Makes a target.  Refuses (NULL, with "error") a URL that is not https, or
 * http to 127.0.0.0/8, [::1] or "localhost", one with user info, path, query
 * or fragment, a key with characters that cannot stand in a header, and
 * time-outs that are not positive.
 */
extern MfHttpTarget *mf_http_target_create(MfHttp *http, const MfHttpTargetOptions *options,
										   char *error, size_t error_size);

/*
 * Whether mf_http_target_create() would take that URL; if not, "error" says why.
 */
extern bool mf_http_base_url_valid(const char *base_url, char *error, size_t error_size);

/*
 * Gives up the caller's reference; the target and its copy of the key are
 * wiped once the last exchange that uses it has been handed out or aborted.
 */
extern void mf_http_target_release(MfHttpTarget *target);

/*
 * A checksum of its URL and key, the same in every process and for ever: whether
 * two targets lead to the same place as the same merchant.  It is 32 bits of
 * SHA-256, too little to find the key by.
 */
extern int32_t mf_http_target_checksum(const MfHttpTarget *target);

/* The tag of its options. */
extern int	mf_http_target_tag(const MfHttpTarget *target);

/*
 * A target that is held lives on when it is released, for a request that is
 * still to be posted, until it is let go as often.
 */
extern void mf_http_target_hold(MfHttpTarget *target);
extern void mf_http_target_let_go(MfHttpTarget *target);

/*
 * Submits "POST base_url + path"; the next mf_http_perform() starts it, and
 * mf_http_timeout() is 0 until then.  "path" must live as long as the exchange.
 * Takes ownership of "body", a malloc'd block of "body_len" bytes, also on
 * failure; NULL counts as out of memory.  "send_by" is a reading of
 * mf_http_clock(): if the gate is reached later than that, nothing is sent; 0
 * means no limit.  Returns the exchange, owned by "http" until it is handed
 * out by mf_http_next_done() or given to mf_http_abort().  NULL (with "error") if there is
 * no memory for it, which proves that nothing was sent; what else prevents a
 * start is the result of the exchange.
 */
extern MfHttpExchange *mf_http_post(MfHttp *http, MfHttpTarget *target, const char *path,
									char *body, size_t body_len, int64_t send_by, void *tag,
									char *error, size_t error_size);

/* The descriptor to wait on (readable = call mf_http_perform()). */
extern int	mf_http_fd(const MfHttp *http);

/*
 * Milliseconds until mf_http_perform() must run anyway; -1 = no timer is set.
 * To be called before each wait: with nothing in flight the remote's closing
 * of idle connections does not wake the owner from then on (a thread a moment
 * later).
 */
extern long mf_http_timeout(MfHttp *http);

/* Does what can be done without blocking.  Never fails: failures are results. */
extern void mf_http_perform(MfHttp *http);

/*
 * Hands out one finished exchange, NULL if there is none.  The caller owns it
 * and frees it with mf_http_exchange_free().
 */
extern MfHttpExchange *mf_http_next_done(MfHttp *http);

/* Also wipes its copy of the key. */
extern void mf_http_exchange_free(MfHttpExchange *exchange);

/*
 * Gateways and debugging pages say request headers back.  The answer stays as
 * it came, because it is to be read; what of it goes into tables, logs and
 * messages must come through this: replaces the key by asterisks.
 */
extern void mf_http_hide_key(const char *api_key, char *text, size_t len);

/*
 * Ends an exchange that was not handed out now and frees it.  Does not wait for
 * a name lookup that is stuck.  To know what had left, copy the evidence members
 * before.  Not while a thread runs: stop it first.
 */
extern void mf_http_abort(MfHttp *http, MfHttpExchange *exchange);

/*
 * While the gate is closed no request passes from "connected" to "sending".
 * What the thread has let pass just before may still be on its way out.
 */
extern void mf_http_close_gate(MfHttp *http, bool closed);

/*
 * So many connections at most from now on: kept ones make room for new ones, and
 * a request beyond them waits.
 */
extern void mf_http_limit_connections(MfHttp *http, int limit);

/*
 * If the whole process stands still for longer than the first, nothing leaves for
 * as long as the second says: see mf_http_held().
 */
#define MF_FREEZE_MS 5000
#define MF_FREEZE_HOLD_MS 15000

/*
 * Requests may be posted soon, or no more: from the one to the other, and as long
 * as any is under way, the thread looks at the clock once a second.
 */
extern void mf_http_watch_clock(MfHttp *http, bool watch);

/* The owner says so: it has waited for so many nanoseconds more than it wanted to. */
extern void mf_http_stood_still(MfHttp *http, int64_t late);

/*
 * For how many nanoseconds nothing may leave any more, 0 = it may.  A process that
 * stood still (frozen, stopped, suspended) may belong to a server whose place
 * another one has taken: whoever is in charge of that gets time to end it.  What
 * was posted before never leaves, unless its body has begun to.
 */
extern int64_t mf_http_held(const MfHttp *http);

/* Exchanges submitted and not yet handed out or aborted. */
extern size_t mf_http_in_flight(const MfHttp *http);

/*
 * Nanoseconds of a monotonic clock that goes on during suspend
 * (CLOCK_BOOTTIME).
 */
extern int64_t mf_http_clock(void);

/*
 * One line for people on how an exchange that brought no whole answer failed,
 * with the phase in which the time went: "could not connect to host: ...",
 * "no answer within 30.0 s (name lookup 0.0 s, ...)".  Always terminated.
 */
extern void mf_http_describe(const MfHttpExchange *exchange, char *buffer, size_t size);

#endif							/* MF_HTTP_H */
