/*
 * server.c
 *	  A small server on the loopback interface; tests decide every byte that
 *	  it sends.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/server.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void
check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "test server: %s: %s\n", what, strerror(errno));
	abort();
}

static void *
run_connection(void *arg)
{
	Connection *connection = arg;
	Server	   *server = connection->server;
	bool		ready = true;

	if (server->tls)
	{
		SSL		   *tls = SSL_new(server->tls_context);

		SSL_set_fd(tls, connection->fd);
		ready = (SSL_accept(tls) == 1);
		connection->tls = tls;
	}
	if (ready)
		server->handler(connection);

	if (connection->tls != NULL)
	{
		if (ready)
			SSL_shutdown(connection->tls);
		SSL_free(connection->tls);
	}
	pthread_mutex_lock(&server->lock);
	server->fds[connection->number] = -1;
	close(connection->fd);
	server->closed++;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	free(connection->request);
	free(connection->ahead);
	free(connection);
	return NULL;
}

static void *
accept_loop(void *arg)
{
	Server	   *server = arg;

	for (;;)
	{
		int			one = 1;
		int			fd = accept(server->listen_fd, NULL, NULL);
		Connection *connection;

		if (fd < 0)
			return NULL;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		connection = calloc(1, sizeof(Connection));
		check(connection != NULL, "calloc");
		connection->server = server;
		connection->fd = fd;
		pthread_mutex_lock(&server->lock);
		check(server->connections < 4096, "too many connections");
		connection->number = server->connections++;
		server->fds[connection->number] = fd;
		check(pthread_create(&server->threads[connection->number], NULL, run_connection, connection) == 0,
			  "pthread_create");
		pthread_cond_broadcast(&server->changed);
		pthread_mutex_unlock(&server->lock);
	}
}

static Server *
start(Handler handler, void *arg, bool tls, int max_version)
{
	struct sockaddr_in address = {0};
	socklen_t	len = sizeof(address);
	pthread_condattr_t attributes;
	Server	   *server = calloc(1, sizeof(Server));
	sigset_t	all;
	sigset_t	saved;

	check(server != NULL, "calloc");
	server->handler = handler;
	server->arg = arg;
	server->tls = tls;
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&server->changed, &attributes);
	pthread_condattr_destroy(&attributes);

	if (tls)
	{
		server->tls_context = SSL_CTX_new(TLS_server_method());
		check(server->tls_context != NULL, "SSL_CTX_new");
		/* old versions need a lower security level */
		SSL_CTX_set_cipher_list(server->tls_context, "DEFAULT:@SECLEVEL=0");
		SSL_CTX_set_min_proto_version(server->tls_context, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(server->tls_context, max_version);
		check(SSL_CTX_use_certificate_file(server->tls_context, MF_BUILD "/tls/server.pem", SSL_FILETYPE_PEM) == 1 &&
			  SSL_CTX_use_PrivateKey_file(server->tls_context, MF_BUILD "/tls/server.key", SSL_FILETYPE_PEM) == 1,
			  "certificate");
	}
	server->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(bind(server->listen_fd, (struct sockaddr *) &address, sizeof(address)) == 0, "bind");
	check(listen(server->listen_fd, 128) == 0, "listen");
	check(getsockname(server->listen_fd, (struct sockaddr *) &address, &len) == 0, "getsockname");
	server->port = ntohs(address.sin_port);

	/* a write to a closed connection must neither end the test nor go unnoticed */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	check(pthread_create(&server->acceptor, NULL, accept_loop, server) == 0, "pthread_create");
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return server;
}

Server *
server_start(Handler handler, void *arg)
{
	return start(handler, arg, false, 0);
}

Server *
server_start_tls(Handler handler, void *arg, int max_version)
{
	return start(handler, arg, true, max_version);
}

void
server_stop(Server *server)
{
	int			i;

	shutdown(server->listen_fd, SHUT_RDWR);
	pthread_join(server->acceptor, NULL);
	close(server->listen_fd);
	pthread_mutex_lock(&server->lock);
	for (i = 0; i < server->connections; i++)
	{
		if (server->fds[i] >= 0)
			shutdown(server->fds[i], SHUT_RDWR);
	}
	pthread_mutex_unlock(&server->lock);
	for (i = 0; i < server->connections; i++)
		pthread_join(server->threads[i], NULL);
	if (server->tls_context != NULL)
		SSL_CTX_free(server->tls_context);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

const char *
server_url(const Server *server)
{
	static char url[64];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d", server->tls ? "https" : "http", server->port);
	return url;
}

int
server_connections(Server *server)
{
	int			count;

	pthread_mutex_lock(&server->lock);
	count = server->connections;
	pthread_mutex_unlock(&server->lock);
	return count;
}

int
server_requests(Server *server)
{
	int			count;

	pthread_mutex_lock(&server->lock);
	count = server->requests;
	pthread_mutex_unlock(&server->lock);
	return count;
}

static bool
wait_counter(Server *server, const int *counter, int count)
{
	struct timespec until;
	int			rc = 0;
	bool		reached;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&server->lock);
	while (*counter < count && rc == 0)
		rc = pthread_cond_timedwait(&server->changed, &server->lock, &until);
	reached = (*counter >= count);
	pthread_mutex_unlock(&server->lock);
	return reached;
}

bool
server_wait_requests(Server *server, int count)
{
	return wait_counter(server, &server->requests, count);
}

bool
server_wait_closed(Server *server, int count)
{
	return wait_counter(server, &server->closed, count);
}

bool
server_wait_events(Server *server, int count)
{
	return wait_counter(server, &server->events, count);
}

void
server_event(Server *server)
{
	pthread_mutex_lock(&server->lock);
	server->events++;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static long
read_bytes(Connection *connection, char *buffer, size_t size)
{
	if (connection->tls != NULL)
		return SSL_read(connection->tls, buffer, (int) size);
	return recv(connection->fd, buffer, size, 0);
}

bool
connection_read_some(Connection *connection)
{
	long		n;

	if (connection->ahead_size - connection->ahead_len < 4096)
	{
		connection->ahead_size = connection->ahead_size * 2 + 8192;
		connection->ahead = realloc(connection->ahead, connection->ahead_size);
		check(connection->ahead != NULL, "realloc");
	}
	n = read_bytes(connection, connection->ahead + connection->ahead_len,
				   connection->ahead_size - connection->ahead_len);
	if (n <= 0)
		return false;
	connection->ahead_len += (size_t) n;
	return true;
}

bool
connection_read_request(Connection *connection)
{
	char	   *end;
	char	   *value;
	size_t		head;

	free(connection->request);
	connection->request = NULL;
	while (connection->ahead_len == 0 ||
		   (end = memmem(connection->ahead, connection->ahead_len, "\r\n\r\n", 4)) == NULL)
	{
		if (!connection_read_some(connection))
			return false;
	}
	head = (size_t) (end - connection->ahead) + 4;
	connection->request = strndup(connection->ahead, head);
	value = connection_header(connection, "Content-Length");
	connection->body_len = (value != NULL) ? strtoul(value, NULL, 10) : 0;
	free(value);
	free(connection->request);
	connection->request = NULL;
	while (connection->ahead_len < head + connection->body_len)
	{
		if (!connection_read_some(connection))
			return false;
	}
	connection->request_len = head + connection->body_len;
	connection->request = malloc(connection->request_len + 1);
	check(connection->request != NULL, "malloc");
	memcpy(connection->request, connection->ahead, connection->request_len);
	connection->request[connection->request_len] = '\0';
	connection->body = connection->request + head;
	connection->ahead_len -= connection->request_len;
	memmove(connection->ahead, connection->ahead + connection->request_len, connection->ahead_len);

	pthread_mutex_lock(&connection->server->lock);
	connection->server->requests++;
	pthread_cond_broadcast(&connection->server->changed);
	pthread_mutex_unlock(&connection->server->lock);
	return true;
}

void
connection_drain(Connection *connection)
{
	char		buffer[65536];

	while (read_bytes(connection, buffer, sizeof(buffer)) > 0)
		;
}

bool
connection_send(Connection *connection, const char *data, size_t len)
{
	while (len > 0)
	{
		long		n;

		if (connection->tls != NULL)
			n = SSL_write(connection->tls, data, (int) len);
		else
			n = send(connection->fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t) n;
	}
	return true;
}

bool
connection_reply(Connection *connection, const char *status, const char *body)
{
	char		head[256];
	int			len;

	len = snprintf(head, sizeof(head),
				   "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
				   status, strlen(body));
	return connection_send(connection, head, (size_t) len) &&
		connection_send(connection, body, strlen(body));
}

void
connection_reset(Connection *connection)
{
	struct linger now = {1, 0};

	setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

char *
connection_header(const Connection *connection, const char *name)
{
	const char *line = connection->request;
	size_t		len = strlen(name);

	while ((line = strstr(line, "\r\n")) != NULL)
	{
		line += 2;
		if (*line == '\r')
			break;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':')
		{
			line += len + 1;
			line += strspn(line, " ");
			return strndup(line, strcspn(line, "\r"));
		}
	}
	return NULL;
}
