/*
 * launcher.h
 *	  Starts one worker per database that has the extension.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/worker/launcher.h
 */
#ifndef MF_LAUNCHER_H
#define MF_LAUNCHER_H

/* Registers the launcher; from _PG_init() under shared_preload_libraries. */
extern void mf_launcher_register(void);

extern PGDLLEXPORT void mf_launcher_main(Datum main_arg);
extern PGDLLEXPORT void mf_database_scan_main(Datum main_arg);
extern PGDLLEXPORT void mf_worker_main(Datum main_arg);

#endif							/* MF_LAUNCHER_H */
