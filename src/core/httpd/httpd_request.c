/*
 * httpd_request.c
 *	  The HTTP server for webhooks and callbacks: which requests are accepted,
 *	  and what is taken from them.
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

/* Maximum length in bytes of an account's name or a token */
#define MAX_NAME 255

/*
 * Limits of the request target and its arguments, small enough for
 * libmicrohttpd to have memory for them: without memory it closes the
 * connection without an answer.
 */
#define MAX_TARGET 4096
#define MAX_ARGUMENTS 64

/* What is used of the headers and arguments of a request */
typedef struct Reading
{
	MfHttpdRequest *request;
	const char *next;			/* where the next line must begin; NULL = not
								 * checked */
	const char *host;
	const char *length;			/* Content-Length */
	const char *encoding;		/* Transfer-Encoding */
	const char *payment_id;
	const char *id;
	bool		bad;			/* given twice, invalid, or no memory */
} Reading;

static unsigned int find_route(MfHttpdExchange *exchange, const char *path);
static const char *find_prefix(const char *const *prefixes, const char *path);
static char *decode(const char *text);
static enum MHD_Result read_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
								   const char *value, size_t value_size);
static enum MHD_Result read_argument(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_size,
									 const char *value, size_t value_size);
static unsigned int read_head(Reading *reading, const MfConnection *connection, const char *path, const char *method,
							  const char *version);
static bool begin_lines(Reading *reading, const MfConnection *connection, const char *path, const char *method,
						const char *version);
static bool end_lines(const Reading *reading, const MfConnection *connection, const char *method);
static unsigned int check_length(const Reading *reading, bool old);

unsigned int
mf_httpd_route(MfHttpdExchange *exchange, const char *path, const char *method, const char *version,
			   const char **allow)
{
	MfHttpdRequest *request = &exchange->request;
	Reading		reading;
	unsigned int status;

	if (exchange->connection->target_refused != 0)
		return exchange->connection->target_refused;
	status = find_route(exchange, path);
	if (status != 0)
		return status;

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

	/*
	 * only libmicrohttpd knows where chunks end; nothing after them is read
	 * as a request
	 */
	exchange->last = reading.encoding != NULL;

	/* MyFatoorah sends the same number under two names */
	if (reading.payment_id == NULL || reading.payment_id[0] == '\0')
		reading.payment_id = reading.id;
	if (reading.payment_id != NULL && reading.payment_id[0] != '\0')
	{
		if (!mf_payment_id_valid(reading.payment_id))
			return MHD_HTTP_BAD_REQUEST;
		request->payment_id = strdup(reading.payment_id);
		if (request->payment_id == NULL)
			return MHD_HTTP_SERVICE_UNAVAILABLE;
	}
	return 0;
}

/* Sets the route, and the name or prefix that the path has besides; the HTTP status of a refusal, or 0. */
static unsigned int
find_route(MfHttpdExchange *exchange, const char *path)
{
	MfHttpdRequest *request = &exchange->request;
	const char *name = NULL;

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
	{
		const char *prefix = find_prefix(exchange->httpd->prefixes, path);

		if (prefix == NULL)
			return MHD_HTTP_NOT_FOUND;
		request->route = MF_ROUTE_PAGE;
		request->prefix = strdup(prefix);
		if (request->prefix == NULL)
			return MHD_HTTP_SERVICE_UNAVAILABLE;
		name = path + strlen(prefix);
	}

	if (name != NULL)
	{
		request->name = strlen(name) > 3 * MAX_NAME ? NULL : decode(name);
		if (request->name == NULL)
			return MHD_HTTP_NOT_FOUND;
	}
	return 0;
}

/* The prefix that a path begins with; NULL = none */
static const char *
find_prefix(const char *const *prefixes, const char *path)
{
	for (; prefixes != NULL && *prefixes != NULL; prefixes++)
	{
		if (strncmp(path, *prefixes, strlen(*prefixes)) == 0)
			return *prefixes;
	}
	return NULL;
}

/* 0, or the status to refuse the request with. */
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
	free(request->prefix);
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
 * Decodes the last part of a path; malloc'd.  NULL if it is empty or too
 * long, has further parts, control characters or an invalid escape, or is not
 * UTF-8.
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

/* Stores a value; false if there is one already, or it contains a NUL. */
static bool
store_once(const char **place, const char *value, size_t value_size)
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

/* Likewise a copy of it. */
static bool
copy_once(char **place, const char *value, size_t value_size)
{
	const char *noted = *place;

	if (!store_once(&noted, value, value_size))
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
	/* a newer library may be in use than was built with */
	return strncmp(MHD_get_version(), "0.", 2) == 0;
}

void *
mf_httpd_check_target(void *cls, const char *target, struct MHD_Connection *mhd)
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
		/* the buffer in which libmicrohttpd parses it next */
		if (query != NULL)
			query[1] = '\0';
	}
	return NULL;
}

/*
 * Prepares the check of a head that libmicrohttpd has read loosely.  The head
 * is still where it was received, with the ends of words and lines
 * overwritten.  So the place of each word follows from the words before it,
 * provided that each line ends with CR LF, no header continues on the next
 * line, there is no NUL, and the words of the first line are separated by one
 * blank.  Otherwise some word is elsewhere.
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
 * Whether a header has a valid name and no control characters.  A header that
 * a proxy and this server read differently could be used to smuggle a
 * request.
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
		good = store_once(&reading->host, value, value_size);
	else if (is_named(name, name_size, MHD_HTTP_HEADER_CONTENT_LENGTH))
		good = store_once(&reading->length, value, value_size);
	else if (is_named(name, name_size, MHD_HTTP_HEADER_TRANSFER_ENCODING))
		good = store_once(&reading->encoding, value, value_size);
	else if (request->route == MF_ROUTE_WEBHOOK && is_named(name, name_size, "MyFatoorah-Signature"))
		good = copy_once(&request->signature, value, value_size);
	else if (request->route == MF_ROUTE_WEBHOOK && is_named(name, name_size, "MyFatoorah-Webhook-Version"))
		good = copy_once(&request->version, value, value_size);
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
		good = store_once(&reading->payment_id, value, value_size);
	else if (is_named(name, name_size, "Id"))
		good = store_once(&reading->id, value, value_size);
	else if (is_named(name, name_size, "try") && value != NULL && value_size == 1 && mf_is_digit(value[0]))
		reading->request->tries = value[0] - '0';
	reading->bad |= !good;
	return good ? MHD_YES : MHD_NO;
}

/* The length of the body must be given once and in one way; HTTP/1.0 has no chunks. */
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
