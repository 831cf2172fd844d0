/*
 * httpd_request.c
 *	  The HTTP server that webhooks and callbacks come in by: which requests are
 *	  ours, and what of them we use.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/httpd/httpd_request.c
 */
#include "core/httpd/httpd_private.h"

#include <stdlib.h>
#include <string.h>

#include "core/api/webhook.h"
#include "core/text/ascii.h"
#include "core/text/text.h"

#define WEBHOOK_PATH "/webhook"
#define CALLBACK_PATH "/callback/"
#define HEALTH_PATH "/health"

/* Bytes of an account's name or of a token, and of a payment's number */
#define MAX_NAME 255
#define MAX_PAYMENT_ID 100

/*
 * Bytes of a request's address, and its arguments: few enough for libmicrohttpd
 * to have memory for them, since it hangs up without a word if it has not.
 */
#define MAX_TARGET 4096
#define MAX_ARGUMENTS 64

/* What the headers and arguments of a request say, as far as it concerns us */
typedef struct Reading
{
	MfHttpdRequest *request;
	const char *next;			/* where the next line must begin; NULL = not
								 * looked at */
	const char *host;
	const char *length;			/* Content-Length */
	const char *encoding;		/* Transfer-Encoding */
	const char *payment_id;
	const char *id;
	bool		bad;			/* twice, no proper header, or no memory */
} Reading;

static char *decode(const char *text);
static enum MHD_Result read_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
								   const char *value, size_t value_size);
static enum MHD_Result read_argument(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
									 const char *value, size_t value_size);
static unsigned int read_head(Reading *reading, const MfConnection *connection, const char *path, const char *method,
							  const char *version);
static bool begin_lines(Reading *reading, const MfConnection *connection, const char *path, const char *method,
						const char *version);
static bool is_next_line(Reading *reading, const char *name, size_t name_size, const char *value, size_t value_size);
static bool end_lines(const Reading *reading, const MfConnection *connection, const char *method);
static bool is_proper_header(const char *name, size_t name_size, const char *value, size_t value_size);
static bool note_once(const char **place, const char *value, size_t value_size);
static bool keep_once(char **place, const char *value, size_t value_size);
static unsigned int check_length(const Reading *reading, bool old);
static bool is_payment_id(const char *text);

unsigned int
mf_httpd_route(MfHttpdExchange *exchange, const char *path, const char *method, const char *version,
			   const char **allow)
{
	MfHttpdRequest *request = &exchange->request;
	const char *name = NULL;
	Reading		reading;
	unsigned int status;

	if (exchange->connection->target_refused != 0)
		return exchange->connection->target_refused;
	if (strcmp(path, WEBHOOK_PATH) == 0)
		request->route = MF_ROUTE_WEBHOOK;
	else if (strncmp(path, WEBHOOK_PATH "/", strlen(WEBHOOK_PATH "/")) == 0)
	{
		request->route = MF_ROUTE_WEBHOOK;
		name = path + strlen(WEBHOOK_PATH "/");
	}
	else if (strncmp(path, CALLBACK_PATH, strlen(CALLBACK_PATH)) == 0)
	{
		request->route = MF_ROUTE_CALLBACK;
		name = path + strlen(CALLBACK_PATH);
	}
	else if (strcmp(path, HEALTH_PATH) == 0)
		request->route = MF_ROUTE_HEALTH;
	else
		return MHD_HTTP_NOT_FOUND;

	if (name != NULL)
	{
		request->name = strlen(name) > 3 * MAX_NAME ? NULL : decode(name);
		if (request->name == NULL)
			return MHD_HTTP_NOT_FOUND;
	}

	if (request->route == MF_ROUTE_WEBHOOK)
	{
		*allow = MHD_HTTP_METHOD_POST;
		if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
			return MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	else
	{
		*allow = MHD_HTTP_METHOD_GET ", " MHD_HTTP_METHOD_HEAD;
		if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
			return MHD_HTTP_METHOD_NOT_ALLOWED;
	}
	*allow = NULL;

	memset(&reading, 0, sizeof(reading));
	reading.request = request;
	status = read_head(&reading, exchange->connection, path, method, version);
	if (status != 0)
		return status;

	/* where chunks end is libmicrohttpd's word alone: nothing behind them is read as a request */
	exchange->last = reading.encoding != NULL;

	/* the vendor gives the same number under two names */
	if (reading.payment_id == NULL || reading.payment_id[0] == '\0')
		reading.payment_id = reading.id;
	if (reading.payment_id != NULL && reading.payment_id[0] != '\0')
	{
		if (!is_payment_id(reading.payment_id))
			return MHD_HTTP_BAD_REQUEST;
		request->payment_id = strdup(reading.payment_id);
		if (request->payment_id == NULL)
			return MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	return 0;
}

/* 0, or the status to refuse the request with */
static unsigned int
read_head(Reading *reading, const MfConnection *connection, const char *path, const char *method,
		  const char *version)
{
	bool		old = strcmp(version, MHD_HTTP_VERSION_1_0) == 0;

	if (!begin_lines(reading, connection, path, method, version))
		return MHD_HTTP_BAD_REQUEST;
	(void) MHD_get_connection_values_n(connection->mhd, MHD_HEADER_KIND, read_header, reading);
	if (reading->request->route == MF_ROUTE_CALLBACK)
		(void) MHD_get_connection_values_n(connection->mhd, MHD_GET_ARGUMENT_KIND, read_argument, reading);
	if (reading->bad || !end_lines(reading, connection, method) || (reading->host == NULL && !old))
		return MHD_HTTP_BAD_REQUEST;
	return check_length(reading, old);
}

void
mf_httpd_free_request(MfHttpdRequest *request)
{
	free(request->name);
	free(request->body);
	free(request->signature);
	free(request->version);
	free(request->payment_id);
}

static bool
is_control(char c)
{
	return (unsigned char) c < ' ' || c == 127;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = mf_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The last part of a path without its percent signs, malloc'd; NULL if it is
 * empty or too long, has further parts, control characters or a false escape,
 * or is no UTF-8.
 */
static char *
decode(const char *text)
{
	char	   *result = malloc(strlen(text) + 1);
	size_t		length = 0;

	if (result == NULL)
		return NULL;
	for (; *text != '\0'; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c == '/')
			break;
		if (c == '%')
		{
			int			high = hex_value(text[1]);
			int			low = high < 0 ? -1 : hex_value(text[2]);

			if (low < 0)
				break;
			c = (unsigned char) (high * 16 + low);
			text += 2;
		}
		if (is_control((char) c))
			break;
		result[length++] = (char) c;
	}
	result[length] = '\0';
	if (*text != '\0' || length == 0 || length > MAX_NAME || !mf_utf8_valid(result, length))
	{
		free(result);
		return NULL;
	}
	return result;
}

/* Notes a value; false if there is one already, or it has a NUL in it. */
static bool
note_once(const char **place, const char *value, size_t value_size)
{
	if (value == NULL)
	{
		value = "";
		value_size = 0;
	}
	if (*place != NULL || strlen(value) != value_size)
		return false;
	*place = value;
	return true;
}

/* The same with a copy */
static bool
keep_once(char **place, const char *value, size_t value_size)
{
	const char *noted = *place;

	if (!note_once(&noted, value, value_size))
		return false;
	*place = strdup(noted);
	return *place != NULL;
}

static bool
is_named(const char *name, size_t name_size, const char *wanted)
{
	return name_size == strlen(wanted) && strlen(name) == name_size && mf_word_length(name, wanted) == name_size;
}

bool
mf_httpd_reads_loosely(void)
{
	/* what was built with one version may run with a later one */
	return strncmp(MHD_get_version(), "0.", 2) == 0;
}

void *
mf_httpd_look_at_target(void *cls, const char *target, struct MHD_Connection *mhd)
{
	MfConnection *connection = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	char	   *query = memchr((void *) (uintptr_t) target, '?', strlen(target));
	int			arguments = 1;
	const char *c;

	(void) cls;
	if (connection == NULL)
		return NULL;
	connection->target_refused = 0;
	for (c = target; *c != '\0'; c++)
	{
		arguments += *c == '&';
		if (is_control(*c) || *c == ' ')
			connection->target_refused = MHD_HTTP_BAD_REQUEST;
	}
	connection->target_length = (size_t) (c - target);
	if (connection->target_length > MAX_TARGET || arguments > MAX_ARGUMENTS)
	{
		connection->target_refused = MHD_HTTP_URI_TOO_LONG;
		/* it lies in the buffer where libmicrohttpd takes it apart next */
		if (query != NULL)
			query[1] = '\0';
	}
	return NULL;
}

/*
 * A head that libmicrohttpd has read loosely is still where it was received,
 * with ends of words and lines cleared.  So where each word must be follows from
 * the words before it, if each line ends with CR and LF, none goes on in the next
 * one, there is no NUL, and one blank between the words of the first: else
 * something is elsewhere.
 */
static bool
begin_lines(Reading *reading, const MfConnection *connection, const char *path, const char *method,
			const char *version)
{
	if (!mf_httpd_reads_loosely())
		return true;
	reading->next = version + strlen(version) + 2;
	return path == method + strlen(method) + 1 && version == path + connection->target_length + 1;
}

static bool
is_next_line(Reading *reading, const char *name, size_t name_size, const char *value, size_t value_size)
{
	const char *behind = name + name_size + 1;

	if (reading->next == NULL)
		return true;
	if (name != reading->next || value != behind + strspn(behind, " \t"))
		return false;
	reading->next = value + value_size + 2;
	return true;
}

static bool
end_lines(const Reading *reading, const MfConnection *connection, const char *method)
{
	const union MHD_ConnectionInfo *info;

	if (reading->next == NULL)
		return true;
	info = MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	return info != NULL && reading->next + 2 == method + info->header_size;
}

/*
 * Whether a header has a name without blanks and the like, and no control
 * characters.  Two that read such a thing differently, a proxy and we, could be
 * played off against each other.
 */
static bool
is_proper_header(const char *name, size_t name_size, const char *value, size_t value_size)
{
	size_t		i;

	for (i = 0; i < name_size; i++)
	{
		if (!mf_is_digit(name[i]) && !(mf_lower(name[i]) >= 'a' && mf_lower(name[i]) <= 'z') &&
			(name[i] == '\0' || strchr("!#$%&'*+-.^_`|~", name[i]) == NULL))
			return false;
	}
	for (i = 0; value != NULL && i < value_size; i++)
	{
		if (is_control(value[i]) && value[i] != '\t')
			return false;
	}
	return name_size > 0;
}

static enum MHD_Result
read_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
			const char *value, size_t value_size)
{
	Reading    *reading = cls;
	MfHttpdRequest *request = reading->request;
	bool		good = true;

	(void) kind;
	if (!is_proper_header(name, name_size, value, value_size) ||
		!is_next_line(reading, name, name_size, value, value_size))
		good = false;
	else if (is_named(name, name_size, MHD_HTTP_HEADER_HOST))
		good = note_once(&reading->host, value, value_size);
	else if (is_named(name, name_size, MHD_HTTP_HEADER_CONTENT_LENGTH))
		good = note_once(&reading->length, value, value_size);
	else if (is_named(name, name_size, MHD_HTTP_HEADER_TRANSFER_ENCODING))
		good = note_once(&reading->encoding, value, value_size);
	else if (request->route == MF_ROUTE_WEBHOOK && is_named(name, name_size, "MyFatoorah-Signature"))
		good = keep_once(&request->signature, value, value_size);
	else if (request->route == MF_ROUTE_WEBHOOK && is_named(name, name_size, "MyFatoorah-Webhook-Version"))
		good = keep_once(&request->version, value, value_size);
	reading->bad |= !good;
	return good ? MHD_YES : MHD_NO;
}

static enum MHD_Result
read_argument(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
			  const char *value, size_t value_size)
{
	Reading    *reading = cls;
	bool		good = true;

	(void) kind;
	if (is_named(name, name_size, "paymentId"))
		good = note_once(&reading->payment_id, value, value_size);
	else if (is_named(name, name_size, "Id"))
		good = note_once(&reading->id, value, value_size);
	else if (is_named(name, name_size, "try") && value != NULL && value_size == 1 && mf_is_digit(value[0]))
		reading->request->tries = value[0] - '0';
	reading->bad |= !good;
	return good ? MHD_YES : MHD_NO;
}

/* How long the body is must be said once, and in one way; HTTP/1.0 knows no chunks. */
static unsigned int
check_length(const Reading *reading, bool old)
{
	const char *digit;
	size_t		length = 0;

	if (reading->encoding != NULL &&
		(old || reading->encoding[0] == '\0' || reading->length != NULL ||
		 mf_word_length(reading->encoding, "chunked") != strlen(reading->encoding)))
		return MHD_HTTP_BAD_REQUEST;
	if (reading->length == NULL)
		return 0;
	if (reading->length[0] == '\0')
		return MHD_HTTP_BAD_REQUEST;
	for (digit = reading->length; *digit != '\0'; digit++)
	{
		if (!mf_is_digit(*digit))
			return MHD_HTTP_BAD_REQUEST;
		if (length <= MF_WEBHOOK_MAX_BODY)
			length = length * 10 + (size_t) (*digit - '0');
	}
	return length > MF_WEBHOOK_MAX_BODY ? MHD_HTTP_CONTENT_TOO_LARGE : 0;
}

static bool
is_payment_id(const char *text)
{
	size_t		length = strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_");

	return length > 0 && length <= MAX_PAYMENT_ID && text[length] == '\0';
}
