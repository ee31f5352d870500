/* dpdk_log.c - what DPDK says goes where the node's lines go.
 *
 * DPDK prints into a stream, under that stream's lock. While cores poll nothing behind it may
 * wait, or a core that has DPDK say something would: lines go through the rings of log_put.c, and
 * only before and after to whoever takes them.
 */
#include "log_put.h"
#include "node.h"

#include <rte_log.h>

#include <stdio.h>

enum { STREAM_BYTES = 2048 };

static struct {
	tela_log_fn fn;
	void *arg;
	struct tela_node *_Atomic node; /* whose cores poll */
} to;

static enum tela_log_level level_of(uint32_t dpdk)
{
	return dpdk <= RTE_LOG_ERR       ? TELA_LOG_ERROR
	       : dpdk == RTE_LOG_WARNING ? TELA_LOG_WARN
	       : dpdk <= RTE_LOG_INFO    ? TELA_LOG_INFO
					 : TELA_LOG_DEBUG;
}

static void one_line(const char *text, size_t len)
{
	struct tela_node *n = atomic_load_explicit(&to.node, memory_order_acquire);
	uint32_t level = (uint32_t)rte_log_cur_msg_loglevel();
	struct tela_log_line l = {.level = level_of(level),
		.core = UINT32_MAX,
		.component = LOG_DPDK,
		.service = "",
		.plugin = "",
		.method = "",
		.text = text,
		.text_len = len,
		.place = (uint32_t)rte_log_cur_msg_logtype() + 1};
	struct timespec now;

	if (n && level > RTE_LOG_CRIT) { /* what comes before the end of the process waits not */
		log_put_dpdk(n, &l);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	l.at_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
	to.fn(to.arg, &l);
}

static ssize_t take(void *cookie, const char *bytes, size_t n)
{
	const char *end = bytes + n, *eol;

	(void)cookie;
	for (; bytes < end; bytes = eol + 1) {
		eol = memchr(bytes, '\n', (size_t)(end - bytes));
		eol = eol ? eol : end;
		if (eol > bytes)
			one_line(bytes, (size_t)(eol - bytes));
	}
	return (ssize_t)n;
}

int tela_on_dpdk_log(tela_log_fn fn, void *arg)
{
	static char buffer[STREAM_BYTES];
	FILE *f = to.fn ? NULL : fopencookie(NULL, "w", (cookie_io_functions_t){.write = take});

	if (!f)
		return to.fn ? -EALREADY : -ENOMEM;
	to.fn = fn;
	to.arg = arg;
	setvbuf(f, buffer, _IOFBF, sizeof(buffer));
	rte_openlog_stream(f);
	return 0;
}

void dpdk_log_through(struct tela_node *n)
{
	atomic_store_explicit(&to.node, n, memory_order_release);
}
