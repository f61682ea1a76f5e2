#include "gateway/head.h"

#include <strings.h>

enum { VERSION_LEN = 8, CONTENT_LENGTH_DIGITS_MAX = 18 };

static const struct {
	const char *name;
	enum call_method method;
} methods[] = {
	{"GET", CALL_GET},
	{"POST", CALL_POST},
	{"HEAD", CALL_HEAD},
	{"PUT", CALL_PUT},
	{"PATCH", CALL_PATCH},
	{"DELETE", CALL_DELETE},
	{"OPTIONS", CALL_OPTIONS},
};

static enum head_status refuse(struct head *h, enum problem problem, const char *why)
{
	h->problem = problem;
	h->why = why;
	return HEAD_REFUSED;
}

static enum head_status bad(struct head *h, const char *why)
{
	return refuse(h, PROBLEM_BAD_REQUEST, why);
}

/* ---- character classes ---- */

/* Of letters, digits and these. */
static bool is_made_of(struct slice s, const char *others)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];

		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			    (c != 0 && strchr(others, c))))
			return false;
	}
	return true;
}

static bool is_token(struct slice s)
{
	return s.len > 0 && is_made_of(s, "!#$%&'*+-.^_`|~");
}

static bool is_text(uint8_t c)
{
	return (c >= 0x20 && c != 0x7f) || c == '\t';
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s)
{
	while (s.len > 0 && is_blank(s.data[0]))
		s = slice_of(s.data + 1, s.len - 1);
	while (s.len > 0 && is_blank(s.data[s.len - 1]))
		s.len--;
	return s;
}

static bool is_word(struct slice s, const char *word)
{
	return s.len == strlen(word) && strncasecmp((const char *)s.data, word, s.len) == 0;
}

/* Bytes up to `c` and not with it; all when there is none. Cuts them and the separator off *rest. */
static struct slice cut(struct slice *rest, char c)
{
	const uint8_t *at = rest->len > 0 ? memchr(rest->data, c, rest->len) : NULL;
	struct slice first = slice_of(rest->data, at ? (size_t)(at - rest->data) : rest->len);

	*rest = at ? slice_of(at + 1, rest->len - first.len - 1) : slice_of(rest->data + rest->len, 0);
	return first;
}

/* ---- the request line ---- */

static enum head_status take_method(struct head *h, struct slice name)
{
	if (!is_token(name))
		return bad(h, "The request line does not begin with a method.");
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (slice_is_text(name, methods[i].name)) {
			h->method = methods[i].method;
			return HEAD_MORE;
		}
	return refuse(h, PROBLEM_NOT_IMPLEMENTED,
		"Known methods are GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS.");
}

/* No user, no path: what others would read in there is not to be guessed. */
static bool is_host(struct slice s)
{
	return is_made_of(s, "-._~:[]%!$&'()*+,;=");
}

/* Leaves of "http://host:port/path?query" what begins with the path; unset: not of that form. */
static struct slice without_authority(struct slice target)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
		size_t len = strlen(schemes[i]);
		struct slice rest, authority;

		if (target.len <= len || strncasecmp((const char *)target.data, schemes[i], len) != 0)
			continue;
		rest = slice_of(target.data + len, target.len - len);
		authority = cut(&rest, '/');
		if (authority.len > 0 && len + authority.len < target.len && is_host(authority))
			return slice_of(rest.data - 1, rest.len + 1);
	}
	return (struct slice){0};
}

static enum head_status take_target(struct head *h, struct slice target)
{
	for (size_t i = 0; i < target.len; i++)
		if (target.data[i] <= 0x20 || target.data[i] == 0x7f || target.data[i] == '#')
			return bad(h, "The request target holds a character that must be percent-encoded.");
	if (target.len == 0)
		return bad(h, "The request line has no target.");
	if (target.data[0] != '/' && !(slice_is_text(target, "*") && h->method == CALL_OPTIONS))
		target = without_authority(target);
	if (!slice_is_set(target))
		return bad(h, "The request target must be a path that begins with \"/\".");
	h->target = (uint32_t)(target.data - h->text.data);
	h->target_len = (uint32_t)target.len;
	return HEAD_MORE;
}

static enum head_status take_version(struct head *h, struct slice version)
{
	const uint8_t *v = version.data;

	if (version.len != VERSION_LEN || memcmp(v, "HTTP/", 5) != 0 || v[5] < '0' || v[5] > '9' ||
		v[6] != '.' || v[7] < '0' || v[7] > '9')
		return bad(h, "The request line does not end in an HTTP version.");
	if (v[5] != '1' || v[7] > '1')
		return refuse(h, PROBLEM_HTTP_VERSION, "This server speaks HTTP/1.0 and HTTP/1.1.");
	h->minor = v[7] - '0';
	return HEAD_MORE;
}

static enum head_status take_request_line(struct head *h, struct slice line)
{
	struct slice rest = line;
	struct slice method = cut(&rest, ' ');
	struct slice target = cut(&rest, ' ');
	enum head_status status = take_version(h, rest);

	if (status == HEAD_MORE)
		status = take_method(h, method);
	if (status == HEAD_MORE)
		status = take_target(h, target);
	return status;
}

/* ---- fields ---- */

static enum head_status take_host(struct head *h, struct slice value)
{
	return is_host(value) ? HEAD_MORE : bad(h, "The Host field is not a host.");
}

static enum head_status take_content_length(struct head *h, struct slice value)
{
	int64_t length = 0;

	if (value.len == 0)
		return bad(h, "Content-Length is not a number.");
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] < '0' || value.data[i] > '9')
			return bad(h, "Content-Length is not a number.");
	if (value.len > CONTENT_LENGTH_DIGITS_MAX)
		return refuse(h, PROBLEM_TOO_LARGE, "The body is too large.");
	for (size_t i = 0; i < value.len; i++)
		length = length * 10 + (value.data[i] - '0');
	h->content_length = length;
	return HEAD_MORE;
}

static enum head_status take_transfer_encoding(struct head *h, struct slice value)
{
	if (!is_word(value, "chunked"))
		return refuse(h, PROBLEM_NOT_IMPLEMENTED, "The only transfer coding known is chunked.");
	h->is_chunked = true;
	return HEAD_MORE;
}

static enum head_status take_connection(struct head *h, struct slice value)
{
	while (value.len > 0) {
		struct slice option = trim(cut(&value, ','));

		h->has_close |= is_word(option, "close");
		h->has_keep_alive |= is_word(option, "keep-alive");
	}
	return HEAD_MORE;
}

static enum head_status take_expect(struct head *h, struct slice value)
{
	if (!is_word(value, "100-continue"))
		return refuse(h, PROBLEM_EXPECTATION_FAILED, "The only expectation known is 100-continue.");
	h->expects_continue = true;
	return HEAD_MORE;
}

/* Bytes are handed on as they come, and with them goes nothing that says how to undo it. */
static enum head_status take_content_encoding(struct head *h, struct slice value)
{
	if (value.len > 0 && !is_word(value, "identity"))
		return refuse(h, PROBLEM_MEDIA_TYPE,
			"Bodies are taken as they are: send it decoded, or without Content-Encoding.");
	return HEAD_MORE;
}

/* Fields that mean something to the framing, or that two readers could pick differently when they come twice. */
static const struct {
	const char *name;
	enum head_status (*take)(struct head *h, struct slice value);
	bool is_single;
} known_fields[] = {
	{"host", take_host, true},
	{"content-length", take_content_length, true},
	{"transfer-encoding", take_transfer_encoding, true},
	{"connection", take_connection, false},
	{"expect", take_expect, true},
	{"authorization", NULL, true},
	{"content-type", NULL, true},
	{"content-encoding", take_content_encoding, false},
	{"idempotency-key", NULL, true},
	{"origin", NULL, true},
	{"last-event-id", NULL, true},
	{"sec-websocket-key", NULL, true},
	{"sec-websocket-version", NULL, true},
};

enum { SEEN_HOST = 1, SEEN_CONTENT_LENGTH = 2, SEEN_TRANSFER_ENCODING = 4 };

static enum head_status take_known_field(struct head *h, struct slice name, struct slice value)
{
	for (size_t i = 0; i < sizeof known_fields / sizeof *known_fields; i++) {
		if (!is_word(name, known_fields[i].name))
			continue;
		if (known_fields[i].is_single && (h->seen & 1u << i))
			return bad(h, "A field that may come once came twice.");
		h->seen |= 1u << i;
		return known_fields[i].take ? known_fields[i].take(h, value) : HEAD_MORE;
	}
	return HEAD_MORE;
}

static enum head_status take_field(struct head *h, struct slice line)
{
	struct slice rest = line;
	struct slice name = cut(&rest, ':');
	struct slice value = trim(rest);

	if (is_blank(line.data[0]))
		return bad(h, "A field is folded over two lines.");
	if (name.len == line.len)
		return bad(h, "A field has no colon.");
	if (!is_token(name))
		return bad(h, "A field's name holds a character that does not belong there.");
	if (h->fields_len == HEAD_FIELDS_MAX)
		return refuse(h, PROBLEM_HEADERS_TOO_LARGE, "The request has too many fields.");
	h->fields[h->fields_len++] = (struct head_field){
		.name = (uint32_t)(name.data - h->text.data),
		.name_len = (uint32_t)name.len,
		.value = (uint32_t)(value.data - h->text.data),
		.value_len = (uint32_t)value.len,
	};
	return take_known_field(h, name, value);
}

/* ---- the whole ---- */

static enum head_status finish(struct head *h)
{
	if ((h->seen & SEEN_CONTENT_LENGTH) && (h->seen & SEEN_TRANSFER_ENCODING))
		return bad(h, "Content-Length and Transfer-Encoding exclude each other.");
	if ((h->seen & SEEN_TRANSFER_ENCODING) && h->minor == 0)
		return bad(h, "HTTP/1.0 has no Transfer-Encoding.");
	if (!(h->seen & SEEN_HOST) && h->minor > 0)
		return bad(h, "The Host field is missing.");
	h->is_kept = !h->has_close && (h->minor > 0 || h->has_keep_alive);
	h->expects_continue = h->expects_continue && h->minor > 0 && head_has_body(h);
	return HEAD_DONE;
}

static enum head_status take_line(struct head *h)
{
	struct slice line = slice_of(h->text.data + h->line, h->text.len - h->line - 2);
	bool is_first = h->line == 0;

	if (line.len == 0 && is_first) {
		h->text.len = 0;
		return ++h->empty_lines > HEAD_EMPTY_LINES_MAX ? bad(h, "There is no request line.")
							       : HEAD_MORE;
	}
	h->line = h->text.len;
	if (line.len == 0)
		return finish(h);
	return is_first ? take_request_line(h, line) : take_field(h, line);
}

/* `before` is the byte in front of `c`, 0 at the beginning of the line. */
static enum head_status check_byte(struct head *h, uint8_t before, uint8_t c)
{
	if (before == '\r' ? c != '\n' : c == '\n')
		return bad(h, "A line does not end in CRLF.");
	if (!is_text(c) && c != '\r' && c != '\n')
		return bad(h, "The head of the request holds a control character.");
	return HEAD_MORE;
}

void head_init(struct head *h, size_t max)
{
	h->max = max;
	h->text.data = NULL;
	head_reset(h);
}

void head_done(struct head *h)
{
	buf_done(&h->text);
}

void head_reset(struct head *h)
{
	buf_done(&h->text);
	buf_init(&h->text, h->max);
	h->line = 0;
	h->empty_lines = 0;
	h->seen = 0;
	h->fields_len = 0;
	h->content_length = -1;
	h->is_chunked = h->has_close = h->has_keep_alive = h->expects_continue = h->is_kept = false;
}

bool head_is_begun(const struct head *h)
{
	return h->text.len > 0;
}

/* Appends up to and with the next line end. */
static enum head_status feed_line(struct head *h, struct slice bytes, size_t *used)
{
	uint8_t before = h->text.len > h->line ? h->text.data[h->text.len - 1] : 0;
	size_t room = h->max - h->text.len;
	enum head_status status = HEAD_MORE;
	size_t len = 0;

	while (status == HEAD_MORE && len < bytes.len && before != '\n') {
		uint8_t c = bytes.data[len];

		if (len++ == room)
			return refuse(h, PROBLEM_HEADERS_TOO_LARGE, "The head of the request is too large.");
		status = check_byte(h, before, c);
		before = c;
	}
	if (status != HEAD_MORE)
		return status;
	*used += len;
	if (buf_append(&h->text, bytes.data, len) < 0)
		return refuse(h, PROBLEM_BUSY, "There is no memory for the request.");
	return before == '\n' ? take_line(h) : HEAD_MORE;
}

enum head_status head_feed(struct head *h, struct slice bytes, size_t *used)
{
	enum head_status status = HEAD_MORE;

	*used = 0;
	while (status == HEAD_MORE && *used < bytes.len)
		status = feed_line(h, slice_of(bytes.data + *used, bytes.len - *used), used);
	return status;
}

struct slice head_target(const struct head *h)
{
	return slice_of(h->text.data + h->target, h->target_len);
}

bool head_next_field(const struct head *h, const char *name, size_t *at, struct slice *value)
{
	while (*at < h->fields_len) {
		const struct head_field *f = &h->fields[(*at)++];

		if (!is_word(slice_of(h->text.data + f->name, f->name_len), name))
			continue;
		*value = slice_of(h->text.data + f->value, f->value_len);
		return true;
	}
	return false;
}

struct slice head_field(const struct head *h, const char *name)
{
	struct slice value = {0};
	size_t at = 0;

	head_next_field(h, name, &at, &value);
	return value;
}

static bool list_has(struct slice list, const char *token)
{
	while (list.len > 0)
		if (is_word(trim(cut(&list, ',')), token))
			return true;
	return false;
}

bool head_has_token(const struct head *h, const char *name, const char *token)
{
	struct slice value;

	for (size_t at = 0; head_next_field(h, name, &at, &value);)
		if (list_has(value, token))
			return true;
	return false;
}

bool head_has_body(const struct head *h)
{
	return h->is_chunked || h->content_length > 0;
}
