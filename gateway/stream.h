/*
 * An answer without an end of its own: a WebSocket, or server-sent events. The head has gone out, and what comes and goes
 * is its owner's. The connection still counts as one, and the guard goes on to watch over it: bytes that wait are of the
 * byte budget, a client that does not take them within write_timeout is cut, and one that ends its sending side has left.
 * Made by call_stream. Everything on the loop thread.
 */
#ifndef GATEWAY_STREAM_H
#define GATEWAY_STREAM_H

#include <event2/buffer.h>

#include "base/slice.h"

struct stream;

/* Each comes from the loop, never inside a function of this header. NULL: not wanted, but for on_stop and on_gone. */
struct stream_events {
	/* Bytes have come: drain what is used. 16 KiB may wait, then the socket is not read. NULL: they are dropped. */
	void (*on_input)(struct evbuffer *input, void *arg);
	/* All that was written is with the kernel. */
	void (*on_drained)(void *arg);
	/* The service ends: say the last word and stream_end, soon. */
	void (*on_stop)(void *arg);
	/* The connection is gone, whoever ended it. Exactly once, the last one; the stream is no more. */
	void (*on_gone)(void *arg);
};

/* Copied. 0, or -ENOBUFS, -ENOMEM: nothing was written, there is no room for it; after stream_end or _cut nothing is. */
int stream_write(struct stream *s, struct slice bytes);
/* Bytes written that the kernel has not taken. */
size_t stream_unsent(const struct stream *s);
/* What the owner keeps of its client's making, of the byte budget too. False: it does not fit, and nothing has changed. */
bool stream_hold(struct stream *s, size_t bytes);
/* on_input comes once more, though nothing new may have come. */
void stream_wake(struct stream *s);
/* What was written still goes out, then the connection ends. What comes in is dropped. */
void stream_end(struct stream *s);
/* The connection ends at once; on_gone still comes. */
void stream_cut(struct stream *s);

#endif
