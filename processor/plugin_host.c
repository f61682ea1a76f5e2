#include "processor/plugin_host.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <msgpack.h>

#include "processor/frame.h"
#include "processor/plugin.h"
#include "proto/reply.h"

enum {
	REQUEST_MAX = 256 * 1024 * 1024,
	TEXT_MAX = 4096,
	READ_CHUNK = 65536,
};

struct host {
	const struct postback_plugin *plugin;
	void *state;
	size_t output_limit;
	int out; /* the frames; stdout itself goes to the log */
};

/* One call: what the plug-in said so far. `public` is what it sees. */
struct call {
	struct postback_call public;
	struct host *host;
	const struct request *request;
	uint64_t seq;
	struct buf result, type, message, content_type;
};

/* ---- frames ---- */

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int send_reply(const struct call *c, struct reply *r)
{
	uint8_t head[FRAME_HEAD_LEN];
	struct buf body;
	int rc;

	r->id = c->request->id;
	r->attempt = c->request->attempt;
	buf_init(&body, c->host->output_limit + 2 * REPLY_PROGRESS_MAX);
	rc = reply_encode(r, &body);
	if (rc == 0) {
		frame_head(body.len, head);
		rc = write_all(c->host->out, head, sizeof head);
	}
	if (rc == 0)
		rc = write_all(c->host->out, body.data, body.len);
	buf_done(&body);
	return rc;
}

/* ---- what a plug-in may call ---- */

static int set_text(struct buf *b, const char *text)
{
	buf_reset(b);
	return text ? buf_append_text(b, text) : 0;
}

static int call_result(struct postback_call *call, const void *data, size_t len, const char *content_type)
{
	struct call *c = (struct call *)call;

	buf_reset(&c->result);
	if (buf_append(&c->result, data, len) < 0 || set_text(&c->content_type, content_type) < 0)
		return POSTBACK_FAILED;
	return POSTBACK_OK;
}

static int call_error(struct postback_call *call, const char *type, const char *message)
{
	struct call *c = (struct call *)call;

	if (type && reply_error_type_is_valid(slice_text(type)))
		set_text(&c->type, type);
	buf_reset(&c->message);
	if (message)
		buf_append(&c->message, message, strnlen(message, TEXT_MAX));
	return POSTBACK_FAILED;
}

static int write_buf(void *out, const char *data, size_t len)
{
	return buf_append(out, data, len);
}

static void pack_text(msgpack_packer *p, struct slice text)
{
	msgpack_pack_str(p, text.len);
	msgpack_pack_str_body(p, text.data, text.len);
}

static int call_progress(struct postback_call *call, double percent, const char *message)
{
	struct call *c = (struct call *)call;
	struct buf object;
	msgpack_packer p;
	int rc;

	buf_init(&object, REPLY_PROGRESS_MAX);
	msgpack_packer_init(&p, &object, write_buf);
	msgpack_pack_map(&p, message ? 2 : 1);
	pack_text(&p, slice_text("percent"));
	msgpack_pack_double(&p, isfinite(percent) ? percent : 0);
	if (message) {
		pack_text(&p, slice_text("message"));
		wire_str(slice_of(message, strnlen(message, TEXT_MAX)), &object);
	}
	rc = object.error;
	if (rc == 0)
		rc = send_reply(
			c, &(struct reply){
				   .kind = REPLY_PROGRESS, .progress = buf_slice(&object), .seq = ++c->seq});
	buf_done(&object);
	return rc == 0 ? POSTBACK_OK : POSTBACK_FAILED;
}

/* ---- one task ---- */

static struct slice present(struct slice s)
{
	return slice_is_set(s) ? s : slice_of("", 0);
}

static int answer(struct call *c, int code)
{
	struct reply r = {.kind = REPLY_SUCCEEDED, .result = present(buf_slice(&c->result))};

	if (code == POSTBACK_OK && c->result.error == 0) {
		if (content_type_is_valid(buf_slice(&c->content_type)))
			r.content_type = buf_slice(&c->content_type);
		return send_reply(c, &r);
	}
	if (c->result.error == -EMSGSIZE) {
		code = POSTBACK_FAILED;
		call_error(&c->public, "output_too_large", "a result over the output limit");
	}
	r = (struct reply){
		.kind = code == POSTBACK_FAILED ? REPLY_FAILED : REPLY_RETRY,
		.has_error = true,
		.error = {.type = c->type.len ? buf_slice(&c->type) : slice_text("failed"),
			.message = present(buf_slice(&c->message)),
			.retryable = code != POSTBACK_FAILED},
	};
	return send_reply(c, &r);
}

static int run(struct host *h, const struct request *r, char *texts[2])
{
	char id[ID_TEXT_LEN + 1];
	struct call c = {
		.public = {sizeof c.public, call_result, call_error, call_progress}, .host = h, .request = r};
	struct postback_task task = {
		.size = sizeof task,
		.task = texts[0],
		.id = id,
		.payload = r->payload.data,
		.payload_len = r->payload.len,
		.content_type = texts[1],
		.attempt = r->attempt,
		.created_at_ms = r->created_at_ms,
		.deadline_ms = r->deadline_ms,
	};
	int rc;

	id_format(&r->id, id);
	buf_init(&c.result, h->output_limit);
	buf_init(&c.type, REPLY_ERROR_TYPE_MAX);
	buf_init(&c.message, TEXT_MAX);
	buf_init(&c.content_type, CONTENT_TYPE_MAX);
	rc = answer(&c, h->plugin->run(h->state, &task, &c.public));
	buf_done(&c.result);
	buf_done(&c.type);
	buf_done(&c.message);
	buf_done(&c.content_type);
	return rc;
}

static int on_request(struct host *h, struct slice frame)
{
	struct decode_error error;
	struct request r;
	char *texts[2] = {NULL, NULL};
	int rc = request_decode(frame, &r, &error);

	if (rc < 0)
		return rc;
	texts[0] = strndup((const char *)r.task.data, r.task.len);
	texts[1] = strndup((const char *)r.content_type.data, r.content_type.len);
	rc = texts[0] && texts[1] ? run(h, &r, texts) : -ENOMEM;
	free(texts[0]);
	free(texts[1]);
	return rc;
}

/* 0 at the end of file. */
static int serve(struct host *h)
{
	struct frame_reader reader;
	uint8_t chunk[READ_CHUNK];
	int rc = 0;

	frame_reader_init(&reader, REQUEST_MAX);
	while (rc >= 0) {
		ssize_t n = read(0, chunk, sizeof chunk);
		struct slice bytes = slice_of(chunk, n > 0 ? (size_t)n : 0);
		struct slice frame;

		if (n == 0 || (n < 0 && errno != EINTR))
			break;
		while ((rc = frame_read(&reader, &bytes, &frame)) > 0 && (rc = on_request(h, frame)) >= 0)
			;
	}
	frame_reader_done(&reader);
	return rc;
}

/* ---- the process ---- */

static int load(const char *library, struct host *h)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	const struct postback_plugin *(*entry)(void);

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		return -ENOENT;
	}
	*(void **)&entry = dlsym(handle, "postback_plugin");
	h->plugin = entry ? entry() : NULL;
	if (!h->plugin || h->plugin->abi != POSTBACK_PLUGIN_ABI || h->plugin->size < sizeof *h->plugin ||
		!h->plugin->run) {
		fprintf(stderr, "%s is no plug-in of ABI %d\n", library, POSTBACK_PLUGIN_ABI);
		return -EINVAL;
	}
	return 0;
}

/* What the plug-in prints must not get between the frames. */
static int set_stdout_aside(void)
{
	int out = fcntl(1, F_DUPFD_CLOEXEC, 3);

	return out < 0 || dup2(2, 1) < 0 ? -errno : out;
}

int plugin_host_main(int argc, char **argv)
{
	struct host h = {.out = -1};
	int rc;

	if (argc != 5) {
		fprintf(stderr, "usage: postback-processor " PLUGIN_HOST_FLAG " LIBRARY CONFIG LIMIT\n");
		return 2;
	}
	h.output_limit = strtoull(argv[4], NULL, 10);
	h.out = set_stdout_aside();
	if (h.out < 0 || load(argv[2], &h) < 0)
		return 1;
	if (h.plugin->start && h.plugin->start(argv[3], &h.state) != 0) {
		fprintf(stderr, "%s: the plug-in does not start\n", argv[2]);
		return 1;
	}
	rc = serve(&h);
	if (h.plugin->stop)
		h.plugin->stop(h.state);
	return rc < 0;
}
