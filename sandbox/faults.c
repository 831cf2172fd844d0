/*
 * faults.c
 *	  Misbehaviour on demand: reading rules, matching them, handing them out.
 *
 * The first rule that matches, has no requests left to skip and times left to
 * be applied is the one used; rules do not add up. A rule is counted by its
 * users, so that one in use survives being deleted.
 */
#include "faults.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"
#include "shapes.h"
#include "timers.h"

static FaultRule *rules;
static int64_t next_id = 1;
static atomic_int armed;

/*
 * faults_armed
 *		Is there any rule? Needs no lock.
 */
bool
faults_armed(void)
{
	return atomic_load_explicit(&armed, memory_order_relaxed) > 0;
}

/*
 * take_string
 *		A copy of a string member; NULL with the error noted if it is none.
 */
static char *
take_string(const cJSON *value, const char *name, Buf *error)
{
	if (cJSON_IsString(value))
		return xstrdup(value->valuestring);
	buf_printf(error, "%s must be a string", name);
	return NULL;
}

/*
 * take_integer
 *		A whole number that is at least the minimum.
 */
static bool
take_integer(const cJSON *value, const char *name, int64_t minimum, int64_t *to, Buf *error)
{
	if (!cJSON_IsNumber(value) || value->valuedouble < (double) minimum || value->valuedouble > 9e15 ||
		value->valuedouble != (double) (int64_t) value->valuedouble)
	{
		buf_printf(error, "%s must be a whole number, at least %lld", name, (long long) minimum);
		return false;
	}
	*to = (int64_t) value->valuedouble;
	return true;
}

/*
 * take_bytes
 *		The bytes of a string, or of anything else its JSON text.
 */
static bool
take_bytes(const cJSON *value, bool base64, Buf *to)
{
	char *text;

	to->len = 0;
	buf_put(to, "", 0);
	if (cJSON_IsString(value))
	{
		if (base64)
			return base64_decode(str_of(value->valuestring), to);
		buf_puts(to, value->valuestring);
		return true;
	}
	if (base64)
		return false;
	text = cJSON_PrintUnformatted(value);
	buf_puts(to, text);
	cJSON_free(text);
	return true;
}

/*
 * take_headers
 *		An object of header names and texts.
 */
static bool
take_headers(const cJSON *value, Fault *f, Buf *error)
{
	const cJSON *h;

	if (!cJSON_IsObject(value))
	{
		buf_puts(error, "headers must be an object");
		return false;
	}
	cJSON_ArrayForEach (h, value)
	{
		if (!cJSON_IsString(h) || f->header_count == FAULT_MAX_HEADERS)
		{
			buf_printf(error, "headers must be at most %d texts", FAULT_MAX_HEADERS);
			return false;
		}
		f->header_names[f->header_count] = xstrdup(h->string);
		f->header_values[f->header_count++] = xstrdup(h->valuestring);
	}
	return true;
}

/*
 * take_request_end, take_answer_end
 *		Where to break the request or the answer off.
 */
static bool
take_request_end(const cJSON *value, Fault *f, bool total, FaultEnd end, Buf *error)
{
	if (!take_integer(value, value->string, 0, &f->request_at, error))
		return false;
	f->hits_request = true;
	f->request_total = total;
	f->request_end = end;
	return true;
}

static bool
take_answer_end(const cJSON *value, Fault *f, FaultEnd end, Buf *error)
{
	if (!take_integer(value, value->string, 0, &f->answer_at, error))
		return false;
	f->answer_end = end;
	return true;
}

/*
 * take_member
 *		One member of a rule; false with the error noted.
 */
static bool
take_member(FaultRule *rule, const cJSON *m, Buf *error)
{
	const char *name = m->string;
	Fault *f = &rule->fault;
	int64_t n;
	char **text = strcmp(name, "name") == 0               ? &rule->name
				  : strcmp(name, "path") == 0             ? &rule->path
				  : strcmp(name, "method") == 0           ? &rule->method
				  : strcmp(name, "reference") == 0        ? &rule->reference
				  : strcmp(name, "reference_prefix") == 0 ? &rule->reference_prefix
				  : strcmp(name, "contains") == 0         ? &rule->contains
				  : strcmp(name, "content_type") == 0     ? &f->content_type
														  : NULL;

	if (text != NULL)
	{
		free(*text);
		return (*text = take_string(m, name, error)) != NULL;
	}
	if (strcmp(name, "times") == 0)
		return take_integer(m, name, -1, &rule->times, error);
	if (strcmp(name, "skip") == 0)
		return take_integer(m, name, 0, &rule->skip, error);
	if (strcmp(name, "delay_ms") == 0)
		return take_integer(m, name, -1, &f->delay_ms, error);
	if (strcmp(name, "delay_before_ms") == 0)
		return take_integer(m, name, -1, &f->delay_before_ms, error);
	if (strcmp(name, "stall_ms") == 0)
		return take_integer(m, name, -1, &f->stall_ms, error);
	if (strcmp(name, "throttle") == 0)
		return take_integer(m, name, 1, &f->throttle, error);
	if (strcmp(name, "status") == 0)
	{
		if (!take_integer(m, name, 100, &n, error))
			return false;
		if (n < 100 || n > 599)
		{
			buf_puts(error, "status must be from 100 to 599");
			return false;
		}
		f->status = (int) n;
		return true;
	}
	if (strcmp(name, "shape") == 0)
	{
		const FailureShape *shape;

		if (!take_integer(m, name, 1, &n, error))
			return false;
		shape = failure_shape((int) n);
		if (shape == NULL)
		{
			buf_puts(error, "shape must be from 1 to 12");
			return false;
		}
		if (f->status == 0)
			f->status = shape->status;
		if (!f->has_body)
		{
			f->has_body = true;
			f->body.len = 0;
			buf_puts(&f->body, shape->body);
		}
		if (f->content_type == NULL)
			f->content_type = xstrdup(shape->content_type);
		return true;
	}
	if (strcmp(name, "body") == 0 || strcmp(name, "body_base64") == 0)
	{
		f->has_body = take_bytes(m, strcmp(name, "body_base64") == 0, &f->body);
		if (!f->has_body)
			buf_puts(error, "body_base64 is not Base64");
		return f->has_body;
	}
	if (strcmp(name, "raw") == 0 || strcmp(name, "raw_base64") == 0)
	{
		f->has_raw = take_bytes(m, strcmp(name, "raw_base64") == 0, &f->raw);
		if (!f->has_raw)
			buf_puts(error, "raw_base64 is not Base64");
		return f->has_raw;
	}
	if (strcmp(name, "headers") == 0)
		return take_headers(m, f, error);
	if (strcmp(name, "create") == 0 || strcmp(name, "close") == 0 || strcmp(name, "never") == 0 ||
		strcmp(name, "fill") == 0)
	{
		if (!cJSON_IsBool(m))
		{
			buf_printf(error, "%s must be true or false", name);
			return false;
		}
		if (strcmp(name, "create") == 0)
			f->create = cJSON_IsTrue(m);
		else if (strcmp(name, "close") == 0)
			f->close = cJSON_IsTrue(m);
		else if (strcmp(name, "fill") == 0)
			f->fill = cJSON_IsTrue(m);
		else if (cJSON_IsTrue(m))
		{
			f->answer_end = END_STALL;
			f->answer_at = 0;
			if (f->create < 0)
				f->create = 0;
		}
		return true;
	}
	if (strcmp(name, "cut_request_at") == 0)
		return take_request_end(m, f, false, END_CUT, error);
	if (strcmp(name, "reset_request_at") == 0)
		return take_request_end(m, f, false, END_RESET, error);
	if (strcmp(name, "cut_request_at_total") == 0)
		return take_request_end(m, f, true, END_CUT, error);
	if (strcmp(name, "reset_request_at_total") == 0)
		return take_request_end(m, f, true, END_RESET, error);
	if (strcmp(name, "cut_answer_at") == 0)
		return take_answer_end(m, f, END_CUT, error);
	if (strcmp(name, "reset_answer_at") == 0)
		return take_answer_end(m, f, END_RESET, error);
	if (strcmp(name, "stall_at") == 0)
		return take_answer_end(m, f, END_STALL, error);
	if (strcmp(name, "close_after_ms") == 0)
	{
		f->answer_end = END_STALL;
		f->answer_at = FAULT_TO_THE_END;
		return take_integer(m, name, 0, &f->stall_ms, error);
	}
	buf_printf(error, "unknown member \"%s\"", name);
	return false;
}

/*
 * read_rule
 *		A rule from its JSON; NULL with the error noted.
 */
static FaultRule *
read_rule(const cJSON *object, bool tls, Buf *error)
{
	FaultRule *rule = xcalloc(1, sizeof(FaultRule));
	Fault *f = &rule->fault;
	const cJSON *m;

	rule->users = 1;
	rule->times = 1;
	rule->tokens_at = -1;
	f->create = -1;
	f->stall_ms = -1;
	if (!cJSON_IsObject(object))
	{
		buf_puts(error, "a rule must be an object");
		faults_release(rule);
		return NULL;
	}
	if (cJSON_GetObjectItemCaseSensitive(object, "name") != NULL ||
		cJSON_GetObjectItemCaseSensitive(object, "throttle") != NULL)
		rule->times = -1;
	cJSON_ArrayForEach (m, object)
	{
		if (!take_member(rule, m, error))
		{
			faults_release(rule);
			return NULL;
		}
	}
	if (rule->path != NULL && rule->path[0] != '/')
	{
		char *full = xmalloc(strlen(rule->path) + 5);

		memcpy(full, "/v2/", 4);
		memcpy(full + 4, rule->path, strlen(rule->path) + 1);
		free(rule->path);
		rule->path = full;
	}
	if (rule->path == NULL && rule->name != NULL)
		rule->path = xstrdup("/v2/sendpayment");
	for (char *p = rule->path; p != NULL && *p != '\0'; p++)
		*p = (char) tolower((unsigned char) *p);
	if (f->throttle > 0 && f->status == 0)
		f->status = 429;
	if (tls && (f->has_raw || (f->answer_end != END_NORMAL && f->answer_at > 0)))
	{
		buf_puts(error, "under TLS an answer can only be cut, reset or stalled at byte 0");
		faults_release(rule);
		return NULL;
	}
	rule->json = cJSON_PrintUnformatted(object);
	return rule;
}

/*
 * faults_add
 *		Arm one rule, a list of rules, or {"rules":[...]}: all of them or, with
 *		the error noted, none.
 */
bool
faults_add(const cJSON *list, bool tls, Buf *error)
{
	const cJSON *inner = cJSON_GetObjectItemCaseSensitive(list, "rules");
	FaultRule *added = NULL;
	FaultRule **tail = &added;
	FaultRule **end = &rules;
	const cJSON *item;

	if (inner != NULL)
		list = inner;
	if (cJSON_IsArray(list))
	{
		cJSON_ArrayForEach (item, list)
		{
			*tail = read_rule(item, tls, error);
			if (*tail == NULL)
				break;
			tail = &(*tail)->next;
		}
	}
	else
		*tail = read_rule(list, tls, error);
	if (error->len > 0)
	{
		while (added != NULL)
		{
			FaultRule *next = added->next;

			faults_release(added);
			added = next;
		}
		return false;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = added;
	for (; added != NULL; added = added->next)
	{
		added->id = next_id++;
		atomic_fetch_add(&armed, 1);
	}
	return true;
}

/*
 * faults_clear
 *		Disarm all rules. A request that waits for this goes on; otherwise
 *		requests already caught by a rule stay caught. Locked.
 */
void
faults_clear(void)
{
	while (rules != NULL)
	{
		FaultRule *next = rules->next;

		/* for those that it has caught, and that do not wait yet */
		if (rules->fault.delay_ms < 0)
			rules->fault.delay_ms = 0;
		if (rules->fault.delay_before_ms < 0)
			rules->fault.delay_before_ms = 0;
		faults_release(rules);
		rules = next;
	}
	atomic_store(&armed, 0);
	timers_release();
}

/*
 * faults_release
 *		Give a rule back; the last user frees it.
 */
void
faults_release(FaultRule *rule)
{
	if (rule == NULL || --rule->users > 0)
		return;
	free(rule->name);
	free(rule->path);
	free(rule->method);
	free(rule->reference);
	free(rule->reference_prefix);
	free(rule->contains);
	cJSON_free(rule->json);
	free(rule->fault.content_type);
	buf_free(&rule->fault.body);
	buf_free(&rule->fault.raw);
	for (int i = 0; i < rule->fault.header_count; i++)
	{
		free(rule->fault.header_names[i]);
		free(rule->fault.header_values[i]);
	}
	free(rule);
}

/*
 * faults_put_json
 *		Append the rules: what was posted, with id, hits and what is left.
 */
void
faults_put_json(Buf *b)
{
	buf_puts(b, "{\"rules\":[");
	for (const FaultRule *r = rules; r != NULL; r = r->next)
		buf_printf(b, "%s{\"id\":%lld,\"hits\":%lld,\"times_left\":%lld,\"skip_left\":%lld,\"rule\":%s}",
				   r != rules ? "," : "", (long long) r->id, (long long) r->hits, (long long) r->times,
				   (long long) r->skip, r->json);
	buf_puts(b, "]}");
}

/*
 * text_contains
 *		Does the needle occur in the text?
 */
static bool
text_contains(Str text, Str needle)
{
	return text.len >= needle.len && needle.len > 0 &&
		   memmem(text.data, text.len, needle.data, needle.len) != NULL;
}

/*
 * picked_by_name
 *		Does the request name the rule, as [fault:NAME] in its reference, its
 *		user-defined field or its customer's name?
 */
static bool
picked_by_name(const FaultRule *rule, const FaultSubject *s)
{
	Buf tag = {0};
	Str needle;
	bool found;

	buf_printf(&tag, "[fault:%s]", rule->name);
	needle = (Str){tag.data, tag.len};
	found = text_contains(s->reference, needle) || text_contains(s->user_defined, needle) ||
			text_contains(s->customer_name, needle);
	buf_free(&tag);
	return found;
}

/*
 * rule_matches
 *		Is the request one the rule is for?
 */
static bool
rule_matches(const FaultRule *rule, const FaultSubject *s)
{
	if (rule->path == NULL ? !s->is_api : !str_is(s->path, rule->path))
		return false;
	if (rule->method != NULL && !str_is_nocase(s->method, rule->method))
		return false;
	if (rule->reference != NULL && !str_is(s->reference, rule->reference))
		return false;
	if (rule->reference_prefix != NULL &&
		(s->reference.data == NULL || !str_has_prefix(s->reference, str_of(rule->reference_prefix))))
		return false;
	if (rule->contains != NULL && !text_contains(s->body, str_of(rule->contains)))
		return false;
	return rule->name == NULL || picked_by_name(rule, s);
}

/*
 * use_up
 *		Count a match; true if the rule is to be applied to it.
 */
static bool
use_up(FaultRule *rule)
{
	if (rule->times == 0)
		return false;
	if (rule->skip > 0)
	{
		rule->skip--;
		return false;
	}
	if (rule->times > 0)
		rule->times--;
	rule->hits++;
	rule->users++;
	return true;
}

/*
 * let_through
 *		Has a throttling rule an answer left for this second?
 */
static bool
let_through(FaultRule *rule)
{
	int64_t now = monotonic_us();
	double most = (double) rule->fault.throttle;

	if (rule->tokens_at < 0)
		rule->tokens = most;
	else
		rule->tokens += (double) (now - rule->tokens_at) * most / 1e6;
	rule->tokens_at = now;
	if (rule->tokens > most)
		rule->tokens = most;
	if (rule->tokens < 1)
		return false;
	rule->tokens -= 1;
	return true;
}

/*
 * faults_pick_early
 *		The rule that breaks a request off before its body is known, or NULL.
 *		Only rules that ask for nothing in the body are considered. The caller
 *		gives it back with faults_release().
 */
FaultRule *
faults_pick_early(const FaultSubject *subject)
{
	for (FaultRule *r = rules; r != NULL; r = r->next)
		if (r->fault.hits_request && r->reference == NULL && r->reference_prefix == NULL &&
			r->contains == NULL && r->name == NULL && rule_matches(r, subject) && use_up(r))
			return r;
	return NULL;
}

/*
 * faults_pick
 *		The rule for a whole request, or NULL; says whether it is a throttle
 *		that has run dry. The caller gives it back with faults_release().
 */
FaultRule *
faults_pick(const FaultSubject *subject, bool *throttled)
{
	*throttled = false;
	for (FaultRule *r = rules; r != NULL; r = r->next)
	{
		bool early = r->fault.hits_request && r->reference == NULL && r->reference_prefix == NULL &&
					 r->contains == NULL && r->name == NULL;

		if (early || !rule_matches(r, subject) ||
			(r->fault.throttle > 0 && r->times != 0 && r->skip == 0 && let_through(r)))
			continue;
		if (use_up(r))
		{
			*throttled = r->fault.throttle > 0;
			return r;
		}
	}
	return NULL;
}

/*
 * fault_label
 *		How the ledger names a rule: its name, or "#id".
 */
void
fault_label(const FaultRule *rule, char *to, size_t size)
{
	Buf b = {0};

	if (rule->name != NULL)
		buf_puts(&b, rule->name);
	else
		buf_printf(&b, "#%lld", (long long) rule->id);
	strncpy(to, b.data, size - 1);
	to[size - 1] = '\0';
	buf_free(&b);
}
