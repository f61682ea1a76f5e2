/*
 * What a client asks for, whichever way it said so: envelope, query or route. Parsers fill it, dispatch carries it out.
 * Pure: reads no clock and publishes nothing.
 */
#ifndef GATEWAY_SUBMISSION_H
#define GATEWAY_SUBMISSION_H

#include "base/buf.h"
#include "gateway/fault.h"
#include "proto/id.h"
#include "proto/name.h"
#include "proto/request.h"

#define SUBMISSION_STEPS_MAX	16
#define SUBMISSION_METADATA_MAX ((size_t)16 * 1024)
#define SUBMISSION_AHEAD_MAX_MS \
	(INT64_C(366) * 24 * 3600 * 1000) /* how far run_at and expires may lie ahead */

/* One task; `then` leads to those that run after it, each when the one before has succeeded. */
struct submission {
	char task[NAME_MAX_LEN + 1];
	struct slice payload;	   /* borrowed, or in `owned` */
	struct slice content_type; /* borrowed */
	struct slice metadata;	   /* JSON object text, borrowed or in `owned_metadata`; unset: none */
	int64_t run_at_ms;	   /* since the epoch; 0: now */
	int64_t deadline_ms;	   /* since the epoch; 0: none */
	uint32_t timeout_ms;	   /* 0: the handler's own */
	uint32_t max_attempts;	   /* 0: the handler's own */
	bool has_retry;
	struct retry_policy retry;
	bool wants_previous; /* its payload gets `previous`: the outcome of what it waited for */
	struct id
		waits_for; /* a task that has succeeded, or a batch: it runs when that is complete; zero: none */
	bool waits_for_batch;
	struct buf owned, owned_metadata;
	struct buf deliver;	 /* the list that deliver.h makes; empty: nobody is told */
	struct submission *then; /* owned */
	struct id id;		 /* given by who dispatches it */
};

/* NULL when out of memory. */
struct submission *submission_new(void);
/* With all that follows. Safe with NULL. */
void submission_free(struct submission *s);
/* It and all that follows. */
size_t submission_steps(const struct submission *s);
/* It is stored, and published when it becomes due, whatever follows it. */
bool submission_is_later(const struct submission *s);

/* What the values of options are held against. */
struct submission_rules {
	int64_t now_ms; /* since the epoch */
	int64_t timeout_max_ms;
};

/*
 * The options that are one value: delay, run_at, expires, timeout, attempts, base, cap, priority. `given` remembers
 * which came, for what excludes each other; zeroed to start, kept for one submission.
 */
struct submission_options {
	bool has_delay, has_run_at;
	bool has_expires;
	int64_t expires_after_ms; /* a duration counts from when the task becomes due */
	bool has_base, has_cap;
	bool is_then; /* its moment is not known yet: no delay, run_at or relative expires */
};

/* True when `name` is one of those options. */
bool submission_option_is_known(const char *name);
/*
 * Sets one of them from its text. `field` is where it stood, for the fault. 0 or -EINVAL with *fault set. `name` must be
 * known.
 */
int submission_option_set(struct submission *s, struct submission_options *given, const char *name,
	struct slice text, const char *field, const struct submission_rules *rules, struct fault *fault);
/* When all options were set: what must fit together. `field` is where they stood ("" or "/then"). */
int submission_options_end(struct submission *s, const struct submission_options *given, const char *field,
	const struct submission_rules *rules, struct fault *fault);

/* Checks and copies the name. 0 or -EINVAL with *fault set. */
int submission_set_task(struct submission *s, struct slice name, const char *field, struct fault *fault);
/* `json` has passed json_check. It must be an object of at most SUBMISSION_METADATA_MAX bytes. */
int submission_set_metadata(struct submission *s, struct slice json, const char *field, struct fault *fault);

/* "application/json", with or without parameters, and "…+json". */
bool media_type_is_json(struct slice content_type);

#endif
