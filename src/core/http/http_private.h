/*
 * http_private.h
 *	  What the files of the HTTP client share.  Only they and their tests
 *	  include this.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_private.h
 */
#ifndef MF_HTTP_PRIVATE_H
#define MF_HTTP_PRIVATE_H

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/queue.h>

#include "core/http/http.h"

/*
 * CURLOPT_QUICK_EXIT came with 7.87: before it, a name lookup that hangs
 * blocks time-outs, aborts and the end of the process.  CURLOPT_PREREQFUNCTION
 * (7.80) and CURLOPT_PROTOCOLS_STR (7.85) are older.
 */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87.0 or newer is needed: older ones wait for name lookups that hang"
#endif
#define MIN_LIBCURL 0x075700

/* Why nothing is sent to a target for other machines only */
#define MF_HTTP_OWN_MACHINE "it is on the machine of the database, where only accounts of superusers may lead"

/*
 * A connection that was idle for longer is not used again.  Servers and load
 * balancers close idle connections, commonly after 60 or 75 seconds, and a
 * request that crosses with the closing has an unknown outcome.
 */
#define MAX_IDLE_SECONDS 50L

/*
 * A server that closes a connection within so many nanoseconds after its answer,
 * without having announced it, closes others like it while requests leave on them,
 * whose outcomes are then unknown.  So may one that has dropped a request on a kept
 * connection.  For the time given below each request to that host has a connection of
 * its own.
 */
#define CLOSED_SOON (INT64_C(1) * 1000000000)
#define CLOSING_REMEMBERED (INT64_C(60) * 1000000000)

/* Of so many hosts it is known apart whether they close connections. */
#define HOST_SLOTS 64

/* Once a server has answered, one read takes in a usual answer. */
#define RECEIVE_BUFFER_SIZE 4096L

/* The least that libcurl takes: each request holds one until its answer is there. */
#define UPLOAD_BUFFER_SIZE 16384L

/* Allocated for an answer at first; grows as needed. */
#define FIRST_RESPONSE_SIZE 1024

/*
 * So many requests are started, and so many sockets served, before it is the turn
 * of the other and of what has ended: the first of a burst are sent while the
 * last still wait for their connections.
 */
#define AT_ONCE 32

/* An exchange, and what the client alone knows of it */
typedef struct MfHttpRecord
{
	MfHttpExchange exchange;	/* must be first */
	STAILQ_ENTRY(MfHttpRecord) link;	/* in one of the lists */
	MfHttpTarget *target;		/* valid until it is handed out */
	MfHttpVerb	verb;
	char	   *path;
	char	   *body;			/* NULL for GET */
	struct curl_slist key_header;	/* Idempotency-Key, before those of the
									 * target; its data is NULL for none */
	int64_t		send_by;		/* mf_http_clock(), 0 = no limit */
	int64_t		submitted;		/* mf_http_clock() */
	bool		fresh;			/* started again, over a new connection */
} MfHttpRecord;

typedef STAILQ_HEAD(MfHttpList, MfHttpRecord) MfHttpList;

/* An easy handle.  It runs one exchange after the other, of any target. */
typedef struct MfHttpTransfer
{
	LIST_ENTRY(MfHttpTransfer) link;	/* among running or idle ones */
	MfHttpRecord *record;		/* NULL while idle */
	CURL	   *easy;
	uint64_t	target_number;	/* whose options are set; 0 = none */
	char		error[CURL_ERROR_SIZE];

	/* of the exchange */
	size_t		response_size;	/* allocated */
	bool		begun;			/* libcurl has looked for a connection */
	int64_t		added;			/* to the multi handle, by mf_http_clock() */
	int64_t		tls_begun;		/* by the same clock, 0 = not yet */
	bool		headers_ended;	/* of the final answer */
	bool		starved;		/* no descriptor or memory for its socket */
	bool		connection_closed;	/* by the server, before anything was sent */
	bool		closing_announced;	/* by the server, in its answer */
} MfHttpTransfer;

struct MfHttpTarget
{
	/* never changes */
	MfHttp	   *http;
	uint64_t	number;			/* never that of another target */
	char	   *base_url;
	char	   *host;
	char	   *ca_file;
	struct curl_slist *headers; /* the first one holds the key */
	bool		plain;			/* http, to loopback */
	bool		remote_only;
	int			host_slot;		/* in MfHttp.closes_until */
	int32_t		checksum;		/* of base_url and key */
	long		timeout_ms;
	long		connect_timeout_ms;
	int			tag;

	/* the owner's */
	LIST_ENTRY(MfHttpTarget) link;	/* in MfHttp.targets */
	bool		released;
	size_t		users;			/* exchanges not handed out, and holds */
};

/* Begins the first header of every target, before the key. */
#define AUTHORIZATION "Authorization: Bearer "

/*
 * What is known of a descriptor that is the socket of a connection.  When a
 * request has ended, libcurl stops to watch its connection, and resumes with
 * the next request.  Under load that is soon, so epoll goes on watching
 * meanwhile: the socket is resting.
 */
typedef struct MfHttpSocket
{
	bool		connection;		/* if not, the other members mean nothing */
	bool		resting;
	int			host_slot;		/* of the latest request */
	int64_t		answered;		/* when that had ended, mf_http_clock(); 0 = not yet, or never again */
	uint32_t	events;			/* that epoll watches for, 0 = not watched */
	int			next;			/* among resting ones, -1 = none */
	int			prev;
} MfHttpSocket;

/*
 * The members of the thread belong to the owner while there is none.  Both sides
 * touch only those that are shared: under the lock, or atomically where it says so.
 */
struct MfHttp
{
	/* the owner's */
	LIST_HEAD(, MfHttpTarget) targets;
	uint64_t	last_target_number;
	size_t		in_flight;
	MfHttpList	submitted;		/* since the latest mf_http_perform() */
	MfHttpList	done;			/* for mf_http_next_done() */
	bool		threaded;
	pthread_t	thread;

	/* shared */
	pthread_mutex_t lock;
	MfHttpList	to_start;
	MfHttpList	to_hand_out;
	bool		stop;
	bool		thread_waits;	/* wake_fd must be set to have its attention */
	bool		done_signalled; /* done_fd is readable */
	int			wake_fd;		/* for the thread, -1 = none */
	int			done_fd;		/* for the owner, -1 = none */
	bool		gate_closed;	/* atomic */
	int			wanted_limit;	/* of connections, atomic; 0 = none */
	bool		watch_clock;	/* requests may be posted soon */
	bool		waits_long;		/* the thread waits without checking the clock */

	/* since when and until when nothing is sent, mf_http_clock(); atomic */
	int64_t		held_since;
	int64_t		held_until;

	/* the owner's mask while its signals are blocked for a name lookup */
	bool		signals_blocked;
	sigset_t	signals;

	/* the thread's */
	int64_t		clock_due;		/* when it should check the clock, 0 = no thread */
	CURLM	   *multi;			/* NULL while nothing is open */
	int			limit;			/* of connections, as "multi" knows it */
	int			epoll;
	bool		watch_failed;	/* a socket could not be put under watch */
	int64_t		deadline;		/* of libcurl's timer, mf_http_clock(); -1 = none */
	MfHttpSocket *sockets;		/* by descriptor */
	int			socket_count;
	int			first_resting;	/* -1 = none */
	int64_t		closes_until[HOST_SLOTS];	/* mf_http_clock(): each request a connection of its own */
	LIST_HEAD(, MfHttpTransfer) running;
	size_t		busy;			/* length of that list */
	LIST_HEAD(, MfHttpTransfer) idle;	/* the latest first */
	int64_t		idle_since;		/* when the last one ended, mf_http_clock() */
	MfHttpList	ended;
};

/* From here on by layer, the lowest first: see docs/design.md */

/* http_common.c */
extern bool mf_http_is_shortage(int error); /* is this errno one of descriptors or memory? */
extern void mf_http_block_signals(sigset_t *saved); /* all of them, on this thread */
extern void mf_http_event_set(int fd);	/* makes an eventfd readable */
extern void mf_http_event_clear(int fd);
extern MfHttpRecord *mf_http_list_remove_first(MfHttpList *list);	/* NULL if empty */

/* Likewise: whether an address is one of this machine; true if it cannot be found out. */
extern bool mf_http_address_is_local(const struct sockaddr *address);
extern bool mf_http_ip_is_local(const char *ip);

/*
 * http_freeze.c.  The first starts a hold if "now" is much later than the thread
 * wanted to wake.  The second: whether a hold keeps this request from being sent.
 */
extern void mf_http_check_clock(MfHttp *http, int64_t now);
extern bool mf_http_is_held(const MfHttpRecord *record, int64_t now);

/*
 * http_watch.c: callbacks of libcurl.  The first: what a socket is to be watched for,
 * by CURL_POLL_*; a connection on which nothing is under way rests under watch.
 */
extern int	mf_http_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known);
extern curl_socket_t mf_http_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
extern int	mf_http_on_socket(void *arg, curl_socket_t fd, curlsocktype purpose);
extern int	mf_http_close_socket(void *arg, curl_socket_t fd);

/* Whether a socket rests: nobody waits for what it may bring. */
extern bool mf_http_socket_is_resting(const MfHttp *http, int fd);

/*
 * Ends the watch of one socket, or of all that rest, so that the server's closing of
 * idle connections wakes nobody.
 */
extern void mf_http_unwatch_socket(MfHttp *http, int fd);
extern void mf_http_unwatch_resting(MfHttp *http);

/*
 * Whether the server has closed a connection on which nothing is under way, or has
 * sent something without having been asked, after which it is of no use either.
 */
extern bool mf_http_socket_is_closed(int fd);

/*
 * http_transfer.c: an easy handle with all options that are the same for each
 * request; then those of a target and of one request.
 */
extern MfHttpTransfer *mf_http_transfer_create(MfHttp *http, char *error, size_t error_size);
extern bool mf_http_transfer_set_target(MfHttpTransfer *transfer, const MfHttpTarget *target,
										char *error, size_t error_size);
extern bool mf_http_transfer_set_request(MfHttpTransfer *transfer, MfHttpRecord *record,
										 char *error, size_t error_size);
extern void mf_http_transfer_free(MfHttpTransfer *transfer);

/* http_target.c; the first for mf_http_target_create(), without listing it */
extern MfHttpTarget *mf_http_target_make(MfHttp *http, const MfHttpTargetOptions *options,
										 char *error, size_t error_size);
extern void mf_http_target_free(MfHttpTarget *target);

/*
 * http_exchange.c.  The first takes the request's body, also on failure; NULL without
 * memory.  The second writes the end of a transfer into its exchange.
 */
extern MfHttpRecord *mf_http_record_create(MfHttpTarget *target, const MfHttpRequest *request);
extern void mf_http_exchange_complete(const MfHttpTransfer *transfer, CURLcode code);
extern void mf_http_list_free(MfHttpList *list);

/*
 * http_multi.c.  "start" gives the first AT_ONCE of a list to libcurl; those that
 * it refuses have ended.  "wait" waits for events for so many milliseconds, -1 =
 * without end, but MF_WAIT_MAX_MS at most, and serves them.  "step" does what is
 * due and collects what has ended.  "timeout" is how long to wait next time, -1 =
 * without end.  "remove" takes a transfer from libcurl, and keeps it for another
 * exchange or frees it.  "close" closes all connections and frees idle transfers;
 * nothing may be running then.
 */
extern void mf_http_multi_start(MfHttp *http, MfHttpList *records);
extern void mf_http_multi_wait(MfHttp *http, long timeout_ms);
extern void mf_http_multi_step(MfHttp *http);
extern long mf_http_multi_timeout(MfHttp *http);
extern void mf_http_multi_remove(MfHttp *http, MfHttpTransfer *transfer, bool keep);
extern void mf_http_multi_close(MfHttp *http);

/* http_thread.c: submits what was posted and fetches what has ended, for the owner */
extern void mf_http_thread_exchange(MfHttp *http);

#endif							/* MF_HTTP_PRIVATE_H */
