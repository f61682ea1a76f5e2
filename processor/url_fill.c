#include "processor/url_fill.h"

#include <errno.h>
#include <stdio.h>

#include "proto/json.h"

enum { VALUE_MAX = 4096 };

/* Scheme and authority: up to the first slash, question mark or hash after "://". */
static size_t origin_len(const char *url)
{
	const char *host = strstr(url, "://");

	return host ? (size_t)(host - url) + 3 + strcspn(host + 3, "/?#") : 0;
}

int url_template_check(const char *template, const char **why)
{
	size_t origin = origin_len(template);
	const char *p = template;

	*why = "is no http:// or https:// URL";
	if (origin == 0 || (strncmp(template, "http://", 7) != 0 && strncmp(template, "https://", 8) != 0))
		return -EINVAL;
	while ((p = strpbrk(p, "{}"))) {
		size_t name = strcspn(p + 1, "{}");

		*why = "has braces that do not match";
		if (*p == '}' || p[1 + name] != '}')
			return -EINVAL;
		*why = "has a {} without a name";
		if (name == 0)
			return -EINVAL;
		*why = "may have {name} in its path and query only";
		if ((size_t)(p - template) < origin)
			return -EINVAL;
		p += name + 2;
	}
	return 0;
}

static bool is_unreserved(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       memchr("-._~", c, 4) != NULL;
}

static void append_encoded(struct buf *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (is_unreserved(text.data[i]))
			buf_append_byte(out, text.data[i]);
		else
			buf_printf(out, "%%%02X", text.data[i]);
	}
}

static bool name_is(struct slice key, struct slice name)
{
	char text[256];

	if (name.len >= sizeof text)
		return false;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	return json_key_is(key, text);
}

static struct slice member_of(struct slice object, struct slice name)
{
	struct json_member m = {0};

	while (json_next_member(object, &m))
		if (name_is(m.key, name))
			return m.value;
	return (struct slice){0};
}

static int append_member(struct slice value, struct buf *text)
{
	enum json_type type = slice_is_set(value) ? json_type_of(value) : JSON_NULL;

	if (type == JSON_STRING)
		return json_decode_string(value, text);
	if (type == JSON_NUMBER || type == JSON_BOOL)
		return buf_append_slice(text, value);
	return -EINVAL;
}

/* Such a segment would be taken for a step up the path. */
static bool is_dots(struct slice text)
{
	return slice_is_text(text, ".") || slice_is_text(text, "..");
}

static int fill_one(struct slice payload, struct slice name, struct buf *out, char *why, size_t why_len)
{
	struct buf text;
	int rc;

	buf_init(&text, VALUE_MAX);
	rc = append_member(member_of(payload, name), &text);
	if (rc == 0 && (text.len == 0 || is_dots(buf_slice(&text))))
		rc = -EINVAL;
	if (rc == 0)
		append_encoded(out, buf_slice(&text));
	else
		snprintf(why, why_len, "the payload has no usable \"%.*s\" for the URL", SLICE_ARG(name));
	buf_done(&text);
	return rc == -ENOMEM ? -ENOMEM : rc < 0 ? -EINVAL : out->error;
}

int url_fill(const char *template, struct slice payload, struct buf *out, char *why, size_t why_len)
{
	struct json_error error;
	const char *p = template;

	if (!strchr(template, '{'))
		return buf_append_text(out, template);
	if (json_check(payload, &error) < 0 || json_type_of(payload) != JSON_OBJECT) {
		snprintf(why, why_len, "the URL needs members of a JSON object, and the payload is none");
		return -EINVAL;
	}
	while (*p) {
		size_t literal = strcspn(p, "{");
		size_t name;
		int rc;

		buf_append(out, p, literal);
		p += literal;
		if (*p == '\0')
			break;
		name = strcspn(p + 1, "}");
		rc = fill_one(payload, slice_of(p + 1, name), out, why, why_len);
		if (rc < 0)
			return rc;
		p += name + 2;
	}
	return out->error;
}
