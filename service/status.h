/*
 * The status document of a task: what the store knows, as JSON. Pure.
 */
#ifndef SERVICE_STATUS_H
#define SERVICE_STATUS_H

#include "base/buf.h"
#include "store/store.h"

/* What an id is, from the store's row (or none) and its age. */
enum status_presence {
	STATUS_KNOWN,
	STATUS_QUEUED, /* genuine, not seen by the store yet */
	STATUS_GONE,   /* its lifetime has passed */
};
enum status_presence status_presence(const struct store_task *task, int64_t now_ms, int64_t lifetime_ms);
/* The row of a task that the store has not seen yet. */
struct store_task status_queued(const struct id *id);

/* {"id","task","status",…,"links"}; a JSON result is spliced in when the row has it. */
void status_render(const struct store_task *task, struct buf *out);
/* {"self":…,"result":…,"events":…,"ws":…,"deliveries":…} as the value of "links". */
void status_render_links(const struct id *id, struct buf *out);
/* {"type","message","retryable","status","data"} as the value of "error". */
void status_render_error(const struct store_error *error, struct buf *out);

#endif
