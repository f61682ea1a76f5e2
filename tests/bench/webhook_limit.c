/*
 * What deliveries by webhook are held against: a receiver as fast as one thread of libevent is, and plain libcurl sending
 * to it, without any of our code.
 *
 *   sink PORT                          answers 204 to every POST on 127.0.0.1, and with the number of those to GET /count
 *   send URL COUNT FILE N [HEADER...]  COUNT POSTs of what the file has, N at a time over kept connections; prints
 *                                      "sent_per_s=number"
 */
#include <curl/curl.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <time.h>

enum { PARALLEL_MAX = 1024, WAIT_MS = 1000, BODY_MAX = 1 << 20 };

static void die(const char *what)
{
	fprintf(stderr, "webhook_limit: %s\n", what);
	exit(1);
}

/* ---- the receiver ---- */

static unsigned long received;

static void on_request(struct evhttp_request *request, void *arg)
{
	if (evhttp_request_get_command(request) == EVHTTP_REQ_POST) {
		received++;
		evhttp_send_reply(request, 204, "No Content", NULL);
		return;
	}
	evbuffer_add_printf(evhttp_request_get_output_buffer(request), "%lu", received);
	evhttp_send_reply(request, 200, "OK", NULL);
}

static int sink(int port)
{
	struct event_base *base = event_base_new();
	struct evhttp *http = base ? evhttp_new(base) : NULL;

	if (!http || evhttp_bind_socket(http, "127.0.0.1", (ev_uint16_t)port) < 0)
		die("cannot listen");
	evhttp_set_gencb(http, on_request, NULL);
	return event_base_dispatch(base);
}

/* ---- the sender ---- */

struct sender {
	CURLM *multi;
	const char *url;
	struct curl_slist *headers;
	char *body;
	long len, left, ended;
};

static size_t drop(char *data, size_t size, size_t count, void *arg)
{
	return size * count;
}

static void start_one(struct sender *s, CURL *easy)
{
	if (s->left == 0)
		return;
	s->left--;
	curl_easy_setopt(easy, CURLOPT_URL, s->url);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, s->len);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, s->body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
	if (curl_multi_add_handle(s->multi, easy) != CURLM_OK)
		die("cannot send");
}

static void reap(struct sender *s)
{
	CURLMsg *message;
	int more;

	while ((message = curl_multi_info_read(s->multi, &more))) {
		CURL *easy = message->easy_handle;

		long status = 0;

		if (message->data.result != CURLE_OK)
			die(curl_easy_strerror(message->data.result));
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		if (status != 204)
			die("the receiver refuses the message");
		s->ended++;
		curl_multi_remove_handle(s->multi, easy);
		start_one(s, easy);
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void read_body(struct sender *s, const char *path)
{
	FILE *f = fopen(path, "rb");

	s->body = malloc(BODY_MAX);
	if (!f || !s->body)
		die("cannot read the message");
	s->len = (long)fread(s->body, 1, BODY_MAX, f);
	fclose(f);
}

static void send_all(struct sender *s, long parallel)
{
	CURL *easy[PARALLEL_MAX];
	double began = now_s();
	long count = s->left;
	int running;

	if (parallel < 1 || parallel > PARALLEL_MAX)
		die("wrong arguments");
	s->multi = curl_multi_init();
	curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, parallel);
	for (long i = 0; i < parallel; i++) {
		easy[i] = curl_easy_init();
		start_one(s, easy[i]);
	}
	while (s->ended < count) {
		curl_multi_perform(s->multi, &running);
		reap(s);
		if (s->ended < count)
			curl_multi_poll(s->multi, NULL, 0, WAIT_MS, NULL);
	}
	printf("sent_per_s=%.1f\n", (double)count / (now_s() - began));
	for (long i = 0; i < parallel; i++)
		curl_easy_cleanup(easy[i]);
	curl_multi_cleanup(s->multi);
}

static int send_command(int argc, char **argv)
{
	struct sender s = {.url = argv[2], .left = atol(argv[3])};

	read_body(&s, argv[4]);
	for (int i = 6; i < argc; i++)
		s.headers = curl_slist_append(s.headers, argv[i]);
	send_all(&s, atol(argv[5]));
	curl_slist_free_all(s.headers);
	free(s.body);
	return 0;
}

int main(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (argc >= 3 && strcmp(argv[1], "sink") == 0)
		return sink(atoi(argv[2]));
	if (argc >= 6 && strcmp(argv[1], "send") == 0)
		return send_command(argc, argv);
	die("sink PORT | send URL COUNT FILE N [HEADER...]");
}
