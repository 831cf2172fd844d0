/*
 * extension_functions.h
 *	  Functions of other extensions that add to one of ours: those of a name.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/extension_functions.h
 */
#ifndef MF_EXTENSION_FUNCTIONS_H
#define MF_EXTENSION_FUNCTIONS_H

#include "database/sql.h"

#define MF_EXTENSION_CALL_ARGS 2

/* Which functions are called, and what for */
typedef struct MfExtensionCall
{
	const char *prefix;			/* of their names, such as "mf_check_" */
	const char *columns;		/* of the rows that they return, each with its type */
	bool		read_only;
	int			nargs;
	Oid			types[MF_EXTENSION_CALL_ARGS];
	Datum		values[MF_EXTENSION_CALL_ARGS];
	char		nulls[MF_EXTENSION_CALL_ARGS + 1];

	/* called after each, with its rows in SPI_tuptable */
	void		(*take) (void *argument);
	void	   *argument;
} MfExtensionCall;

/*
 * Calls all functions in our schema that belong to an extension, have such a name and
 * these arguments, and that the current role may call; in the order of their names.
 * Anybody who may create functions there could add others, so those are passed over.
 */
extern void mf_extension_functions_call(const MfSqlScope *scope, const MfExtensionCall *call);

#endif							/* MF_EXTENSION_FUNCTIONS_H */
