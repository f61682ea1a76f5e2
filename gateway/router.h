/*
 * Which endpoint takes a request: patterns of literal and {name} segments, for the built-in endpoints and for configured
 * routes alike. A trailing slash is optional. A literal segment wins over a {name}, decided at the first segment where
 * two patterns differ. Pure but for memory.
 */
#ifndef GATEWAY_ROUTER_H
#define GATEWAY_ROUTER_H

#include "base/buf.h"

#define ROUTER_SEGMENTS_MAX 16
#define ROUTER_PATH_MAX	    2048 /* bytes of a path decoded */

/*
 * A path of a request, split and then decoded, each segment once: "/a%2Fb" has one segment. The segments point into
 * the text: not to be copied.
 */
struct router_path {
	struct slice segments[ROUTER_SEGMENTS_MAX];
	size_t len;
	char text[ROUTER_PATH_MAX + 1]; /* decoded whole: "/v1/tasks", terminated */
	size_t text_len;
};

/*
 * `raw`: what stands in the request line up to the '?'. 0; -EBADMSG when it does not begin with "/", has an empty segment
 * before its end, a broken escape, a NUL or other control character, or is not UTF-8 when decoded; -EMSGSIZE when it is
 * too long.
 */
int router_path_parse(struct slice raw, struct router_path *out);

struct router;

int router_new(struct router **out);
void router_free(struct router *r);

/*
 * `methods`: bits of call_method; GET brings HEAD. Borrows: pattern, target. 0; -EEXIST when a pattern of the same shape
 * ({names} aside) has one of the methods; -EINVAL when it is no pattern; -ENOMEM.
 */
int router_add(struct router *r, unsigned methods, const char *pattern, const void *target);

/* 0 or -EINVAL with a phrase in *why: what makes a pattern one. */
int router_check_pattern(const char *pattern, const char **why);
/* True when the pattern has a segment {name}. */
bool router_has_name(const char *pattern, const char *name);
/* True when two patterns match the same paths. Both are valid. */
bool router_is_same_shape(const char *a, const char *b);
/* First segments that belong to the gateway itself; a {name} never matches one, and routes may not begin with one. */
bool router_is_reserved(struct slice segment);

struct router_match {
	const void *target;  /* NULL: not found, or found only with other methods */
	const char *pattern; /* of the target */
	unsigned allowed;    /* all methods that some pattern takes for this path; 0: not found */
};
void router_find(
	const struct router *r, unsigned method, const struct router_path *path, struct router_match *out);
/* What {name} of `pattern` stands for in `path`, which it matches; unset: no such name. */
struct slice router_segment(const char *pattern, const struct router_path *path, const char *name);

/* Percent-decodes once; `plus` turns '+' into a space. 0, -EBADMSG for a broken escape, or the buffer's error. */
int router_decode(struct slice raw, bool plus, struct buf *out);

#endif
