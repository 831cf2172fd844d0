/*
 * webhook_send.c
 *	  Sending webhooks: one thread, libcurl, kept connections, retries.
 *
 * What is due waits in a queue under the store's lock; the thread takes from
 * it as many as it may have under way and never holds the lock while it talks.
 */
#include "delivery.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#define MAX_SLOTS 256

/* A delivery under way. */
typedef struct Slot
{
	CURL *easy;
	struct curl_slist *headers;
	Delivery *delivery; /* NULL: free */
	int64_t timeout_ms;
	Attempt attempt;
	size_t response_len;
} Slot;

WebhookSettings webhook_settings;

static Slot slots[MAX_SLOTS];
static int slots_busy;
static bool orphans; /* something under way is for nobody any more */
static Delivery *ready_first;
static Delivery *ready_last;
static CURLM *multi;
static pthread_t thread;
static atomic_bool stopping;

/*
 * push_ready
 *		Append a delivery to the queue; the thread is woken if it may sleep.
 */
static void
push_ready(Delivery *d)
{
	bool empty = ready_first == NULL;

	d->next_ready = NULL;
	if (empty)
		ready_first = d;
	else
		ready_last->next_ready = d;
	ready_last = d;
	if (empty && multi != NULL)
		curl_multi_wakeup(multi);
}

/*
 * delivery_due
 *		The time of a delayed delivery has come.
 */
static void
delivery_due(Timer *timer)
{
	Delivery *d = hash_entry(timer, Delivery, timer);

	store_lock();
	d->armed = false;
	if (d->orphan)
		delivery_free(d);
	else
		push_ready(d);
	store_unlock();
}

/*
 * sender_queue
 *		Send a delivery after a while.
 */
void
sender_queue(Delivery *d, int64_t delay_ms)
{
	if (delay_ms <= 0)
	{
		push_ready(d);
		return;
	}
	d->timer.fire = delivery_due;
	d->armed = true;
	if (!timer_add(&d->timer, delay_ms * 1000))
		d->armed = false;
}

/*
 * url_is_loopback
 *		Is it http:// to this machine, and to nowhere else?
 */
bool
url_is_loopback(const char *url)
{
	Str host;
	size_t len;
	const char *colon;

	if (strncasecmp(url, "http://", 7) != 0)
		return false;
	url += 7;
	len = strcspn(url, "/?#");
	if (memchr(url, '@', len) != NULL || memchr(url, '\\', len) != NULL)
		return false;
	if (len >= 5 && memcmp(url, "[::1]", 5) == 0)
		return len == 5 || url[5] == ':';
	colon = memchr(url, ':', len);
	host = (Str){url, colon != NULL ? (size_t) (colon - url) : len};
	if (str_is_nocase(host, "localhost"))
		return true;
	/* 127.a.b.c in digits; a name may not hide behind it. */
	if (!str_has_prefix(host, STR_LIT("127.")))
		return false;
	for (size_t i = 0; i < host.len; i++)
		if ((host.data[i] < '0' || host.data[i] > '9') && host.data[i] != '.')
			return false;
	return true;
}

/*
 * webhook_take
 *		Send a delivery that is in the log, after a while. One that does not go
 *		to this machine fails at once.
 */
void
webhook_take(Delivery *d, int64_t delay_ms)
{
	if (url_is_loopback(d->endpoint))
	{
		sender_queue(d, delay_ms);
		return;
	}
	d->attempts = xcalloc(1, sizeof(Attempt));
	d->attempt_count = 1;
	d->attempts->start_us = d->attempts->end_us = monotonic_us();
	d->attempts->wall_us = wall_us();
	strcpy(d->attempts->message, "not sent: no http address of this machine");
	d->attempts_left = 0;
	d->status = DELIVERY_FAILED;
	webhook_log_note(d, PHASE_ATTEMPTED);
	webhook_log_note(d, PHASE_FINISHED);
	if (d->then != NULL)
		webhook_take(d->then, d->then->delay_ms);
	d->then = NULL;
}

/*
 * sender_forget_all, sender_forget
 *		Empty the queue; free a delivery, or leave that to whoever has it.
 */
void
sender_forget_all(void)
{
	ready_first = ready_last = NULL;
}

void
sender_forget(Delivery *d)
{
	if (d->armed && timer_cancel(&d->timer))
		d->armed = false;
	d->then = NULL;
	if (!d->armed && !d->busy)
	{
		delivery_free(d);
		return;
	}
	d->orphan = true;
	if (d->busy)
	{
		orphans = true;
		curl_multi_wakeup(multi);
	}
}

/*
 * open_socket
 *		Whatever a name was resolved to: nothing but this machine is connected
 *		to.
 */
static curl_socket_t
open_socket(void *cls, curlsocktype purpose, struct curl_sockaddr *address)
{
	const struct sockaddr *to = &address->addr;
	bool loopback = false;

	(void) cls;
	(void) purpose;
	if (to->sa_family == AF_INET)
	{
		struct sockaddr_in in;

		memcpy(&in, to, sizeof(in));
		loopback = ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	else if (to->sa_family == AF_INET6 && address->addrlen >= sizeof(struct sockaddr_in6))
	{
		/* addr is only the start of it, but libcurl keeps room behind. */
		const struct sockaddr_in6 *in6 = (const void *) to;

		loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
	if (!loopback)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/*
 * take_header, take_body
 *		Keep the reason phrase and the start of the answer.
 */
static size_t
take_header(char *data, size_t size, size_t count, void *cls)
{
	Slot *slot = cls;
	size_t len = size * count;

	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
	{
		const char *p = memchr(data, ' ', len);
		const char *reason = p != NULL ? memchr(p + 1, ' ', len - (size_t) (p + 1 - data)) : NULL;
		Str text = STR_LIT("");

		if (reason != NULL)
			text = str_trim((Str){reason, len - (size_t) (reason - data)});
		snprintf(slot->attempt.message, sizeof(slot->attempt.message), "%.*s", (int) text.len, text.data);
	}
	return len;
}

static size_t
take_body(char *data, size_t size, size_t count, void *cls)
{
	Slot *slot = cls;
	size_t len = size * count;
	size_t room = sizeof(slot->attempt.response) - 1 - slot->response_len;
	size_t n = len < room ? len : room;

	memcpy(slot->attempt.response + slot->response_len, data, n);
	slot->response_len += n;
	return len;
}

/*
 * make_easy
 *		The handle of a slot, with all that is the same for every delivery.
 */
static void
make_easy(Slot *slot)
{
	CURL *easy = curl_easy_init();

	if (easy == NULL)
		abort();
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, slot);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, slot);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	slot->easy = easy;
}

/*
 * start_attempt
 *		Hand a delivery to libcurl. Without the lock.
 */
static void
start_attempt(Slot *slot)
{
	const Delivery *d = slot->delivery;
	char line[256];

	if (slot->easy == NULL)
		make_easy(slot);
	slot->headers = curl_slist_append(NULL, "Expect:");
	if (d->headers != NULL)
		for (const char *h = d->headers; *h != '\0'; h += strlen(h) + 1)
			slot->headers = curl_slist_append(slot->headers, h);
	if (d->version > 0)
	{
		slot->headers = curl_slist_append(slot->headers, "Content-Type: application/json");
		snprintf(line, sizeof(line), "MyFatoorah-Webhook-Version: v%d", d->version);
		slot->headers = curl_slist_append(slot->headers, line);
	}
	if (d->signature != NULL)
	{
		snprintf(line, sizeof(line), "MyFatoorah-Signature: %s", d->signature);
		slot->headers = curl_slist_append(slot->headers, line);
	}
	curl_easy_setopt(slot->easy, CURLOPT_URL, d->endpoint);
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, d->body.data);
	curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) d->body.len);
	curl_easy_setopt(slot->easy, CURLOPT_TIMEOUT_MS, (long) slot->timeout_ms);
	memset(&slot->attempt, 0, sizeof(slot->attempt));
	slot->response_len = 0;
	slot->attempt.wall_us = wall_us();
	slot->attempt.start_us = monotonic_us();
	curl_multi_add_handle(multi, slot->easy);
}

/*
 * end_attempt
 *		Take a delivery back from libcurl. Without the lock.
 */
static void
end_attempt(Slot *slot, CURLcode result)
{
	long status = 0;

	slot->attempt.end_us = monotonic_us();
	curl_multi_remove_handle(multi, slot->easy);
	curl_slist_free_all(slot->headers);
	slot->headers = NULL;
	if (result == CURLE_OK)
		curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	else
		snprintf(slot->attempt.message, sizeof(slot->attempt.message), "%s", curl_easy_strerror(result));
	slot->attempt.status = (int) status;
}

/*
 * note_attempt
 *		Enter an attempt into the log and decide how it goes on: 200 is
 *		success, anything else is tried again until it has failed for ever.
 *		Locked.
 */
static void
note_attempt(Delivery *d, const Attempt *attempt)
{
	Delivery *then = d->then;

	d->busy = false;
	if (d->orphan)
	{
		delivery_free(d);
		return;
	}
	d->attempts = xrealloc(d->attempts, (size_t) (d->attempt_count + 1) * sizeof(Attempt));
	d->attempts[d->attempt_count++] = *attempt;
	if (attempt->status == 200)
		d->status = DELIVERY_SUCCEEDED;
	else if (d->attempts_left == 0)
		d->status = DELIVERY_FAILED;
	else
	{
		d->attempts_left--;
		d->status = DELIVERY_WAITING;
		sender_queue(d, webhook_settings.retry_delay_ms >= 0 ? webhook_settings.retry_delay_ms
						: d->version == 1                    ? 10000
															 : 180000);
	}
	d->then = NULL;
	webhook_log_note(d, PHASE_ATTEMPTED);
	if (d->status != DELIVERY_WAITING)
		webhook_log_note(d, PHASE_FINISHED);
	if (then != NULL)
		webhook_take(then, then->delay_ms);
}

/*
 * take_due
 *		Give what is due to free slots, as many as are allowed; how many that
 *		were. Locked.
 */
static int
take_due(Slot **taken)
{
	int n = 0;

	for (int i = 0; ready_first != NULL && slots_busy < webhook_settings.connections; i++)
	{
		Delivery *d = ready_first;

		if (slots[i].delivery != NULL)
			continue;
		ready_first = d->next_ready;
		d->busy = true;
		d->status = DELIVERY_RUNNING;
		slots[i].delivery = d;
		slots[i].timeout_ms = webhook_settings.timeout_ms;
		slots_busy++;
		taken[n++] = &slots[i];
	}
	return n;
}

/*
 * take_orphans
 *		The slots whose delivery was forgotten, to be broken off. Locked.
 */
static int
take_orphans(Slot **taken)
{
	int n = 0;

	for (int i = 0; orphans && i < MAX_SLOTS; i++)
		if (slots[i].delivery != NULL && slots[i].delivery->orphan)
			taken[n++] = &slots[i];
	orphans = false;
	return n;
}

/*
 * note_all
 *		Enter attempts that are over, and free their slots.
 */
static void
note_all(Slot **list, int n)
{
	store_lock();
	for (int i = 0; i < n; i++)
	{
		note_attempt(list[i]->delivery, &list[i]->attempt);
		list[i]->delivery = NULL;
		slots_busy--;
	}
	store_unlock();
}

/*
 * sender_thread
 *		Start what is due, move the bytes, note what has ended.
 */
static void *
sender_thread(void *arg)
{
	Slot *list[MAX_SLOTS];
	int n;
	int running;
	int left;
	CURLMsg *message;

	(void) arg;
	while (!stopping)
	{
		store_lock();
		n = take_orphans(list);
		store_unlock();
		for (int i = 0; i < n; i++)
			end_attempt(list[i], CURLE_ABORTED_BY_CALLBACK);
		if (n > 0)
			note_all(list, n);
		store_lock();
		n = take_due(list);
		store_unlock();
		for (int i = 0; i < n; i++)
			start_attempt(list[i]);
		curl_multi_perform(multi, &running);
		n = 0;
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			char *private = NULL;
			CURLcode result = message->data.result;

			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
			list[n] = (Slot *) (void *) private;
			end_attempt(list[n++], result);
		}
		if (n > 0)
			note_all(list, n);
		else
			curl_multi_poll(multi, NULL, 0, 1000, NULL);
	}
	return NULL;
}

/*
 * sender_start, sender_stop
 *		Start the thread; end it, breaking off what is under way. Nothing is
 *		sent afterwards.
 */
void
sender_start(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
		abort();
	multi = curl_multi_init();
	if (multi == NULL)
		abort();
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) MAX_SLOTS);
	if (pthread_create(&thread, NULL, sender_thread, NULL) != 0)
		abort();
}

void
sender_stop(void)
{
	CURLM *old;

	stopping = true;
	curl_multi_wakeup(multi);
	pthread_join(thread, NULL);
	store_lock();
	old = multi;
	multi = NULL;
	sender_forget_all();
	for (int i = 0; i < MAX_SLOTS; i++)
	{
		Slot *slot = &slots[i];

		if (slot->delivery != NULL)
		{
			curl_multi_remove_handle(old, slot->easy);
			curl_slist_free_all(slot->headers);
			slot->delivery->busy = false;
			if (slot->delivery->orphan)
				delivery_free(slot->delivery);
			slot->delivery = NULL;
		}
		if (slot->easy != NULL)
			curl_easy_cleanup(slot->easy);
		slot->easy = NULL;
	}
	store_unlock();
	curl_multi_cleanup(old);
	curl_global_cleanup();
}
