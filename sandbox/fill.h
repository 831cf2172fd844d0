/*
 * fill.h
 *	  Bodies of faults that speak of the invoice they are about.
 */
#ifndef SANDBOX_FILL_H
#define SANDBOX_FILL_H

#include "text.h"

extern void fill_body(Buf *to, const Buf *pattern, const Buf *truth, Str reference);

#endif
