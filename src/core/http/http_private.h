/*
 * http_private.h
 *	  What the files of the HTTP client share: no other file includes this.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http/http_private.h
 */
#ifndef MF_HTTP_PRIVATE_H
#define MF_HTTP_PRIVATE_H

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#include "core/http/http.h"

/*
 * CURLOPT_QUICK_EXIT came with 7.87: before it, a name lookup that is stuck
 * blocks time-outs, aborts and the end of the process.  CURLOPT_PREREQFUNCTION
 * (7.80) and CURLOPT_PROTOCOLS_STR (7.85) are older.
 */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87.0 or newer is needed: older ones wait for stuck name lookups"
#endif
#define MIN_LIBCURL 0x075700

/* Why nothing goes to a target that is for other machines only */
#define MF_HTTP_OWN_MACHINE "it is on the machine of the database, where only accounts of superusers may lead"

/*
 * A connection that was idle for longer is not used again.  Servers and what
 * stands before them close idle connections, commonly after 60 or 75 seconds,
 * and a request that crosses with the closing has an unknown outcome.
 */
#define MAX_IDLE_SECONDS 50L

/* Connections and easy handles kept, however few are needed at the same time */
#define MIN_KEPT 64

/* Once a server has answered, one read takes in a usual answer. */
#define RECEIVE_BUFFER_SIZE 4096L

/* libcurl's least: it holds one for each request until its answer is there. */
#define UPLOAD_BUFFER_SIZE 16384L

/*
 * So many requests are begun, and so many sockets served, before it is the turn
 * of the other and of what has ended: the first of a burst are under way while
 * the last still wait for their connections.
 */
#define AT_ONCE 32

/* An exchange and what else is known of it */
typedef struct MfHttpRecord
{
	MfHttpExchange exchange;	/* must be first */
	struct MfHttpRecord *next;	/* in one of the lists */
	MfHttpTarget *target;		/* valid until it is handed out */
	const char *path;
	char	   *body;
	int64_t		send_by;
	int64_t		submitted;
	bool		fresh;			/* over a new connection: the one that was kept
								 * had been closed */
} MfHttpRecord;

typedef struct MfHttpList
{
	MfHttpRecord *first;
	MfHttpRecord *last;
} MfHttpList;

typedef struct MfHttpTransfer
{
	struct MfHttpTransfer *next;	/* in the running list or among the idle
									 * ones of the target, newest first */
	struct MfHttpTransfer *prev;
	struct MfHttpTransfer *newer;	/* among all idle ones */
	struct MfHttpTransfer *older;
	MfHttpTarget *target;
	MfHttpRecord *record;		/* NULL while idle */
	CURL	   *easy;
	char	   *url;			/* what CURLOPT_URL is set to */
	CURLU	   *parts;			/* of that */
	char		error[CURL_ERROR_SIZE];

	/* of the exchange */
	size_t		response_size;	/* allocated */
	bool		begun;			/* libcurl has looked for a connection */
	int64_t		tls_begun;		/* mf_http_clock(), 0 = not yet */
	bool		headers_ended;	/* of the final answer */
	bool		starved;		/* no descriptor or memory for its socket */
	bool		closed;			/* the remote had closed the connection before
								 * anything was sent */
} MfHttpTransfer;

struct MfHttpTarget
{
	/* never changes */
	MfHttp	   *http;
	char	   *base_url;
	char	   *host;
	char	   *ca_file;
	struct curl_slist *headers; /* holds the key */
	bool		plain;			/* http, to loopback */
	bool		remote_only;
	int32_t		checksum;		/* of base_url and key */
	long		timeout_ms;
	long		connect_timeout_ms;
	int			tag;

	/* of the owner */
	MfHttpTarget *next;			/* among all, or among those to be freed */
	MfHttpTarget *prev;
	bool		released;
	size_t		users;			/* exchanges not handed out, and holds */

	/* of the thread */
	MfHttpTransfer *idle;
};

/* Begins the first header of every target, which holds the key. */
#define AUTHORIZATION "Authorization: Bearer "

/*
 * What we know of a descriptor that is the socket of a connection.  When a
 * request has ended, libcurl stops to watch its connection, and resumes with
 * the next request.  Under load that is soon, so the kernel's watch goes on
 * meanwhile: the socket is resting.
 */
typedef struct MfHttpSocket
{
	bool		connection;		/* the rest is of no use otherwise */
	bool		resting;
	uint32_t	events;			/* that epoll watches for, 0 = not at all */
	int			next;			/* resting ones, -1 = none */
	int			prev;
} MfHttpSocket;

/*
 * What belongs to the thread belongs to the owner while there is none.  Only
 * what is handed over is touched by both, under the lock, and the gate.
 */
struct MfHttp
{
	/* of the owner */
	MfHttpTarget *targets;
	size_t		in_flight;
	MfHttpList	submitted;		/* since the latest mf_http_perform() */
	MfHttpList	done;			/* to be handed out */
	bool		threaded;
	pthread_t	thread;

	/* handed over */
	pthread_mutex_t lock;
	MfHttpList	to_begin;
	MfHttpList	to_hand_out;
	MfHttpTarget *to_free;
	bool		stop;
	bool		asleep;			/* the thread must be told of work */
	bool		told;			/* done_fd is readable */
	int			wake_fd;		/* for the thread, -1 = none */
	int			done_fd;		/* for the owner, -1 = none */
	bool		gate_closed;	/* atomic */
	int			wanted_limit;	/* of connections, atomic; 0 = none */
	bool		watch_clock;	/* requests may be posted soon */
	bool		sleeps_long;	/* the thread does not look at the clock */

	/* since when and until when nothing leaves, mf_http_clock(); atomic */
	int64_t		held_since;
	int64_t		held_until;

	/* of the owner while libcurl looks up a name for it: its mask */
	bool		signals_blocked;
	sigset_t	signals;

	/* of the thread */
	int64_t		look_by;		/* when the next look at the clock is due, 0 = no thread */
	CURLM	   *multi;
	int			epoll;
	bool		watch_failed;	/* a socket could not be put under watch */
	int64_t		deadline;		/* of libcurl's timer, mf_http_clock(); -1 = none */
	MfHttpSocket *sockets;		/* by descriptor */
	int			socket_count;
	int			first_resting;	/* -1 = none */
	MfHttpTransfer *running;
	size_t		busy;			/* of so many */
	MfHttpTransfer *newest_idle;
	MfHttpTransfer *oldest_idle;
	size_t		idle_count;
	MfHttpList	ended;

	int			limit;			/* of connections, as libcurl knows it */

	/* how much is kept: see mf_http_resize_pool() */
	size_t		kept;
	size_t		peak;			/* of "busy" in the present span */
	int64_t		peak_since;
	int64_t		idle_since;		/* 0 = busy, or never was */
};

/* http.c; the first writes an error message for the owner */
extern void mf_http_error(char *error, size_t error_size, const char *format,...) __attribute__((format(printf, 3, 4)));

extern void mf_http_block_signals(sigset_t *saved);
extern int	mf_http_lookup_starts(void *resolver, void *reserved, void *arg);

extern CURLM *mf_http_make_multi(MfHttp *http, char *error, size_t error_size);
extern void mf_http_resize_pool(MfHttp *http, int64_t now);
extern void mf_http_set_limit(MfHttp *http);

/*
 * The first waits for events for so many milliseconds (-1 = no need to come
 * back), MF_WAIT_MAX_MS at most, and does what they ask for.  The second does what it is time for and collects what
 * has ended.  The third tells for how long to wait next time.
 */
extern void mf_http_wait(MfHttp *http, long timeout_ms);
extern void mf_http_step(MfHttp *http);
extern long mf_http_step_timeout(MfHttp *http);

/* http_thread.c; the first exchanges requests and answers with the thread */
extern void mf_http_thread_exchange(MfHttp *http);
extern void mf_http_clear_event(int fd);
extern void mf_http_thread_free_target(MfHttp *http, MfHttpTarget *target);

/* http_watch.c */
extern int	mf_http_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known);
extern bool mf_http_ip_is_ours(const char *ip);
extern curl_socket_t mf_http_socket_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address);
extern int	mf_http_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose);
extern int	mf_http_socket_close(void *arg, curl_socket_t fd);
extern bool mf_http_socket_is_resting(const MfHttp *http, int fd);
extern void mf_http_unwatch(MfHttp *http, int fd);
extern void mf_http_unwatch_resting(MfHttp *http);

/* http_freeze.c; the first is a look at the clock: whether it comes too late */
extern void mf_http_look(MfHttp *http, int64_t now);
extern bool mf_http_is_held(const MfHttpRecord *record, int64_t now);

/* http_callbacks.c */
extern int	mf_http_set_timer(CURLM *multi, long timeout_ms, void *arg);
extern CURLcode mf_http_note_tls(CURL *easy, void *context, void *arg);
extern int	mf_http_pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port);
extern size_t mf_http_keep_header(char *line, size_t size, size_t count, void *arg);
extern size_t mf_http_keep_response(char *data, size_t size, size_t count, void *arg);

/* http_target.c; both for the owner but the first, which belongs to the thread */
extern void mf_http_target_free(MfHttpTarget *target);
extern void mf_http_target_use(MfHttpTarget *target);
extern void mf_http_target_unuse(MfHttpTarget *target);

/* http_transfer.c: easy handles */
extern MfHttpTransfer *mf_http_transfer_create(MfHttpTarget *target, char *error, size_t error_size);
extern void mf_http_transfer_free(MfHttpTransfer *transfer);
extern MfHttpTransfer *mf_http_transfer_take(MfHttpTarget *target, char *error, size_t error_size);
extern void mf_http_transfer_keep(MfHttpTransfer *transfer);
extern void mf_http_transfer_drop_idle(MfHttpTransfer *transfer);
extern void mf_http_transfer_trim(MfHttp *http);
extern bool mf_http_transfer_set_request(MfHttpTransfer *transfer, const MfHttpRecord *record, char *error, size_t error_size);

/* http_exchange.c */
extern bool mf_http_is_shortage(int error);
extern void mf_http_list_append(MfHttpList *list, MfHttpRecord *record);
extern void mf_http_list_move(MfHttpList *to, MfHttpList *from);
extern void mf_http_list_free(MfHttpList *list);
extern void mf_http_begin(MfHttp *http, MfHttpList *records);
extern void mf_http_transfer_end(MfHttpTransfer *transfer, bool keep);
extern void mf_http_transfer_finish(MfHttpTransfer *transfer, CURLcode code);

#endif							/* MF_HTTP_PRIVATE_H */
