/*
 * listener_socket.h
 *	  The listening sockets of the listener.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_socket.h
 */
#ifndef MF_LISTENER_SOCKET_H
#define MF_LISTENER_SOCKET_H

#include "base/listen_address.h"
#include "core/httpd/httpd.h"
#include "process/worker_slots.h"

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

#endif							/* MF_LISTENER_SOCKET_H */
