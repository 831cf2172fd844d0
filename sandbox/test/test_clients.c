/*
 * test_clients.c
 *	  Plays what clients send that are in use: the conversations in
 *	  test/clients/, header for header. They come from published code and from
 *	  what such a client put on the wire.
 *
 * A line of a conversation begins with
 *
 *	  #	 a remark
 *	  >	 a line of the request, head, empty line, body
 *	  <	 the status that the answer must have; this sends the request
 *	  ?	 a path into the answer, and the value there
 *	  ~	 something the answer holds
 *	  =	 a name, and the path of the value it stands for from now on as $NAME
 *	  !	 a path of the control path, and a body, to be posted
 *
 * Content-Length is added; with "Transfer-Encoding: chunked" the body goes in
 * pieces, with "Expect: 100-continue" after the server has said so.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define MAX_TEXT 16384
#define MAX_VARIABLES 16

static struct
{
	char name[16];
	char value[128];
} variables[MAX_VARIABLES];
static int variable_count;

/*
 * set_variable
 *		Let a name stand for a value.
 */
static void
set_variable(const char *name, const char *value)
{
	int i = 0;

	while (i < variable_count && strcmp(variables[i].name, name) != 0)
		i++;
	if (i == MAX_VARIABLES)
		return;
	variable_count = i == variable_count ? i + 1 : variable_count;
	snprintf(variables[i].name, sizeof(variables[i].name), "%s", name);
	snprintf(variables[i].value, sizeof(variables[i].value), "%s", value);
}

/*
 * substitute
 *		Copy a text with $NAME replaced.
 */
static void
substitute(const char *from, char *to, size_t size)
{
	size_t len = 0;

	while (*from != '\0' && len + sizeof(variables[0].value) < size)
	{
		int i = 0;

		while (i < variable_count &&
			   (*from != '$' || strncmp(from + 1, variables[i].name, strlen(variables[i].name)) != 0))
			i++;
		if (i == variable_count)
			to[len++] = *from++;
		else
		{
			len += (size_t) snprintf(to + len, size - len, "%s", variables[i].value);
			from += 1 + strlen(variables[i].name);
		}
	}
	to[len] = '\0';
}

/*
 * value_at
 *		What is at a path, as text: numbers as JSON has them.
 */
static void
value_at(const cJSON *json, const char *path, char *to, size_t size)
{
	const cJSON *node = at(json, path);
	char *text = node != NULL ? cJSON_PrintUnformatted(node) : strdup("(nothing)");

	if (cJSON_IsString(node))
		snprintf(to, size, "%s", node->valuestring);
	else
		snprintf(to, size, "%s", text);
	free(text);
}

/*
 * send_request
 *		Send head and body the way the head says.
 */
static void
send_request(int fd, const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");
	const char *body = end != NULL ? end + 4 : "";
	size_t head_len = (size_t) (end + 2 - text);
	size_t len = strlen(body);
	size_t half = len / 2;
	char head[MAX_TEXT];
	bool chunked;

	if (!CHECK(end != NULL, "a request has an empty line after its head: %s", text))
		return;
	memcpy(head, text, head_len);
	head[head_len] = '\0';
	chunked = strcasestr(head, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
	if (!chunked && len > 0)
		head_len += (size_t) sprintf(head + head_len, "Content-Length: %zu\r\n", len);
	head_len += (size_t) sprintf(head + head_len, "\r\n");
	send_all(fd, head, head_len);
	if (strcasestr(head, "\r\nExpect: 100-continue\r\n") != NULL)
	{
		char line[64] = "";
		ssize_t n = read(fd, line, sizeof(line) - 1);

		CHECK(n > 0 && strstr(line, " 100 ") != NULL, "told to go on: %s", line);
	}
	if (!chunked)
		send_all(fd, body, len);
	else
	{
		char piece[MAX_TEXT];
		int n = sprintf(piece, "%zx\r\n%.*s\r\n%zx\r\n%s\r\n0\r\n\r\n", half, (int) half, body, len - half, body + half);

		send_all(fd, piece, (size_t) n);
	}
}

/*
 * play_line
 *		Do what a line says.
 */
static void
play_line(char kind, const char *line, int *fd, char *request, Reply *r, const char *where)
{
	char first[512] = "";
	char value[1024];
	const char *rest = strchr(line, ' ');
	size_t len = rest != NULL ? (size_t) (rest - line) : strlen(line);

	snprintf(first, sizeof(first), "%.*s", (int) (len < sizeof(first) - 1 ? len : sizeof(first) - 1), line);
	rest = rest != NULL ? rest + 1 : "";
	switch (kind)
	{
		case '>':
			len = strlen(request);
			snprintf(request + len, MAX_TEXT - len, "%s%s", line, strstr(request, "\r\n\r\n") != NULL ? "" : "\r\n");
			break;
		case '<':
			free_reply(r);
			if (*fd < 0)
				*fd = dial();
			send_request(*fd, request);
			*r = read_reply(*fd, 10000);
			CHECK(r->status == atoi(line), "%s: %d, not %s: %s", where, r->status, line, r->raw);
			request[0] = '\0';
			break;
		case '?':
			value_at(r->json, first, value, sizeof(value));
			CHECK(strcmp(value, rest) == 0, "%s: %s is %s: %s", where, line, value, r->body);
			break;
		case '~':
			CHECK(r->body != NULL && strstr(r->body, line) != NULL, "%s: %s: %s", where, line, r->body);
			break;
		case '=':
			value_at(r->json, rest, value, sizeof(value));
			CHECK(strcmp(value, "(nothing)") != 0, "%s: %s: %s", where, line, r->body);
			set_variable(first, value);
			break;
		case '!':
		{
			Reply done = control("POST", first, rest);

			CHECK(done.status == 200, "%s: %s: %s", where, line, done.body);
			/* What it says may be named, too. */
			free_reply(r);
			*r = done;
			break;
		}
		default:
			CHECK(kind == '#' || kind == '\0', "%s: what is %c%s?", where, kind, line);
			break;
	}
}

/*
 * play
 *		One conversation, on a connection that is kept, from its start.
 */
static void
play(const char *file)
{
	char path[256];
	char request[MAX_TEXT] = "";
	char line[MAX_TEXT];
	char where[320];
	size_t size;
	char *text;
	char *save = NULL;
	Reply r = {0};
	int fd = -1;
	int number = 0;
	int before = passed;

	snprintf(path, sizeof(path), "test/clients/%s", file);
	text = read_text(path, &size);
	variable_count = 0;
	set_variable("KEY", KEY);
	reset_server();
	for (char *from = strtok_r(text, "\n", &save); from != NULL; from = strtok_r(NULL, "\n", &save))
	{
		snprintf(where, sizeof(where), "%s, line %d", file, ++number);
		substitute(from + 1 + (from[1] == ' '), line, sizeof(line));
		play_line(from[0], line, &fd, request, &r, where);
	}
	CHECK(passed > before + 3, "%s says something", file);
	free_reply(&r);
	free(text);
	if (fd >= 0)
		close(fd);
}

/*
 * is_conversation, test_clients
 *		All of them.
 */
static int
is_conversation(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".txt") == 0;
}

void
test_clients(void)
{
	struct dirent **files;
	int count = scandir("test/clients", &files, is_conversation, alphasort);

	CHECK(count > 5, "there are conversations");
	for (int i = 0; i < count; i++)
	{
		play(files[i]->d_name);
		free(files[i]);
	}
	if (count > 0)
		free(files);
	reset_server();
}
