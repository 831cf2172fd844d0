/*
 * harness.c
 *	  What the sandbox's own tests share.
 *
 * The client is a plain socket, so that it can send and see exact bytes.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int passed;
int failed;
int port;

/*
 * check_at
 *		Count a check and say what failed.
 */
bool
check_at(bool ok, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	if (ok)
	{
		passed++;
		return true;
	}
	failed++;
	printf("FAILED %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	return false;
}

/*
 * seconds_now
 *		Seconds of the monotonic clock.
 */
double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/*
 * read_text
 *		A whole file, NUL-terminated; the caller frees. Exits if it cannot.
 */
char *
read_text(const char *path, size_t *len)
{
	FILE *f = fopen(path, "rb");
	char *text = malloc(1 << 20);

	if (f == NULL || text == NULL)
	{
		perror(path);
		exit(1);
	}
	*len = fread(text, 1, (1 << 20) - 1, f);
	text[*len] = '\0';
	fclose(f);
	return text;
}

/*
 * sandbox_path
 *		The program to test.
 */
const char *
sandbox_path(void)
{
	const char *path = getenv("SANDBOX");

	return path != NULL ? path : "./mf-sandbox";
}

/*
 * start_server
 *		Start the program with more options; its pid, and the port by way of
 *		the port file. Exits if it does not come up.
 */
int
start_server(const char *const *extra, int *server_port)
{
	char dir[] = "/tmp/mf-sandbox-test-XXXXXX";
	char file[64];
	const char *argv[32] = {sandbox_path(), "--quiet", "--port", "0", "--port-file", file};
	int n = 6;
	pid_t pid;

	if (mkdtemp(dir) == NULL)
	{
		perror("mkdtemp");
		exit(1);
	}
	snprintf(file, sizeof(file), "%s/port", dir);
	while (extra != NULL && *extra != NULL)
		argv[n++] = *extra++;
	pid = fork();
	if (pid == 0)
	{
		/* No server may outlive tests that end early. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], (char *const *) (uintptr_t) argv);
		perror(argv[0]);
		_exit(127);
	}
	for (int i = 0; i < 10000; i++)
	{
		FILE *f = fopen(file, "r");
		int status;

		if (f != NULL)
		{
			if (fscanf(f, "%d", server_port) != 1)
				exit(1);
			fclose(f);
			unlink(file);
			rmdir(dir);
			return pid;
		}
		if (waitpid(pid, &status, WNOHANG) == pid)
			break;
		usleep(1000);
	}
	fprintf(stderr, "the server did not start\n");
	exit(1);
}

/*
 * stop_server
 *		End a server with a signal; its exit status, or -1 if it died otherwise.
 */
int
stop_server(int pid, int signal_number)
{
	int status;

	kill(pid, signal_number);
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/*
 * dial
 *		A connection to the server; exits if there is none.
 */
int
dial(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *) &a, sizeof(a)) != 0)
	{
		perror("connect");
		exit(1);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/*
 * send_all
 *		Send bytes; a connection that is already gone is no error here.
 */
void
send_all(int fd, const char *data, size_t len)
{
	while (len > 0)
	{
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		data += n;
		len -= (size_t) n;
	}
}

/*
 * compose
 *		A request as bytes; the caller frees. The key is sent unless headers
 *		hold an Authorization of their own.
 */
char *
compose(const char *method, const char *path, const char *headers, const char *body, size_t body_len,
		size_t *len)
{
	char *text = malloc(strlen(path) + strlen(headers) + body_len + 512);
	int n = sprintf(text, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", method, path, port, headers);

	if (strstr(headers, "Authorization:") == NULL)
		n += sprintf(text + n, "Authorization: Bearer " KEY "\r\n");
	if (strstr(headers, "Content-Type:") == NULL && body_len > 0)
		n += sprintf(text + n, "Content-Type: application/json\r\n");
	if (body_len > 0 || strcmp(method, "POST") == 0)
		n += sprintf(text + n, "Content-Length: %zu\r\n", body_len);
	n += sprintf(text + n, "\r\n");
	memcpy(text + n, body, body_len);
	*len = (size_t) n + body_len;
	return text;
}

/*
 * is_whole
 *		Is the answer complete by its Content-Length?
 */
static bool
is_whole(const Reply *r)
{
	char *end = strstr(r->raw, "\r\n\r\n");
	char *length = end != NULL ? strcasestr(r->raw, "\r\nContent-Length: ") : NULL;

	return length != NULL && length < end &&
		   r->len >= (size_t) (end + 4 - r->raw) + strtoul(length + 18, NULL, 10);
}

/*
 * look_into
 *		Find status, body and JSON.
 */
static void
look_into(Reply *r)
{
	char *end = strstr(r->raw, "\r\n\r\n");

	if (sscanf(r->raw, "HTTP/1.1 %d", &r->status) != 1)
		r->status = 0;
	if (end == NULL)
		return;
	r->body = end + 4;
	r->body_len = r->len - (size_t) (r->body - r->raw);
	r->json = cJSON_ParseWithLength(r->body, r->body_len);
}

/*
 * read_some
 *		Read until the answer is whole (or until the connection ends), or until
 *		nothing came for so long.
 */
static Reply
read_some(int fd, int timeout_ms, bool to_end)
{
	Reply r = {.raw = calloc(1, 1)};
	size_t room = 0;

	while (to_end || !is_whole(&r))
	{
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, timeout_ms) <= 0)
			break;
		if (room < r.len + 65536)
		{
			room = (r.len + 65536) * 2;
			r.raw = realloc(r.raw, room + 1);
		}
		n = recv(fd, r.raw + r.len, room - r.len, 0);
		if (n <= 0)
		{
			r.ending = n == 0 ? CLOSED : RESET;
			break;
		}
		r.len += (size_t) n;
		r.raw[r.len] = '\0';
	}
	look_into(&r);
	return r;
}

/*
 * read_reply, read_to_end
 *		One answer; or everything up to the end of the connection.
 */
Reply
read_reply(int fd, int timeout_ms)
{
	return read_some(fd, timeout_ms, false);
}

Reply
read_to_end(int fd, int timeout_ms)
{
	return read_some(fd, timeout_ms, true);
}

/*
 * free_reply
 *		Free an answer.
 */
void
free_reply(Reply *r)
{
	cJSON_Delete(r->json);
	free(r->raw);
}

/*
 * call, api, control
 *		One request on a connection of its own: any; to a call of the API; to
 *		the control path. The caller frees the answer.
 */
Reply
call(const char *method, const char *path, const char *headers, const char *body)
{
	size_t len;
	char *text = compose(method, path, headers, body, strlen(body), &len);
	int fd = dial();
	Reply r;

	send_all(fd, text, len);
	r = read_reply(fd, 10000);
	close(fd);
	free(text);
	return r;
}

Reply
api(const char *name, const char *body)
{
	char path[256];

	snprintf(path, sizeof(path), "/v2/%s", name);
	return call("POST", path, "", body);
}

Reply
control(const char *method, const char *path, const char *body)
{
	char full[512];

	snprintf(full, sizeof(full), "/_sandbox/%s", path);
	return call(method, full, "", body);
}

/*
 * arm, disarm, reset_server
 *		Set fault rules; drop them all; forget everything.
 */
void
arm(const char *rules)
{
	Reply r = control("POST", "faults", rules);

	CHECK(r.status == 200, "arming %s: %s", rules, r.body);
	free_reply(&r);
}

void
disarm(void)
{
	Reply r = control("DELETE", "faults", "");

	free_reply(&r);
}

void
reset_server(void)
{
	Reply r = control("POST", "reset", "");

	CHECK(r.status == 200, "reset");
	free_reply(&r);
}

/*
 * at, text_at, number_at
 *		What is at a path like "Data.InvoiceTransactions.0.PaymentId": the node
 *		or NULL; its text or ""; its number or -1.
 */
const cJSON *
at(const cJSON *json, const char *path)
{
	char copy[256];
	char *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *part = strtok_r(copy, ".", &save); part != NULL && json != NULL;
		 part = strtok_r(NULL, ".", &save))
		json = cJSON_IsArray(json) ? cJSON_GetArrayItem(json, atoi(part))
								   : cJSON_GetObjectItemCaseSensitive(json, part);
	return json;
}

const char *
text_at(const cJSON *json, const char *path)
{
	const cJSON *node = at(json, path);

	return cJSON_IsString(node) ? node->valuestring : "";
}

double
number_at(const cJSON *json, const char *path)
{
	const cJSON *node = at(json, path);

	return cJSON_IsNumber(node) ? node->valuedouble : -1;
}

/*
 * count_of
 *		The ledger's count for a query such as "path=SendPayment".
 */
int64_t
count_of(const char *query)
{
	char path[256];
	Reply r;
	int64_t n;

	snprintf(path, sizeof(path), "ledger/count?%s", query);
	r = control("GET", path, "");
	n = (int64_t) number_at(r.json, "count");
	free_reply(&r);
	return n;
}

/*
 * same_shape
 *		The same members in the same order with the same types, all the way.
 */
static void
same_shape(const cJSON *expected, const cJSON *actual, const char *where)
{
	const cJSON *e = expected->child;
	const cJSON *a = actual->child;
	char inner[512];

	CHECK((expected->type & 0xFF) == (actual->type & 0xFF) ||
			  (cJSON_IsBool(expected) && cJSON_IsBool(actual)),
		  "%s has the same type", where);
	if (!cJSON_IsObject(expected) && !cJSON_IsArray(expected))
		return;
	for (; e != NULL && a != NULL; e = e->next, a = a->next)
	{
		snprintf(inner, sizeof(inner), "%s.%s", where, e->string != NULL ? e->string : "[]");
		if (e->string != NULL)
			CHECK(strcmp(e->string, a->string) == 0, "%s, not %s", inner, a->string);
		same_shape(e, a, inner);
	}
	CHECK(e == NULL && a == NULL, "%s has as many members (%s)", where,
		  e != NULL   ? e->string
		  : a != NULL ? a->string
					  : "");
}

/*
 * text_like, answer_like
 *		An answer has the shape of a JSON text, or of a published one.
 */
void
text_like(const Reply *r, const char *text, const char *what)
{
	cJSON *json = cJSON_Parse(text);

	if (CHECK(r->json != NULL, "%s: the answer is JSON: %s", what, r->raw))
		same_shape(json, r->json, what);
	cJSON_Delete(json);
}

void
answer_like(const Reply *r, const char *fixture)
{
	char *text = fixture_text(fixture);

	text_like(r, text, fixture);
	free(text);
}

/*
 * fixture_text
 *		A published body; the caller frees.
 */
char *
fixture_text(const char *name)
{
	char path[256];
	size_t len;

	snprintf(path, sizeof(path), "fixtures/%s", name);
	return read_text(path, &len);
}
