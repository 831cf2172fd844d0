/*
 * listener.h
 *	  The listener of a database: the process that webhooks and callbacks come
 *	  in by.
 *
 * The worker of the database starts it and ends it; what others see of it is
 * in the worker's slot in shared memory.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener.h
 */
#ifndef MF_LISTENER_H
#define MF_LISTENER_H

#include "datatype/timestamp.h"

#include "base/listen_address.h"
#include "core/httpd/httpd.h"
#include "process/worker_slots.h"

/* More connections than this are too many; fewer where the process may not open as many files. */
#define MF_LISTENER_MAX_CONNECTIONS 512

/*
 * How long a customer waits for the look-up of the payment, and which part of
 * all connections may do so: the others are for webhooks.
 */
#define MF_CALLBACK_WAIT_MS 5000
#define MF_CALLBACK_SHARE 4

#define MF_LISTEN_ERROR_SIZE 256

extern PGDLLEXPORT void mf_listener_main(Datum main_arg);

/*
 * Of the worker, in listener_start.c.  Sees to it that the listener runs if
 * the settings want it; returns when to be called again even if nothing
 * happens, 0 = never.
 */
extern TimestampTz mf_listener_attend(MfSlot *slot);

/* The settings may have changed: failures so far do not count. */
extern void mf_listener_reconsider(void);

/* Has the listener end, and with "wait" awaits it for a moment. */
extern void mf_listener_end(MfSlot *slot, bool wait);

/* Shows an error in mf_listener_status. */
extern void mf_listener_show_error(MfListenerState *state, const char *error);

/* Sockets, in listener_socket.c */
typedef struct MfListenSockets
{
	int			count;
	int			fd[MF_LISTEN_MAX];
	char		names[MF_LISTENER_ADDRESSES_SIZE];	/* addresses, for people */
} MfListenSockets;

/* Opens all of them or none; then "error" tells why. */
extern bool mf_listen_open(MfListenSockets *sockets, const char *addresses, int port, char *error, size_t error_size);
extern void mf_listen_close(MfListenSockets *sockets);

/*
 * Accepts some of the connections that have come.  False if the system has no
 * descriptor or memory for them just now.
 */
extern bool mf_listen_accept(const MfListenSockets *sockets, MfHttpd *httpd);

/* A whole PEM file, palloc'd; NULL with a line in "error". */
extern char *mf_listen_read_pem(const char *setting, const char *path, bool secret, char *error, size_t error_size);

/* What is done with requests, in listener_serve.c */
typedef struct MfService
{
	Oid			schema;
	Oid			extension;
	MfListenerState *state;
	MemoryContext context;		/* reset after each batch */
	bool		gone;			/* the extension is */
	int			max_waiting;	/* customers who may wait for a look-up */
} MfService;

/* Stores and answers complete requests, which it takes; true if any was answered. */
extern bool mf_serve(MfService *service, MfHttpdRequest *requests);

/* Answers those who wait for a look-up, if there is news or their time is over. */
extern bool mf_serve_waiting(MfService *service);

/* Answers them with what is known. */
extern void mf_serve_end_waiting(MfService *service);

/* When mf_serve_waiting() has something to do; 0 = nobody waits */
extern TimestampTz mf_serve_alarm(void);

/* A line in the log about things refused: once a minute for each kind.  Returns when the next is due. */
extern TimestampTz mf_serve_log(MfService *service, MfHttpd *httpd);

#endif							/* MF_LISTENER_H */
