/*
 * listener_internal.h
 *	  What the parts of the listener process share.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_internal.h
 */
#ifndef MF_LISTENER_INTERNAL_H
#define MF_LISTENER_INTERNAL_H

#include "datatype/timestamp.h"

#include "base/listen_address.h"
#include "core/httpd/httpd.h"
#include "database/run_transaction.h"
#include "inbound/inbound.h"
#include "process/worker_slots.h"

/* Room for a line that says why the listener cannot listen */
#define MF_LISTENER_ERROR_SIZE 256

typedef struct MfListener
{
	MfTransactionRunner runner;	/* its context is that of a batch of requests, and reset after it */
	MfSlot	   *slot;			/* in shared memory */
	MfListenerState *state;		/* likewise */
	int			max_waiting;	/* customers who may wait for a look-up */
} MfListener;

typedef struct MfListenSockets
{
	int			count;
	int			fd[MF_LISTEN_MAX];
	char		names[MF_LISTENER_ADDRESSES_SIZE];	/* addresses, for people */
} MfListenSockets;

/* Opens all sockets or none.  On failure "error" is one line. */
extern bool mf_listen_open(MfListenSockets *sockets, const char *addresses, int port, char *error, size_t error_size);
extern void mf_listen_close(MfListenSockets *sockets);

/*
 * Accepts some of the connections that have come.  False if the system lacks a file
 * descriptor or memory for them.
 */
extern bool mf_listen_accept(const MfListenSockets *sockets, MfHttpd *httpd);

typedef struct MfListenerTls
{
	bool		enabled;		/* else the other members are not set */
	char	   *certificate;	/* PEM, palloc'd */
	char	   *key;
	uint64		identity;		/* differs if one of the files differs */
} MfListenerTls;

/*
 * Reads the files that the settings name.  False with one line in "error" if one of
 * them is missing, not readable, or readable by others.
 */
extern bool mf_listener_tls_read(MfListenerTls *tls, char *error, size_t error_size);

/* Wipes the key. */
extern void mf_listener_tls_wipe(MfListenerTls *tls);

/*
 * Takes a list of complete requests, stores them, and answers them; customers may
 * have to wait, see mf_customer_answer().  False if the list is empty.  Raises no
 * error: requests that cannot be stored are answered so.
 */
extern bool mf_listener_serve(MfListener *listener, MfHttpdRequest *requests);

/* How long a customer waits for the look-up */
#define MF_CUSTOMER_WAIT_MS 5000

/*
 * Answers a stored callback, now or when the payment has been looked up.  One
 * customer waits for an invoice, the latest to come back.  If too many wait, the
 * one who has waited longest is answered.
 */
extern void mf_customer_answer(MfListener *listener, MfHttpdRequest *request, const MfInbound *message);

/* Answers those whose payment is known now or whose time is over; true if any was answered. */
extern bool mf_customers_attend(MfListener *listener);

/* When the time of one is over; 0 = nobody waits. */
extern TimestampTz mf_customers_alarm(void);

/* Answers all of them with what is known. */
extern void mf_customers_answer_all(void);

/* Reads the prefixes if they have changed, and tells the HTTP servers, of which either may be NULL. */
extern void mf_routes_attend(MfListener *listener, MfHttpd *httpd, MfHttpd *former);

/* Tells a new HTTP server the prefixes. */
extern void mf_routes_install(MfHttpd *httpd);

/* Takes over a request for a page, and answers it now or later. */
extern void mf_routes_add(MfListener *listener, MfHttpdRequest *request);

/* Passes requests and answers on; true if any was answered. */
extern bool mf_routes_run(void);

/* When mf_routes_run() is needed next; 0 = not before something happens. */
extern TimestampTz mf_routes_alarm(void);

/* Answers all requests for pages, with an error. */
extern void mf_routes_answer_all(void);

#endif							/* MF_LISTENER_INTERNAL_H */
