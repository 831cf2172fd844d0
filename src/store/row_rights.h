/*
 * row_rights.h
 *	  Who may do what with a row of mf_invoice that another role has inserted.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/store/row_rights.h
 */
#ifndef MF_ROW_RIGHTS_H
#define MF_ROW_RIGHTS_H

#include "account/account.h"
#include "store/queue.h"

/* Whether the current role has the rights of one of ours. */
extern bool mf_has_role(const char *name);

/*
 * Whether the current role is a member of the one that inserted the row, or of
 * myfatoorah_operate, or owns the table.
 */
extern bool mf_has_row_right(Oid table, Oid creator);

/* Raises 42501 unless it is. */
extern void mf_check_row_right(int64 invoice, Oid table, Oid creator);

/*
 * Whether the current role may know how the network fails between this server and
 * the address of an account: which names and ports there are behind it is for the
 * owner of the foreign server and for myfatoorah_read.
 */
extern bool mf_may_see_network(const MfAccount *account);

/* Whether policies decide which rows of mf_invoice the current role sees. */
extern bool mf_is_under_policies(Oid schema);

/* What others are told: that a request could not leave, or had no answer. */
extern const char *mf_network_error(bool sent);

/* What the current role could do when it inserted a row, and is asked again before that is sent */
extern bool mf_role_can_login(Oid role);
extern bool mf_role_can_insert(Oid table, Oid role);

/*
 * Why a row may not be sent any more in the name of the role that inserted it,
 * palloc'd; NULL if it may.
 */
extern char *mf_sender_refusal(const MfAccount *account, Oid table, const MfSender *sender);

#endif							/* MF_ROW_RIGHTS_H */
