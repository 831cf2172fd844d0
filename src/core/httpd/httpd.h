/*
 * httpd.h
 *	  The HTTP server that webhooks and callbacks come in by.
 *
 * Plain C on libmicrohttpd, without threads: no PostgreSQL header, no palloc,
 * no longjmp.  The owner accepts connections, waits on mf_httpd_fd() for at
 * most mf_httpd_timeout() milliseconds, and calls mf_httpd_run(), which gives
 * back the requests that are complete.  Their connections rest until
 * mf_httpd_answer(), so that a whole batch can be stored in one transaction.
 *
 * Whatever can be refused without asking the database is refused here: other
 * paths and methods, what is too large, too slow, or no HTTP.  Everything is
 * bounded: connections, headers, bodies, and the time for a request.
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

/* Bounds; see docs/reference.md */
#define MF_HTTPD_HEADER_MEMORY (24 * 1024)	/* bytes per connection, with buffers */
#define MF_HTTPD_BODIES_TOTAL (64 * 1024 * 1024)	/* bytes of all bodies */
#define MF_HTTPD_SKIPPED_MAX (1024 * 1024)	/* bytes read past a limit before
											 * hanging up */
#define MF_HTTPD_IDLE_SECONDS 15	/* without a byte */
#define MF_HTTPD_REQUEST_SECONDS 30 /* from its first byte, for a whole request */

/* How often the page "not confirmed yet" asks again by itself */
#define MF_HTTPD_MAX_TRIES 6

typedef struct MfHttpd MfHttpd;

typedef struct MfHttpdConfig
{
	int			max_connections;
	const char *certificate;	/* PEM; NULL = without TLS */
	const char *key;
	int			idle_seconds;
	int			request_seconds;
} MfHttpdConfig;

typedef enum MfHttpdRoute
{
	MF_ROUTE_WEBHOOK,
	MF_ROUTE_CALLBACK,
	MF_ROUTE_HEALTH
} MfHttpdRoute;

/* A complete request; all strings are its own and UTF-8 without NUL. */
typedef struct MfHttpdRequest
{
	struct MfHttpdRequest *next;	/* of a list; the owner's once handed over */
	MfHttpdRoute route;
	char	   *name;			/* account or token, decoded */
	char	   *body;			/* of a webhook, ends with a NUL not counted */
	size_t		body_len;
	char	   *signature;		/* headers of a webhook, or NULL */
	char	   *version;
	char	   *payment_id;		/* of a callback, or NULL */
	int			tries;			/* of a callback: how often the page has asked */
	bool		left;			/* the client has, as far as can be told; set
								 * only if watched */
	char		peer[MF_HTTPD_PEER_SIZE];
	void	   *owner;			/* the owner's */
	struct MfHttpdExchange *exchange;	/* private */
} MfHttpdRequest;

/* What a request is answered with */
typedef enum MfHttpdAnswer
{
	MF_ANSWER_OK,				/* 200 */
	MF_ANSWER_MALFORMED,		/* 400 */
	MF_ANSWER_REFUSED,			/* 401 */
	MF_ANSWER_NOT_FOUND,		/* 404 */
	MF_ANSWER_UNAVAILABLE		/* 503, try again */
} MfHttpdAnswer;

/* What a page of our own says */
typedef enum MfHttpdPage
{
	MF_PAGE_CONFIRMED,
	MF_PAGE_NOT_COMPLETED,
	MF_PAGE_NOT_CONFIRMED_YET
} MfHttpdPage;

/* What was refused without the owner's knowledge, for the log */
typedef enum MfHttpdAbuse
{
	MF_ABUSE_PROTOCOL,			/* no HTTP, or no TLS, or headers too large */
	MF_ABUSE_REQUEST,			/* a path, method, header or argument that we
								 * have no use for */
	MF_ABUSE_TOO_LARGE,
	MF_ABUSE_TOO_SLOW,
	MF_ABUSE_CONNECTIONS,		/* more than there may be */
	MF_ABUSE_MEMORY,			/* more bodies at the same time than there may
								 * be */
	MF_ABUSE_KINDS
} MfHttpdAbuse;

typedef struct MfHttpdAbuseNote
{
	uint64_t	count;
	char		peer[MF_HTTPD_PEER_SIZE];	/* of the latest */
} MfHttpdAbuseNote;

/* NULL with a line in "error" if libmicrohttpd does not take the certificate, or has no memory. */
extern MfHttpd *mf_httpd_start(const MfHttpdConfig *config, char *error, size_t error_size);

/*
 * Ends all connections and frees everything, requests not answered included.
 */
extern void mf_httpd_stop(MfHttpd *httpd);

/* To be waited on for reading */
extern int	mf_httpd_fd(const MfHttpd *httpd);

/* Milliseconds; -1 = no limit.  Without connections there is none. */
extern long mf_httpd_timeout(MfHttpd *httpd);

/*
 * Takes an accepted, non-blocking socket, and closes it whatever comes.  At
 * the limit one without a complete request makes room: the one that has been
 * silent longest, or, where more than half of the places are those of requests
 * being received, the longest of these.  So neither those who hang on nor those
 * who never end keep others out.
 */
extern void mf_httpd_add(MfHttpd *httpd, int fd, const struct sockaddr *address, socklen_t length);

/* Goes on with everything; returns complete requests, oldest first, or NULL. */
extern MfHttpdRequest *mf_httpd_run(MfHttpd *httpd);

/*
 * Watches whether the client of a request that is not answered soon leaves;
 * mf_httpd_fd() is ready then, and mf_httpd_run() notes it in the request.
 */
extern void mf_httpd_watch(MfHttpdRequest *request);

/*
 * Answers; the request is gone afterwards, and the answer leaves with the next
 * mf_httpd_run().  With "trouble" a page comes with the status 503.
 */
extern void mf_httpd_answer(MfHttpdRequest *request, MfHttpdAnswer answer);
extern void mf_httpd_redirect(MfHttpdRequest *request, const char *url);
extern void mf_httpd_page(MfHttpdRequest *request, MfHttpdPage page, bool arabic, bool trouble);

/* Whether a redirect to this URL can be given: absolute, http or https, no control characters. */
extern bool mf_httpd_can_redirect(const char *url);

/* From now on connections end with their request, those without one at once. */
extern void mf_httpd_retire(MfHttpd *httpd);

extern int	mf_httpd_connections(const MfHttpd *httpd);

/* Requests being received or not answered */
extern int	mf_httpd_busy(const MfHttpd *httpd);

/* Requests whose head was complete, since the start */
extern uint64_t mf_httpd_requests(const MfHttpd *httpd);

/* One note per MfHttpdAbuse, for the owner to read and to reset */
extern MfHttpdAbuseNote *mf_httpd_abuse(MfHttpd *httpd);

#endif							/* MF_HTTPD_H */
