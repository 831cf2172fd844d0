/*
 * refresh_requests.h
 *	  Questions that sessions ask for.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/refresh_requests.h
 */
#ifndef MF_REFRESH_REQUESTS_H
#define MF_REFRESH_REQUESTS_H

/*
 * Has the worker asked about a sent invoice for a role, once this transaction commits.  What
 * is written for that is written right before the commit, so that no transaction
 * that stays open keeps its entry locked, which webhooks and answers need.
 */
extern void mf_refresh_at_commit(Oid schema, Oid role, int64 invoice, bool too_often);

#endif							/* MF_REFRESH_REQUESTS_H */
