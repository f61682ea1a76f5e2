#include "runtime/e164.h"

#include <errno.h>

static bool is_digits(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
	return true;
}

static const char *complaint(struct slice number)
{
	struct slice digits;

	if (number.len == 0 || number.data[0] != '+')
		return "must be an international number, + and the country's code first";
	digits = slice_of(number.data + 1, number.len - 1);
	if (!is_digits(digits))
		return "must be + and digits, without spaces, hyphens or brackets";
	if (digits.len > 0 && digits.data[0] == '0')
		return "has no country's code: none begins with 0";
	if (digits.len < E164_DIGITS_MIN || digits.len > E164_DIGITS_MAX)
		return "must have 7 to 15 digits";
	return NULL;
}

int e164_check(struct slice number, const char **why)
{
	*why = complaint(number);
	return *why ? -EINVAL : 0;
}

bool e164_is_prefix(struct slice prefix)
{
	return prefix.len > 0 && prefix.len <= E164_TEXT_MAX && prefix.data[0] == '+' &&
	       is_digits(slice_of(prefix.data + 1, prefix.len - 1)) &&
	       (prefix.len == 1 || prefix.data[1] != '0');
}
