/*
 * books.h
 *	  Keeps bills and receipts from being dropped unawares.
 *
 * Copyright (c) 2026, the myfatoorah authors
 * billing/src/books.h
 */
#ifndef MF_BOOKS_H
#define MF_BOOKS_H

/* Installs the hook, when the library is loaded. */
extern void mf_books_init(void);

#endif							/* MF_BOOKS_H */
