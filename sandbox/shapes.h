/*
 * shapes.h
 *	  The failure answers a client of MyFatoorah must survive, ready made.
 */
#ifndef SANDBOX_SHAPES_H
#define SANDBOX_SHAPES_H

typedef struct FailureShape
{
	int status;
	const char *content_type;
	const char *body;
} FailureShape;

extern const FailureShape *failure_shape(int number);

#endif
