/*
 * server.h
 *	  A small server on the loopback interface; tests decide every byte that
 *	  it sends.
 *
 * One thread accepts connections; each connection has a thread that runs the
 * test's handler.  Uses nothing of the code under test.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * test/core/server.h
 */
#ifndef MF_TEST_SERVER_H
#define MF_TEST_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Server Server;

typedef struct Connection
{
	Server	   *server;
	int			number;			/* 0 for the first that was accepted */
	int			fd;
	void	   *tls;			/* SSL, after connection_handshake() */

	/* the request read last */
	char	   *request;		/* as it came, with a NUL behind it */
	size_t		request_len;
	const char *body;			/* in there */
	size_t		body_len;

	/* bytes read ahead of it */
	char	   *ahead;
	size_t		ahead_len;
	size_t		ahead_size;
} Connection;

/* Runs on the thread of the connection, which is closed when it returns. */
typedef void (*Handler) (Connection *connection);

struct Server
{
	int			port;
	void	   *arg;			/* the test's */
	Handler		handler;
	bool		tls;			/* do a handshake before the handler */
	int			tls_max_version;	/* 0 = any */

	/* counters; use the functions below */
	int			connections;
	int			requests;		/* whole ones */
	int			closed;			/* handlers that returned */
	int			events;			/* of the test's own */

	int			listen_fd;
	void	   *tls_context;
	pthread_t	acceptor;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t	threads[4096];
	int			fds[4096];		/* -1 when closed */
};

extern Server *server_start(Handler handler, void *arg);
extern Server *server_start_tls(Handler handler, void *arg, int max_version);

/* Closes everything, waits for every thread, and frees. */
extern void server_stop(Server *server);

/* "http://127.0.0.1:port"; static memory */
extern const char *server_url(const Server *server);

extern int	server_connections(Server *server);
extern int	server_requests(Server *server);

/* Waits until the counter has reached the value; false after a minute. */
extern bool server_wait_requests(Server *server, int count);
extern bool server_wait_closed(Server *server, int count);
extern bool server_wait_events(Server *server, int count);
extern void server_event(Server *server);

/* Reads at least one more byte; false at the end of the connection. */
extern bool connection_read_some(Connection *connection);

/* Reads a whole request with its body; false if the connection ends before. */
extern bool connection_read_request(Connection *connection);

/* Reads until the client closes. */
extern void connection_drain(Connection *connection);

extern bool connection_send(Connection *connection, const char *data, size_t len);

/* "HTTP/1.1 <status>", Content-Length, a JSON body */
extern bool connection_reply(Connection *connection, const char *status, const char *body);

/* Makes the connection end with a reset. */
extern void connection_reset(Connection *connection);

/* The value of a header of the request, malloc'd; NULL if there is none. */
extern char *connection_header(const Connection *connection, const char *name);

#endif							/* MF_TEST_SERVER_H */
