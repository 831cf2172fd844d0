/*
 * boot_clock.h
 *	  The time since the machine was started, beside which a moved wall clock is noticed.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/process/boot_clock.h
 */
#ifndef MF_BOOT_CLOCK_H
#define MF_BOOT_CLOCK_H

/*
 * Which start of which machine this is, and the microseconds since then, suspended times
 * included.  Readings with the same number can be compared, whatever was done to the wall
 * clock meanwhile.  False if the machine does not tell which start it is.
 */
extern bool mf_boot_clock(int64 *boot, int64 *microseconds);

#endif							/* MF_BOOT_CLOCK_H */
