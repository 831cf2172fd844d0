/*
 * invoice_commands.h
 *	  Arguments of functions that people call about invoices.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/functions/invoice_commands.h
 */
#ifndef MF_INVOICE_COMMANDS_H
#define MF_INVOICE_COMMANDS_H

#include "fmgr.h"

/*
 * A text argument with a person's reason, for the history; palloc'd.  NULL if it is null
 * or has no visible character.
 */
extern char *mf_reason_argument(FunctionCallInfo fcinfo, int number);

#endif							/* MF_INVOICE_COMMANDS_H */
