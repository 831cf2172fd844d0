/*
 * function_args.h
 *	  Arguments and results of SQL-callable functions, and where they may be called.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/database/function_args.h
 */
#ifndef MF_FUNCTION_ARGS_H
#define MF_FUNCTION_ARGS_H

#include "fmgr.h"
#include "utils/tuplestore.h"

/* Raises 0A000 in a trigger and in a function of mf_on_change(). */
extern void mf_refuse_in_trigger(const char *function);

/* Raises 55000 if the transaction keeps to a snapshot, in which the function would not see what was committed since. */
extern void mf_require_read_committed(const char *function);

/* Raises 22004 with the name of an argument if it is null. */
extern void mf_require_argument(FunctionCallInfo fcinfo, int number, const char *name);

/* Returns a text argument, palloc'd; raises 22004 with its name if it is null. */
extern char *mf_required_text(FunctionCallInfo fcinfo, int number, const char *name);

/* A text argument, palloc'd; NULL if it is null. */
extern char *mf_optional_text(FunctionCallInfo fcinfo, int number);

/* Prepares the result set of a function, to be filled by tuplestore_putvalues(). */
extern void mf_start_rows(FunctionCallInfo fcinfo);

#endif							/* MF_FUNCTION_ARGS_H */
