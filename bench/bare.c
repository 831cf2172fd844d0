/*
 * bare.c
 *	  The yardstick: libcurl alone, with the benchmark's bodies.
 *
 * By default a multi handle on epoll keeps --connections requests in flight,
 * each on a kept-alive connection, with easy handles that are set up once.
 * With --easy one request after the other goes through one easy handle.
 * With --poll the multi handle waits by curl_multi_poll() instead of epoll.
 * Nothing is parsed and nothing is stored: it is what the network part of any
 * client costs at least.
 *
 *	bare --url URL --requests N [--connections N] [--easy | --poll] [--key KEY] [--ca FILE]
 *
 * With --ca it trusts that authority and talks TLS 1.3.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * bench/bare.c
 */
#include "common.h"

#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 64

typedef struct Request
{
	CURL *easy;
	size_t answer_length;
	char body[BODY_SIZE];
	char answer[ANSWER_SIZE];
} Request;

static const char *url;
static const char *ca_file;
static struct curl_slist *headers;
static long requests;
static long started;
static long finished;
static int epoll;
static int64_t deadline = -1;
static int poll_mode;

static void run_easy(void);
static void run_multi(int connections);
static void set_up(Request *r);
static void next_body(Request *r);
static void check_answer(Request *r, CURLcode code);
static size_t keep_answer(char *data, size_t size, size_t count, void *arg);
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known);
static int set_timer(CURLM *multi, long timeout_ms, void *arg);
static void take_finished(CURLM *multi);
static double cpu_seconds(void);

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"url", required_argument, NULL, 'u'},
											{"requests", required_argument, NULL, 'n'},
											{"connections", required_argument, NULL, 'c'},
											{"key", required_argument, NULL, 'k'},
											{"ca", required_argument, NULL, 'a'},
											{"easy", no_argument, NULL, 'e'},
											{"poll", no_argument, NULL, 'p'},
											{NULL, 0, NULL, 0}};
	const char *key = "SK_KWT_sandbox";
	char header[1024];
	char full_url[1024];
	long connections = 50;
	int easy = 0;
	int option;
	int64_t begin;
	double cpu;
	double seconds;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == 'u')
			url = optarg;
		else if (option == 'n')
			requests = parse_number("--requests", optarg, 1);
		else if (option == 'c')
			connections = parse_number("--connections", optarg, 1);
		else if (option == 'k')
			key = optarg;
		else if (option == 'a')
			ca_file = optarg;
		else if (option == 'e')
			easy = 1;
		else if (option == 'p')
			poll_mode = 1;
		else
			return 2;
	}
	if (url == NULL || requests == 0)
		die("usage: bare --url URL --requests N [--connections N] [--easy | --poll] [--key KEY] [--ca FILE]");

	snprintf(full_url, sizeof(full_url), "%s/v2/SendPayment", url);
	url = full_url;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	snprintf(header, sizeof(header), "Authorization: Bearer %s", key);
	headers = curl_slist_append(NULL, header);
	headers = curl_slist_append(headers, "Content-Type: application/json");
	headers = curl_slist_append(headers, "Accept: application/json");
	headers = curl_slist_append(headers, "Expect:");

	begin = now();
	cpu = cpu_seconds();
	if (easy)
		run_easy();
	else
		run_multi((int) (connections < requests ? connections : requests));
	seconds = (double) (now() - begin) / SECOND;
	cpu = cpu_seconds() - cpu;

	report("seconds", seconds);
	report("rate", (double) requests / seconds);
	report("cpu_us", cpu * 1e6 / (double) requests);
	return 0;
}

/* User and system time of this process. */
static double
cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		   (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* One after the other. */
static void
run_easy(void)
{
	static Request request;

	set_up(&request);
	while (started < requests)
	{
		next_body(&request);
		check_answer(&request, curl_easy_perform(request.easy));
	}
	curl_easy_cleanup(request.easy);
}

/* As many at a time as there are connections. */
static void
run_multi(int connections)
{
	CURLM *multi = curl_multi_init();
	Request *pool = calloc((size_t) connections, sizeof(Request));
	int running;
	int i;

	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (multi == NULL || pool == NULL || epoll < 0)
		die("out of memory");
	if (!poll_mode)
	{
		curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	}
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) connections);
	for (i = 0; i < connections; i++)
	{
		set_up(&pool[i]);
		next_body(&pool[i]);
		curl_multi_add_handle(multi, pool[i].easy);
	}

	while (poll_mode && finished < requests)
	{
		curl_multi_perform(multi, &running);
		take_finished(multi);
		curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	while (finished < requests)
	{
		struct epoll_event events[EVENTS_AT_ONCE];
		int64_t left = deadline < 0 ? -1 : deadline - now();
		int timeout = deadline < 0 ? -1 : left <= 0 ? 0 : (int) ((left + 999999) / 1000000);
		int count = epoll_wait(epoll, events, EVENTS_AT_ONCE, timeout);

		if (count < 0 && errno != EINTR)
			die("epoll_wait: %s", strerror(errno));
		for (i = 0; i < count; i++)
			curl_multi_socket_action(multi, events[i].data.fd,
									 (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? CURL_CSELECT_IN
																						 : 0) |
										 (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0),
									 &running);
		if (deadline >= 0 && now() >= deadline)
		{
			deadline = -1;
			curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		take_finished(multi);
	}
	for (i = 0; i < connections; i++)
		curl_easy_cleanup(pool[i].easy);
	curl_multi_cleanup(multi);
	free(pool);
	close(epoll);
}

/* What is the same for each request. */
static void
set_up(Request *r)
{
	r->easy = curl_easy_init();
	if (r->easy == NULL)
		die("out of memory");
	curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
	curl_easy_setopt(r->easy, CURLOPT_URL, url);
	curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
	if (ca_file != NULL)
	{
		curl_easy_setopt(r->easy, CURLOPT_CAINFO, ca_file);
		curl_easy_setopt(r->easy, CURLOPT_CAPATH, NULL);
		curl_easy_setopt(r->easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_3);
	}
	curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
	curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, 60000L);
	curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, keep_answer);
	curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
}

/* The next request gets its body. */
static void
next_body(Request *r)
{
	int length = make_body(r->body, "bare", ++started);

	r->answer_length = 0;
	curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->body);
	curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE, (long) length);
}

static size_t
keep_answer(char *data, size_t size, size_t count, void *arg)
{
	Request *r = arg;
	size_t length = size * count;

	if (length >= ANSWER_SIZE - r->answer_length)
		return 0;
	memcpy(r->answer + r->answer_length, data, length);
	r->answer_length += length;
	return length;
}

/* An answer that is not what was asked for makes the measurement worthless. */
static void
check_answer(Request *r, CURLcode code)
{
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	r->answer[r->answer_length] = '\0';
	if (code != CURLE_OK || status != 200 || strstr(r->answer, "\"IsSuccess\":true") == NULL)
		die("a request failed: %s, HTTP %ld: %s", curl_easy_strerror(code), status, r->answer);
	finished++;
}

static int
watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	(void) arg;
	(void) known;
	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	event.events =
		(what & CURL_POLL_IN ? (uint32_t) EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t) EPOLLOUT : 0);
	if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		die("epoll_ctl: %s", strerror(errno));
	return 0;
}

static int
set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	(void) multi;
	(void) arg;
	deadline = timeout_ms < 0 ? -1 : now() + timeout_ms * (SECOND / 1000);
	return 0;
}

/* Each request that is done makes room for another one. */
static void
take_finished(CURLM *multi)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left)) != NULL)
	{
		CURL *easy = message->easy_handle;
		CURLcode code = message->data.result;
		Request *r;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &r);
		check_answer(r, code);
		curl_multi_remove_handle(multi, easy);
		if (started < requests)
		{
			next_body(r);
			curl_multi_add_handle(multi, easy);
		}
	}
}
