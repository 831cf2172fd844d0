/*
 * http.c
 *	  POST requests on one libcurl multi handle, with evidence of what left.
 *
 * libcurl tells us its sockets and its next deadline by callbacks; the sockets
 * go into one epoll descriptor for the owner to wait on.  A transfer is an
 * easy handle of a target with every option of that target already set; it is
 * taken from the target's free list, serves one exchange and goes back.
 *
 * Callbacks only write into the exchange and into epoll: they neither allocate
 * from anybody's context nor leave by a jump nor call the owner.
 *
 * Our copies of a key are wiped; libcurl frees the request it makes of it
 * without wiping.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/http.c
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* asprintf() */
#endif
#include "http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

/*
 * CURLOPT_QUICK_EXIT came with 7.87: before it, a name lookup that is stuck
 * blocks time-outs, aborts and the end of the process.  CURLOPT_PREREQFUNCTION
 * (7.80) and CURLOPT_PROTOCOLS_STR (7.85) are older.
 */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87.0 or newer is needed: older ones wait for stuck name lookups"
#endif
#define MIN_LIBCURL 0x075700

#define USER_AGENT "myfatoorah/1.0"

/* Idle connections kept, and idle easy handles kept per target */
#define MAX_CONNECTIONS 64
#define MAX_IDLE_TRANSFERS 64

/* Trust stores read from disk again after this many seconds */
#define CA_CACHE_SECONDS 600L

/* A busy connection is replaced after this many seconds, so that DNS counts */
#define MAX_CONNECTION_SECONDS 3600L

/* Room for a usual answer without growing */
#define FIRST_RESPONSE_SIZE 4096

#define EVENTS_AT_ONCE 64

typedef struct MfHttpTransfer
{
	struct MfHttpTransfer *next;	/* in the running or the free list */
	struct MfHttpTransfer *prev;	/* in the running list */
	MfHttpTarget *target;
	MfHttpExchange *exchange;	/* NULL in the free list */
	CURL	   *easy;
	char	   *url;			/* what CURLOPT_URL is set to */
	char		error[CURL_ERROR_SIZE];

	/* of the exchange */
	char	   *body;
	size_t		body_len;
	int64_t		send_by;
	int64_t		submitted;
	size_t		response_size;	/* allocated */
	int64_t		tls_begun;		/* mf_http_clock(), 0 = not yet */
	bool		headers_ended;	/* of the final answer */
} MfHttpTransfer;

struct MfHttpTarget
{
	MfHttpTarget *next;
	MfHttpTarget *prev;
	MfHttp	   *http;
	char	   *base_url;
	char	   *host;
	char	   *ca_file;
	struct curl_slist *headers; /* holds the key */
	bool		plain;			/* http, to loopback */
	bool		released;
	long		timeout_ms;
	long		connect_timeout_ms;
	MfHttpTransfer *idle;		/* free list */
	int			idle_count;
	size_t		busy;			/* transfers that run */
};

/* Begins the first header of every target, which holds the key. */
#define AUTHORIZATION "Authorization: Bearer "

/* What a finished exchange needs to stand in a list */
typedef struct DoneExchange
{
	MfHttpExchange exchange;	/* must be first */
	struct DoneExchange *next;
} DoneExchange;

struct MfHttp
{
	CURLM	   *multi;
	int			epoll;
	bool		gate_closed;
	bool		watch_failed;	/* a socket could not be put under watch */
	int64_t		deadline;		/* of libcurl's timer, mf_http_clock(); -1 = none */
	MfHttpTarget *targets;
	MfHttpTransfer *running;
	DoneExchange *done;			/* first to be handed out */
	DoneExchange *done_last;
	size_t		in_flight;
};

/* Goes to "failed" with the name of the option if libcurl refuses it. */
#define SETOPT(easy, option, value) \
	do { \
		CURLcode	setopt_code_ = curl_easy_setopt((easy), (option), (value)); \
		if (setopt_code_ != CURLE_OK) \
		{ \
			put_error(error, error_size, "libcurl refused %s: %s", #option, \
					  curl_easy_strerror(setopt_code_)); \
			goto failed; \
		} \
	} while (0)

#define SETMOPT(multi, option, value) \
	do { \
		CURLMcode	setopt_code_ = curl_multi_setopt((multi), (option), (value)); \
		if (setopt_code_ != CURLM_OK) \
		{ \
			put_error(error, error_size, "libcurl refused %s: %s", #option, \
					  curl_multi_strerror(setopt_code_)); \
			goto failed; \
		} \
	} while (0)

static void put_error(char *error, size_t error_size, const char *format,...) __attribute__((format(printf, 3, 4)));
static void block_signals(sigset_t *saved);
static void restore_signals(const sigset_t *saved);
static bool init_libcurl(char *error, size_t error_size);

static int	watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known);
static int	set_timer(CURLM *multi, long timeout_ms, void *arg);
static int	set_close_on_exec(void *arg, curl_socket_t fd, curlsocktype purpose);
static CURLcode note_tls(CURL *easy, void *context, void *arg);
static int	pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port);
static size_t serve_body(char *buffer, size_t size, size_t count, void *arg);
static int	refuse_rewind(void *arg, curl_off_t offset, int origin);
static bool header_value(const char *line, size_t len, const char *name, char *out, size_t out_size);
static size_t keep_header(char *line, size_t size, size_t count, void *arg);
static size_t keep_response(char *data, size_t size, size_t count, void *arg);

static bool part_is_absent(CURLU *url, CURLUPart part);
static bool is_loopback(const char *host);
static bool read_base_url(MfHttpTarget *target, const char *base_url, char *error, size_t error_size);
static bool key_is_clean(const char *key);
static bool add_header(struct curl_slist **headers, const char *line);
static void free_headers(struct curl_slist *headers);
static void free_target(MfHttpTarget *target);

static MfHttpTransfer *make_transfer(MfHttpTarget *target, char *error, size_t error_size);
static void free_transfer(MfHttpTransfer *transfer);
static MfHttpTransfer *take_transfer(MfHttpTarget *target, char *error, size_t error_size);
static bool set_request(MfHttpTransfer *transfer, const char *path, char *error, size_t error_size);
static void end_transfer(MfHttpTransfer *transfer, bool keep);
static void hide_key(const MfHttpTarget *target, char *text, size_t len);
static void finish(MfHttpTransfer *transfer, CURLcode code);
static void collect(MfHttp *http);
static void fail_all(MfHttp *http, const char *why);
static void act(MfHttp *http, curl_socket_t fd, int events);

static int	add_phase(char *buffer, size_t size, int used, const char *name, int64_t us);
static void add_phases(const MfHttpExchange *exchange, char *buffer, size_t size);

static void
put_error(char *error, size_t error_size, const char *format,...)
{
	va_list		args;

	if (error_size == 0)
		return;
	va_start(args, format);
	vsnprintf(error, error_size, format, args);
	va_end(args);
}

/* ----------
 * Signals
 * ----------
 */

/*
 * Threads that libcurl starts inherit the mask; handlers of the owner must
 * never run on them.
 */
static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

/*
 * With CURLOPT_NOSIGNAL libcurl leaves SIGPIPE to us: one that a write to a
 * closed connection left pending is taken away here.
 */
static void
restore_signals(const sigset_t *saved)
{
	sigset_t	pending;

	if (sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1)
	{
		const struct timespec no_time = {0, 0};
		sigset_t	broken_pipe;

		sigemptyset(&broken_pipe);
		sigaddset(&broken_pipe, SIGPIPE);
		while (sigtimedwait(&broken_pipe, NULL, &no_time) < 0 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

int64_t
mf_http_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ----------
 * Callbacks of the multi handle
 * ----------
 */

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	MfHttp	   *http = arg;
	struct epoll_event event = {0};

	(void) easy;
	event.data.fd = fd;
	if (what == CURL_POLL_REMOVE)
	{
		/* the kernel drops a closed descriptor by itself */
		(void) epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;

	if (known != NULL && epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	if (epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ||
		(errno == EEXIST && epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event) == 0))
	{
		if (known == NULL)
			curl_multi_assign(http->multi, fd, http);
		return 0;
	}

	/*
	 * The transfers on this socket would never hear of it again.  Returning an
	 * error would leave the multi handle dead, so they are failed in order.
	 */
	http->watch_failed = true;
	return 0;
}

static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	MfHttp	   *http = arg;

	(void) multi;
	http->deadline = timeout_ms < 0 ? -1 : mf_http_clock() + (int64_t) timeout_ms * 1000000;
	return 0;
}

/* ----------
 * Callbacks of a transfer
 * ----------
 */

static int
set_close_on_exec(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	int			flags = fcntl(fd, F_GETFD);

	(void) arg;
	(void) purpose;
	if (flags >= 0)
		(void) fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
	return CURL_SOCKOPT_OK;
}

/*
 * TLS begins: the connection stands.  libcurl itself tells the time of that
 * only once the handshake is over.
 */
static CURLcode
note_tls(CURL *easy, void *context, void *arg)
{
	MfHttpTransfer *transfer = arg;

	(void) easy;
	(void) context;
	transfer->tls_begun = mf_http_clock();
	return CURLE_OK;
}

/*
 * The last point at which not sending is certain.  libcurl comes here again
 * if it wants to repeat the request on another connection: never once the
 * body was asked for.
 */
static int
pass_gate(void *arg, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = transfer->exchange;
	long		new_connections;

	(void) remote_ip;
	(void) local_ip;
	(void) remote_port;
	(void) local_port;

	exchange->gate_reached = true;
	if (exchange->body_started)
		put_error(exchange->curl_error, sizeof(exchange->curl_error),
				  "the connection was lost while sending; the request is not repeated");
	else if (transfer->target->http->gate_closed)
		put_error(exchange->curl_error, sizeof(exchange->curl_error), "sending was stopped");
	else if (transfer->send_by != 0 && mf_http_clock() > transfer->send_by)
		put_error(exchange->curl_error, sizeof(exchange->curl_error),
				  "the time allowed for sending was over");
	else
	{
		exchange->gate_passed = true;
		/* a request without a body is all headers: it leaves now */
		exchange->body_started = (transfer->body_len == 0);
		if (curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &new_connections) == CURLE_OK)
			exchange->connection_reused = (new_connections == 0);
		return CURL_PREREQFUNC_OK;
	}
	return CURL_PREREQFUNC_ABORT;
}

/* Serves the body once, from start to end. */
static size_t
serve_body(char *buffer, size_t size, size_t count, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = transfer->exchange;
	size_t		room = size * count;
	size_t		left = transfer->body_len - exchange->body_served;

	exchange->body_started = true;
	if (room > left)
		room = left;
	memcpy(buffer, transfer->body + exchange->body_served, room);
	exchange->body_served += room;
	return room;
}

/* Without a rewind libcurl cannot send a body again: it reports error 65. */
static int
refuse_rewind(void *arg, curl_off_t offset, int origin)
{
	(void) arg;
	(void) offset;
	(void) origin;
	return CURL_SEEKFUNC_FAIL;
}

/* Keeps the value of header "name" (with its colon) in "out"; printable ASCII only. */
static bool
header_value(const char *line, size_t len, const char *name, char *out, size_t out_size)
{
	size_t		name_len = strlen(name);
	size_t		i;

	if (len < name_len || !curl_strnequal(line, name, name_len))
		return false;
	line += name_len;
	len -= name_len;
	while (len > 0 && (*line == ' ' || *line == '\t'))
	{
		line++;
		len--;
	}
	while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' ||
					   line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	for (i = 0; i < len && i < out_size - 1; i++)
		out[i] = (line[i] >= 0x20 && line[i] < 0x7F) ? line[i] : '?';
	out[i] = '\0';
	return true;
}

static size_t
keep_header(char *line, size_t size, size_t count, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = transfer->exchange;
	size_t		len = size * count;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
	{
		/* a new answer begins, perhaps after an interim one */
		exchange->retry_after[0] = '\0';
		exchange->content_type[0] = '\0';
		transfer->headers_ended = false;
	}
	else if (transfer->headers_ended)
		;						/* a trailer behind a chunked body */
	else if (len <= 2 && (line[0] == '\r' || line[0] == '\n'))
		transfer->headers_ended = true;
	else if (!header_value(line, len, "Retry-After:",
						   exchange->retry_after, sizeof(exchange->retry_after)))
		header_value(line, len, "Content-Type:",
					 exchange->content_type, sizeof(exchange->content_type));
	return len;
}

static size_t
keep_response(char *data, size_t size, size_t count, void *arg)
{
	MfHttpTransfer *transfer = arg;
	MfHttpExchange *exchange = transfer->exchange;
	size_t		len = size * count;

	if (len > MF_HTTP_MAX_RESPONSE - exchange->response_len)
	{
		exchange->truncated = true;
		return 0;
	}
	if (exchange->response_len + len + 1 > transfer->response_size)
	{
		size_t		new_size = transfer->response_size;
		char	   *grown;

		while (exchange->response_len + len + 1 > new_size)
			new_size *= 2;
		if (new_size > MF_HTTP_MAX_RESPONSE + 1)
			new_size = MF_HTTP_MAX_RESPONSE + 1;
		grown = realloc(exchange->response, new_size);
		if (grown == NULL)
			return 0;
		exchange->response = grown;
		transfer->response_size = new_size;
	}
	memcpy(exchange->response + exchange->response_len, data, len);
	exchange->response_len += len;
	return len;
}

/* ----------
 * The multi handle
 * ----------
 */

/*
 * Initializes libcurl, once per process and as late as possible: it may start
 * threads, which do not survive a fork.
 */
static bool
init_libcurl(char *error, size_t error_size)
{
	static bool initialized = false;
	const curl_version_info_data *version;
	CURLcode	code;

	if (initialized)
		return true;
	code = curl_global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
	{
		put_error(error, error_size, "could not initialize libcurl: %s", curl_easy_strerror(code));
		return false;
	}
	version = curl_version_info(CURLVERSION_NOW);
	if (version->version_num < MIN_LIBCURL)
		put_error(error, error_size, "libcurl %s is too old, 7.87.0 or newer is needed",
				  version->version);
	else if ((version->features & CURL_VERSION_SSL) == 0)
		put_error(error, error_size, "libcurl was built without TLS");
	else if ((version->features & CURL_VERSION_ASYNCHDNS) == 0)
		put_error(error, error_size, "libcurl was built without asynchronous name lookups");
	else
	{
		initialized = true;
		return true;
	}
	curl_global_cleanup();
	return false;
}

MfHttp *
mf_http_create(char *error, size_t error_size)
{
	MfHttp	   *http;
	sigset_t	saved;

	http = calloc(1, sizeof(MfHttp));
	if (http == NULL)
	{
		put_error(error, error_size, "out of memory");
		return NULL;
	}
	http->deadline = -1;
	http->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll < 0)
	{
		put_error(error, error_size, "could not create an epoll descriptor: %s", strerror(errno));
		free(http);
		return NULL;
	}

	block_signals(&saved);
	if (!init_libcurl(error, error_size))
		goto failed;
	http->multi = curl_multi_init();
	if (http->multi == NULL)
	{
		put_error(error, error_size, "out of memory");
		goto failed;
	}
	SETMOPT(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
	SETMOPT(http->multi, CURLMOPT_SOCKETDATA, http);
	SETMOPT(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	SETMOPT(http->multi, CURLMOPT_TIMERDATA, http);
	SETMOPT(http->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	SETMOPT(http->multi, CURLMOPT_MAXCONNECTS, (long) MAX_CONNECTIONS);
	restore_signals(&saved);
	return http;

failed:
	if (http->multi != NULL)
		curl_multi_cleanup(http->multi);
	restore_signals(&saved);
	close(http->epoll);
	free(http);
	return NULL;
}

void
mf_http_destroy(MfHttp *http)
{
	MfHttpExchange *exchange;
	sigset_t	saved;

	if (http == NULL)
		return;
	block_signals(&saved);
	while (http->running != NULL)
	{
		exchange = http->running->exchange;
		end_transfer(http->running, false);
		mf_http_exchange_free(exchange);
	}
	while ((exchange = mf_http_next_done(http)) != NULL)
		mf_http_exchange_free(exchange);
	while (http->targets != NULL)
		free_target(http->targets);
	curl_multi_cleanup(http->multi);
	restore_signals(&saved);
	close(http->epoll);
	free(http);
}

int
mf_http_fd(const MfHttp *http)
{
	return http->epoll;
}

long
mf_http_timeout(const MfHttp *http)
{
	int64_t		left;

	if (http->done != NULL || http->watch_failed)
		return 0;
	if (http->deadline < 0)
		return -1;
	left = http->deadline - mf_http_clock();
	if (left <= 0)
		return 0;
	/* rounded up, lest the owner spin through the last millisecond */
	return (long) ((left + 999999) / 1000000);
}

void
mf_http_close_gate(MfHttp *http, bool closed)
{
	http->gate_closed = closed;
}

size_t
mf_http_in_flight(const MfHttp *http)
{
	return http->in_flight;
}

/* Tells libcurl of an event or, with CURL_SOCKET_TIMEOUT, of the time. */
static void
act(MfHttp *http, curl_socket_t fd, int events)
{
	CURLMcode	code;
	int			running;

	code = curl_multi_socket_action(http->multi, fd, events, &running);
	if (code != CURLM_OK && code != CURLM_BAD_SOCKET)
		fail_all(http, curl_multi_strerror(code));
}

void
mf_http_perform(MfHttp *http)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	sigset_t	saved;
	int			n;
	int			i;

	block_signals(&saved);
	n = epoll_wait(http->epoll, events, EVENTS_AT_ONCE, 0);
	for (i = 0; i < n; i++)
	{
		int			what = 0;

		/*
		 * Errors and hang-ups are shown by reading or writing, in better words
		 * than "select/poll returned error".
		 */
		if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_IN;
		if (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_OUT;
		act(http, events[i].data.fd, what);
	}
	if (http->deadline >= 0 && mf_http_clock() >= http->deadline)
	{
		http->deadline = -1;
		act(http, CURL_SOCKET_TIMEOUT, 0);
	}
	collect(http);
	restore_signals(&saved);
}

/* Takes finished transfers from libcurl. */
static void
collect(MfHttp *http)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
	{
		MfHttpTransfer *transfer = NULL;
		CURLcode	code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer);
		if (transfer != NULL && transfer->exchange != NULL)
			finish(transfer, code);
	}
	if (http->watch_failed)
	{
		http->watch_failed = false;
		fail_all(http, "could not watch a socket");
	}
}

/* The multi handle is in trouble: every running transfer ends with that. */
static void
fail_all(MfHttp *http, const char *why)
{
	while (http->running != NULL)
	{
		MfHttpTransfer *transfer = http->running;

		put_error(transfer->error, sizeof(transfer->error), "%s", why);
		finish(transfer, CURLE_FAILED_INIT);
	}
}

MfHttpExchange *
mf_http_next_done(MfHttp *http)
{
	DoneExchange *done = http->done;

	if (done == NULL)
		return NULL;
	http->done = done->next;
	if (http->done == NULL)
		http->done_last = NULL;
	done->next = NULL;
	http->in_flight--;
	return &done->exchange;
}

void
mf_http_exchange_free(MfHttpExchange *exchange)
{
	if (exchange == NULL)
		return;
	free(exchange->response);
	free(exchange);
}

/* ----------
 * Targets
 * ----------
 */

static bool
part_is_absent(CURLU *url, CURLUPart part)
{
	char	   *value = NULL;
	bool		absent = (curl_url_get(url, part, &value, 0) != CURLUE_OK);

	curl_free(value);
	return absent;
}

static bool
is_loopback(const char *host)
{
	struct in_addr v4;

	if (curl_strequal(host, "localhost") || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

/* Checks the URL and keeps it, without a closing slash, and its host. */
static bool
read_base_url(MfHttpTarget *target, const char *base_url, char *error, size_t error_size)
{
	CURLU	   *url = curl_url();
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	char	   *path = NULL;
	size_t		len;
	bool		done = false;

	if (url == NULL)
	{
		put_error(error, error_size, "out of memory");
		return false;
	}
	if (curl_url_set(url, CURLUPART_URL, base_url, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
		curl_url_get(url, CURLUPART_PATH, &path, 0) != CURLUE_OK)
		put_error(error, error_size, "the URL is not valid");
	else if (!(curl_strnequal(base_url, "https://", 8) && base_url[8] != '/') &&
			 !(curl_strnequal(base_url, "http://", 7) && base_url[7] != '/'))
		put_error(error, error_size, "the URL must begin with https://");
	else if (!part_is_absent(url, CURLUPART_USER) || !part_is_absent(url, CURLUPART_PASSWORD) ||
			 !part_is_absent(url, CURLUPART_OPTIONS))
		put_error(error, error_size, "the URL must not contain a user name or password");
	else if (strcmp(path, "/") != 0 || strpbrk(base_url, "?#") != NULL ||
			 !part_is_absent(url, CURLUPART_QUERY) || !part_is_absent(url, CURLUPART_FRAGMENT))
		put_error(error, error_size, "the URL must end after the host and port");
	else if (curl_strequal(scheme, "http") && !is_loopback(host))
		put_error(error, error_size, "plain http is only allowed to the local host");
	else
	{
		target->plain = curl_strequal(scheme, "http");
		len = strlen(base_url);
		if (base_url[len - 1] == '/')
			len--;
		target->base_url = strndup(base_url, len);
		if (curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK)
		{
			if (asprintf(&target->host, "%s:%s", host, port) < 0)
				target->host = NULL;
		}
		else
			target->host = strdup(host);
		done = (target->base_url != NULL && target->host != NULL);
		if (!done)
			put_error(error, error_size, "out of memory");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_url_cleanup(url);
	return done;
}

/* See http.h. */
bool
mf_http_base_url_valid(const char *base_url, char *error, size_t error_size)
{
	MfHttpTarget probe;
	bool		valid;

	memset(&probe, 0, sizeof(probe));
	valid = read_base_url(&probe, base_url, error, error_size);
	free(probe.base_url);
	free(probe.host);
	return valid;
}

static bool
key_is_clean(const char *key)
{
	if (*key == '\0')
		return false;
	for (; *key != '\0'; key++)
	{
		if (*key <= 0x20 || *key >= 0x7F)
			return false;
	}
	return true;
}

static bool
add_header(struct curl_slist **headers, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*headers, line);

	if (longer == NULL)
		return false;
	*headers = longer;
	return true;
}

/* Wipes before freeing: one of them holds the key. */
static void
free_headers(struct curl_slist *headers)
{
	struct curl_slist *item;

	for (item = headers; item != NULL; item = item->next)
		explicit_bzero(item->data, strlen(item->data));
	curl_slist_free_all(headers);
}

MfHttpTarget *
mf_http_target_create(MfHttp *http, const MfHttpTargetOptions *options,
					  char *error, size_t error_size)
{
	MfHttpTarget *target;
	MfHttpTransfer *transfer;
	char	   *authorization = NULL;
	sigset_t	saved;
	int			len;
	bool		done;

	if (options->base_url == NULL || options->api_key == NULL)
	{
		put_error(error, error_size, "URL and API key are needed");
		return NULL;
	}
	if (!key_is_clean(options->api_key))
	{
		put_error(error, error_size,
				  "the API key is empty or contains spaces, line ends or other characters that no key has");
		return NULL;
	}
	if (options->timeout_ms <= 0 || options->connect_timeout_ms <= 0)
	{
		put_error(error, error_size, "time-outs must be greater than zero");
		return NULL;
	}
	target = calloc(1, sizeof(MfHttpTarget));
	if (target == NULL)
	{
		put_error(error, error_size, "out of memory");
		return NULL;
	}
	target->http = http;
	target->timeout_ms = options->timeout_ms;
	target->connect_timeout_ms = options->connect_timeout_ms;
	target->next = http->targets;
	if (target->next != NULL)
		target->next->prev = target;
	http->targets = target;

	block_signals(&saved);
	done = read_base_url(target, options->base_url, error, error_size);
	if (done && options->ca_file != NULL)
	{
		target->ca_file = strdup(options->ca_file);
		done = (target->ca_file != NULL);
	}
	if (done)
	{
		len = asprintf(&authorization, AUTHORIZATION "%s", options->api_key);
		if (len < 0)
			authorization = NULL;
		done = (authorization != NULL &&
				add_header(&target->headers, authorization) &&
				add_header(&target->headers, "Content-Type: application/json") &&
				add_header(&target->headers, "Accept: application/json") &&
				add_header(&target->headers, "Expect:"));
		if (authorization != NULL)
			explicit_bzero(authorization, (size_t) len);
		free(authorization);
		if (!done)
			put_error(error, error_size, "out of memory");
	}
	else if (target->base_url != NULL)
		put_error(error, error_size, "out of memory");

	/* the first handle shows whether libcurl takes every option */
	if (done)
	{
		transfer = make_transfer(target, error, error_size);
		if (transfer != NULL)
		{
			target->idle = transfer;
			target->idle_count = 1;
		}
		else
			done = false;
	}
	if (!done)
	{
		free_target(target);
		target = NULL;
	}
	restore_signals(&saved);
	return target;
}

void
mf_http_target_release(MfHttpTarget *target)
{
	sigset_t	saved;

	if (target == NULL)
		return;
	target->released = true;
	if (target->busy > 0)
		return;
	block_signals(&saved);
	free_target(target);
	restore_signals(&saved);
}

/* Nothing of it may be running. */
static void
free_target(MfHttpTarget *target)
{
	while (target->idle != NULL)
	{
		MfHttpTransfer *transfer = target->idle;

		target->idle = transfer->next;
		free_transfer(transfer);
	}
	if (target->prev != NULL)
		target->prev->next = target->next;
	else
		target->http->targets = target->next;
	if (target->next != NULL)
		target->next->prev = target->prev;
	free_headers(target->headers);
	free(target->base_url);
	free(target->host);
	free(target->ca_file);
	free(target);
}

/* ----------
 * Transfers
 * ----------
 */

/* A new easy handle with everything set that is the same for each request */
static MfHttpTransfer *
make_transfer(MfHttpTarget *target, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = calloc(1, sizeof(MfHttpTransfer));
	CURL	   *easy;

	if (transfer == NULL)
	{
		put_error(error, error_size, "out of memory");
		return NULL;
	}
	transfer->target = target;
	easy = transfer->easy = curl_easy_init();
	if (easy == NULL)
	{
		put_error(error, error_size, "out of memory");
		goto failed;
	}
	SETOPT(easy, CURLOPT_PRIVATE, transfer);
	SETOPT(easy, CURLOPT_ERRORBUFFER, transfer->error);
	SETOPT(easy, CURLOPT_NOSIGNAL, 1L);
	SETOPT(easy, CURLOPT_QUICK_EXIT, 1L);

	/* where to: nothing but this host, by nothing but this protocol */
	SETOPT(easy, CURLOPT_PROTOCOLS_STR, target->plain ? "http" : "https");
	SETOPT(easy, CURLOPT_FOLLOWLOCATION, 0L);
	SETOPT(easy, CURLOPT_PROXY, "");
	SETOPT(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SETOPT(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SETOPT(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	SETOPT(easy, CURLOPT_HTTP09_ALLOWED, 0L);
	SETOPT(easy, CURLOPT_TCP_NODELAY, 1L);
	SETOPT(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SETOPT(easy, CURLOPT_MAXLIFETIME_CONN, MAX_CONNECTION_SECONDS);
	SETOPT(easy, CURLOPT_SOCKOPTFUNCTION, set_close_on_exec);
	SETOPT(easy, CURLOPT_TIMEOUT_MS, target->timeout_ms);
	SETOPT(easy, CURLOPT_CONNECTTIMEOUT_MS, target->connect_timeout_ms);

	SETOPT(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	SETOPT(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	SETOPT(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	SETOPT(easy, CURLOPT_CA_CACHE_TIMEOUT, CA_CACHE_SECONDS);
	if (target->ca_file != NULL)
		SETOPT(easy, CURLOPT_CAINFO, target->ca_file);

	/*
	 * No directory beside a file: a file of ours stands instead of the
	 * system's authorities, and only files are cached, so that not every new
	 * connection reads them all.
	 */
	if (target->ca_file != NULL || curl_version_info(CURLVERSION_NOW)->cainfo != NULL)
		SETOPT(easy, CURLOPT_CAPATH, NULL);

	/*
	 * Not checked, for not every TLS library has it: without it a handshake
	 * that fails is described as a connection that fails.
	 */
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, note_tls);
	(void) curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, transfer);

	/* what: a POST from our own callback, once */
	SETOPT(easy, CURLOPT_POST, 1L);
	SETOPT(easy, CURLOPT_HTTPHEADER, target->headers);
	SETOPT(easy, CURLOPT_USERAGENT, USER_AGENT);
	SETOPT(easy, CURLOPT_READFUNCTION, serve_body);
	SETOPT(easy, CURLOPT_READDATA, transfer);
	SETOPT(easy, CURLOPT_SEEKFUNCTION, refuse_rewind);
	SETOPT(easy, CURLOPT_SEEKDATA, transfer);
	SETOPT(easy, CURLOPT_PREREQFUNCTION, pass_gate);
	SETOPT(easy, CURLOPT_PREREQDATA, transfer);

	SETOPT(easy, CURLOPT_HEADERFUNCTION, keep_header);
	SETOPT(easy, CURLOPT_HEADERDATA, transfer);
	SETOPT(easy, CURLOPT_WRITEFUNCTION, keep_response);
	SETOPT(easy, CURLOPT_WRITEDATA, transfer);
	return transfer;

failed:
	free_transfer(transfer);
	return NULL;
}

static void
free_transfer(MfHttpTransfer *transfer)
{
	if (transfer->easy != NULL)
		curl_easy_cleanup(transfer->easy);
	free(transfer->url);
	free(transfer->body);
	free(transfer);
}

static MfHttpTransfer *
take_transfer(MfHttpTarget *target, char *error, size_t error_size)
{
	MfHttpTransfer *transfer = target->idle;

	if (transfer == NULL)
		return make_transfer(target, error, error_size);
	target->idle = transfer->next;
	target->idle_count--;
	transfer->next = NULL;
	return transfer;
}

/* Sets what differs from request to request. */
static bool
set_request(MfHttpTransfer *transfer, const char *path, char *error, size_t error_size)
{
	const char *base = transfer->target->base_url;
	size_t		base_len = strlen(base);

	SETOPT(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) transfer->body_len);
	if (transfer->url != NULL && strcmp(transfer->url + base_len, path) == 0)
		return true;
	free(transfer->url);
	if (asprintf(&transfer->url, "%s%s", base, path) < 0)
	{
		transfer->url = NULL;
		put_error(error, error_size, "out of memory");
		return false;
	}
	SETOPT(transfer->easy, CURLOPT_URL, transfer->url);
	return true;

failed:
	free(transfer->url);
	transfer->url = NULL;
	return false;
}

MfHttpExchange *
mf_http_post(MfHttp *http, MfHttpTarget *target, const char *path,
			 char *body, size_t body_len, int64_t send_by, void *tag,
			 char *error, size_t error_size)
{
	MfHttpTransfer *transfer = NULL;
	MfHttpExchange *exchange = NULL;
	DoneExchange *record;
	CURLMcode	code;
	sigset_t	saved;

	block_signals(&saved);
	record = calloc(1, sizeof(DoneExchange));
	if (record != NULL)
	{
		exchange = &record->exchange;
		exchange->response = malloc(FIRST_RESPONSE_SIZE);
	}
	if (exchange == NULL || exchange->response == NULL || body == NULL)
	{
		put_error(error, error_size, "out of memory");
		free(body);
		goto failed;
	}
	transfer = take_transfer(target, error, error_size);
	if (transfer == NULL)
	{
		free(body);
		goto failed;
	}
	transfer->body = body;
	transfer->body_len = body_len;
	if (!set_request(transfer, path, error, error_size))
		goto failed;

	exchange->tag = tag;
	exchange->body_len = body_len;
	exchange->transfer = transfer;
	put_error(exchange->host, sizeof(exchange->host), "%s", target->host);
	exchange->response[0] = '\0';
	transfer->exchange = exchange;
	transfer->response_size = FIRST_RESPONSE_SIZE;
	transfer->send_by = send_by;
	transfer->submitted = mf_http_clock();
	transfer->tls_begun = 0;
	transfer->headers_ended = false;
	transfer->error[0] = '\0';

	code = curl_multi_add_handle(http->multi, transfer->easy);
	if (code != CURLM_OK)
	{
		put_error(error, error_size, "could not start the request: %s", curl_multi_strerror(code));
		goto failed;
	}
	transfer->prev = NULL;
	transfer->next = http->running;
	if (transfer->next != NULL)
		transfer->next->prev = transfer;
	http->running = transfer;
	target->busy++;
	http->in_flight++;

	/* start now; it may even be over at once */
	act(http, CURL_SOCKET_TIMEOUT, 0);
	collect(http);
	restore_signals(&saved);
	return exchange;

failed:
	if (transfer != NULL)
		free_transfer(transfer);
	mf_http_exchange_free(exchange);
	restore_signals(&saved);
	return NULL;
}

/*
 * Takes a transfer from libcurl and parts it from its exchange.  It is kept
 * for the next request or freed, and with it a target that waited for that.
 */
static void
end_transfer(MfHttpTransfer *transfer, bool keep)
{
	MfHttpTarget *target = transfer->target;
	MfHttp	   *http = target->http;

	curl_multi_remove_handle(http->multi, transfer->easy);
	if (transfer->prev != NULL)
		transfer->prev->next = transfer->next;
	else
		http->running = transfer->next;
	if (transfer->next != NULL)
		transfer->next->prev = transfer->prev;
	transfer->next = transfer->prev = NULL;

	transfer->exchange->transfer = NULL;
	transfer->exchange = NULL;
	free(transfer->body);
	transfer->body = NULL;

	if (keep && !target->released && target->idle_count < MAX_IDLE_TRANSFERS)
	{
		transfer->next = target->idle;
		target->idle = transfer;
		target->idle_count++;
	}
	else
		free_transfer(transfer);
	target->busy--;
	if (target->released && target->busy == 0)
		free_target(target);
}

/*
 * Gateways and debugging pages say request headers back; what we hand out goes
 * into tables, logs and dumps.
 */
static void
hide_key(const MfHttpTarget *target, char *text, size_t len)
{
	const char *key = target->headers->data + strlen(AUTHORIZATION);
	size_t		key_len = strlen(key);
	char	   *end = text + len;
	char	   *found;

	while ((found = memmem(text, (size_t) (end - text), key, key_len)) != NULL)
	{
		memset(found, '*', key_len);
		text = found + key_len;
	}
}

/* Writes the end of a transfer into its exchange and queues that for the owner. */
static void
finish(MfHttpTransfer *transfer, CURLcode code)
{
	MfHttp	   *http = transfer->target->http;
	MfHttpExchange *exchange = transfer->exchange;
	DoneExchange *record = (DoneExchange *) exchange;
	CURL	   *easy = transfer->easy;
	curl_off_t	time;
	long		number;

	exchange->curl_code = (int) code;
	if (exchange->curl_error[0] == '\0')
		put_error(exchange->curl_error, sizeof(exchange->curl_error), "%s", transfer->error);
	if (curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &number) == CURLE_OK)
		exchange->http_status = number;
	if (curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &time) == CURLE_OK)
		exchange->name_lookup_us = time;
	if (curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &time) == CURLE_OK)
		exchange->connect_us = time;
	if (curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &time) == CURLE_OK)
		exchange->tls_us = time;
	if (transfer->tls_begun != 0)
		exchange->connect_us = (transfer->tls_begun - transfer->submitted) / 1000;
	exchange->total_us = (mf_http_clock() - transfer->submitted) / 1000;
	exchange->response[exchange->response_len] = '\0';

	/* libcurl takes a connection closed amid the headers for a whole answer */
	if (code == CURLE_OK && (!transfer->headers_ended || exchange->http_status < 200))
	{
		exchange->curl_code = CURLE_PARTIAL_FILE;
		put_error(exchange->curl_error, sizeof(exchange->curl_error),
				  "the headers of the answer were cut off");
	}

	hide_key(transfer->target, exchange->response, exchange->response_len);
	hide_key(transfer->target, exchange->curl_error, strlen(exchange->curl_error));
	hide_key(transfer->target, exchange->retry_after, strlen(exchange->retry_after));
	hide_key(transfer->target, exchange->content_type, strlen(exchange->content_type));

	end_transfer(transfer, code == CURLE_OK);
	if (http->done_last != NULL)
		http->done_last->next = record;
	else
		http->done = record;
	http->done_last = record;
}

void
mf_http_abort(MfHttp *http, MfHttpExchange *exchange)
{
	DoneExchange **link;
	DoneExchange *before = NULL;
	sigset_t	saved;

	if (exchange->transfer != NULL)
	{
		block_signals(&saved);
		end_transfer(exchange->transfer, false);
		restore_signals(&saved);
		http->in_flight--;
	}
	else
	{
		/* finished, but not handed out yet */
		for (link = &http->done; *link != NULL; link = &(*link)->next)
		{
			if (&(*link)->exchange == exchange)
			{
				*link = (*link)->next;
				if (*link == NULL)
					http->done_last = before;
				http->in_flight--;
				break;
			}
			before = *link;
		}
	}
	mf_http_exchange_free(exchange);
}

/* ----------
 * Description
 * ----------
 */

/* Appends one "name 0.0 s"; returns how much of the buffer is used. */
static int
add_phase(char *buffer, size_t size, int used, const char *name, int64_t us)
{
	if (us < 0)
		us = 0;
	if (used < 0 || (size_t) used >= size)
		return used;
	return used + snprintf(buffer + used, size - (size_t) used, "%s%s %.1f s",
						   used > 0 ? ", " : "", name, (double) us / 1000000);
}

/* "name lookup 0.0 s, connection 0.1 s, ...", the phase not ended last */
static void
add_phases(const MfHttpExchange *exchange, char *buffer, size_t size)
{
	int64_t		last = 0;
	int			used = 0;

	buffer[0] = '\0';
	if (exchange->connection_reused)
		used = snprintf(buffer, size, "connection reused");
	else
	{
		if (exchange->name_lookup_us > 0)
		{
			used = add_phase(buffer, size, used, "name lookup", exchange->name_lookup_us);
			last = exchange->name_lookup_us;
		}
		if (exchange->connect_us > 0)
		{
			used = add_phase(buffer, size, used, "connection", exchange->connect_us - last);
			last = exchange->connect_us;
		}
		if (exchange->tls_us > 0)
		{
			used = add_phase(buffer, size, used, "TLS", exchange->tls_us - last);
			last = exchange->tls_us;
		}
	}
	add_phase(buffer, size, used,
			  exchange->gate_passed ? "request and answer" :
			  exchange->connect_us > 0 ? "TLS, not finished," :
			  exchange->name_lookup_us > 0 ? "connection, not finished," :
			  "name lookup, not finished,",
			  exchange->total_us - last);
}

void
mf_http_describe(const MfHttpExchange *exchange, char *buffer, size_t size)
{
	char		words[MF_HTTP_ERROR_SIZE + 3];
	char		phases[160];
	char		text[1024];
	const char *host = exchange->host;
	CURLcode	code = (CURLcode) exchange->curl_code;
	double		seconds = (double) exchange->total_us / 1000000;
	int			len;

	if (code == CURLE_SEND_FAIL_REWIND)
		put_error(words, sizeof(words), "the server closed it, and the request was not repeated");
	else if (exchange->curl_error[0] != '\0')
		mf_text_excerpt(exchange->curl_error, strlen(exchange->curl_error), words, sizeof(words));
	else
		put_error(words, sizeof(words), "%s", curl_easy_strerror(code));

	if (code == CURLE_OK)
		len = snprintf(text, sizeof(text), "%s answered with HTTP status %ld",
					   host, exchange->http_status);
	else if (exchange->gate_reached && !exchange->gate_passed)
		len = snprintf(text, sizeof(text), "nothing was sent to %s: %s", host, words);
	else if (exchange->truncated)
		len = snprintf(text, sizeof(text), "the answer of %s exceeds %d bytes",
					   host, MF_HTTP_MAX_RESPONSE);
	else if (code == CURLE_OPERATION_TIMEDOUT)
	{
		if (exchange->gate_passed && exchange->http_status != 0)
			len = snprintf(text, sizeof(text), "the answer of %s did not end within %.1f s", host, seconds);
		else if (exchange->gate_passed)
			len = snprintf(text, sizeof(text), "no answer from %s within %.1f s", host, seconds);
		else if (exchange->connect_us > 0)
			len = snprintf(text, sizeof(text), "the TLS handshake with %s did not end within %.1f s", host, seconds);
		else if (exchange->name_lookup_us > 0)
			len = snprintf(text, sizeof(text), "no connection to %s within %.1f s", host, seconds);
		else
			len = snprintf(text, sizeof(text), "the name lookup of %s did not end within %.1f s", host, seconds);
	}
	else if (exchange->body_started)
	{
		if (exchange->http_status != 0)
			len = snprintf(text, sizeof(text), "the answer of %s (HTTP status %ld) broke off: %s",
						   host, exchange->http_status, words);
		else if (code == CURLE_UNSUPPORTED_PROTOCOL)
			len = snprintf(text, sizeof(text), "%s answered in something that is not HTTP: %s", host, words);
		else
			len = snprintf(text, sizeof(text),
						   "the connection to %s was lost after the request was sent, without an answer: %s",
						   host, words);
	}
	else if (code == CURLE_COULDNT_RESOLVE_HOST)
		len = snprintf(text, sizeof(text), "could not look up %s: %s", host, words);
	else if (code == CURLE_COULDNT_CONNECT)
		len = snprintf(text, sizeof(text), "could not connect to %s: %s", host, words);
	else if (code == CURLE_PEER_FAILED_VERIFICATION)
		len = snprintf(text, sizeof(text), "the certificate of %s is not accepted: %s", host, words);
	else if (code == CURLE_SSL_CACERT_BADFILE)
		len = snprintf(text, sizeof(text), "the file of trusted certificates cannot be used: %s", words);
	else if (exchange->connect_us > 0 && !exchange->gate_reached)
		len = snprintf(text, sizeof(text), "the TLS handshake with %s failed: %s", host, words);
	else
		len = snprintf(text, sizeof(text), "the request to %s failed: %s", host, words);

	if (code != CURLE_OK && (!exchange->gate_reached || exchange->gate_passed) &&
		len > 0 && (size_t) len < sizeof(text))
	{
		add_phases(exchange, phases, sizeof(phases));
		snprintf(text + len, sizeof(text) - (size_t) len, " (%s)", phases);
	}
	mf_text_excerpt(text, strlen(text), buffer, size);
}
