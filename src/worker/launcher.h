/*
 * launcher.h
 *	  Starts a worker for each database that has the extension.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/launcher.h
 */
#ifndef MF_LAUNCHER_H
#define MF_LAUNCHER_H

/* Registers the launcher; from _PG_init() under shared_preload_libraries. */
extern void mf_launcher_register(void);

/* Entry points of background workers; the argument of the others is the database. */
extern PGDLLEXPORT void mf_launcher_main(Datum main_arg);
extern PGDLLEXPORT void mf_database_scan_main(Datum main_arg);
extern PGDLLEXPORT void mf_worker_main(Datum main_arg);

#endif							/* MF_LAUNCHER_H */
