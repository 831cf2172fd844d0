/*
 * receiver.c
 *	  A merchant's server: takes webhooks and answers as it is told.
 *
 * One thread. It answers 200 unless a plan says otherwise; status 0 of a plan
 * means no answer at all.
 */
#include "receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 300
#define MAX_HOOKS 20000
#define MAX_PLAN 64

typedef struct Peer
{
	int fd;
	int number;
	char *data;
	size_t len;
	size_t room;
} Peer;

int receiver_port;

static pthread_t thread;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t arrived = PTHREAD_COND_INITIALIZER;
static int listener;
static int stop_pipe[2];
static Peer peers[MAX_CLIENTS];
static int peer_count;
static int next_number = 1;
static Hook hooks[MAX_HOOKS];
static int hook_count;
static int plan[MAX_PLAN];
static int plan_len;
static int plan_next;

/*
 * take_status
 *		The next status of the plan.
 */
static int
take_status(void)
{
	return plan_next < plan_len ? plan[plan_next++] : 200;
}

/*
 * take_request
 *		Take one whole request off a connection's bytes and answer it; false if
 *		there is none yet.
 */
static bool
take_request(Peer *p)
{
	char *end = p->len > 0 ? memmem(p->data, p->len, "\r\n\r\n", 4) : NULL;
	char *length;
	size_t head;
	size_t body = 0;
	int status;
	Hook *h;

	if (end == NULL)
		return false;
	*end = '\0';
	length = strcasestr(p->data, "\r\nContent-Length: ");
	if (length != NULL)
		body = strtoul(length + 18, NULL, 10);
	head = (size_t) (end - p->data) + 4;
	if (p->len < head + body)
	{
		*end = '\r';
		return false;
	}
	pthread_mutex_lock(&mutex);
	status = take_status();
	if (hook_count < MAX_HOOKS)
	{
		h = &hooks[hook_count++];
		h->head = strdup(p->data);
		h->body = malloc(body + 1);
		memcpy(h->body, p->data + head, body);
		h->body[body] = '\0';
		h->body_len = body;
		h->json = cJSON_ParseWithLength(h->body, body);
		h->connection = p->number;
	}
	pthread_cond_broadcast(&arrived);
	pthread_mutex_unlock(&mutex);
	p->len -= head + body;
	memmove(p->data, p->data + head + body, p->len);
	if (status > 0)
	{
		char answer[160];
		int n = snprintf(answer, sizeof(answer), "HTTP/1.1 %d %s\r\nContent-Length: 4\r\n\r\ntook", status,
						 status == 200   ? "OK"
						 : status == 404 ? "Not Found"
										 : "Other");

		send(p->fd, answer, (size_t) n, MSG_NOSIGNAL);
	}
	return true;
}

/*
 * read_peer
 *		Some more bytes; false if the connection is over.
 */
static bool
read_peer(Peer *p)
{
	ssize_t n;

	if (p->room < p->len + 16384)
	{
		p->room = p->len + 32768;
		p->data = realloc(p->data, p->room);
	}
	n = recv(p->fd, p->data + p->len, p->room - p->len - 1, 0);
	if (n <= 0)
		return false;
	p->len += (size_t) n;
	while (take_request(p))
		;
	return true;
}

/*
 * receiver_thread
 *		Serve until told to stop.
 */
static void *
receiver_thread(void *arg)
{
	struct pollfd polls[MAX_CLIENTS + 2];

	(void) arg;
	for (;;)
	{
		int watched = peer_count;

		polls[0] = (struct pollfd){.fd = stop_pipe[0], .events = POLLIN};
		polls[1] = (struct pollfd){.fd = peer_count < MAX_CLIENTS ? listener : -1, .events = POLLIN};
		for (int i = 0; i < watched; i++)
			polls[i + 2] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
		poll(polls, (nfds_t) watched + 2, -1);
		if (polls[0].revents != 0)
			break;
		for (int i = watched - 1; i >= 0; i--)
			if (polls[i + 2].revents != 0 && !read_peer(&peers[i]))
			{
				close(peers[i].fd);
				free(peers[i].data);
				peers[i] = peers[--peer_count];
			}
		if (polls[1].revents != 0)
		{
			int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			int one = 1;

			if (fd < 0)
				continue;
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			peers[peer_count++] = (Peer){.fd = fd, .number = next_number++};
		}
	}
	for (int i = 0; i < peer_count; i++)
	{
		close(peers[i].fd);
		free(peers[i].data);
	}
	peer_count = 0;
	return NULL;
}

/*
 * receiver_start, receiver_stop
 *		Listen on a port of 127.0.0.1; end and forget.
 */
void
receiver_start(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *) &a, sizeof(a)) != 0 ||
		listen(listener, 512) != 0 || getsockname(listener, (struct sockaddr *) &a, &len) != 0 ||
		pipe(stop_pipe) != 0 || pthread_create(&thread, NULL, receiver_thread, NULL) != 0)
	{
		perror("receiver");
		exit(1);
	}
	receiver_port = ntohs(a.sin_port);
}

void
receiver_stop(void)
{
	close(stop_pipe[1]);
	pthread_join(thread, NULL);
	close(stop_pipe[0]);
	close(listener);
	receiver_clear();
}

/*
 * receiver_clear
 *		Forget what came in and the plan.
 */
void
receiver_clear(void)
{
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < hook_count; i++)
	{
		free(hooks[i].head);
		free(hooks[i].body);
		cJSON_Delete(hooks[i].json);
	}
	hook_count = 0;
	plan_len = plan_next = 0;
	pthread_mutex_unlock(&mutex);
}

/*
 * receiver_plan
 *		How to answer the next requests: "500 0 200".
 */
void
receiver_plan(const char *statuses)
{
	char *end;

	pthread_mutex_lock(&mutex);
	plan_len = plan_next = 0;
	for (;;)
	{
		long status = strtol(statuses, &end, 10);

		if (end == statuses || plan_len == MAX_PLAN)
			break;
		plan[plan_len++] = (int) status;
		statuses = end;
	}
	pthread_mutex_unlock(&mutex);
}

/*
 * receiver_wait
 *		Wait until so many have come in; false if they do not in that time.
 */
bool
receiver_wait(int count, int timeout_ms)
{
	struct timespec until;
	bool reached;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000)
	{
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&mutex);
	while (hook_count < count && pthread_cond_timedwait(&arrived, &mutex, &until) == 0)
		;
	reached = hook_count >= count;
	pthread_mutex_unlock(&mutex);
	return reached;
}

/*
 * receiver_count, receiver_hook
 *		What has come in; one of them, valid until receiver_clear(). One that is
 *		not there is empty.
 */
int
receiver_count(void)
{
	int n;

	pthread_mutex_lock(&mutex);
	n = hook_count;
	pthread_mutex_unlock(&mutex);
	return n;
}

const Hook *
receiver_hook(int i)
{
	static const Hook none = {.head = "", .body = ""};

	return i < receiver_count() ? &hooks[i] : &none;
}

/*
 * hook_header
 *		The value of a header, in a buffer that the next call takes again; ""
 *		if there is none.
 */
const char *
hook_header(const Hook *h, const char *name)
{
	static char value[256];
	char find[80];
	const char *p;

	snprintf(find, sizeof(find), "\r\n%s: ", name);
	p = strcasestr(h->head, find);
	if (p == NULL)
		return "";
	p += strlen(find);
	snprintf(value, sizeof(value), "%.*s", (int) strcspn(p, "\r"), p);
	return value;
}
