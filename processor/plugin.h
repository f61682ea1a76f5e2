/*
 * Plug-ins for postback-processor: a shared object that runs tasks. This header is all that one needs.
 *
 *	#include <postback/plugin.h>
 *
 *	static int run(void *state, const struct postback_task *task, struct postback_call *call)
 *	{
 *		return call->result(call, task->payload, task->payload_len, task->content_type);
 *	}
 *
 *	const struct postback_plugin *postback_plugin(void)
 *	{
 *		static const struct postback_plugin plugin = {
 *			.abi = POSTBACK_PLUGIN_ABI, .size = sizeof plugin, .name = "copy", .run = run};
 *		return &plugin;
 *	}
 *
 * A plug-in is loaded into child processes of its own, as many as the handler's concurrency, and never into the
 * processor: a crash is one task's failure. A process runs one task at a time on its main thread. What it writes to
 * stdout or stderr goes to the log. It may start threads; they must not use the call.
 *
 * Versions: POSTBACK_PLUGIN_ABI changes when what is here changes its meaning or is taken away, and a host refuses a
 * plug-in of another one. New members are added at the end of the structs the host fills in; the size says how many
 * there are.
 */
#ifndef POSTBACK_PLUGIN_H
#define POSTBACK_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define POSTBACK_PLUGIN_ABI 1

/* What run() returns. Any other value counts as POSTBACK_RETRY. */
enum {
	POSTBACK_OK = 0,     /* succeeded; call->result was called, else the result is empty */
	POSTBACK_FAILED = 1, /* failed for good: the same payload would fail again */
	POSTBACK_RETRY = 2   /* failed, and may succeed later; tried again while attempts are left */
};

/* The task to run. All of it belongs to the host and is gone when run() returns. Texts are terminated UTF-8. */
struct postback_task {
	size_t size; /* of this struct as the host knows it */
	const char *task;
	const char *id; /* a UUID; the same in every attempt */
	const void *payload;
	size_t payload_len;
	const char *content_type; /* of the payload */
	uint32_t attempt;	  /* from 1 */
	int64_t created_at_ms;	  /* since the epoch */
	int64_t deadline_ms;	  /* since the epoch: nobody wants the result after that; 0: none was set */
};

/* What run() may say; valid until it returns. Each function copies what it is given. */
struct postback_call {
	size_t size; /* of this struct as the host knows it */
	/*
	 * The result, `content_type` NULL for the handler's own (application/octet-stream unless configured). Called again:
	 * the last one counts. POSTBACK_OK, or POSTBACK_FAILED when it is over the output limit or there is no memory.
	 */
	int (*result)(struct postback_call *call, const void *data, size_t len, const char *content_type);
	/*
	 * Why it fails: `type` a word without spaces of up to 64 printable characters ("bad_image"), `message` for people.
	 * Without it the type is "failed". Returns POSTBACK_FAILED, so that run() may return it.
	 */
	int (*error)(struct postback_call *call, const char *type, const char *message);
	/* How far it is: 0 to 100, and a short text or NULL. Cheap; the latest wins. POSTBACK_OK, or POSTBACK_FAILED. */
	int (*progress)(struct postback_call *call, double percent, const char *message);
};

struct postback_plugin {
	uint32_t abi;	  /* POSTBACK_PLUGIN_ABI */
	size_t size;	  /* sizeof(struct postback_plugin) */
	const char *name; /* for the log */
	/*
	 * Once, before the first task; `config` is the handler's plugin_config, "" when there is none. NULL: not needed.
	 * Anything but 0 ends the process; it is tried again after a pause.
	 */
	int (*start)(const char *config, void **state);
	int (*run)(void *state, const struct postback_task *task, struct postback_call *call);
	/* Once, before the process ends in order. NULL: not needed. */
	void (*stop)(void *state);
};

/* The one symbol that a plug-in exports. */
const struct postback_plugin *postback_plugin(void);

#ifdef __cplusplus
}
#endif

#endif
