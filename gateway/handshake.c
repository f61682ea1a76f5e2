#include "gateway/handshake.h"

#include <stdio.h>

#include <openssl/evp.h>

#include "gateway/cors.h"

enum { KEY_LEN = 24, SHA1_LEN = 20 };
#define VERSION "13"
#define SUFFIX	"258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, section 1.3 */

/* ---- the key ---- */

/* 16 bytes are 22 characters, of which the last bears only two bits, and their padding. */
static bool key_is_valid(struct slice key)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (key.len != KEY_LEN || memcmp(key.data + KEY_LEN - 2, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < KEY_LEN - 2; i++)
		if (!memchr(alphabet, key.data[i], sizeof alphabet - 1))
			return false;
	return true;
}

static bool accept_of(struct slice key, char accept[HANDSHAKE_ACCEPT_LEN + 1])
{
	char text[KEY_LEN + sizeof SUFFIX];
	uint8_t digest[SHA1_LEN];

	snprintf(text, sizeof text, "%.*s%s", SLICE_ARG(key), SUFFIX);
	if (!EVP_Digest(text, sizeof text - 1, digest, NULL, EVP_sha1(), NULL))
		return false;
	EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
	return true;
}

/* ---- the request ---- */

bool handshake_is_wanted(const struct head *h)
{
	return head_has_token(h, "upgrade", "websocket");
}

static int bad(struct fault *fault, const char *why)
{
	return fault_set(fault, PROBLEM_BAD_REQUEST, "", "%s", why);
}

static int check_version(const struct head *h, struct fault *fault)
{
	if (slice_is_text(head_field(h, "sec-websocket-version"), VERSION))
		return 0;
	return fault_set(fault, PROBLEM_UPGRADE_REQUIRED, "",
		"the version of the WebSocket protocol spoken here is " VERSION ": Sec-WebSocket-Version");
}

static int check_request(const struct head *h, struct fault *fault)
{
	if (!handshake_is_wanted(h) || h->method != CALL_GET)
		return fault_set(fault, PROBLEM_UPGRADE_REQUIRED, "",
			"this is a WebSocket: connect with GET and \"Upgrade: websocket\"");
	if (h->minor < 1)
		return bad(fault, "a WebSocket is opened with HTTP/1.1");
	if (!head_has_token(h, "connection", "upgrade"))
		return bad(fault, "a WebSocket is opened with \"Connection: Upgrade\"");
	if (head_has_body(h))
		return bad(fault, "a WebSocket is opened without a body");
	return check_version(h, fault);
}

int handshake_read(const struct head *h, struct handshake *out, struct fault *fault)
{
	struct slice key = head_field(h, "sec-websocket-key");
	int rc = check_request(h, fault);

	if (rc < 0)
		return rc;
	if (!key_is_valid(key))
		return bad(fault, "Sec-WebSocket-Key must be 16 bytes in base64");
	if (!accept_of(key, out->accept))
		return fault_set(fault, PROBLEM_INTERNAL, "", "the handshake could not be computed");
	out->has_protocol = head_has_token(h, "sec-websocket-protocol", HANDSHAKE_PROTOCOL);
	return 0;
}

/* ---- whose page ---- */

bool handshake_origin_is_allowed(const struct head *h, const struct gateway_cors *cors)
{
	struct slice origin = head_field(h, "origin");
	struct slice host = head_field(h, "host");

	if (!slice_is_set(origin) || cors_allows(cors, origin))
		return true;
	return origin_is_host(origin, host) || (origin_is_loopback(origin) && host_is_loopback(host));
}
