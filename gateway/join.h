/*
 * Parameters of a route's path and query, and how they join what the client sent. Pure.
 */
#ifndef GATEWAY_JOIN_H
#define GATEWAY_JOIN_H

#include "base/buf.h"
#include "gateway/call.h"

/*
 * Those of the path, then those of the query under other names; of a name that is repeated in the query the last one
 * counts. `out` has room for all of both. Returns how many. Borrows.
 */
size_t join_params(const struct call_param *path, size_t path_len, const struct call_param *query,
	size_t query_len, struct call_param *out);
/* NULL: not there. */
const struct call_param *join_find(const struct call_param *params, size_t len, struct slice name);

/*
 * Appends a checked JSON object with the parameters as members, strings all; a parameter wins over a member of its name.
 * The other members keep their bytes and their order. 0 or the buffer's error.
 */
int join_object(struct slice object, const struct call_param *params, size_t len, struct buf *out);
/* Appends {"params":{…}}. */
int join_metadata(const struct call_param *params, size_t len, struct buf *out);

/*
 * Appends a checked JSON text with every "{name}" in its strings replaced: {id} and {task} by those, another by the
 * parameter of that name; one that there is no parameter for stays as it is. 0 or the buffer's error.
 */
int join_template(struct slice json, struct slice id, struct slice task, const struct call_param *params,
	size_t len, struct buf *out);

#endif
