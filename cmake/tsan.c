/*
 * What ThreadSanitizer takes for a race and is none. It has a model of descriptors by number: the one that closes a
 * descriptor and whoever gets its number next must be in step with all that is still done to it.
 *
 * The loop tells the kernel of the sockets that it watches once a turn (EPOLL_USE_CHANGELIST). libcurl closes a socket in
 * the middle of one, so that its number may be that of another thread's socket when the loop takes it off its list. The
 * kernel looks for the number and the file together: it finds nothing, and nothing is touched.
 */
const char *__tsan_default_suppressions(void); /* NOLINT(bugprone-reserved-identifier) */

const char *__tsan_default_suppressions(void) /* NOLINT(bugprone-reserved-identifier) */
{
	return "race:epoll_ctl\n";
}
