/*
 * Texts with placeholders that are filled from a task's status document: "{task} has {status}: {result.total}". Pure.
 *
 * A placeholder is {path}: keys joined by dots; a number is the place in a list ({result.items.0.name}). "{" before
 * anything but a letter or "_" stands for itself, "{{" for one "{", "}" outside a placeholder for itself: JSON and most
 * CSS can be written as they are. Keys are of letters, digits, "_" and "-"; others cannot be named.
 *
 * Strings are put in decoded, numbers and booleans as they stand, lists and objects as their JSON; null and what is not
 * there is empty. Control characters of values become spaces, but for tabs and line ends where the kind allows them.
 *
 * {path?} is optional: in the kinds TEXT and HTML a whole line is left out when one of its optional placeholders is empty.
 */
#ifndef NOTIFIER_TEMPLATE_H
#define NOTIFIER_TEMPLATE_H

#include "base/buf.h"

#define TEMPLATE_PATH_MAX 200 /* bytes of a placeholder's path */

/* Where the outcome stands, which says how values are escaped. */
enum template_kind {
	TEMPLATE_TEXT,
	TEMPLATE_LINE, /* a header's value: control characters, the template's own too, become spaces; none at the ends */
	TEMPLATE_HTML,
	TEMPLATE_URL,  /* part of a URL or of a form's value: all but letters, digits and -._~ becomes %XX */
	TEMPLATE_JSON, /* inside a JSON string: the template has its quotes */
};

/* A value by its whole path, before the document is looked at. */
struct template_value {
	const char *path;
	struct slice text;
};

struct template_source {
	struct slice document; /* a JSON object that has passed json_check; unset: none */
	const struct template_value *values;
	size_t values_len;
	size_t value_max; /* bytes of one value, before escaping; the rest becomes an ellipsis; 0: no bound */
};

/* 0, or -EINVAL with `why` written (a phrase, "has no } after {task"): for the check of an option. */
int template_check(struct slice text, char *why, size_t why_len);

/* Appends the filled template. 0, -EINVAL (template_check says why), or the buffer's error. */
int template_render(
	struct slice text, enum template_kind kind, const struct template_source *source, struct buf *out);

#endif
