/*
 * refresh_requests.h
 *	  Inquiries that sessions order, written at commit.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/refresh_requests.h
 */
#ifndef MF_REFRESH_REQUESTS_H
#define MF_REFRESH_REQUESTS_H

/*
 * Opens an inquiry about a sent invoice for a role when this transaction commits;
 * "too_often" as for mf_inquiries_order().  It is written right before the commit: a
 * transaction that stays open must not keep the row locked, which webhooks and
 * answers need.
 */
extern void mf_refresh_at_commit(Oid schema, Oid role, int64 invoice, bool too_often);

#endif							/* MF_REFRESH_REQUESTS_H */
