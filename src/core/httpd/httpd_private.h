/*
 * httpd_private.h
 *	  What the parts of the HTTP server share.
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

/* One of a fixed number of places for connections */
typedef struct MfConnection
{
	bool		taken;
	struct MHD_Connection *mhd; /* NULL = libmicrohttpd has not begun with it */
	int			fd;
	MfConnectionState state;
	int64_t		since;			/* when the present request began at the
								 * earliest, ms */
	bool		told_to_go;		/* shut down by us */
	bool		watched;		/* in our own epoll set */
	size_t		target_length;	/* of the address that the request gives */
	unsigned int target_refused;	/* status to refuse it with; 0 = none */
	char		peer[MF_HTTPD_PEER_SIZE];
} MfConnection;

struct MfHttpd
{
	struct MHD_Daemon *daemon;
	int			fd;				/* epoll set: libmicrohttpd's own, and the
								 * connections that are watched */
	int			max_connections;
	int64_t		request_ms;
	bool		retired;
	int			connections;
	int			busy;
	uint64_t	requests;
	size_t		bodies;			/* bytes of all bodies held */
	int64_t		next_check;		/* when a request may be overdue; 0 = never */
	int			complaints;		/* of libmicrohttpd, not yet put down to a peer */
	MfHttpdRequest *first;		/* complete, not yet handed over */
	MfHttpdRequest *last;
	MfHttpdAbuseNote abuse[MF_ABUSE_KINDS];
	char		message[MF_HTTPD_ERROR_SIZE];	/* libmicrohttpd's latest */
	MfConnection *places;
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
								 * been read; 0 = none */
	bool		last;			/* of its connection */
	unsigned int status;		/* of the answer */
	struct MHD_Response *response;	/* NULL = not answered yet */
} MfHttpdExchange;

/*
 * What to do with a request, seen from its head: 0 if it is one of ours (and
 * the request is filled in), else the status to refuse it with; "allow" is
 * then set for 405.
 */
extern unsigned int mf_httpd_route(MfHttpdExchange *exchange, const char *path, const char *method,
								   const char *version, const char **allow);

/*
 * libmicrohttpd's callback for the address of a request as it was received, its
 * arguments included, before anything of it is taken apart.
 */
extern void *mf_httpd_look_at_target(void *cls, const char *target, struct MHD_Connection *mhd);

/*
 * Whether libmicrohttpd takes heads that others read differently or refuse: then
 * we look for ourselves.  From 1.0 on it refuses them if it is told to be strict.
 */
extern bool mf_httpd_reads_loosely(void);

/* Frees what the request holds, not itself. */
extern void mf_httpd_free_request(MfHttpdRequest *request);

/* A short answer in plain text; NULL when out of memory.  "allow" may be NULL. */
extern struct MHD_Response *mf_httpd_plain(unsigned int status, const char *allow);

/* The request is answered: it is watched no longer. */
extern void mf_httpd_unwatch(MfHttpdExchange *exchange);

/* Notes something refused. */
extern void mf_httpd_note(MfHttpd *httpd, MfHttpdAbuse kind, const MfConnection *connection);

#endif							/* MF_HTTPD_PRIVATE_H */
