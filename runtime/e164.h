/*
 * Telephone numbers as E.164 writes them: "+", the country's code, the number, 7 to 15 digits in all, no 0 first. Nothing
 * else is a number: spaces, hyphens, brackets and the prefixes for dialling abroad are refused and not cleaned, since
 * what they were meant to say is a guess. Pure.
 */
#ifndef RUNTIME_E164_H
#define RUNTIME_E164_H

#include "base/slice.h"

#define E164_DIGITS_MIN 7
#define E164_DIGITS_MAX 15
#define E164_TEXT_MAX	(1 + E164_DIGITS_MAX)

/* 0, or -EINVAL with *why, a phrase of ours. */
int e164_check(struct slice number, const char **why);

/* What a list of allowed numbers may hold: "+" alone (all) or "+" and the first digits, at most E164_DIGITS_MAX. */
bool e164_is_prefix(struct slice prefix);

#endif
