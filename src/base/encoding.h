/*
 * encoding.h
 *	  Text between the server's encoding and UTF-8.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * src/base/encoding.h
 */
#ifndef MF_ENCODING_H
#define MF_ENCODING_H

/* Text in the server encoding as UTF-8 and back; palloc'd or the argument. */
extern char *mf_to_utf8(const char *text);
extern char *mf_from_utf8(const char *utf8);

/* As mf_from_utf8(), but characters that the server encoding lacks become "?". */
extern char *mf_from_utf8_lossy(const char *utf8);

#endif							/* MF_ENCODING_H */
