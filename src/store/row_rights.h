/*
 * row_rights.h
 *	  Rights on rows of mf_invoice that another role has inserted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/row_rights.h
 */
#ifndef MF_ROW_RIGHTS_H
#define MF_ROW_RIGHTS_H

#include "store/queue.h"

/* Whether the current role has the rights of the role with that name; false if there is none. */
extern bool mf_has_role(const char *name);

/*
 * Whether the current role is a member of the one that inserted the row, or of
 * myfatoorah_operate, or owns the table.
 */
extern bool mf_has_row_right(Oid table, Oid creator);

/* The same of another role, whom policies are not asked about. */
extern bool mf_role_has_row_right(Oid table, Oid creator, Oid role);

/*
 * False while our rows may be those of another database: then OIDs of roles in them may be
 * those of another server, and no role has a right by them.  Own scope.
 */
extern bool mf_roles_are_known(Oid schema);

/* Raises 42501 unless the current role has it. */
extern void mf_check_row_right(int64 invoice, Oid table, Oid creator);

/*
 * Whether the current role may see network errors of an account in full.  They show
 * names and ports of the network, so only the owner of the foreign server and
 * members of myfatoorah_read may.
 */
extern bool mf_may_see_network(const MfAccount *account);

/*
 * Whether the current role may see the errors of our processes.  They may quote rows of
 * any invoice, and what functions of users say, so only members of myfatoorah_read may
 * whom no policy hides invoices from.
 */
extern bool mf_may_see_errors(Oid schema);

/* Whether policies decide which rows of mf_invoice the current role sees. */
extern bool mf_is_under_policies(Oid schema);

/* The error for others: that a request could not be sent, or had no answer. */
extern const char *mf_network_error(bool sent);

/* Rights of the role that inserts a row, noted then and checked again before the row is sent */
extern bool mf_role_can_login(Oid role);
extern bool mf_role_can_insert(Oid table, Oid role);

/* Why a row may no longer be sent with the rights of the role that inserted it, palloc'd; NULL if it may. */
extern char *mf_sender_refusal(const MfAccount *account, Oid table, const MfSender *sender);

#endif							/* MF_ROW_RIGHTS_H */
