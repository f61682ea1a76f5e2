/*
 * Why a client's request is refused: which problem, where in it, and a sentence for people. What parsers hand back.
 */
#ifndef GATEWAY_FAULT_H
#define GATEWAY_FAULT_H

#include "base/slice.h"
#include "gateway/problem.h"

struct fault {
	enum problem problem;
	char field[256]; /* JSON pointer into the body, or the name of a query parameter; empty: the whole */
	char detail[320];
};

/* Sets *f and returns -EINVAL. A field or detail that is too long is cut, if need be within a character. */
int fault_set(struct fault *f, enum problem problem, const char *field, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Of a query parameter that the call does not know. -EINVAL. */
int fault_set_unknown(struct fault *f, struct slice parameter);

/* For "%s" in a detail: foreign text, cut to what fits a message. */
struct fault_text {
	char text[96];
};
struct fault_text fault_quote(struct slice text);

/* The JSON pointer of a member of the object at `base`; one that is too long is cut. */
struct fault_place {
	char field[sizeof((struct fault *)0)->field];
};
struct fault_place fault_member(const char *base, struct slice key);
/* Of an item of the array at `base`. */
struct fault_place fault_item(const char *base, size_t index);

#endif
