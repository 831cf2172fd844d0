/*
 * faults.h
 *	  Misbehaviour on demand: rules, how they match, what they do.
 *
 * All functions want the store's lock held.
 */
#ifndef SANDBOX_FAULTS_H
#define SANDBOX_FAULTS_H

#include <cjson/cJSON.h>

#include "text.h"

#define FAULT_MAX_HEADERS 8
#define FAULT_TO_THE_END INT64_MAX

typedef enum FaultEnd
{
	END_NORMAL, /* the connection lives on */
	END_CUT, /* FIN */
	END_RESET, /* RST */
	END_STALL /* silence, then FIN */
} FaultEnd;

typedef struct Fault
{
	int64_t delay_before_ms; /* before the request is looked at; -1: until faults_clear() */
	int64_t delay_ms; /* before it is answered; likewise */
	int create; /* 1, 0, or -1: as fits the rest */

	int status; /* 0: the true one */
	bool has_body;
	Buf body;
	bool fill; /* body names parts of the true answer */
	char *content_type;
	int header_count;
	char *header_names[FAULT_MAX_HEADERS];
	char *header_values[FAULT_MAX_HEADERS];
	bool close; /* answer with Connection: close */
	bool has_raw; /* the whole answer, status line and all */
	Buf raw;

	bool hits_request; /* cut or reset while the request comes in */
	bool request_total; /* counting its head too */
	int64_t request_at;
	FaultEnd request_end;

	FaultEnd answer_end; /* unless END_NORMAL: after answer_at bytes */
	int64_t answer_at;
	int64_t stall_ms; /* -1: until the client leaves */

	int64_t throttle; /* answers per second; 0: no limit */
} Fault;

typedef struct FaultRule
{
	struct FaultRule *next;
	int users; /* the list, and requests in hand */
	int64_t id;
	char *name; /* NULL unless picked by [fault:NAME] */
	char *path; /* lower case; NULL: any call of the API */
	char *method;
	char *reference;
	char *reference_prefix;
	char *contains;
	int64_t times; /* left; -1: for ever */
	int64_t skip; /* left */
	int64_t hits;
	char *json; /* as it was posted */
	double tokens; /* of the throttle */
	int64_t tokens_at;
	Fault fault;
} FaultRule;

/* What a rule may look at. */
typedef struct FaultSubject
{
	Str method;
	Str path; /* lower case */
	bool is_api; /* under /v2 or /v3 */
	Str reference;
	Str user_defined;
	Str customer_name;
	Str body;
} FaultSubject;

extern bool faults_armed(void);
extern bool faults_add(const cJSON *list, bool tls, Buf *error);
extern void faults_clear(void);
extern void faults_put_json(Buf *b);
extern FaultRule *faults_pick_early(const FaultSubject *subject);
extern FaultRule *faults_pick(const FaultSubject *subject, bool *throttled);
extern void faults_release(FaultRule *rule);
extern void fault_label(const FaultRule *rule, char *to, size_t size);

#endif
