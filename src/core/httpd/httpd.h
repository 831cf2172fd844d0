/*
 * httpd.h
 *	  The HTTP server for webhooks and callbacks.
 *
 * Plain C on libmicrohttpd, without threads: no PostgreSQL header, no palloc,
 * no longjmp.  The owner accepts connections, waits on mf_httpd_fd() for at
 * most mf_httpd_timeout() milliseconds, and calls mf_httpd_run(), which
 * returns the complete requests.  Their connections are suspended until
 * mf_httpd_answer(), so that a whole batch can be stored in one transaction.
 *
 * Whatever can be refused without the database is refused here: other paths
 * and methods, and what is too large, too slow or not HTTP. Everything is
 * limited: connections, headers, bodies, and the time for a request.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/httpd/httpd.h
 */
#ifndef MF_HTTPD_H
#define MF_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>

#define MF_HTTPD_ERROR_SIZE 256
#define MF_HTTPD_PEER_SIZE 64

/* Limits; see docs/reference.md */
#define MF_HTTPD_HEADER_MEMORY (24 * 1024)	/* bytes per connection, with buffers */
#define MF_HTTPD_BODIES_TOTAL (64 * 1024 * 1024)	/* bytes of all bodies */
#define MF_HTTPD_SKIPPED_MAX (1024 * 1024)	/* bytes read past a limit before
											 * the connection is closed */
#define MF_HTTPD_IDLE_SECONDS 15	/* without receiving a byte */
#define MF_HTTPD_REQUEST_SECONDS 30 /* for a whole request, from its first byte */

/* How often the page "not confirmed yet" is shown: all but the last reload themselves */
#define MF_HTTPD_MAX_TRIES 6

typedef struct MfHttpd MfHttpd;

typedef enum MfHttpdRoute
{
	MF_ROUTE_WEBHOOK,
	MF_ROUTE_CALLBACK,
	MF_ROUTE_HEALTH,
	MF_ROUTE_PAGE				/* below one of the owner's prefixes */
} MfHttpdRoute;

/* A complete request. It owns its strings, which are UTF-8 without NUL. */
typedef struct MfHttpdRequest
{
	struct MfHttpdRequest *next;	/* in a list; the owner's once it was
									 * returned */
	MfHttpdRoute route;
	char	   *prefix;			/* of a page; the owner's */
	char	   *name;			/* of an account, the token, or the rest of a
								 * page's path; decoded */
	char	   *body;			/* of a webhook; a NUL follows that is not
								 * counted */
	size_t		body_len;
	char	   *signature;		/* headers of a webhook, or NULL */
	char	   *version;
	char	   *payment_id;		/* of a callback, or NULL */
	int			tries;			/* of a callback: how often the page has
								 * reloaded */
	bool		left;			/* the client has left, as far as can be seen;
								 * only set if watched */
	char		peer[MF_HTTPD_PEER_SIZE];
	struct MfHttpdExchange *exchange;	/* private */
} MfHttpdRequest;

/* What a request is answered with: HTTP status codes */
typedef enum MfHttpdAnswer
{
	MF_ANSWER_OK = 200,
	MF_ANSWER_MALFORMED = 400,
	MF_ANSWER_REFUSED = 401,
	MF_ANSWER_NOT_FOUND = 404,
	MF_ANSWER_UNAVAILABLE = 503 /* try again */
} MfHttpdAnswer;

/* Pages for customers */
typedef enum MfHttpdPage
{
	MF_PAGE_CONFIRMED,
	MF_PAGE_NOT_COMPLETED,
	MF_PAGE_NOT_CONFIRMED_YET,
	MF_PAGE_UNAVAILABLE
} MfHttpdPage;

/* What was refused without the owner, for the log */
typedef enum MfHttpdAbuse
{
	MF_ABUSE_PROTOCOL,			/* not HTTP, not TLS, or headers too large */
	MF_ABUSE_REQUEST,			/* an unknown path, method, header or argument */
	MF_ABUSE_TOO_LARGE,
	MF_ABUSE_TOO_SLOW,
	MF_ABUSE_CONNECTIONS,		/* too many */
	MF_ABUSE_MEMORY,			/* too many bodies at a time */
	MF_ABUSE_KINDS
} MfHttpdAbuse;

typedef struct MfHttpdAbuseNote
{
	uint64_t	count;
	char		peer[MF_HTTPD_PEER_SIZE];	/* of the latest client */
} MfHttpdAbuseNote;

/*
 * "certificate" and "key" are PEM; without a certificate there is no TLS.  NULL, with
 * "error" set, if libmicrohttpd rejects the certificate or has no memory.
 */
extern MfHttpd *mf_httpd_start(int max_connections, const char *certificate, const char *key,
							   char *error, size_t error_size);

/* Ends all connections and frees everything, including unanswered requests. */
extern void mf_httpd_stop(MfHttpd *httpd);

/*
 * From now on GET of a path below one of these prefixes, each with a slash at
 * its ends, is returned as a page.  A NULL follows the last one.  The caller
 * keeps them.
 */
extern void mf_httpd_set_prefixes(MfHttpd *httpd, const char *const *prefixes);

/* The descriptor to wait on until it is readable */
extern int	mf_httpd_fd(const MfHttpd *httpd);

/* Milliseconds; -1 = no limit, as without connections. */
extern long mf_httpd_timeout(MfHttpd *httpd);

/*
 * Takes an accepted, non-blocking socket, and closes it in any case.  At the
 * limit a connection without a complete request is closed to make room: the
 * one that has been silent longest or, if more than half of the slots hold
 * requests being received, the oldest of those.  So neither silent clients
 * nor endless requests keep others out.
 */
extern void mf_httpd_add(MfHttpd *httpd, int fd, const struct sockaddr *address, socklen_t length);

/* Does all pending work; returns complete requests, oldest first, or NULL. */
extern MfHttpdRequest *mf_httpd_run(MfHttpd *httpd);

/*
 * Watches whether the client of a request leaves before its answer.
 * mf_httpd_fd() becomes readable then, and mf_httpd_run() sets "left" in the
 * request.
 */
extern void mf_httpd_watch(MfHttpdRequest *request);

/*
 * Answers and frees the request; the answer is sent by the next
 * mf_httpd_run(). With "trouble" a page has status 503, else 200.
 */
extern void mf_httpd_answer(MfHttpdRequest *request, MfHttpdAnswer answer);
extern void mf_httpd_redirect(MfHttpdRequest *request, const char *url);
extern void mf_httpd_page(MfHttpdRequest *request, MfHttpdPage page, bool arabic, bool trouble);

/*
 * Likewise for what the owner has made: the body, which is copied, of a content
 * type without its charset; with "location" for a redirect, NULL = none.
 */
extern void mf_httpd_respond(MfHttpdRequest *request, unsigned int status, const char *content_type,
							 const char *location, const char *body, size_t body_len);

/*
 * Whether a redirect to this URL is possible: absolute, http or https, no blanks
 * or control characters.
 */
extern bool mf_httpd_can_redirect(const char *url);

/* From now on each connection ends with its request; those without one end at once. */
extern void mf_httpd_retire(MfHttpd *httpd);

extern int	mf_httpd_connections(const MfHttpd *httpd);

/* Requests being received or not yet answered */
extern int	mf_httpd_busy(const MfHttpd *httpd);

/* Requests whose head was complete, since the start */
extern uint64_t mf_httpd_requests(const MfHttpd *httpd);

/* One note per MfHttpdAbuse, for the owner to read and reset */
extern MfHttpdAbuseNote *mf_httpd_abuse(MfHttpd *httpd);

#endif							/* MF_HTTPD_H */
