/*
 * listener_socket.c
 *	  The listening sockets of the listener.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/listener_socket.c
 */
#include "postgres.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port/pg_bswap.h"

#include "inbound/listener_internal.h"

#define LISTEN_BACKLOG 128

/* Connections accepted at once by all sockets, before the established ones are served */
#define ACCEPT_AT_ONCE 32

/* A listening socket, or -1 with errno */
static int
open_socket(MfListenAddress *address, int port)
{
	int			family = address->address.any.sa_family;
	int			fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int			on = 1;
	int			save_errno;

	if (fd < 0)
		return -1;
	if (family == AF_INET)
		address->address.in.sin_port = pg_hton16((uint16) port);
	else
		address->address.in6.sin6_port = pg_hton16((uint16) port);
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(family != AF_INET6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
		bind(fd, &address->address.any, address->length) == 0 &&
		listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	save_errno = errno;
	close(fd);
	errno = save_errno;
	return -1;
}

bool
mf_listen_open(MfListenSockets *sockets, const char *text, int port, char *error, size_t error_size)
{
	MfListenAddress addresses[MF_LISTEN_MAX];
	char		name[INET6_ADDRSTRLEN];
	int			count = mf_listen_parse_addresses(text, addresses, error, error_size);
	int			i;

	memset(sockets, 0, sizeof(MfListenSockets));
	for (i = 0; i < count; i++)
	{
		int			fd = open_socket(&addresses[i], port);

		if (fd >= 0)
		{
			sockets->fd[sockets->count++] = fd;
			if (sockets->names[0] != '\0')
				strlcat(sockets->names, ", ", sizeof(sockets->names));
			strlcat(sockets->names, mf_listen_address_name(&addresses[i], name, sizeof(name)), sizeof(sockets->names));
			continue;
		}
		snprintf(error, error_size, "could not listen on %s, port %d: %s",
				 mf_listen_address_name(&addresses[i], name, sizeof(name)), port, strerror(errno));
		if (!addresses[i].optional || (errno != EADDRNOTAVAIL && errno != EAFNOSUPPORT))
		{
			mf_listen_close(sockets);
			return false;
		}
	}
	return sockets->count > 0;
}

void
mf_listen_close(MfListenSockets *sockets)
{
	while (sockets->count > 0)
		close(sockets->fd[--sockets->count]);
	sockets->names[0] = '\0';
}

bool
mf_listen_accept(const MfListenSockets *sockets, MfHttpd *httpd)
{
	int			i;

	for (i = 0; i < sockets->count; i++)
	{
		int			accepted = 0;

		/* so that one busy socket does not keep the others waiting */
		while (accepted < ACCEPT_AT_ONCE / sockets->count)
		{
			struct sockaddr_storage address;
			socklen_t	length = sizeof(address);
			int			on = 1;
			int			fd = accept4(sockets->fd[i], (struct sockaddr *) &address, &length,
									 SOCK_NONBLOCK | SOCK_CLOEXEC);

			if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
				return false;
			if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
				continue;
			if (fd < 0)
				break;
			(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
			mf_httpd_add(httpd, fd, (struct sockaddr *) &address, length);
			accepted++;
		}
	}
	return true;
}
