#include "runtime/config_internal.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/quote.h"

static bool is_word(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static const char *const trues[] = {"true", "True", "TRUE", NULL};
static const char *const falses[] = {"false", "False", "FALSE", NULL};
/* Less their sign. */
static const char *const not_in_json[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};

/* The parts of a decimal number in YAML's core schema: [-+]? 12 . 50 e-3 */
struct decimal {
	bool is_negative;
	struct slice whole, fraction, exponent; /* exponent with its e and sign */
};

static size_t count_digits(const char *text)
{
	return strspn(text, "0123456789");
}

static bool split_decimal(const char *text, struct decimal *d)
{
	size_t len;

	*d = (struct decimal){.is_negative = *text == '-'};
	text += *text == '-' || *text == '+';
	d->whole = slice_of(text, count_digits(text));
	text += d->whole.len;
	if (*text == '.') {
		d->fraction = slice_of(text + 1, count_digits(text + 1));
		text += 1 + d->fraction.len;
	}
	if (d->whole.len + d->fraction.len == 0)
		return false;
	if (*text == 'e' || *text == 'E') {
		size_t sign = text[1] == '-' || text[1] == '+';

		len = count_digits(text + 1 + sign);
		if (len == 0)
			return false;
		d->exponent = slice_of(text, 1 + sign + len);
		text += d->exponent.len;
	}
	return *text == '\0';
}

/* The same digits in JSON's spelling: no plus, no leading zeros, digits on both sides of the point. */
static void append_decimal(const struct decimal *d, struct buf *out)
{
	struct slice whole = d->whole;

	while (whole.len > 1 && *whole.data == '0')
		whole = slice_of(whole.data + 1, whole.len - 1);
	if (d->is_negative)
		buf_append_byte(out, '-');
	buf_append_slice(out, whole.len ? whole : slice_text("0"));
	if (d->fraction.len) {
		buf_append_byte(out, '.');
		buf_append_slice(out, d->fraction);
	}
	buf_append_slice(out, d->exponent);
}

/* 0x1F and 0o17. 1 when it was one, 0 when not, -EINVAL when it is too large. */
static int append_radix(const char *text, struct buf *out)
{
	int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 0;
	const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "01234567";
	unsigned long long value;

	if (!base || !text[2] || text[2 + strspn(text + 2, digits)])
		return 0;
	errno = 0;
	value = strtoull(text + 2, NULL, base);
	if (errno)
		return -EINVAL;
	buf_printf(out, "%llu", value);
	return 1;
}

static int append_scalar(const struct node *n, struct buf *out, char *why, size_t why_len)
{
	struct decimal d;
	int radix;

	if (!n->is_plain)
		return quote_json(out, slice_of(n->text, n->text_len));
	if (node_is_null(n))
		return buf_append_text(out, "null");
	if (is_word(n->text, trues))
		return buf_append_text(out, "true");
	if (is_word(n->text, falses))
		return buf_append_text(out, "false");
	radix = append_radix(n->text, out);
	if (radix < 0 || is_word(n->text + strspn(n->text, "+-"), not_in_json)) {
		snprintf(why, why_len, "has a number that JSON cannot hold; put it in quotes");
		return -EINVAL;
	}
	if (radix > 0)
		return out->error;
	if (split_decimal(n->text, &d)) {
		append_decimal(&d, out);
		return out->error;
	}
	return quote_json(out, slice_of(n->text, n->text_len));
}

int node_to_json(const struct node *n, struct buf *out, char *why, size_t why_len)
{
	bool is_map = n->kind == NODE_MAP;

	if (n->kind == NODE_SCALAR)
		return append_scalar(n, out, why, why_len);
	buf_append_byte(out, is_map ? '{' : '[');
	for (size_t i = 0; i < n->len; i++) {
		int rc;

		if (i > 0)
			buf_append_byte(out, ',');
		if (is_map) {
			quote_json(out, slice_text(n->children[i].key));
			buf_append_byte(out, ':');
		}
		rc = node_to_json(n->children[i].value, out, why, why_len);
		if (rc < 0)
			return rc;
	}
	return buf_append_byte(out, is_map ? '}' : ']');
}
