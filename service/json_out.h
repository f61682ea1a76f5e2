/*
 * Writing our own documents, member by member. Values that are JSON already are spliced in as they are. Errors stay in
 * the buffer.
 */
#ifndef SERVICE_JSON_OUT_H
#define SERVICE_JSON_OUT_H

#include "base/buf.h"
#include "proto/id.h"

/* Each writes a comma when one is due, the key and the value. Keys need no escapes. */
void json_out_key(struct buf *out, const char *key);
void json_out_text(struct buf *out, const char *key, struct slice text); /* unset: null */
void json_out_raw(struct buf *out, const char *key, struct slice json);	 /* unset: null */
void json_out_number(struct buf *out, const char *key, int64_t number);
void json_out_bool(struct buf *out, const char *key, bool value);
void json_out_time(struct buf *out, const char *key, int64_t wall_ms); /* 0: null */
void json_out_id(struct buf *out, const char *key, const struct id *id);

/* "{" and "[" for the value of a key, or of an item (key NULL). */
void json_out_open(struct buf *out, const char *key, char bracket);
void json_out_close(struct buf *out, char bracket);
/* A string as an item of an array. */
void json_out_item_text(struct buf *out, struct slice text);

#endif
