#include "runtime/config_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/quote.h"

/* What a message shows of a wrong value. */
enum { SHOWN_MAX = 60, NUMBER_MAX = 64 };

struct unit {
	const char *name;
	int64_t factor;
};

/* Ascending, so that the last one that divides is the largest. */
static const struct unit durations[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {"KiB", 1024},
	{"MiB", 1048576}, {"GiB", 1073741824}, {NULL, 0}};

/* Digits and then one of the units. */
static int parse_quantity(struct slice text, const struct unit *units, int64_t *out)
{
	size_t digits = 0;
	int64_t value = 0;

	while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, text.data[digits] - '0', &value))
			return -EINVAL;
		digits++;
	}
	if (digits == 0)
		return -EINVAL;
	for (const struct unit *u = units; u->name; u++) {
		if (!slice_is_text(slice_of(text.data + digits, text.len - digits), u->name))
			continue;
		if (__builtin_mul_overflow(value, u->factor, &value))
			return -EINVAL;
		*out = value;
		return 0;
	}
	return -EINVAL;
}

int duration_parse(struct slice text, int64_t *ms)
{
	if (slice_is_text(text, "0")) {
		*ms = 0;
		return 0;
	}
	return parse_quantity(text, durations, ms);
}

int size_parse(struct slice text, int64_t *bytes)
{
	return parse_quantity(text, sizes, bytes);
}

static void format_quantity(int64_t value, const struct unit *units, char text[QUANTITY_TEXT_LEN + 1])
{
	const struct unit *best = units;

	for (const struct unit *u = units; u->name; u++)
		if (value != 0 && value % u->factor == 0 && u->factor > best->factor)
			best = u;
	snprintf(text, QUANTITY_TEXT_LEN + 1, "%" PRId64 "%s", value / best->factor, best->name);
}

void duration_format(int64_t ms, char text[QUANTITY_TEXT_LEN + 1])
{
	format_quantity(ms, durations, text);
	if (ms == 0)
		snprintf(text, QUANTITY_TEXT_LEN + 1, "0");
}

void size_format(int64_t bytes, char text[QUANTITY_TEXT_LEN + 1])
{
	format_quantity(bytes, sizes, text);
}

bool option_is_scalar(const struct option *o)
{
	switch (o->type) {
	case OPTION_STRING:
	case OPTION_SECRET:
	case OPTION_BOOL:
	case OPTION_INT:
	case OPTION_NUMBER:
	case OPTION_DURATION:
	case OPTION_SIZE:
	case OPTION_CHOICE: return true;
	case OPTION_STRINGS:
	case OPTION_JSON:
	case OPTION_SECTION:
	case OPTION_LIST:
	case OPTION_IGNORED: return false;
	}
	return false;
}

void text_wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

static int copy_text(struct slice text, char **at)
{
	char *copy = malloc(text.len + 1);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	text_wipe(*at);
	*at = copy;
	return 0;
}

static int parse_bool(struct slice text, bool *out)
{
	static const char *const words[][3] = {{"false", "False", "FALSE"}, {"true", "True", "TRUE"}};

	for (int value = 0; value < 2; value++) {
		for (int i = 0; i < 3; i++) {
			if (slice_is_text(text, words[value][i])) {
				*out = value;
				return 0;
			}
		}
	}
	return -EINVAL;
}

/* A terminated copy of a number made of these characters alone, for the functions of the C library. */
static bool copy_number(struct slice text, const char *characters, char copy[NUMBER_MAX])
{
	if (text.len == 0 || text.len >= NUMBER_MAX)
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	return strspn(copy, characters) == text.len;
}

static int parse_int(struct slice text, int64_t *out)
{
	char copy[NUMBER_MAX];
	char *end;
	int64_t value;

	if (!copy_number(text, "-0123456789", copy))
		return -EINVAL;
	errno = 0;
	value = strtoll(copy, &end, 10);
	if (errno || *end || end == copy)
		return -EINVAL;
	*out = value;
	return 0;
}

/* strtod alone would take "inf", "nan" and hexadecimal, too. */
static int parse_number(struct slice text, double *out)
{
	char copy[NUMBER_MAX];
	char *end;
	double value;

	if (!copy_number(text, "-+.eE0123456789", copy))
		return -EINVAL;
	value = strtod(copy, &end);
	if (*end || end == copy || !isfinite(value))
		return -EINVAL;
	*out = value;
	return 0;
}

static int parse_choice(const struct option *o, struct slice text, int *out)
{
	for (int i = 0; o->choices[i]; i++) {
		if (slice_is_text(text, o->choices[i])) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

void option_list_choices(const struct option *o, struct buf *out)
{
	for (int i = 0; o->choices[i]; i++) {
		if (i > 0)
			buf_append_text(out, o->choices[i + 1] ? ", " : " or ");
		buf_append_text(out, o->choices[i]);
	}
}

static void format_bound(const struct option *o, int64_t value, char text[QUANTITY_TEXT_LEN + 1])
{
	if (o->type == OPTION_DURATION)
		duration_format(value, text);
	else if (o->type == OPTION_SIZE)
		size_format(value, text);
	else
		snprintf(text, QUANTITY_TEXT_LEN + 1, "%" PRId64, value);
}

void option_list_bounds(const struct option *o, struct buf *out)
{
	char min[QUANTITY_TEXT_LEN + 1], max[QUANTITY_TEXT_LEN + 1];

	if (o->min == 0 && o->max == 0)
		return;
	format_bound(o, o->min, min);
	format_bound(o, o->max, max);
	if (o->max == INT64_MAX)
		buf_printf(out, "at least %s", min);
	else
		buf_printf(out, "between %s and %s", min, max);
}

static bool is_within(const struct option *o, int64_t value)
{
	return (o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max);
}

/* Reads the text into the field; -ERANGE when only its bounds refuse it. */
static int set_value(const struct option *o, struct slice text, void *at)
{
	int64_t whole = 0;
	double number = 0;
	int rc = -EINVAL;

	switch (o->type) {
	case OPTION_STRING:
	case OPTION_SECRET: return memchr(text.data, '\0', text.len) ? -EINVAL : copy_text(text, at);
	case OPTION_BOOL: return parse_bool(text, at);
	case OPTION_CHOICE: return parse_choice(o, text, at);
	case OPTION_NUMBER:
		rc = parse_number(text, &number);
		if (rc == 0 && (o->min || o->max) && (number < (double)o->min || number > (double)o->max))
			rc = -ERANGE;
		if (rc == 0)
			*(double *)at = number;
		return rc;
	case OPTION_INT: rc = parse_int(text, &whole); break;
	case OPTION_DURATION: rc = duration_parse(text, &whole); break;
	case OPTION_SIZE: rc = size_parse(text, &whole); break;
	case OPTION_STRINGS:
	case OPTION_JSON:
	case OPTION_SECTION:
	case OPTION_LIST:
	case OPTION_IGNORED: return -EINVAL;
	}
	if (rc == 0 && !is_within(o, whole))
		rc = -ERANGE;
	if (rc == 0)
		*(int64_t *)at = whole;
	return rc;
}

/* What a value must be, its bounds aside. */
static const char *shape_of(enum option_type type)
{
	switch (type) {
	case OPTION_STRING:
	case OPTION_SECRET: return "must not hold a NUL";
	case OPTION_BOOL: return "must be true or false";
	case OPTION_INT: return "must be a whole number";
	case OPTION_NUMBER: return "must be a number";
	case OPTION_DURATION: return "must be a number with ms, s, m, h or d, as 10s";
	case OPTION_SIZE: return "must be a number of bytes, or one with KiB, MiB, GiB, KB, MB or GB";
	case OPTION_CHOICE: return "must be ";
	case OPTION_STRINGS:
	case OPTION_JSON:
	case OPTION_SECTION:
	case OPTION_LIST:
	case OPTION_IGNORED: break;
	}
	return "is no single value";
}

static void explain(const struct option *o, int rc, struct slice text, struct buf *why)
{
	buf_append_text(why, rc == -ERANGE ? "must be " : shape_of(o->type));
	if (rc == -ERANGE)
		option_list_bounds(o, why);
	if (o->type == OPTION_CHOICE)
		option_list_choices(o, why);
	if (o->type == OPTION_STRING || o->type == OPTION_SECRET)
		return;
	buf_append_text(why, ", not \"");
	quote_plain(why, text, SHOWN_MAX);
	buf_append_text(why, "\"");
}

int option_set(const struct option *o, struct slice text, void *at, char *why, size_t why_len)
{
	int rc = set_value(o, text, at);
	struct buf phrase;

	if (rc == 0 || rc == -ENOMEM)
		return rc;
	buf_init(&phrase, why_len - 1);
	explain(o, rc, text, &phrase);
	snprintf(why, why_len, "%s",
		phrase.error || !buf_text(&phrase) ? "is not allowed" : buf_text(&phrase));
	buf_done(&phrase);
	return -EINVAL;
}
