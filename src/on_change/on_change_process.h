/*
 * on_change_process.h
 *	  The process that calls functions of mf_on_change().
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/on_change/on_change_process.h
 */
#ifndef MF_ON_CHANGE_PROCESS_H
#define MF_ON_CHANGE_PROCESS_H

/* Entry point; the argument is the database. */
extern PGDLLEXPORT void mf_reactions_main(Datum main_arg);

#endif							/* MF_ON_CHANGE_PROCESS_H */
