#include "runtime/email_address.h"

#include <ctype.h>
#include <errno.h>

#include "base/utf8.h"

enum { LABEL_MAX = 63, NAME_MAX_LEN = 200 };

static bool is_atom_byte(uint8_t c)
{
	return c < 0x80 && (isalnum(c) || (c && strchr("#$&'*+-/=?^_`{|}~", c)));
}

/* Atoms with single dots between them. */
static const char *complain_of_local(struct slice local)
{
	if (local.len == 0)
		return "has nothing before its @";
	if (local.len > EMAIL_LOCAL_MAX)
		return "has more than 64 bytes before its @";
	for (size_t i = 0; i < local.len; i++) {
		if (local.data[i] == '.') {
			if (i == 0 || i + 1 == local.len || local.data[i + 1] == '.')
				return "has a dot at an end or two in a row before its @";
		} else if (!is_atom_byte(local.data[i])) {
			return "has a character before its @ that is not taken: letters and digits of ASCII and "
			       "#$&'*+-/=?^_`{|}~. are";
		}
	}
	return NULL;
}

static const char *complain_of_label(struct slice label)
{
	if (label.len == 0)
		return "has an empty label in its domain";
	if (label.len > LABEL_MAX)
		return "has a label of more than 63 bytes in its domain";
	for (size_t i = 0; i < label.len; i++)
		if (label.data[i] >= 0x80 || !(isalnum(label.data[i]) || label.data[i] == '-'))
			return "has a domain of other than letters, digits, hyphens and dots";
	if (label.data[0] == '-' || label.data[label.len - 1] == '-')
		return "has a label in its domain that begins or ends with a hyphen";
	return NULL;
}

static const char *complain_of_domain(struct slice domain)
{
	size_t from = 0;

	for (size_t i = 0; i <= domain.len; i++) {
		const char *why;

		if (i < domain.len && domain.data[i] != '.')
			continue;
		why = complain_of_label(slice_of(domain.data + from, i - from));
		if (why)
			return why;
		from = i + 1;
	}
	return NULL;
}

int email_address_check(struct slice address, const char **why)
{
	const uint8_t *at = address.len ? memchr(address.data, '@', address.len) : NULL;
	size_t local_len = at ? (size_t)(at - address.data) : 0;

	*why = NULL;
	if (address.len > EMAIL_ADDRESS_MAX)
		*why = "longer than 254 bytes";
	else if (!at)
		*why = "must be an address like name@example.com";
	else
		*why = complain_of_local(slice_of(address.data, local_len));
	if (!*why)
		*why = complain_of_domain(
			slice_of(address.data + local_len + 1, address.len - local_len - 1));
	return *why ? -EINVAL : 0;
}

struct slice email_address_domain(struct slice address)
{
	const uint8_t *at = memchr(address.data, '@', address.len);

	return slice_of(at + 1, address.len - (size_t)(at + 1 - address.data));
}

/* ---- mailboxes ---- */

static struct slice trimmed(struct slice s)
{
	while (s.len > 0 && s.data[0] == ' ')
		s = slice_of(s.data + 1, s.len - 1);
	while (s.len > 0 && s.data[s.len - 1] == ' ')
		s.len--;
	return s;
}

static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < 0x20 || s.data[i] == 0x7f)
			return true;
	return false;
}

static int check_name(struct slice *name, const char **why)
{
	bool is_quoted = name->len >= 2 && name->data[0] == '"' && name->data[name->len - 1] == '"';

	if (is_quoted)
		*name = slice_of(name->data + 1, name->len - 2);
	if (name->len > NAME_MAX_LEN)
		*why = "has a name of more than 200 bytes";
	else if (!utf8_is_valid(*name) || has_control(*name))
		*why = "has a name that is not UTF-8 or has control characters";
	else if (memchr(name->data, '"', name->len) || memchr(name->data, '\\', name->len))
		*why = "has a quote or a backslash inside its name";
	else
		return 0;
	return -EINVAL;
}

int email_mailbox_parse(struct slice text, struct slice *name, struct slice *address, const char **why)
{
	struct slice whole = trimmed(text), found_name, found;
	const uint8_t *open;
	int rc;

	if (whole.len == 0 || whole.data[whole.len - 1] != '>') {
		rc = email_address_check(whole, why);
		if (rc == 0) {
			*name = slice_of(whole.data, 0);
			*address = whole;
		}
		return rc;
	}
	open = memrchr(whole.data, '<', whole.len);
	if (!open) {
		*why = "must be like \"Name <name@example.com>\"";
		return -EINVAL;
	}
	found_name = trimmed(slice_of(whole.data, (size_t)(open - whole.data)));
	found = slice_of(open + 1, whole.len - (size_t)(open - whole.data) - 2);
	rc = check_name(&found_name, why);
	if (rc == 0)
		rc = email_address_check(found, why);
	if (rc == 0) {
		*name = found_name;
		*address = found;
	}
	return rc;
}
