/*
 * route_process.h
 *	  The process that calls functions of mf_on_request().
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/inbound/route_process.h
 */
#ifndef MF_ROUTE_PROCESS_H
#define MF_ROUTE_PROCESS_H

/* Entry point; the argument is the database. */
extern PGDLLEXPORT void mf_routes_main(Datum main_arg);

#endif							/* MF_ROUTE_PROCESS_H */
