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

/* The most prefixes: the listener looks through them for each request. */
#define MF_ROUTES_MAX 16

/* The registered prefixes, in order, as a list of strings in the current memory context. */
extern List *mf_route_prefixes(const MfSqlScope *scope);

/* Whether the function of the prefix is known, and may be called here; then what it answers to the path, UTF-8. */
extern void mf_route_answer(const MfSqlScope *scope, const char *prefix, const char *path, MfRouteAnswer *answer);

#endif							/* MF_ROUTE_H */
