/*
 * What Postback remembers: tasks with their results, rows for everything that happens later, idempotency keys, batches,
 * dead letters. One interface; SQLite or PostgreSQL behind it. Asynchronous: a call hands its work to the store's own
 * threads (one writes, group-committing what waits; one reads) and the callback comes on the loop, never inside the call.
 *
 * Every call returns 0 and later exactly one callback, or a negative errno and none: -EAGAIN (too much is waiting),
 * -ENOMEM, -ENOTCONN (the store is not up; while it cannot write it may still read). In a callback rc is 0 or -EIO (the store failed; nothing was changed),
 * or what the call's comment says. What a call is given is copied; what a callback is given is borrowed until it returns.
 *
 * Writes are durable (committed, synced) when their callback says 0, and each call is one transaction: all or nothing.
 * Times are milliseconds since the epoch and come from the caller: the store reads no clock.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "proto/id.h"
#include "proto/request.h"
#include "proto/state.h"
#include "runtime/loop.h"

struct store;

struct store_options {
	const char
		*url; /* "sqlite:PATH" or "postgresql://user:password@host:port/database?sslmode=…"; copied */
	const char
		*password; /* of the database, beside or instead of the one in the URL; NULL: none; copied */
	int64_t task_ttl_ms;
	int64_t result_ttl_ms;
	size_t queue_max; /* calls waiting; 0: 65536 */
	/* Told on the loop when it is up (opened, migrated), lost and up again; `why` for people, no secrets. */
	void (*on_state)(bool is_up, const char *why, void *arg);
	void *arg;
};

/* 0, or -EINVAL with `why` written: a URL that names no known store, or can never be one. Says nothing of the password. */
int store_check(const char *url, char *why, size_t why_len);
/* 0, or as store_check, -ENOMEM. Opening itself goes on in the thread. */
int store_new(
	struct loop *loop, const struct store_options *opt, char *why, size_t why_len, struct store **out);
/* Ends the writes that were handed over, then the threads. No callback comes after. */
void store_free(struct store *s);
bool store_is_up(const struct store *s);

typedef void store_done_cb(int rc, void *arg);

/* ---- keys of ids ---- */

#define STORE_KEYS_MAX 8

/* The keys in use, the first for minting; the very first start mints one. */
typedef void store_keys_cb(int rc, const struct id_key *keys, size_t len, void *arg);
int store_keys(struct store *s, store_keys_cb *cb, void *arg);
/* Makes `key` the one for minting (from a key file), keeping the others for verifying. Same callback, afterwards. */
int store_keys_add(struct store *s, const struct id_key *key, int64_t now_ms, store_keys_cb *cb, void *arg);

/* ---- tasks: reading ---- */

/* Types that the store gives by itself: "expired", "previous_failed", "canceled", "unpublishable". */
struct store_error {
	struct slice type; /* unset: no error */
	struct slice message;
	bool retryable;
	int32_t status;
	struct slice data; /* JSON text; unset: none */
};

enum store_wait { STORE_WAITS_NOT, STORE_WAITS_TASK, STORE_WAITS_BATCH };

enum store_presence {
	STORE_ABSENT,
	STORE_PRESENT,
	STORE_TOMBSTONE, /* was there, its lifetime passed: only id, tenant and presence count */
};

struct store_task {
	enum store_presence presence;
	struct id id;
	struct slice tenant, task;
	enum task_state state;
	uint32_t attempt;
	int64_t created_at_ms;
	int64_t due_at_ms;	/* scheduled: when it may run; 0: waits for another task or batch */
	int64_t started_at_ms;	/* 0: never */
	int64_t finished_at_ms; /* 0: not yet */
	uint64_t rev;		/* counts every change, from 1 */
	struct slice progress;	/* JSON text; unset: none */
	struct slice metadata;	/* JSON object text; unset: none */
	struct slice worker;
	struct store_error error;
	struct slice content_type; /* of the result; unset: there is no result */
	int64_t result_len;
	bool result_is_json;
	struct slice result; /* with STORE_WITH_RESULT */
	struct slice
		request; /* with STORE_WITH_REQUEST: the encoded request, where it was kept; unset: not */
	struct id waits_for, batch, retry_of; /* zero: none */
	enum store_wait waits;		      /* what waits_for is */
	bool wants_previous; /* the stored request lacks its `previous` still: it never came back from a run */
	uint32_t deliveries_pending, deliveries_delivered, deliveries_dead;
	uint32_t span; /* of a change that is told: this and span - 1 before it in one; 0: this one alone */
};

#define STORE_WITH_RESULT  1u /* any result */
#define STORE_WITH_JSON	   2u /* the result only when it is JSON */
#define STORE_WITH_REQUEST 4u

#define STORE_READ_MAX 256

/* `tasks[i]` belongs to ids[i]; STORE_ABSENT where there is none. len <= STORE_READ_MAX. */
typedef void store_tasks_cb(int rc, const struct store_task *tasks, size_t len, void *arg);
int store_tasks_get(
	struct store *s, const struct id *ids, size_t len, unsigned with, store_tasks_cb *cb, void *arg);

struct store_list_query {
	struct slice tenant;
	bool has_state;
	enum task_state state;
	struct slice task; /* unset: any */
	struct id before;  /* cursor: only older ones; zero: from the newest */
	size_t limit;	   /* <= STORE_READ_MAX */
};
/* Newest first, without results. */
int store_tasks_list(struct store *s, const struct store_list_query *q, store_tasks_cb *cb, void *arg);

struct store_task_count {
	struct slice task;
	uint64_t scheduled, running;
};
typedef void store_counts_cb(int rc, const struct store_task_count *counts, size_t len, void *arg);
/* For each task name of the tenant with rows; those with scheduled or running ones first, then by name. */
int store_tasks_count(struct store *s, struct slice tenant, store_counts_cb *cb, void *arg);

/* A number that changes whenever any process changed the store; cheap, for waiters. */
typedef void store_version_cb(int rc, uint64_t version, void *arg);
int store_version(struct store *s, store_version_cb *cb, void *arg);

/*
 * What this handle's own writes changed: after each commit the tasks whose rev it raised, in order, as they were with
 * that rev, without request; with the result when that is JSON of at most STORE_CHANGE_RESULT_MAX bytes. Told before the
 * callbacks of the calls that caused them. A task that somebody reported on in vain is told as it is, again. Set it right
 * after store_new. For want of memory some may go untold.
 */
#define STORE_CHANGE_RESULT_MAX ((size_t)16 * 1024)
typedef void store_change_cb(const struct store_task *tasks, size_t len, void *arg);
void store_on_change(struct store *s, store_change_cb *cb, void *arg);

/* ---- tasks: what happens later ---- */

/* A task that is to run later: delayed, or after another. It starts as `scheduled`. */
struct store_later {
	struct id id;
	struct slice tenant, task;
	int64_t created_at_ms;
	int64_t due_at_ms; /* used with STORE_WAITS_NOT */
	enum store_wait waits;
	struct id
		waits_for; /* task: due when it has succeeded, canceled when it ends otherwise; batch: when all ended */
	bool wants_previous;  /* its payload gets `previous` when it becomes due */
	bool needs_awaited;   /* of no use unless what it waits for is known still: present, or a batch */
	struct slice request; /* encoded; attempt 1 */
	struct slice metadata;
	struct id batch, retry_of;
};
/*
 * One whose id is there already is left as it is. What it waits for may have ended before. -ENOENT: what one of them needs
 * is not known any more, and nothing was inserted.
 */
int store_later_insert(
	struct store *s, const struct store_later *tasks, size_t len, store_done_cb *cb, void *arg);
/*
 * Takes back what store_later_insert made, when the task they wait for could not be published. What has run or ended
 * meanwhile stays.
 */
int store_later_undo(struct store *s, const struct id *ids, size_t len, store_done_cb *cb, void *arg);

struct store_batch {
	bool found;
	struct id id;
	struct slice tenant;
	int64_t created_at_ms;
	uint32_t total, done;
	bool sealed;
	struct slice document; /* JSON text kept for the gateway: what became of each item at submission */
	struct slice ids;      /* 16 bytes an accepted item */
};
/* Made before its items are published: no item is counted done before its batch is there. */
int store_batch_insert(struct store *s, const struct id *id, struct slice tenant, int64_t now_ms,
	store_done_cb *cb, void *arg);
/* When all items had their answer: these were accepted. What waits for the batch becomes due when all have ended. */
int store_batch_seal(struct store *s, const struct id *id, const struct id *accepted, size_t len,
	struct slice document, int64_t now_ms, store_done_cb *cb, void *arg);
/* `counts` by state of its items follow in tasks_by_state; queued ones that have no row are counted as queued. */
typedef void store_batch_cb(
	int rc, const struct store_batch *batch, const uint32_t by_state[TASK_STATES], void *arg);
int store_batch_get(struct store *s, const struct id *id, store_batch_cb *cb, void *arg);

/* ---- idempotency ---- */

#define STORE_HASH_LEN 32

struct store_claim {
	struct slice tenant;
	struct slice key;
	uint8_t hash[STORE_HASH_LEN]; /* of the request: method, path, query, content type, body */
	struct id id;		      /* the id that the request would get */
	int64_t now_ms;
	int64_t lease_ms; /* in flight at most so long; then somebody may take it up again */
	int64_t keep_ms;  /* 24 h */
};
enum store_claim_state {
	STORE_CLAIM_NEW,      /* go on with the id given */
	STORE_CLAIM_RESUME,   /* an earlier try ended unknown: go on with the id in the callback */
	STORE_CLAIM_ANSWERED, /* `answer` is what was kept */
	STORE_CLAIM_IN_FLIGHT,
	STORE_CLAIM_MISMATCH, /* same key, other request */
};
typedef void store_claim_cb(
	int rc, enum store_claim_state state, const struct id *id, struct slice answer, void *arg);
int store_claim(struct store *s, const struct store_claim *c, store_claim_cb *cb, void *arg);
enum store_claim_end {
	STORE_CLAIM_KEEP,    /* with the answer, replayed from now on */
	STORE_CLAIM_RELEASE, /* nothing happened: the key is free again; after a resume as UNKNOWN */
	STORE_CLAIM_UNKNOWN, /* the id stays reserved, the next try resumes it */
};
int store_claim_end(struct store *s, struct slice tenant, struct slice key, enum store_claim_end how,
	struct slice answer, store_done_cb *cb, void *arg);

/* ---- what becomes of tasks (notifier) ---- */

enum store_event_kind {
	STORE_EVENT_STARTED,
	STORE_EVENT_PROGRESS,
	STORE_EVENT_RETRY,
	STORE_EVENT_SUCCEEDED,
	STORE_EVENT_FAILED,
	STORE_EVENT_CANCELED,
	STORE_EVENT_DEAD,
};

struct store_event {
	enum store_event_kind kind;
	struct id id;
	uint32_t attempt;
	uint64_t seq;
	struct slice tenant, task; /* from the context: the row may have to be made from this alone */
	struct slice metadata;
	struct id batch, retry_of;
	bool has_next; /* a hint: what waits is looked for in any case */
	/*
	 * JSON array of {"channel", "target": {…}, "on": [states]}: made into rows with the terminal state, where `on`
	 * names it or is absent. Kept from an earlier event when unset.
	 */
	struct slice deliver;
	int64_t at_ms; /* now */
	int64_t started_at_ms, finished_at_ms;
	struct slice result, content_type;
	bool result_is_json;
	struct store_error error;
	struct slice progress; /* JSON text */
	struct slice worker;
	struct slice request; /* retry, failed, dead: kept */
	int64_t retry_at_ms;  /* retry: when attempt + 1 becomes due */
};

struct store_applied {
	int rc;		  /* 0, or -EBADMSG: this event alone cannot be stored (rest of the batch was) */
	bool has_changed; /* false: stale or repeated, nothing was done */
	bool has_due;	  /* rows were made that are due now, or (retry) will be */
	uint64_t rev;	  /* as the task is now; 0: its row is gone already */
	enum task_state state;
};
/*
 * One transaction for the batch, by the merge rule (store/merge.h): rows, results, the rows for what comes next
 * (deliveries, the next attempt, what waited for this one), batch counts. An event that fails by itself is told in its
 * store_applied; rc is -EIO only when nothing was stored. len <= STORE_EVENTS_MAX.
 */
#define STORE_EVENTS_MAX 256
typedef void store_apply_cb(int rc, const struct store_applied *applied, size_t len, void *arg);
int store_apply(struct store *s, const struct store_event *events, size_t len, store_apply_cb *cb, void *arg);

/* DELETE: a scheduled task is canceled at once (with all that waits for it); others by the processor. */
enum store_cancel {
	STORE_CANCEL_DONE,
	STORE_CANCEL_NOT_HERE, /* queued, running, or being published right now: ask the processors */
	STORE_CANCEL_TOO_LATE, /* it has ended */
};
typedef void store_cancel_cb(int rc, enum store_cancel what, void *arg);
int store_task_cancel(struct store *s, const struct id *id, int64_t now_ms, store_cancel_cb *cb, void *arg);

/* ---- registered endpoints ---- */

#define STORE_ENDPOINTS_MAX	       100 /* a tenant */
#define STORE_ENDPOINT_OLD_SECRETS_MAX 7   /* an endpoint: with the present one as many as sign a message */

/* A receiver of a tenant's outcomes: each task that ends and matches gets a delivery to it, beside those it asked for. */
struct store_endpoint {
	struct id id;
	struct slice tenant;
	struct slice url;
	struct slice description; /* unset: none */
	/* Names, or beginnings of names and a '*', separated by commas; empty: every task (store/endpoint.h). */
	struct slice tasks;
	uint32_t outcomes;   /* 1 << enum task_state, each; 0: every terminal one */
	struct slice secret; /* "whsec_…" */
	struct slice
		old_secrets; /* sign, too, each until its moment (store/endpoint.h); unset or empty: none */
	int64_t created_at_ms, updated_at_ms;
	bool is_enabled;
	int64_t disabled_at_ms;	      /* 0: it is enabled */
	struct slice disabled_reason; /* for people */
	int64_t failing_since_ms; /* of the first failure since the last success; 0: the last attempt was one */
};

enum store_endpoint_outcome {
	STORE_ENDPOINT_DONE,
	STORE_ENDPOINT_ABSENT,		 /* no such endpoint of this tenant */
	STORE_ENDPOINT_TOO_MANY,	 /* the tenant has STORE_ENDPOINTS_MAX */
	STORE_ENDPOINT_TOO_MANY_SECRETS, /* STORE_ENDPOINT_OLD_SECRETS_MAX before the present one are valid still */
};
/* `endpoints`: what was asked for, or as it is now; none when absent, refused or removed. */
typedef void store_endpoints_cb(int rc, enum store_endpoint_outcome what,
	const struct store_endpoint *endpoints, size_t len, void *arg);

/*
 * A new one, enabled: its id, tenant, url, description, tasks, outcomes, secret and created_at_ms count. One whose id is
 * there already is left as it is.
 */
int store_endpoint_add(struct store *s, const struct store_endpoint *e, store_endpoints_cb *cb, void *arg);
int store_endpoint_get(
	struct store *s, const struct id *id, struct slice tenant, store_endpoints_cb *cb, void *arg);
/* All of the tenant's, oldest first. */
int store_endpoints_list(struct store *s, struct slice tenant, store_endpoints_cb *cb, void *arg);

/* What is to become different; everything else stays as it is. */
struct store_endpoint_change {
	struct slice url; /* unset: stays. What is pending goes there, too; failing_since begins anew */
	struct slice description; /* unset: stays; empty: none from now on */
	struct slice tasks;	  /* unset: stays */
	bool has_outcomes;
	uint32_t outcomes;
	bool has_enabled;
	bool is_enabled;     /* enabling begins failing_since anew */
	struct slice reason; /* when disabling */
	int64_t now_ms;
};
int store_endpoint_change(struct store *s, const struct id *id, struct slice tenant,
	const struct store_endpoint_change *change, store_endpoints_cb *cb, void *arg);
/*
 * A new secret. The one until now signs, too, until old_until_ms, and so do those before it as long as they were to, but
 * no longer than that. With the secret that it has already only the others are cut short.
 */
int store_endpoint_rotate(struct store *s, const struct id *id, struct slice tenant, struct slice secret,
	int64_t old_until_ms, int64_t now_ms, store_endpoints_cb *cb, void *arg);
/* What is pending for it, or for one that is disabled, ends dead before long. */
int store_endpoint_remove(
	struct store *s, const struct id *id, struct slice tenant, store_endpoints_cb *cb, void *arg);

/* ---- due rows ---- */

#define STORE_DUE_MAX 256

/* One thing to do now, claimed until its lease ends. */
struct store_due {
	struct id row; /* of this delivery; for channel "task" unique by task and attempt */
	struct id task_id;
	struct slice channel;	/* "task", "webhook", "email", "sms" */
	struct slice target;	/* JSON object text; unset for "task" */
	uint32_t attempt;	/* channel task: attempt to publish; else tries made before */
	int64_t due_at_ms;	/* when it was to be done at first, however often it was put off since */
	struct store_task task; /* as it is now; for "task" with request; others with a JSON result */
	struct id endpoint;	/* the registered one that it is for, whose URL the target has; zero: none */
	struct slice secret;	/* of the endpoint, as it is now */
	struct slice old_secrets; /* those before it, as in struct store_endpoint */
	bool wants_previous;
	struct store_task
		previous; /* then the task it waited for, with result; presence says whether still there */
	struct id previous_batch; /* or the batch; zero: it did not wait for one */
	uint32_t previous_counts[TASK_STATES];
};
/*
 * At most `limit`, and no more than fit into some memory (64 MiB and one more). next_due_ms: when the next row of these
 * channels can be claimed, because it becomes due or somebody's lease ends; INT64_MAX: none.
 */
typedef void store_due_cb(int rc, const struct store_due *due, size_t len, int64_t next_due_ms, void *arg);
/* `owner`: random number of the process. Channels: a comma separated list of those to claim, NULL for all. */
int store_due_claim(struct store *s, uint64_t owner, const char *channels, int64_t now_ms, int64_t lease_ms,
	size_t limit, store_due_cb *cb, void *arg);

enum store_due_end {
	STORE_DUE_DONE,	 /* task: published, its row becomes queued; others: delivered */
	STORE_DUE_AGAIN, /* due again at again_at_ms */
	STORE_DUE_LATER, /* the same, but nothing was tried: no try is counted, no attempt noted */
	STORE_DUE_DEAD,	 /* given up; for a task: it becomes dead */
};
struct store_due_result {
	struct id row;
	enum store_due_end how;
	int64_t at_ms;
	int64_t again_at_ms;
	int64_t took_ms;
	int32_t status;	       /* HTTP, SMTP, … ; 0: none */
	struct slice error;    /* for people; unset: none */
	struct slice response; /* first bytes */
	int64_t disable_after_ms; /* a registered endpoint is disabled after so long of nothing but failure; 0: never */
};
/* `disabled`: endpoints that were disabled by this, with the reason. */
typedef void store_due_end_cb(int rc, const struct store_endpoint *disabled, size_t len, void *arg);
/* A row that somebody else claimed meanwhile (the lease had ended) is left alone. One transaction. */
int store_due_end(struct store *s, uint64_t owner, const struct store_due_result *results, size_t len,
	store_due_end_cb *cb, void *arg);

/* ---- deliveries: what became of them, and once more ---- */

enum store_delivery_state { STORE_DELIVERY_PENDING, STORE_DELIVERY_DELIVERED, STORE_DELIVERY_DEAD };

#define STORE_ATTEMPTS_MAX 50

struct store_attempt {
	uint32_t number; /* from 1, over all that was tried; retries by hand count on */
	int64_t at_ms;	 /* when it ended */
	int64_t took_ms;
	int32_t status;	       /* of the protocol; 0: none */
	struct slice error;    /* unset: none */
	struct slice response; /* first bytes, not always text; unset: none */
};

struct store_delivery {
	struct id id, task_id;
	struct id
		endpoint; /* the registered one it is for, perhaps gone since; zero: the task named the target */
	struct slice channel; /* "webhook", "email", "sms" */
	struct slice target;  /* JSON object text */
	enum store_delivery_state state;
	int64_t next_at_ms;	/* pending: when it is tried next, or looked after; else 0 */
	uint32_t attempts_made; /* ever; more than there are in `attempts` when those would be too many */
	const struct store_attempt
		*attempts; /* the newest STORE_ATTEMPTS_MAX at most, oldest of them first */
	size_t attempts_len;
};

/* `task`: as it is now; when it is not present there are no deliveries of it. In the order they were asked for. */
typedef void store_deliveries_cb(int rc, const struct store_task *task,
	const struct store_delivery *deliveries, size_t len, void *arg);
/* All of one task; those that named it first, then registered endpoints. */
int store_deliveries_get(struct store *s, const struct id *task, store_deliveries_cb *cb, void *arg);
/* One, or none when it is not there or another tenant's; `task` is then absent. */
int store_delivery_get(
	struct store *s, const struct id *id, struct slice tenant, store_deliveries_cb *cb, void *arg);

enum store_retry {
	STORE_RETRY_DONE,	 /* pending now, due at once, its schedule from the beginning */
	STORE_RETRY_ABSENT,	 /* none of this tenant: never was, or dropped with its task's content */
	STORE_RETRY_PENDING,	 /* it is still being tried: nothing was changed */
	STORE_RETRY_NO_ENDPOINT, /* its endpoint was removed or is disabled: nothing was changed */
};
/* `delivery`: as it is now; NULL when absent. */
typedef void store_retry_cb(int rc, enum store_retry what, const struct store_delivery *delivery, void *arg);
/* One that is dead or delivered is sent again, under the id that it has. */
int store_delivery_retry(struct store *s, const struct id *id, struct slice tenant, int64_t now_ms,
	store_retry_cb *cb, void *arg);

#define STORE_REPLAY_MAX 1000

struct store_replay {
	struct slice tenant;
	struct slice channel;	    /* unset: any */
	struct id endpoint;	    /* zero: any, and none */
	int64_t since_ms, until_ms; /* died at since_ms or later, and before until_ms */
	size_t limit;		    /* <= STORE_REPLAY_MAX: one small transaction */
	int64_t now_ms;
};
typedef void store_replay_cb(int rc, size_t count, bool has_more, void *arg);
/* The dead ones, those that died first, as by store_delivery_retry; not those whose endpoint is gone or disabled. */
int store_deliveries_replay(struct store *s, const struct store_replay *r, store_replay_cb *cb, void *arg);

/* ---- dead letters and sweeping ---- */

struct store_dead_letter {
	int64_t at_ms;
	struct slice queue;  /* where it came from */
	struct slice reason; /* why it was refused */
	struct slice body;
};
int store_dead_letter_add(struct store *s, const struct store_dead_letter *d, store_done_cb *cb, void *arg);

struct store_sweep {
	uint64_t
		expired; /* tasks whose lifetime passed: content dropped, a tombstone left while one is needed */
	uint64_t forgotten; /* tombstones, keys, batches, dead letters removed */
	uint64_t died;	    /* unfinished tasks past their lifetime, now dead; waiting ones canceled */
	bool has_more;
};
typedef void store_sweep_cb(int rc, const struct store_sweep *swept, void *arg);
/* One small transaction: at most `limit` (<= 1000 is sensible) of each kind. */
int store_sweep(struct store *s, int64_t now_ms, size_t limit, store_sweep_cb *cb, void *arg);

/* ---- numbers for metrics ---- */

struct store_stats {
	uint64_t commits, writes, reads, errors;
	size_t waiting;
	int64_t last_commit_us;
};
void store_stats(const struct store *s, struct store_stats *out);

#endif
