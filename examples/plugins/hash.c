/*
 * hash: the SHA-256 (or whatever digest plugin_config names) of the payload, as hexadecimal digits.
 *
 *   processor:
 *     handlers:
 *       - {task: hash, plugin: libhash.so, plugin_config: sha256, concurrency: 2}
 */
#include <openssl/evp.h>
#include <postback/plugin.h>

enum { STEPS = 100, STEP_MIN = 1 << 20 };

static int start(const char *config, void **state)
{
	const EVP_MD *digest = EVP_get_digestbyname(*config ? config : "sha256");

	*state = (void *)(uintptr_t)digest;
	return digest ? 0 : -1;
}

/* In steps, so that a large payload shows how far it is. */
static int digest_all(EVP_MD_CTX *ctx, const struct postback_task *task, struct postback_call *call)
{
	const unsigned char *data = task->payload;
	size_t step = task->payload_len / STEPS > STEP_MIN ? task->payload_len / STEPS : STEP_MIN;

	for (size_t done = 0; done < task->payload_len; done += step) {
		size_t n = task->payload_len - done < step ? task->payload_len - done : step;

		if (EVP_DigestUpdate(ctx, data + done, n) != 1)
			return 0;
		if (n < task->payload_len)
			call->progress(
				call, 100.0 * (double)(done + n) / (double)task->payload_len, "hashing");
	}
	return 1;
}

static int give_digits(EVP_MD_CTX *ctx, struct postback_call *call)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char hash[EVP_MAX_MD_SIZE];
	char text[2 * EVP_MAX_MD_SIZE];
	unsigned len;

	if (EVP_DigestFinal_ex(ctx, hash, &len) != 1)
		return POSTBACK_RETRY;
	for (unsigned i = 0; i < len; i++) {
		text[2 * i] = digits[hash[i] >> 4];
		text[2 * i + 1] = digits[hash[i] & 15];
	}
	return call->result(call, text, 2 * (size_t)len, "text/plain");
}

static int run(void *state, const struct postback_task *task, struct postback_call *call)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int code = POSTBACK_RETRY;

	if (task->payload_len == 0)
		code = call->error(call, "empty_payload", "there is nothing to hash");
	else if (ctx && EVP_DigestInit_ex(ctx, state, NULL) == 1 && digest_all(ctx, task, call))
		code = give_digits(ctx, call);
	EVP_MD_CTX_free(ctx);
	return code;
}

const struct postback_plugin *postback_plugin(void)
{
	static const struct postback_plugin plugin = {
		.abi = POSTBACK_PLUGIN_ABI,
		.size = sizeof plugin,
		.name = "hash",
		.start = start,
		.run = run,
	};

	return &plugin;
}
