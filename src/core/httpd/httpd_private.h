/*
 * httpd_private.h
 *	  What the files of the HTTP server share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/httpd/httpd_private.h
 */
#ifndef MF_HTTPD_PRIVATE_H
#define MF_HTTPD_PRIVATE_H

#include <microhttpd.h>

#include "core/httpd/httpd.h"

typedef enum MfConnectionState
{
	MF_CONNECTION_WAITING,		/* for the head of a request */
	MF_CONNECTION_RECEIVING,	/* a body */
	MF_CONNECTION_WITH_OWNER,	/* complete, not answered */
	MF_CONNECTION_ANSWERED
} MfConnectionState;

/* One of a fixed number of slots for connections */
typedef struct MfConnection
{
	bool		taken;
	struct MHD_Connection *mhd; /* NULL = libmicrohttpd has not started it */
	int			fd;
	MfConnectionState state;
	int64_t		since;			/* when the present request began at the
								 * earliest, ms */
	bool		shut_down;		/* shut down by this server */
	bool		watched;		/* in our own epoll set */
	size_t		target_length;	/* length of the request target */
	unsigned int target_refused;	/* status to refuse it with, 0 = none */
	char		peer[MF_HTTPD_PEER_SIZE];
} MfConnection;

struct MfHttpd
{
	struct MHD_Daemon *daemon;
	int			fd;				/* epoll set: libmicrohttpd's own, and watched
								 * connections */
	int			max_connections;
	const char *const *prefixes;	/* of pages; NULL = none */
	bool		retired;
	int			connections;
	int			busy;
	uint64_t	requests;
	size_t		bodies;			/* bytes of all bodies held */
	int64_t		next_check;		/* when a request may be overdue; 0 = never */
	int			protocol_errors;	/* of libmicrohttpd, not yet assigned to a
								 * client */
	MfHttpdRequest *first;		/* complete, not yet returned */
	MfHttpdRequest *last;
	MfHttpdAbuseNote abuse[MF_ABUSE_KINDS];
	char		message[MF_HTTPD_ERROR_SIZE];	/* libmicrohttpd's latest */
	MfConnection *slots;
};

/* The request of one connection, from its head to the end of its answer */
typedef struct MfHttpdExchange
{
	MfHttpdRequest request;
	MfHttpd    *httpd;
	MfConnection *connection;
	size_t		allocated;		/* of the body */
	size_t		skipped;		/* bytes of the body not kept */
	unsigned int refused;		/* status to answer with once the body has
								 * been read, 0 = none */
	bool		last;			/* of this connection */
	unsigned int status;		/* of the answer */
	struct MHD_Response *response;	/* NULL = not answered yet */
} MfHttpdExchange;

/*
 * Decides by the head what to do with a request: fills it in and returns 0 if
 * it is for the owner, else returns the status to refuse it with, and sets
 * "allow" for 405.
 */
extern unsigned int mf_httpd_route(MfHttpdExchange *exchange, const char *path, const char *method,
								   const char *version, const char **allow);

/*
 * libmicrohttpd's callback for the request target as received, with its
 * arguments, before it is parsed.
 */
extern void *mf_httpd_check_target(void *cls, const char *target, struct MHD_Connection *mhd);

/*
 * Whether libmicrohttpd accepts heads that other programs read differently or
 * refuse, so that this server checks them itself.  Since 1.0 it refuses them
 * if it is strict.
 */
extern bool mf_httpd_reads_loosely(void);

/* Frees what the request owns, but not the request. */
extern void mf_httpd_free_request(MfHttpdRequest *request);

/* A short answer in plain text; NULL when out of memory. "allow" may be NULL. */
extern struct MHD_Response *mf_httpd_plain(unsigned int status, const char *allow);

/* The request is answered: ends the watch for its client. */
extern void mf_httpd_unwatch(MfHttpdExchange *exchange);

#endif							/* MF_HTTPD_PRIVATE_H */
