/*
 * route.h
 *	  The functions that mf_on_request() has registered: the table mf_route.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/route.h
 */
#ifndef MF_ROUTE_H
#define MF_ROUTE_H

#include "database/sql.h"
#include "process/worker_slots.h"

/* A registered function, for mf_check() */
typedef struct MfRouteState
{
	char	   *prefix;
	char	   *function;
	const char *owner;
	char	   *refusal;		/* why it may not be called; NULL = it may */
} MfRouteState;

/* A list of MfRouteState */
extern List *mf_route_states(Oid schema);

/* The element of MfRoutesState.health about a prefix; NULL = there is none. */
extern MfRouteHealth *mf_route_health(MfRouteHealth *health, const char *prefix);

/* The registered prefixes, in order, as a list of strings in the current memory context. */
extern List *mf_route_prefixes(const MfSqlScope *scope);

/* Whether the function of the prefix is known, and may be called here; then what it answers to the path, UTF-8. */
extern void mf_route_answer(const MfSqlScope *scope, const char *prefix, const char *path, MfRouteAnswer *answer);

/* Entry point; the argument is the database. */
extern PGDLLEXPORT void mf_routes_main(Datum main_arg);

#endif							/* MF_ROUTE_H */
