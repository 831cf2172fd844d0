/*
 * http_private.h
 *	  What the files of the HTTP client share: no other file includes this.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http_private.h
 */
#ifndef MF_HTTP_PRIVATE_H
#define MF_HTTP_PRIVATE_H

#include <curl/curl.h>
#include <signal.h>

#include "http.h"

/*
 * CURLOPT_QUICK_EXIT came with 7.87: before it, a name lookup that is stuck
 * blocks time-outs, aborts and the end of the process.  CURLOPT_PREREQFUNCTION
 * (7.80) and CURLOPT_PROTOCOLS_STR (7.85) are older.
 */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87.0 or newer is needed: older ones wait for stuck name lookups"
#endif
#define MIN_LIBCURL 0x075700

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

typedef struct MfHttpTransfer
{
	struct MfHttpTransfer *next;	/* in the running list or among the idle
									 * ones of the target, newest first */
	struct MfHttpTransfer *prev;
	struct MfHttpTransfer *newer;	/* among all idle ones */
	struct MfHttpTransfer *older;
	MfHttpTarget *target;
	MfHttpExchange *exchange;	/* NULL while idle */
	CURL	   *easy;
	char	   *url;			/* what CURLOPT_URL is set to */
	char		error[CURL_ERROR_SIZE];

	/* of the exchange */
	char	   *body;
	size_t		body_len;
	int64_t		send_by;
	int64_t		submitted;
	size_t		response_size;	/* allocated */
	int64_t		tls_begun;		/* mf_http_clock(), 0 = not yet */
	bool		headers_ended;	/* of the final answer */
} MfHttpTransfer;

struct MfHttpTarget
{
	MfHttpTarget *next;
	MfHttpTarget *prev;
	MfHttp	   *http;
	char	   *base_url;
	char	   *host;
	char	   *ca_file;
	struct curl_slist *headers; /* holds the key */
	bool		plain;			/* http, to loopback */
	bool		released;
	long		timeout_ms;
	long		connect_timeout_ms;
	MfHttpTransfer *idle;
	size_t		busy;			/* transfers that run, and holds */
};

/* Begins the first header of every target, which holds the key. */
#define AUTHORIZATION "Authorization: Bearer "

/* What a finished exchange needs to stand in a list */
typedef struct DoneExchange
{
	MfHttpExchange exchange;	/* must be first */
	struct DoneExchange *next;
} DoneExchange;

/*
 * What we know of a descriptor that is the socket of a connection.  When a
 * request has ended, libcurl stops to watch its connection, and resumes with
 * the next request.  Under load that is soon, so the kernel's watch goes on
 * meanwhile: the socket is resting.
 */
typedef struct MfHttpSocket
{
	bool		connection;		/* the rest is of no use otherwise */
	bool		corked;
	bool		resting;
	uint32_t	events;			/* that epoll watches for, 0 = not at all */
	int			next;			/* resting ones, -1 = none */
	int			prev;
} MfHttpSocket;

struct MfHttp
{
	CURLM	   *multi;
	int			epoll;
	bool		gate_closed;
	bool		watch_failed;	/* a socket could not be put under watch */
	int64_t		deadline;		/* of libcurl's timer, mf_http_clock(); -1 = none */
	MfHttpSocket *sockets;		/* by descriptor */
	int			socket_count;
	int			first_resting;	/* -1 = none */
	MfHttpTarget *targets;
	MfHttpTransfer *running;
	size_t		busy;			/* of so many */
	MfHttpTransfer *newest_idle;
	MfHttpTransfer *oldest_idle;
	size_t		idle_count;

	/* how much is kept: see mf_http_follow_need() */
	size_t		kept;
	size_t		peak;			/* of "busy" in the present span */
	int64_t		peak_since;
	int64_t		quiet_since;	/* if more is kept than the least */
	DoneExchange *done;			/* first to be handed out */
	DoneExchange *done_last;
	size_t		in_flight;
};

/* http.c; the first writes an error message for the owner */
extern void mf_http_error(char *error, size_t error_size, const char *format,...) __attribute__((format(printf, 3, 4)));

extern void mf_http_block_signals(sigset_t *saved);
extern void mf_http_restore_signals(const sigset_t *saved);

extern CURLM *mf_http_make_multi(MfHttp *http, char *error, size_t error_size);
extern void mf_http_follow_need(MfHttp *http, int64_t now);

/* http_watch.c */
extern int	mf_http_watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known);
extern int	mf_http_socket_made(void *arg, curl_socket_t fd, curlsocktype purpose);
extern int	mf_http_socket_close(void *arg, curl_socket_t fd);
extern bool mf_http_socket_is_resting(const MfHttp *http, int fd);
extern void mf_http_unwatch(MfHttp *http, int fd);
extern void mf_http_unwatch_resting(MfHttp *http);

/* http_callbacks.c */
extern int	mf_http_set_timer(CURLM *multi, long timeout_ms, void *arg);
extern CURLcode mf_http_note_tls(CURL *easy, void *context, void *arg);
extern int	mf_http_pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port);
extern size_t mf_http_serve_body(char *buffer, size_t size, size_t count, void *arg);
extern int	mf_http_refuse_rewind(void *arg, curl_off_t offset, int origin);
extern size_t mf_http_keep_header(char *line, size_t size, size_t count, void *arg);
extern size_t mf_http_keep_response(char *data, size_t size, size_t count, void *arg);

/* http_target.c */
extern void mf_http_target_free(MfHttpTarget *target);

/* http_transfer.c: easy handles; signals must be blocked */
extern MfHttpTransfer *mf_http_transfer_create(MfHttpTarget *target, char *error, size_t error_size);
extern void mf_http_transfer_free(MfHttpTransfer *transfer);
extern MfHttpTransfer *mf_http_transfer_take(MfHttpTarget *target, char *error, size_t error_size);
extern void mf_http_transfer_keep(MfHttpTransfer *transfer);
extern void mf_http_transfer_drop_idle(MfHttpTransfer *transfer);
extern void mf_http_transfer_trim(MfHttp *http);
extern bool mf_http_transfer_set_request(MfHttpTransfer *transfer, const char *path, char *error, size_t error_size);

/* http_exchange.c; signals must be blocked */
extern void mf_http_transfer_end(MfHttpTransfer *transfer, bool keep);
extern void mf_http_transfer_finish(MfHttpTransfer *transfer, CURLcode code);

#endif							/* MF_HTTP_PRIVATE_H */
