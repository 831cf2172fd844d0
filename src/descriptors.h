/*
 * descriptors.h
 *	  File descriptors for the connections of a worker, beside PostgreSQL's own.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/descriptors.h
 */
#ifndef MF_DESCRIPTORS_H
#define MF_DESCRIPTORS_H

/*
 * Makes room for so many connections, as far as the limits of the process allow,
 * in place of what was made before.  Returns for how many there is, at least one.
 */
extern int	mf_descriptors_for(int wanted);

#endif							/* MF_DESCRIPTORS_H */
