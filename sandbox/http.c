/*
 * http.c
 *	  Between libmicrohttpd and the rest: requests come in, answers go out.
 *
 * The way of a request: head, body, [fault picked, ledger], [delay], looked at
 * and answered under the lock, [delay], sent. A connection that sleeps is
 * suspended and keeps no thread.
 */
#include "server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fill.h"

#define MAX_BODY (1024 * 1024)
#define CONNECTION_MEMORY (32 * 1024)
#define MAX_CONNECTIONS 16000
#define LISTEN_BACKLOG 1024

static void find_route(Request *r, Str sent);
static bool break_request(Request *r, int64_t limit, bool complete);

/*
 * on_connection
 *		A connection was opened or closed: give it a number.
 */
static void
on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	(void) cls;
	(void) connection;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		Client *client = xcalloc(1, sizeof(Client));

		client->id = atomic_fetch_add(&connection_counts.opened, 1) + 1;
		client->accepted_us = monotonic_us();
		*context = client;
	}
	else
	{
		Client *client = *context;

		atomic_fetch_add(&connection_counts.closed, 1);
		if (client->requests == 0)
			atomic_fetch_add(&connection_counts.silent, 1);
		free(client);
		*context = NULL;
	}
}

/*
 * on_request_line
 *		The first thing libmicrohttpd lets us see of a request, once per
 *		request. Its result follows the request around.
 */
static void *
on_request_line(void *cls, const char *uri, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	Request *r = xcalloc(1, sizeof(Request));
	const char *query;
	size_t path_len;

	(void) cls;
	r->connection = connection;
	r->client = info->socket_context;
	r->number = ++r->client->requests;
	r->first_us = monotonic_us();
	r->first_wall_us = wall_us();
	r->key_index = -1;
	r->authorization = "missing";
	buf_puts(&r->target, uri);
	query = strchr(r->target.data, '?');
	path_len = query != NULL ? (size_t) (query - r->target.data) : r->target.len;
	r->query = query != NULL ? str_of(query + 1) : (Str){"", 0};
	find_route(r, (Str){r->target.data, path_len});
	return r;
}

/*
 * find_route
 *		What the path leads to. MyFatoorah forgives a slash too many at its
 *		start. An argument at its end is kept apart, as it was sent.
 */
static void
find_route(Request *r, Str sent)
{
	Str path;
	size_t argument_at;

	while (sent.len > 1 && sent.data[0] == '/' && sent.data[1] == '/')
	{
		sent.data++;
		sent.len--;
	}
	buf_put(&r->path, sent.data, sent.len);
	for (size_t i = 0; i < sent.len; i++)
		r->path.data[i] = (char) tolower((unsigned char) r->path.data[i]);
	path = (Str){r->path.data, r->path.len};
	r->first_call = call_at(path, &argument_at);
	if (r->first_call != NULL)
	{
		url_decode((Str){sent.data + argument_at, sent.len - argument_at}, &r->argument);
		path.len = r->path.len = argument_at;
		r->path.data[argument_at] = '\0';
	}
	r->subject.path = path;
	r->subject.is_api = str_has_prefix(path, STR_LIT("/v2/")) || str_has_prefix(path, STR_LIT("/v3/"));
	r->route = r->first_call != NULL ? ROUTE_CALL : ROUTE_NONE;
	if (str_is(path, "/"))
		r->route = ROUTE_HOME;
	else if (str_has_prefix(path, STR_LIT("/_sandbox/")))
		r->route = ROUTE_CONTROL;
	else if (path.len > 8 && memcmp(path.data + 4, "/ie/", 4) == 0)
		r->route = ROUTE_PAGE;
	else if (path.len == 27 && str_is((Str){path.data + 7, 20}, "/payinvoice/checkout"))
		r->route = ROUTE_CHECKOUT;
}

/*
 * read_authorization
 *		Find the account of a key; keep only whether the key was right.
 */
static void
read_authorization(Request *r, Str value)
{
	if (value.len > 7 && strncasecmp(value.data, "Bearer ", 7) == 0)
	{
		Str key = str_trim((Str){value.data + 7, value.len - 7});

		r->account = store_account_for_key(key, &r->key_index);
		r->authorization = r->account != NULL ? "accepted" : "unknown key";
	}
	else
		r->authorization = "malformed";
}

/*
 * keep_header
 *		Copy a header for the ledger; the value of Authorization stays here.
 */
static enum MHD_Result
keep_header(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Request *r = cls;

	(void) kind;
	if (value == NULL)
		value = "";
	buf_put(&r->headers, name, strlen(name) + 1);
	if (strcasecmp(name, "Authorization") == 0)
	{
		read_authorization(r, str_of(value));
		value = "(redacted)";
	}
	else if (strcasecmp(name, "Content-Type") == 0)
		r->content_type = value;
	else if (strcasecmp(name, "Host") == 0)
		r->host = value;
	else if (strcasecmp(name, "Idempotency-Key") == 0)
	{
		r->idempotency_key.len = 0;
		buf_puts(&r->idempotency_key, value);
	}
	buf_put(&r->headers, value, strlen(value) + 1);
	return MHD_YES;
}

/*
 * read_head
 *		The head is complete: keep it, and see whether a fault strikes already.
 */
static void
read_head(Request *r, const char *method)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	strncpy(r->method, method, sizeof(r->method) - 1);
	r->call = r->first_call != NULL ? call_with_method(r->first_call, r->method) : NULL;
	r->header_bytes = info != NULL ? info->header_size : 0;
	buf_reserve(&r->headers, 512);
	MHD_get_connection_values(r->connection, MHD_HEADER_KIND, keep_header, r);
	r->subject.method = str_of(r->method);
	r->stage = STAGE_BODY;
	if (r->route == ROUTE_CONTROL || !faults_armed())
		return;
	store_lock();
	r->rule = faults_pick_early(&r->subject);
	store_unlock();
	if (r->rule != NULL && r->rule->fault.request_total &&
		r->rule->fault.request_at <= (int64_t) r->header_bytes)
	{
		r->header_bytes = (size_t) r->rule->fault.request_at;
		break_request(r, 0, false);
	}
}

/*
 * request_limit
 *		How much of the body a rule lets in.
 */
static int64_t
request_limit(const Request *r, const FaultRule *rule)
{
	int64_t limit = rule->fault.request_at;

	if (rule->fault.request_total)
		limit -= (int64_t) r->header_bytes;
	return limit > 0 ? limit : 0;
}

/*
 * note_request
 *		Enter the request into the ledger with so much of its body. Locked.
 */
static void
note_request(Request *r, bool complete, int64_t body_limit)
{
	LedgerNote note = {
		.connection = r->client->id,
		.request_on_connection = r->number,
		.accepted_us = r->client->accepted_us,
		.first_us = r->first_us,
		.complete_us = complete ? r->complete_us : 0,
		.wall_us = r->first_wall_us,
		.kind = r->first_call != NULL ? (int) r->first_call->kind : KIND_OTHER,
		.complete = complete,
		.authorization = r->authorization,
		.key_index = r->key_index,
		.header_bytes = r->header_bytes,
		.method = str_of(r->method),
		.target = {r->target.data, r->target.len},
		.path = {r->path.data, r->path.len},
		.headers = {r->headers.data, r->headers.len},
		.body = {r->body.data, r->body.len},
		.reference = r->subject.reference,
	};

	if ((int64_t) note.body.len > body_limit)
		note.body.len = (size_t) body_limit;
	note.key_elsewhere = store_text_holds_key(note.target) || store_text_holds_key(note.headers) ||
						 store_text_holds_key(note.body);
	r->ledger = ledger_add(&note);
	if (r->rule != NULL)
	{
		char label[48];

		fault_label(r->rule, label, sizeof(label));
		ledger_fault(&r->ledger, label);
	}
}

/*
 * break_request
 *		End the connection as the rule says, having taken in so much of the
 *		body. complete: the request was whole nevertheless.
 */
static bool
break_request(Request *r, int64_t limit, bool complete)
{
	Buf nothing = {0};

	store_lock();
	if (r->ledger.seq == 0)
		note_request(r, complete, limit);
	store_unlock();
	r->stage = STAGE_DROP;
	return wire_take(r, r->rule->fault.request_end, 0, -1, &nothing);
}

/*
 * read_body
 *		Some more of the body.
 */
static void
read_body(Request *r, const char *data, size_t size)
{
	const char *length;

	if (r->stage != STAGE_BODY)
		return;
	if (r->body.len + size > MAX_BODY)
		r->body_too_long = true;
	else
		buf_put(&r->body, data, size);
	if (r->rule == NULL || (int64_t) r->body.len < request_limit(r, r->rule))
		return;
	length = MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, "Content-Length");
	if (length == NULL || strtoll(length, NULL, 10) > request_limit(r, r->rule))
		break_request(r, request_limit(r, r->rule), false);
}

/*
 * receive
 *		The request is whole: parse it, pick a fault, enter it into the ledger.
 */
static void
receive(Request *r)
{
	int64_t limit = INT64_MAX;
	bool complete = true;
	bool broken = false;

	r->complete_us = monotonic_us();
	r->stage = STAGE_PROCESS;
	if (r->route == ROUTE_CONTROL)
		return;
	if (r->subject.is_api && r->body.len > 0 && !r->body_too_long)
		json_parse(&r->doc, (Str){r->body.data, r->body.len});
	r->subject.body = (Str){r->body.data, r->body.len};
	store_lock();
	api_reference(r);
	if (r->rule == NULL && faults_armed())
	{
		/* the rules may be deleted before it sleeps */
		r->timer.releases = timers_releases();
		r->rule = faults_pick(&r->subject, &r->throttled);
	}
	if (r->rule != NULL && r->rule->fault.hits_request)
	{
		broken = true;
		limit = request_limit(r, r->rule);
		if (r->rule->fault.request_total && r->rule->fault.request_at < (int64_t) r->header_bytes)
		{
			r->header_bytes = (size_t) r->rule->fault.request_at;
			complete = false;
		}
		complete = complete && limit >= (int64_t) r->body.len;
	}
	note_request(r, complete, limit);
	if (!broken)
	{
		idempotency_begin(r);
		/* locked: a rule that is deleted lets go what waits */
		if (r->rule != NULL && r->rule->fault.delay_before_ms != 0)
			sleep_request(r, r->rule->fault.delay_before_ms, STAGE_PROCESS);
	}
	store_unlock();
	if (broken)
		break_request(r, limit, complete);
}

/*
 * apply_fault
 *		Put the rule's answer in place of the true one.
 */
static void
apply_fault(Request *r, const Fault *f)
{
	Answer *a = &r->answer;

	if (f->status != 0 || f->has_body)
	{
		bool made_up = a->status == 0;

		a->status = f->status != 0 ? f->status : made_up ? 200 : a->status;
		if (f->has_body || f->status != 0)
		{
			Buf truth = a->body;

			memset(&a->body, 0, sizeof(a->body));
			if (f->has_body && f->fill)
				fill_body(&a->body, &f->body, &truth, r->subject.reference);
			else if (f->has_body)
				buf_put(&a->body, f->body.data, f->body.len);
			else if (r->throttled)
				buf_printf(&a->body,
						   "{\"Message\":\"API calls quota exceeded! maximum admitted %lld per Second.\"}",
						   (long long) f->throttle);
			buf_free(&truth);
		}
		a->content_type = "application/json; charset=utf-8";
		if (r->throttled)
		{
			a->header_names[a->header_count] = "Retry-After";
			a->header_values[a->header_count++] = "1";
		}
	}
	if (f->content_type != NULL)
		a->content_type = f->content_type;
	for (int i = 0; i < f->header_count; i++)
	{
		a->header_names[a->header_count] = f->header_names[i];
		a->header_values[a->header_count++] = f->header_values[i];
	}
	a->close = f->close;
}

/*
 * look_at
 *		Do what is asked and make the answer.
 */
static void
look_at(Request *r)
{
	const Fault *f = r->rule != NULL ? &r->rule->fault : NULL;
	bool replaced = f != NULL && (f->status != 0 || f->has_body || f->has_raw);
	bool silent = f != NULL && f->answer_end != END_NORMAL && f->answer_at == 0;

	store_lock();
	if (f == NULL || f->create == 1 || f->fill || (!replaced && (f->create != 0 || !silent)))
	{
		if (r->route == ROUTE_PAGE)
			page_answer(r);
		else if (r->route == ROUTE_HOME)
			home_answer(r);
		else if (r->route == ROUTE_CHECKOUT)
			checkout_answer(r);
		else
			api_answer(r, f == NULL || f->create == 1 || (f->create != 0 && !replaced));
	}
	if (f != NULL)
		apply_fault(r, f);
	idempotency_keep(r, replaced);
	r->stage = STAGE_ANSWER;
	if (f != NULL && f->delay_ms != 0 && !r->gone)
		sleep_request(r, f->delay_ms, STAGE_ANSWER);
	store_unlock();
}

/*
 * send_answer
 *		Hand the answer to libmicrohttpd, or to the part that breaks it off.
 */
static enum MHD_Result
send_answer(Request *r)
{
	Answer *a = &r->answer;
	const Fault *f = r->rule != NULL ? &r->rule->fault : NULL;
	struct MHD_Response *response;
	enum MHD_Result result;

	if (r->ledger.seq != 0)
	{
		store_lock();
		ledger_answered(&r->ledger, f == NULL || f->answer_end == END_NORMAL || f->answer_at > 0, a->status,
						(int64_t) a->body.len, a->invoice_id);
		idempotency_answered(r);
		store_unlock();
	}
	if (f != NULL && (f->has_raw || f->answer_end != END_NORMAL || a->status < 200))
	{
		Buf raw = {0};

		if (f->has_raw)
			buf_put(&raw, f->raw.data, f->raw.len);
		else if (a->status != 0)
			wire_compose(&raw, a);
		r->stage = STAGE_DROP;
		if (f->answer_end == END_NORMAL)
			wire_take(r, END_CUT, FAULT_TO_THE_END, -1, &raw);
		else
			wire_take(r, f->answer_end, f->answer_at, f->stall_ms, &raw);
		buf_free(&raw);
		return MHD_YES;
	}
	buf_reserve(&a->body, 0);
	response = MHD_create_response_from_buffer(a->body.len, a->body.data, MHD_RESPMEM_MUST_FREE);
	if (response == NULL)
		return MHD_NO;
	memset(&a->body, 0, sizeof(a->body));
	if (a->content_type != NULL && a->content_type[0] != '\0')
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->content_type);
	if (a->location.len > 0)
		MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, a->location.data);
	for (int i = 0; i < a->header_count; i++)
		MHD_add_response_header(response, a->header_names[i], a->header_values[i]);
	if (a->close)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	result = MHD_queue_response(r->connection, (unsigned) a->status, response);
	MHD_destroy_response(response);
	r->stage = STAGE_SENT;
	return result;
}

/*
 * on_call
 *		libmicrohttpd's calls: once for the head, for each piece of the body,
 *		at its end, and again whenever a suspended request goes on.
 */
static enum MHD_Result
on_call(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
		const char *version, const char *data, size_t *size, void **context)
{
	Request *r = *context;

	(void) cls;
	(void) connection;
	(void) url;
	(void) version;
	if (r->stage == STAGE_HEAD)
	{
		read_head(r, method);
		return MHD_YES;
	}
	if (r->stage == STAGE_DROP)
		return MHD_NO;
	if (*size > 0)
	{
		read_body(r, data, *size);
		*size = 0;
		return MHD_YES;
	}
	r->asleep = false;
	if (r->stage == STAGE_BODY)
		receive(r);
	if (!r->asleep && (r->stage == STAGE_PROCESS || r->stage == STAGE_WAIT))
	{
		if (r->route != ROUTE_CONTROL)
			look_at(r);
		else if (control_answer(r))
			r->stage = STAGE_ANSWER;
	}
	if (!r->asleep && r->stage == STAGE_ANSWER)
		return send_answer(r);
	return MHD_YES;
}

/*
 * on_completed
 *		A request is over, one way or another: note if it broke off, and free.
 */
static void
on_completed(void *cls, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode code)
{
	Request *r = *context;

	(void) cls;
	(void) connection;
	if (r == NULL)
		return;
	if (r->stage == STAGE_PROCESS && r->route != ROUTE_CONTROL &&
		code != MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN)
	{
		/* The client gave up before its delayed request was looked at. */
		r->gone = true;
		look_at(r);
		store_lock();
		ledger_answered(&r->ledger, false, 0, 0, r->answer.invoice_id);
		store_unlock();
	}
	store_lock();
	if (r->route != ROUTE_CONTROL && r->stage != STAGE_DROP)
	{
		if (r->ledger.seq == 0)
			note_request(r, false, INT64_MAX);
		if (code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
			ledger_ended(&r->ledger,
						 code == MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN ? "server stopped" : "client left",
						 0);
	}
	idempotency_answered(r);
	ledger_unwait(&r->waiter);
	webhook_log_unwait(&r->delivery_waiter);
	faults_release(r->rule);
	store_unlock();
	json_free(&r->doc);
	buf_free(&r->target);
	buf_free(&r->path);
	buf_free(&r->headers);
	buf_free(&r->body);
	buf_free(&r->answer.body);
	buf_free(&r->answer.location);
	buf_free(&r->answer.allow);
	buf_free(&r->argument);
	buf_free(&r->idempotency_key);
	buf_free(&r->kept_reference);
	buf_free(&r->wait_path);
	buf_free(&r->wait_reference);
	free(r);
	*context = NULL;
}

/*
 * http_listen
 *		A socket that listens on that port of 127.0.0.1, and the port it got if
 *		that was 0; -1 with errno set if it cannot. There is no way to ask for
 *		another address.
 */
int
http_listen(int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t) *port);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
		bind(fd, (struct sockaddr *) &address, sizeof(address)) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
		getsockname(fd, (struct sockaddr *) &address, &len) != 0)
	{
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

/*
 * http_start
 *		Serve a listening socket (which is taken over), with TLS if a
 *		certificate and a key (both PEM texts) are given. NULL if it cannot.
 */
struct MHD_Daemon *
http_start(int listener, const char *certificate, const char *key)
{
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
	struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) (uintptr_t) certificate},
								   {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) (uintptr_t) key},
								   {MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem threads[] = {{MHD_OPTION_THREAD_POOL_SIZE, options.threads, NULL},
									   {MHD_OPTION_END, 0, NULL}};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	if (certificate != NULL)
		flags |= MHD_USE_TLS;
	if (!options.quiet)
		flags |= MHD_USE_ERROR_LOG;
	return MHD_start_daemon(flags, 0, NULL, NULL, on_call, NULL, MHD_OPTION_LISTEN_SOCKET,
							(MHD_socket) listener, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL,
							MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION,
							on_connection, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
							(size_t) CONNECTION_MEMORY, MHD_OPTION_CONNECTION_LIMIT,
							(unsigned) MAX_CONNECTIONS, MHD_OPTION_ARRAY, certificate != NULL ? tls : none,
							MHD_OPTION_ARRAY, options.threads > 1 ? threads : none, MHD_OPTION_END);
}
