/*
 * port_range.h
 *	  Ports that the system may give to outgoing connections.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/port_range.h
 */
#ifndef MF_PORT_RANGE_H
#define MF_PORT_RANGE_H

/*
 * Whether an outgoing connection of any process of this machine may be given the port,
 * so that nobody can listen there as long as it lasts.  Sets *first and *last to the
 * range of such ports.  False also where the system does not tell.
 */
extern bool mf_port_is_ephemeral(int port, int *first, int *last);

#endif							/* MF_PORT_RANGE_H */
