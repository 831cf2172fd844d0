/*
 * httpd_answer.c
 *	  The HTTP server for webhooks and callbacks: answers.
 *
 * Clients of webhooks get a status and its name, so that nobody learns what is
 * stored.  Pages are for customers, and contain only what these know already.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/core/httpd/httpd_answer.c
 */
#include "core/httpd/httpd_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text/ascii.h"

#define RETRY_AFTER_SECONDS "30"

/* Seconds until the page "not confirmed yet" reloads itself */
#define RELOAD_SECONDS 5

/* Only the page's own style, nothing loaded, and in no frame */
#define CONTENT_SECURITY_POLICY "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; " \
	"form-action 'none'; frame-ancestors 'none'"

typedef struct PageText
{
	const char *title;
	const char *text;
} PageText;

/* By MfHttpdPage, in English and in Arabic */
static const PageText page_texts[][2] = {
	{
		{"Payment confirmed", "Your payment has been received. Thank you."},
		{"تم تأكيد الدفع", "لقد استلمنا دفعتك. شكرًا لك."}
	},
	{
		{"Payment not completed", "Your payment has not been completed. You can open the payment link and try again."},
		{"لم يكتمل الدفع", "لم تكتمل عملية الدفع. يمكنك فتح رابط الدفع والمحاولة مرة أخرى."}
	},
	{
		{"Payment not confirmed yet", "We are still waiting for the confirmation of your payment. Please do not pay again until you know more."},
		{"لم يتم تأكيد الدفع بعد", "ما زلنا ننتظر تأكيد عملية الدفع. يرجى عدم الدفع مرة أخرى قبل معرفة النتيجة."}
	},
	{
		{"Not available at the moment", "Please try again in a minute."},
		{"غير متاح حاليًا", "يرجى المحاولة مرة أخرى بعد دقيقة."}
	}
};

static const char page_template[] =
"<!DOCTYPE html>\n"
"<html lang=\"%s\" dir=\"%s\">\n"
"<head>\n"
"<meta charset=\"utf-8\">\n"
"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
"<meta name=\"robots\" content=\"noindex\">\n"
"<title>%s</title>\n"
"<style>body{font-family:system-ui,sans-serif;max-width:32em;margin:15vh auto;padding:0 1em;text-align:center}</style>\n"
"</head>\n"
"<body><h1>%s</h1><p>%s</p></body>\n"
"</html>\n";

static bool add_header(struct MHD_Response *response, const char *name, const char *value);
static bool add_common_headers(struct MHD_Response *response);
static char *make_location(const MfHttpdRequest *request, const char *url);
static bool reload_later(const MfHttpdRequest *request, struct MHD_Response *response);

struct MHD_Response *
mf_httpd_plain(unsigned int status, const char *allow)
{
	const char *text = status == MHD_HTTP_OK ? "ok" : MHD_get_reason_phrase_for(status);
	char		line[64];
	struct MHD_Response *response;

	snprintf(line, sizeof(line), "%s\n", text);
	response = MHD_create_response_from_buffer(strlen(line), line, MHD_RESPMEM_MUST_COPY);
	if (response != NULL &&
		!(add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8") &&
		  add_common_headers(response) &&
		  (allow == NULL || add_header(response, MHD_HTTP_HEADER_ALLOW, allow)) &&
		  (status != MHD_HTTP_SERVICE_UNAVAILABLE ||
		   add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_SECONDS))))
	{
		MHD_destroy_response(response);
		response = NULL;
	}
	return response;
}

static bool
add_header(struct MHD_Response *response, const char *name, const char *value)
{
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

static bool
add_common_headers(struct MHD_Response *response)
{
	return add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") &&
		add_header(response, "Referrer-Policy", "no-referrer") &&
		add_header(response, "X-Content-Type-Options", "nosniff");
}

/* Sends an answer and resumes the connection; without an answer (no memory) ends it. */
static void
send_answer(MfHttpdRequest *request, unsigned int status, struct MHD_Response *response)
{
	MfHttpdExchange *exchange = request->exchange;

	if (response != NULL && exchange->last && !add_header(response, MHD_HTTP_HEADER_CONNECTION, "close"))
	{
		MHD_destroy_response(response);
		response = NULL;
	}
	exchange->status = status;
	exchange->response = response;
	exchange->connection->state = MF_CONNECTION_ANSWERED;
	mf_httpd_unwatch(exchange);
	MHD_resume_connection(exchange->connection->mhd);
}

void
mf_httpd_answer(MfHttpdRequest *request, MfHttpdAnswer answer)
{
	send_answer(request, answer, mf_httpd_plain(answer, NULL));
}

bool
mf_httpd_can_redirect(const char *url)
{
	const char *c;

	if (mf_word_length(url, "https://") == 0 && mf_word_length(url, "http://") == 0)
		return false;
	for (c = url; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= ' ' || (unsigned char) *c == 127)
			return false;
	}
	return true;
}

void
mf_httpd_redirect(MfHttpdRequest *request, const char *url)
{
	char	   *location = make_location(request, url);
	struct MHD_Response *response = location == NULL ? NULL : mf_httpd_plain(MHD_HTTP_SEE_OTHER, NULL);

	if (response != NULL && !add_header(response, MHD_HTTP_HEADER_LOCATION, location))
	{
		MHD_destroy_response(response);
		response = NULL;
	}
	free(location);
	send_answer(request, MHD_HTTP_SEE_OTHER, response);
}

/*
 * Returns the URL with the paymentId as its last arguments, malloc'd.  The shop
 * gets them as if MyFatoorah had sent the customer there.  Escapes what is not
 * ASCII.  A fragment stays at the end.
 */
static char *
make_location(const MfHttpdRequest *request, const char *url)
{
	const char *id = request->payment_id;
	size_t		fragment = strcspn(url, "#");
	size_t		size = 3 * strlen(url) + (id != NULL ? 2 * strlen(id) : 0) + sizeof("?paymentId=&Id=");
	char	   *location = malloc(size);
	char	   *end = location;
	const char *query;
	size_t		i;

	if (location == NULL)
		return NULL;
	query = memchr(url, '?', fragment);
	for (i = 0;; i++)
	{
		if (i == fragment && id != NULL)
			end += sprintf(end, "%spaymentId=%s&Id=%s",
						   query == NULL ? "?" : strchr("?&", url[fragment - 1]) != NULL ? "" : "&", id, id);
		if (url[i] == '\0')
			break;
		if ((unsigned char) url[i] < 128)
			*end++ = url[i];
		else
			end += sprintf(end, "%%%02X", (unsigned int) (unsigned char) url[i]);
	}
	*end = '\0';
	return location;
}

void
mf_httpd_page(MfHttpdRequest *request, MfHttpdPage page, bool arabic, bool trouble)
{
	const PageText *text = &page_texts[page][arabic ? 1 : 0];
	struct MHD_Response *response;
	char		buffer[2048];
	int			length;

	length = snprintf(buffer, sizeof(buffer), page_template, arabic ? "ar" : "en", arabic ? "rtl" : "ltr",
					  text->title, text->title, text->text);
	response = MHD_create_response_from_buffer((size_t) length, buffer, MHD_RESPMEM_MUST_COPY);
	if (response != NULL &&
		!(add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/html; charset=utf-8") &&
		  add_common_headers(response) &&
		  add_header(response, "Content-Security-Policy", CONTENT_SECURITY_POLICY) &&
		  (!trouble || add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_SECONDS)) &&
		  (page != MF_PAGE_NOT_CONFIRMED_YET || reload_later(request, response))))
	{
		MHD_destroy_response(response);
		response = NULL;
	}
	send_answer(request, trouble ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, response);
}

void
mf_httpd_respond(MfHttpdRequest *request, unsigned int status, const char *content_type, const char *location,
				 const char *body, size_t body_len)
{
	char	   *escaped = location == NULL ? NULL : make_location(request, location);
	char		type[128];
	struct MHD_Response *response = NULL;

	snprintf(type, sizeof(type), "%s; charset=utf-8", content_type);
	if (location == NULL || escaped != NULL)
		response = MHD_create_response_from_buffer(body_len, (void *) (uintptr_t) body, MHD_RESPMEM_MUST_COPY);
	if (response != NULL &&
		!(add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) &&
		  add_common_headers(response) &&
		  add_header(response, "Content-Security-Policy", CONTENT_SECURITY_POLICY) &&
		  (escaped == NULL || add_header(response, MHD_HTTP_HEADER_LOCATION, escaped)) &&
		  (status != MHD_HTTP_SERVICE_UNAVAILABLE ||
		   add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, RETRY_AFTER_SECONDS))))
	{
		MHD_destroy_response(response);
		response = NULL;
	}
	free(escaped);
	send_answer(request, status, response);
}

/* Makes the browser reload the page in a moment, a few times. */
static bool
reload_later(const MfHttpdRequest *request, struct MHD_Response *response)
{
	char		refresh[256];
	const char *id = request->payment_id;

	if (request->tries + 1 >= MF_HTTPD_MAX_TRIES)
		return true;

	/* relative, so that the prefix of a proxy stays */
	snprintf(refresh, sizeof(refresh), "%d; url=?%s%s%s%s%stry=%d", RELOAD_SECONDS,
			 id != NULL ? "paymentId=" : "", id != NULL ? id : "",
			 id != NULL ? "&Id=" : "", id != NULL ? id : "", id != NULL ? "&" : "", request->tries + 1);
	return add_header(response, "Refresh", refresh);
}
