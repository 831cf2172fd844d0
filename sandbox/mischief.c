/*
 * mischief.c
 *	  Webhooks that get lost, doubled, late, out of order or forged on demand.
 *
 * As with faults, the first rule that matches, has nothing left to skip and
 * times left is applied; rules do not add up, but one rule may do several
 * things.
 */
#include "mischief.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "json.h"
#include "signature.h"

#define MAX_HELD 10000

static Mischief *rules;
static int64_t next_id = 1;

static void free_rule(Mischief *rule);
static void release_held(Mischief *rule, bool backwards);

/*
 * take_number, take_word
 *		A whole number within bounds; the position of a text in a list.
 */
static bool
take_number(const cJSON *m, int64_t minimum, int64_t maximum, int64_t *to, Buf *error)
{
	if (cJSON_IsNumber(m) && m->valuedouble >= (double) minimum && m->valuedouble <= (double) maximum &&
		m->valuedouble == (double) (int64_t) m->valuedouble)
	{
		*to = (int64_t) m->valuedouble;
		return true;
	}
	buf_printf(error, "%s must be a whole number from %lld to %lld", m->string, (long long) minimum,
			   (long long) maximum);
	return false;
}

static bool
take_word(const cJSON *m, const char *const *words, int *to, Buf *error)
{
	for (int i = 0; cJSON_IsString(m) && words[i] != NULL; i++)
		if (strcmp(m->valuestring, words[i]) == 0)
		{
			*to = i + 1;
			return true;
		}
	buf_printf(error, "%s must be one of", m->string);
	for (int i = 0; words[i] != NULL; i++)
		buf_printf(error, "%s %s", i > 0 ? "," : "", words[i]);
	return false;
}

/*
 * take_member
 *		One member of a rule; false with the error noted.
 */
static bool
take_member(Mischief *rule, const cJSON *m, Buf *error)
{
	static const char *const drops[] = {"failed", "silent", NULL};
	static const char *const forgeries[] = {"signature", "signed", "unsigned", NULL};
	const char *name = m->string;
	int word;
	char **text = strcmp(name, "reference") == 0          ? &rule->reference
				  : strcmp(name, "reference_prefix") == 0 ? &rule->reference_prefix
				  : strcmp(name, "status") == 0           ? &rule->status
				  : strcmp(name, "member") == 0           ? &rule->member
				  : strcmp(name, "secret") == 0           ? &rule->secret
														  : NULL;

	if (text != NULL)
	{
		if (!cJSON_IsString(m))
		{
			buf_printf(error, "%s must be a string", name);
			return false;
		}
		free(*text);
		*text = xstrdup(m->valuestring);
		return true;
	}
	if (strcmp(name, "code") == 0)
		return take_number(m, 1, 7, &rule->code, error);
	if (strcmp(name, "invoice") == 0)
		return take_number(m, 1, INT64_C(1000000000000), &rule->invoice_id, error);
	if (strcmp(name, "times") == 0)
		return take_number(m, -1, INT64_C(1000000000), &rule->times, error);
	if (strcmp(name, "skip") == 0)
		return take_number(m, 0, INT64_C(1000000000), &rule->skip, error);
	if (strcmp(name, "delay_ms") == 0)
		return take_number(m, 0, INT64_C(86400000), &rule->delay_ms, error);
	if (strcmp(name, "reorder") == 0)
		return take_number(m, 2, MAX_HELD, &rule->reorder, error);
	if (strcmp(name, "copies") == 0)
		return take_number(m, 1, 1000, &rule->copies, error);
	if (strcmp(name, "drop") == 0)
	{
		if (!take_word(m, drops, &word, error))
			return false;
		rule->drop = (MischiefDrop) word;
		return true;
	}
	if (strcmp(name, "forge") == 0)
	{
		if (!take_word(m, forgeries, &word, error))
			return false;
		rule->forge = (MischiefForgery) word;
		return true;
	}
	if (strcmp(name, "unsigned") == 0)
	{
		if (!cJSON_IsBool(m))
		{
			buf_puts(error, "unsigned must be true or false");
			return false;
		}
		rule->without_signature = cJSON_IsTrue(m);
		return true;
	}
	buf_printf(error, "unknown member \"%s\"", name);
	return false;
}

/*
 * read_rule
 *		A rule from its JSON; NULL with the error noted.
 */
static Mischief *
read_rule(const cJSON *object, Buf *error)
{
	Mischief *rule = xcalloc(1, sizeof(Mischief));
	const cJSON *m;

	rule->copies = 1;
	rule->times = 1;
	if (!cJSON_IsObject(object))
		buf_puts(error, "a rule must be an object");
	cJSON_ArrayForEach (m, object)
		if (!take_member(rule, m, error))
			break;
	if (error->len > 0)
	{
		free_rule(rule);
		return NULL;
	}
	if (rule->reorder > 0)
	{
		if (cJSON_GetObjectItemCaseSensitive(object, "times") == NULL)
			rule->times = rule->reorder;
		rule->held = xcalloc((size_t) rule->reorder, sizeof(Delivery *));
	}
	rule->json = cJSON_PrintUnformatted(object);
	/* Secrets are not shown again. */
	if (rule->secret != NULL)
	{
		cJSON *copy = cJSON_Duplicate(object, true);

		cJSON_ReplaceItemInObjectCaseSensitive(copy, "secret", cJSON_CreateString("(redacted)"));
		cJSON_free(rule->json);
		rule->json = cJSON_PrintUnformatted(copy);
		cJSON_Delete(copy);
	}
	return rule;
}

/*
 * free_rule
 *		Free a rule; what it holds belongs to the log.
 */
static void
free_rule(Mischief *rule)
{
	free(rule->reference);
	free(rule->reference_prefix);
	free(rule->status);
	free(rule->member);
	free(rule->secret);
	free(rule->held);
	cJSON_free(rule->json);
	free(rule);
}

/*
 * mischief_add
 *		Arm one rule, a list of rules, or {"rules":[...]}: all of them or, with
 *		the error noted, none.
 */
bool
mischief_add(const cJSON *list, Buf *error)
{
	const cJSON *inner = cJSON_GetObjectItemCaseSensitive(list, "rules");
	Mischief *added = NULL;
	Mischief **tail = &added;
	Mischief **end = &rules;
	const cJSON *item;

	if (inner != NULL)
		list = inner;
	if (!cJSON_IsArray(list))
		*tail = read_rule(list, error);
	else
		cJSON_ArrayForEach (item, list)
		{
			*tail = read_rule(item, error);
			if (*tail == NULL)
				break;
			tail = &(*tail)->next;
		}
	if (error->len > 0)
	{
		while (added != NULL)
		{
			Mischief *next = added->next;

			free_rule(added);
			added = next;
		}
		return false;
	}
	while (*end != NULL)
		end = &(*end)->next;
	*end = added;
	for (; added != NULL; added = added->next)
		added->id = next_id++;
	return true;
}

/*
 * mischief_clear
 *		Disarm all rules; what they hold is sent, in order, or forgotten.
 */
void
mischief_clear(bool release)
{
	while (rules != NULL)
	{
		Mischief *next = rules->next;

		if (release)
			release_held(rules, false);
		free_rule(rules);
		rules = next;
	}
}

/*
 * mischief_put_json
 *		Append the rules: what was posted, with id, hits and what is left.
 */
void
mischief_put_json(Buf *b)
{
	buf_puts(b, "{\"rules\":[");
	for (const Mischief *r = rules; r != NULL; r = r->next)
		buf_printf(b,
				   "%s{\"id\":%lld,\"hits\":%lld,\"times_left\":%lld,\"skip_left\":%lld,\"held\":%lld,"
				   "\"rule\":%s}",
				   r != rules ? "," : "", (long long) r->id, (long long) r->hits, (long long) r->times,
				   (long long) r->skip, (long long) r->held_count, r->json);
	buf_puts(b, "]}");
}

/*
 * matches
 *		Is the event one the rule is for?
 */
static bool
matches(const Mischief *rule, const MischiefSubject *s)
{
	return (rule->code == 0 || rule->code == s->code) &&
		   (rule->invoice_id == 0 || rule->invoice_id == s->invoice_id) &&
		   (rule->reference == NULL || str_is(s->reference, rule->reference)) &&
		   (rule->reference_prefix == NULL ||
			(s->reference.data != NULL && str_has_prefix(s->reference, str_of(rule->reference_prefix)))) &&
		   (rule->status == NULL || (s->word != NULL && strcasecmp(rule->status, s->word) == 0));
}

/*
 * mischief_pick
 *		The rule to apply to an event, or NULL. It stays valid while the lock is
 *		held.
 */
Mischief *
mischief_pick(const MischiefSubject *subject)
{
	for (Mischief *r = rules; r != NULL; r = r->next)
	{
		if (r->times == 0 || !matches(r, subject))
			continue;
		if (r->skip > 0)
		{
			r->skip--;
			continue;
		}
		if (r->times > 0)
			r->times--;
		r->hits++;
		return r;
	}
	return NULL;
}

/*
 * mischief_forge
 *		Falsify a message that is signed already, or its signature.
 */
void
mischief_forge(const Mischief *rule, Message *m, Buf *signature)
{
	const char *member = rule->member;
	const JsonNode *node;
	const JsonNode *data;
	JsonDoc doc;

	if (rule->forge == FORGE_NOT)
		return;
	if (rule->forge == FORGE_SIGNATURE)
	{
		if (signature->len > 0)
			signature->data[0] = signature->data[0] == 'A' ? 'B' : 'A';
		return;
	}
	if (member == NULL && rule->forge == FORGE_SIGNED)
	{
		/* Version 1 signs all; its first member is some id. */
		if (m->version == 2)
			member = signature_members(m->code)[0];
	}
	else if (member == NULL)
		member = m->version == 1                ? "DateTime"
				 : m->code == 1 || m->code == 6 ? "Amount.ValueInBaseCurrency"
												: "Event.Reference";
	if (!json_parse(&doc, (Str){m->body.data, m->body.len}))
		abort();
	data = json_member(doc.root, "Data");
	node = member == NULL ? data->child : json_path(data, member);
	if (node == NULL)
		node = json_path(doc.root, member);
	if (node != NULL && node->text.len > 0 && node->text.data >= m->body.data &&
		node->text.data < m->body.data + m->body.len)
	{
		char *c = m->body.data + (node->text.data - m->body.data) + node->text.len - 1;

		/* Another of its kind, so that the value stays plausible. */
		if (isdigit((unsigned char) *c))
			*c = *c == '9' ? '1' : (char) (*c + 1);
		else
			*c = isupper((unsigned char) *c) ? (*c == 'X' ? 'Y' : 'X') : (*c == 'x' ? 'y' : 'x');
	}
	json_free(&doc);
}

/*
 * mischief_hold
 *		Keep a delivery back until enough are held; then send them, the last
 *		first, each when the one before was tried.
 */
void
mischief_hold(Mischief *rule, Delivery *d)
{
	d->delay_ms = rule->delay_ms;
	rule->held[rule->held_count++] = d;
	if (rule->held_count == rule->reorder)
		release_held(rule, true);
}

/*
 * release_held
 *		Send what a rule holds, one after another.
 */
static void
release_held(Mischief *rule, bool backwards)
{
	int64_t n = rule->held_count;
	Delivery *first;

	if (n == 0)
		return;
	rule->held_count = 0;
	for (int64_t i = 0; i + 1 < n; i++)
	{
		if (backwards)
			rule->held[i + 1]->then = rule->held[i];
		else
			rule->held[i]->then = rule->held[i + 1];
	}
	first = rule->held[backwards ? n - 1 : 0];
	webhook_take(first, first->delay_ms);
}

/*
 * mischief_label
 *		What the log says of it.
 */
void
mischief_label(const Mischief *rule, char *label, size_t size)
{
	snprintf(label, size, "#%lld%s%s%s%s%s%s%s", (long long) rule->id, rule->drop != DROP_NOT ? " drop" : "",
			 rule->delay_ms > 0 ? " delay" : "", rule->reorder > 0 ? " reorder" : "",
			 rule->copies > 1 ? " copies" : "", rule->forge != FORGE_NOT ? " forge" : "",
			 rule->without_signature ? " unsigned" : "", rule->secret != NULL ? " secret" : "");
}
