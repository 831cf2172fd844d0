/*
 * httpd.c
 *	  The HTTP server for webhooks and callbacks: connections.
 *
 * libmicrohttpd ends a connection that is silent, but not a client that sends
 * a byte now and then.  So this file keeps a list of the connections and
 * closes those whose request takes too long.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/httpd/httpd.c
 */
#include "core/httpd/httpd_private.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/api/webhook.h"

/* TLS 1.2 and later */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Slots for connections that were shut down but are not closed yet */
#define SPARE_SLOTS 64

/*
 * All calls come from one thread.  Since 0.9.77 libmicrohttpd must be told
 * so, or it starts a new connection only with the next event.
 */
#if MHD_VERSION >= 0x00097707
#define ONE_THREAD MHD_USE_NO_THREAD_SAFETY
#else
#define ONE_THREAD 0
#endif

/* Initial size of a buffer for a body */
#define BODY_START 2048

#define REQUEST_MS (MF_HTTPD_REQUEST_SECONDS * 1000)

/* How many clients that have left are handled at a time */
#define LEFT_AT_ONCE 64

static struct MHD_Daemon *start_daemon(MfHttpd *httpd, const char *certificate, const char *key);
static void store_message(void *cls, const char *format, va_list arguments) __attribute__((format(printf, 2, 0)));
static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text);
static void connection_changed(void *cls, struct MHD_Connection *mhd, void **context,
							   enum MHD_ConnectionNotificationCode code);
static void free_slot(MfHttpd *httpd, MfConnection *connection);
static bool make_room(MfHttpd *httpd);
static bool watch_library(MfHttpd *httpd, int fd);
static enum MHD_Result handle_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
									  const char *version, const char *data, size_t *size, void **context);
static enum MHD_Result begin_request(MfHttpd *httpd, MfConnection *connection, const char *url,
									 const char *method, const char *version, void **context);
static enum MHD_Result append_body(MfHttpdExchange *exchange, const char *data, size_t size);
static enum MHD_Result end_request(MfHttpdExchange *exchange);
static enum MHD_Result refuse(MfHttpdExchange *exchange, unsigned int status, const char *allow);
static void request_completed(void *cls, struct MHD_Connection *mhd, void **context,
							  enum MHD_RequestTerminationCode code);

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

MfHttpd *
mf_httpd_start(int max_connections, const char *certificate, const char *key, char *error, size_t error_size)
{
	MfHttpd    *httpd = calloc(1, sizeof(MfHttpd));
	const union MHD_DaemonInfo *info;

	if (httpd != NULL)
		httpd->slots = calloc((size_t) max_connections + SPARE_SLOTS, sizeof(MfConnection));
	if (httpd == NULL || httpd->slots == NULL)
	{
		free(httpd);
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	httpd->fd = -1;
	httpd->max_connections = max_connections;

	httpd->daemon = start_daemon(httpd, certificate, key);
	info = httpd->daemon == NULL ? NULL : MHD_get_daemon_info(httpd->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || !watch_library(httpd, info->epoll_fd))
	{
		snprintf(error, error_size, "%s", httpd->message[0] != '\0' ? httpd->message : "libmicrohttpd does not start");
		mf_httpd_stop(httpd);
		return NULL;
	}
	httpd->protocol_errors = 0;
	return httpd;
}

static struct MHD_Daemon *
start_daemon(MfHttpd *httpd, const char *certificate, const char *key)
{
	unsigned int flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
		MHD_USE_ERROR_LOG | ONE_THREAD;
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) (uintptr_t) certificate},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) (uintptr_t) key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0, (void *) (uintptr_t) TLS_PRIORITIES},
		{MHD_OPTION_END, 0, NULL}
	};

	if (certificate != NULL)
		flags |= MHD_USE_TLS;
	else
		tls[0].option = MHD_OPTION_END;

	/*
	 * The logger is the first option, so that it receives messages about
	 * the others.  Strictness is off: before 1.0 libmicrohttpd answers a
	 * missing Host with two heads if it is strict.  httpd_request.c checks
	 * the head itself.
	 */
	return MHD_start_daemon(flags, 0, NULL, NULL, handle_request, httpd,
							MHD_OPTION_EXTERNAL_LOGGER, store_message, httpd,
							MHD_OPTION_NOTIFY_CONNECTION, connection_changed, httpd,
							MHD_OPTION_NOTIFY_COMPLETED, request_completed, httpd,
							MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
							MHD_OPTION_URI_LOG_CALLBACK, mf_httpd_check_target, NULL,
							MHD_OPTION_CONNECTION_LIMIT, (unsigned int) httpd->max_connections + SPARE_SLOTS,
							MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) MF_HTTPD_HEADER_MEMORY,
							MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int) MF_HTTPD_IDLE_SECONDS,
							MHD_OPTION_STRICT_FOR_CLIENT, mf_httpd_reads_loosely() ? 0 : 1,
							MHD_OPTION_ARRAY, tls,
							MHD_OPTION_END);
}

void
mf_httpd_stop(MfHttpd *httpd)
{
	int			i;

	if (httpd->daemon != NULL)
	{
		/* libmicrohttpd ends no suspended connection */
		for (i = 0; i < httpd->max_connections + SPARE_SLOTS; i++)
		{
			if (httpd->slots[i].mhd != NULL && httpd->slots[i].state == MF_CONNECTION_WITH_OWNER)
				MHD_resume_connection(httpd->slots[i].mhd);
		}
		MHD_stop_daemon(httpd->daemon);
	}
	if (httpd->fd >= 0)
		close(httpd->fd);
	free(httpd->slots);
	free(httpd);
}

/* Adds libmicrohttpd's own epoll set to ours. */
static bool
watch_library(MfHttpd *httpd, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	httpd->fd = epoll_create1(EPOLL_CLOEXEC);
	return httpd->fd >= 0 && epoll_ctl(httpd->fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void
mf_httpd_watch(MfHttpdRequest *request)
{
	MfHttpdExchange *exchange = request->exchange;
	MfConnection *connection = exchange->connection;
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = exchange};

	/* a client that cannot be watched counts as present until it is answered */
	connection->watched = epoll_ctl(exchange->httpd->fd, EPOLL_CTL_ADD, connection->fd, &event) == 0;
}

void
mf_httpd_unwatch(MfHttpdExchange *exchange)
{
	MfConnection *connection = exchange->connection;

	if (connection->watched)
		(void) epoll_ctl(exchange->httpd->fd, EPOLL_CTL_DEL, connection->fd, NULL);
	connection->watched = false;
}

/* A client that has only closed its sending half gets its answer a little early. */
static void
note_clients_left(MfHttpd *httpd)
{
	struct epoll_event events[LEFT_AT_ONCE];
	int			count;
	int			i;

	do
	{
		count = epoll_wait(httpd->fd, events, LEFT_AT_ONCE, 0);
		for (i = 0; i < count; i++)
		{
			MfHttpdExchange *exchange = events[i].data.ptr;

			if (exchange == NULL)
				continue;
			exchange->request.left = true;
			mf_httpd_unwatch(exchange);
		}
	} while (count == LEFT_AT_ONCE);
}

/*
 * Stores libmicrohttpd's latest message, which contains nothing that a client
 * has sent.
 */
static void
store_message(void *cls, const char *format, va_list arguments)
{
	MfHttpd    *httpd = cls;
	size_t		length;

	vsnprintf(httpd->message, sizeof(httpd->message), format, arguments);
	length = strcspn(httpd->message, "\r\n");
	httpd->message[length] = '\0';
	httpd->protocol_errors++;
}

/* Leaves escapes as they are: httpd_request.c decodes what is used, strictly. */
static size_t
leave_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void) cls;
	(void) connection;
	return strlen(text);
}

void
mf_httpd_set_prefixes(MfHttpd *httpd, const char *const *prefixes)
{
	httpd->prefixes = prefixes;
}

int
mf_httpd_fd(const MfHttpd *httpd)
{
	return httpd->fd;
}

long
mf_httpd_timeout(MfHttpd *httpd)
{
	MHD_UNSIGNED_LONG_LONG library;
	int64_t		timeout = -1;

	if (httpd->first != NULL)
		return 0;
	if (MHD_get_timeout(httpd->daemon, &library) == MHD_YES)
		timeout = library > 60000 ? 60000 : (int64_t) library;
	if (httpd->next_check != 0)
	{
		int64_t		until = httpd->next_check - now_ms();

		if (until < 0)
			until = 0;
		if (timeout < 0 || until < timeout)
			timeout = until;
	}
	return (long) timeout;
}

int
mf_httpd_connections(const MfHttpd *httpd)
{
	return httpd->connections;
}

int
mf_httpd_busy(const MfHttpd *httpd)
{
	return httpd->busy;
}

uint64_t
mf_httpd_requests(const MfHttpd *httpd)
{
	return httpd->requests;
}

MfHttpdAbuseNote *
mf_httpd_abuse(MfHttpd *httpd)
{
	return httpd->abuse;
}

/* Counts something refused, for the owner's log. */
static void
note_refusal(MfHttpd *httpd, MfHttpdAbuse kind, const MfConnection *connection)
{
	httpd->abuse[kind].count++;
	memcpy(httpd->abuse[kind].peer, connection->peer, sizeof(connection->peer));
}

static void
describe_peer(const struct sockaddr *address, char *peer, size_t size)
{
	const void *source = NULL;

	if (address->sa_family == AF_INET)
		source = &((const struct sockaddr_in *) (const void *) address)->sin_addr;
	else if (address->sa_family == AF_INET6)
		source = &((const struct sockaddr_in6 *) (const void *) address)->sin6_addr;
	if (source == NULL || inet_ntop(address->sa_family, source, peer, (socklen_t) size) == NULL)
		snprintf(peer, size, "unknown");
}

void
mf_httpd_add(MfHttpd *httpd, int fd, const struct sockaddr *address, socklen_t length)
{
	MfConnection *connection = NULL;
	MfConnection newcomer;
	int			i;

	memset(&newcomer, 0, sizeof(newcomer));
	describe_peer(address, newcomer.peer, sizeof(newcomer.peer));
	newcomer.fd = fd;
	newcomer.since = now_ms();

	if (httpd->connections >= httpd->max_connections)
	{
		note_refusal(httpd, MF_ABUSE_CONNECTIONS, &newcomer);
		if (!make_room(httpd))
		{
			close(fd);
			return;
		}
	}
	for (i = 0; i < httpd->max_connections + SPARE_SLOTS && connection == NULL; i++)
	{
		if (!httpd->slots[i].taken)
			connection = &httpd->slots[i];
	}
	if (connection == NULL)
	{
		close(fd);
		return;
	}

	/*
	 * connection_changed() finds the slot by the descriptor, now or later;
	 * libmicrohttpd closes the descriptor in any case
	 */
	newcomer.taken = true;
	*connection = newcomer;
	httpd->connections++;
	if (MHD_add_connection(httpd->daemon, fd, address, length) != MHD_YES &&
		connection->taken && connection->mhd == NULL)
		free_slot(httpd, connection);
}

/* Another connection may use the slot from now on. */
static void
free_slot(MfHttpd *httpd, MfConnection *connection)
{
	if (!connection->shut_down)
		httpd->connections--;
	memset(connection, 0, sizeof(MfConnection));
	if (httpd->connections == 0)
		httpd->next_check = 0;
}

/* libmicrohttpd's callback: a connection has started or ended. */
static void
connection_changed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
	MfHttpd    *httpd = cls;
	MfConnection *connection = *context;
	int			fd;
	int			i;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
		for (i = 0; i < httpd->max_connections + SPARE_SLOTS; i++)
		{
			connection = &httpd->slots[i];
			if (connection->taken && connection->mhd == NULL && connection->fd == fd)
			{
				connection->mhd = mhd;
				*context = connection;
				if (httpd->next_check == 0)
					httpd->next_check = connection->since + REQUEST_MS;
				return;
			}
		}
		return;
	}

	if (connection == NULL)
		return;
	/* no request in what it has sent */
	if (!connection->shut_down && httpd->protocol_errors > 0 && connection->state == MF_CONNECTION_WAITING)
		note_refusal(httpd, MF_ABUSE_PROTOCOL, connection);
	httpd->protocol_errors = 0;
	free_slot(httpd, connection);
	*context = NULL;
}

/* Shuts a connection down; libmicrohttpd notices and closes it. */
static void
shut_down_connection(MfHttpd *httpd, MfConnection *connection)
{
	if (connection->shut_down)
		return;
	connection->shut_down = true;
	httpd->connections--;
	shutdown(connection->fd, SHUT_RDWR);
}

/*
 * Closes the connection that has been silent longest, so that many silent
 * ones do not keep out a webhook.  If none is silent, or half of the slots
 * hold requests being received, closes the oldest of those.  False if there
 * is neither.
 */
static bool
make_room(MfHttpd *httpd)
{
	MfConnection *silent = NULL;
	MfConnection *receiving = NULL;
	int			receiving_count = 0;
	int			i;

	for (i = 0; i < httpd->max_connections + SPARE_SLOTS; i++)
	{
		MfConnection *connection = &httpd->slots[i];
		MfConnection **longest = connection->state == MF_CONNECTION_WAITING ? &silent :
			connection->state == MF_CONNECTION_RECEIVING ? &receiving : NULL;

		if (connection->mhd == NULL || connection->shut_down || longest == NULL)
			continue;
		receiving_count += connection->state == MF_CONNECTION_RECEIVING;
		if (*longest == NULL || connection->since < (*longest)->since)
			*longest = connection;
	}
	if (silent == NULL || receiving_count * 2 > httpd->max_connections)
		silent = receiving != NULL ? receiving : silent;
	if (silent == NULL)
		return false;
	shut_down_connection(httpd, silent);
	return true;
}

/* Closes connections whose request, or whose reading of the answer, takes too long. */
static void
end_overdue(MfHttpd *httpd)
{
	int64_t		now = now_ms();
	int			i;

	if (httpd->next_check == 0 || now < httpd->next_check)
		return;
	httpd->next_check = 0;
	for (i = 0; i < httpd->max_connections + SPARE_SLOTS; i++)
	{
		MfConnection *connection = &httpd->slots[i];
		int64_t		due = connection->since + REQUEST_MS;

		if (connection->mhd == NULL || connection->shut_down)
			continue;
		if (connection->state == MF_CONNECTION_WITH_OWNER)
			due = now + REQUEST_MS;
		if (due <= now)
		{
			note_refusal(httpd, MF_ABUSE_TOO_SLOW, connection);
			shut_down_connection(httpd, connection);
		}
		else if (httpd->next_check == 0 || due < httpd->next_check)
			httpd->next_check = due;
	}
}

void
mf_httpd_retire(MfHttpd *httpd)
{
	int			i;

	httpd->retired = true;
	for (i = 0; i < httpd->max_connections + SPARE_SLOTS; i++)
	{
		if (httpd->slots[i].mhd != NULL && httpd->slots[i].state == MF_CONNECTION_WAITING)
			shut_down_connection(httpd, &httpd->slots[i]);
	}
}

MfHttpdRequest *
mf_httpd_run(MfHttpd *httpd)
{
	MfHttpdRequest *list;

	end_overdue(httpd);
	note_clients_left(httpd);
	(void) MHD_run(httpd->daemon);
	list = httpd->first;
	httpd->first = httpd->last = NULL;
	return list;
}

/*
 * libmicrohttpd's callback: once for the head, once for each part of the
 * body, once for the end.
 */
static enum MHD_Result
handle_request(void *cls, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
			   const char *data, size_t *size, void **context)
{
	MfHttpd    *httpd = cls;
	MfHttpdExchange *exchange = *context;
	enum MHD_Result result;

	if (exchange == NULL)
	{
		MfConnection *connection = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;

		return begin_request(httpd, connection, url, method, version, context);
	}
	if (*size > 0)
	{
		result = append_body(exchange, data, *size);
		*size = 0;
		return result;
	}
	return end_request(exchange);
}

/* Handles the head of a request. */
static enum MHD_Result
begin_request(MfHttpd *httpd, MfConnection *connection, const char *url, const char *method, const char *version,
			  void **context)
{
	MfHttpdExchange *exchange = connection == NULL ? NULL : calloc(1, sizeof(MfHttpdExchange));
	const char *allow = NULL;
	unsigned int status;

	if (exchange == NULL)
		return MHD_NO;
	exchange->httpd = httpd;
	exchange->connection = connection;
	exchange->request.exchange = exchange;
	memcpy(exchange->request.peer, connection->peer, sizeof(connection->peer));
	connection->state = MF_CONNECTION_RECEIVING;
	httpd->requests++;
	httpd->busy++;
	*context = exchange;

	status = mf_httpd_route(exchange, url, method, version, &allow);
	return status == 0 ? MHD_YES : refuse(exchange, status, allow);
}

/* Appends a part of the body, within limits; what exceeds them is read and dropped. */
static enum MHD_Result
append_body(MfHttpdExchange *exchange, const char *data, size_t size)
{
	MfHttpdRequest *request = &exchange->request;
	MfHttpd    *httpd = exchange->httpd;
	size_t		need = request->body_len + size + 1;

	if (need > MF_WEBHOOK_MAX_BODY + 1 && exchange->refused == 0)
		exchange->refused = MHD_HTTP_CONTENT_TOO_LARGE;
	if (exchange->refused == 0 && request->route == MF_ROUTE_WEBHOOK && need > exchange->allocated)
	{
		size_t		allocate = exchange->allocated == 0 ? BODY_START : exchange->allocated;
		char	   *body = NULL;

		while (allocate < need)
			allocate *= 2;
		if (allocate > MF_WEBHOOK_MAX_BODY + 1)
			allocate = MF_WEBHOOK_MAX_BODY + 1;
		if (httpd->bodies + (allocate - exchange->allocated) > MF_HTTPD_BODIES_TOTAL ||
				 (body = realloc(request->body, allocate)) == NULL)
			exchange->refused = MHD_HTTP_SERVICE_UNAVAILABLE;
		else
		{
			request->body = body;
			httpd->bodies += allocate - exchange->allocated;
			exchange->allocated = allocate;
		}
	}
	if (exchange->refused != 0 || request->route != MF_ROUTE_WEBHOOK)
	{
		exchange->skipped += size;
		if (exchange->skipped <= MF_HTTPD_SKIPPED_MAX)
			return MHD_YES;
		note_refusal(httpd, MF_ABUSE_TOO_LARGE, exchange->connection);
		return MHD_NO;
	}
	memcpy(request->body + request->body_len, data, size);
	request->body_len += size;
	request->body[request->body_len] = '\0';
	return MHD_YES;
}

/* The request is complete: passes it to the owner, or answers it with an error. */
static enum MHD_Result
end_request(MfHttpdExchange *exchange)
{
	MfHttpd    *httpd = exchange->httpd;
	MfConnection *connection = exchange->connection;

	if (exchange->refused != 0)
		return refuse(exchange, exchange->refused, NULL);

	if (connection->state == MF_CONNECTION_ANSWERED)
	{
		enum MHD_Result result;

		if (exchange->response == NULL)
			return MHD_NO;
		result = MHD_queue_response(connection->mhd, exchange->status, exchange->response);
		MHD_destroy_response(exchange->response);
		exchange->response = NULL;
		return result;
	}

	connection->state = MF_CONNECTION_WITH_OWNER;
	if (httpd->last != NULL)
		httpd->last->next = &exchange->request;
	else
		httpd->first = &exchange->request;
	httpd->last = &exchange->request;
	MHD_suspend_connection(connection->mhd);
	return MHD_YES;
}

/* Answers a request that the owner does not see, and ends its connection. */
static enum MHD_Result
refuse(MfHttpdExchange *exchange, unsigned int status, const char *allow)
{
	struct MHD_Response *response = mf_httpd_plain(status, allow);
	MfConnection *connection = exchange->connection;
	enum MHD_Result result = MHD_NO;

	note_refusal(exchange->httpd,
				 status == MHD_HTTP_CONTENT_TOO_LARGE || status == MHD_HTTP_URI_TOO_LONG ? MF_ABUSE_TOO_LARGE :
				 status == MHD_HTTP_SERVICE_UNAVAILABLE ? MF_ABUSE_MEMORY : MF_ABUSE_REQUEST, connection);
	connection->state = MF_CONNECTION_ANSWERED;
	if (response != NULL)
	{
		if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES)
			result = MHD_queue_response(connection->mhd, status, response);
		MHD_destroy_response(response);
	}
	return result;
}

/* libmicrohttpd's callback: the answer was sent, or the connection is lost. */
static void
request_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	MfHttpdExchange *exchange = *context;
	MfHttpd    *httpd = cls;
	MfConnection *connection;

	(void) mhd;
	if (exchange == NULL)
		return;
	connection = exchange->connection;
	if (code == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED && !connection->shut_down)
		note_refusal(httpd, MF_ABUSE_TOO_SLOW, connection);
	httpd->busy--;
	httpd->bodies -= exchange->allocated;
	if (exchange->response != NULL)
		MHD_destroy_response(exchange->response);
	mf_httpd_free_request(&exchange->request);
	free(exchange);
	*context = NULL;

	connection->since = now_ms();
	connection->state = code == MHD_REQUEST_TERMINATED_COMPLETED_OK ? MF_CONNECTION_WAITING : MF_CONNECTION_ANSWERED;
	if (httpd->retired)
		shut_down_connection(httpd, connection);
}
