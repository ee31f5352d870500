/* Lines of services, from cores, workers and other threads at once: none is lost but those that are
 * counted, each sender's come in order, and they say where they come from. */
#include "bare_node.h"

#include "log_built.h"
#include "log_put.h"
#include "worker.h"

#include <rte_log.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { CORES = 2, SENDERS = 3, LINES = 3000, CALLS = 1500, KEPT = 32 };

struct kept {
	struct tela_log_line l;
	char service[64], method[64], plugin[64], text[256];
};

static struct tela_node *node;
static struct tela_service *service;
static struct tela_client *client;
static struct tela_thread *thread;
static struct tela_log *lines;
static struct kept kept[KEPT]; /* the latest */
static uint64_t n_seen, n_wrong;
static uint32_t next[SENDERS + CORES]; /* number that each sender has not had yet */
static uint32_t evaluated;

static void see(void *arg, const struct tela_log_line *l)
{
	struct kept *k = &kept[n_seen++ % KEPT];
	unsigned sender, number;

	(void)arg;
	*k = (struct kept){.l = *l};
	snprintf(k->service, sizeof(k->service), "%s", l->service);
	snprintf(k->method, sizeof(k->method), "%s", l->method);
	snprintf(k->plugin, sizeof(k->plugin), "%s", l->plugin);
	snprintf(k->text, sizeof(k->text), "%.*s", (int)l->text_len, l->text);
	if (sscanf(k->text, "sender %u, line %u", &sender, &number) != 2)
		return;
	n_wrong += sender >= SENDERS + CORES || number < next[sender] ||
		   strcmp(l->service, "test.Test");
	if (sender < SENDERS + CORES)
		next[sender] = number + 1;
}

/* ---- a service ---- */

enum { SAY = 1, BLOCK, BUILT, OFTEN };

static const struct tela_method_desc methods[] = {{"say", SAY, 0, 0, NULL, NULL},
	{"block", BLOCK, 0, 0, NULL, NULL}, {"built", BUILT, 0, 0, NULL, NULL},
	{"often", OFTEN, 0, 0, NULL, NULL}};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 4, methods};

static uint32_t evaluate(void)
{
	return ++evaluated;
}

static enum tela_verdict say(struct tela_call *call, void *self)
{
	(void)self;
	tela_log(call, TELA_LOG_WARN, "%s of %u bytes", "request", call->request_len);
	tela_log(call, TELA_LOG_DEBUG, "asked %u times", evaluate());
	tela_log_of(lines, NULL, TELA_LOG_ERROR, "from the core itself");
	return tela_reply_copy(call, "", 0);
}

static enum tela_verdict block(struct tela_call *call, void *self)
{
	(void)self;
	tela_log(call, TELA_LOG_INFO, "blocked on %d", 5);
	return tela_reply_copy(call, "", 0);
}

static enum tela_verdict built(struct tela_call *call, void *self)
{
	(void)self;
	log_built(call, lines);
	return tela_reply_copy(call, "", 0);
}

static enum tela_verdict often(struct tela_call *call, void *self)
{
	static uint32_t number[CORES];
	const uint32_t core = call->pass->core;

	(void)self;
	for (int i = 0; i < 4; i++, number[core]++)
		tela_log(call, TELA_LOG_INFO, "sender %u, line %u", SENDERS + core, number[core]);
	return tela_reply_copy(call, "", 0);
}

static const struct tela_link links[] = {
	{.service = &desc, .method = SAY, .enter = say},
	{.service = &desc, .method = BLOCK, .enter = block, .blocking = true},
	{.service = &desc, .method = BUILT, .enter = built},
	{.service = &desc, .method = OFTEN, .enter = often},
};
static const struct tela_image_link image[] = {{&links[0], NULL, "t", false},
	{&links[1], NULL, "t", false}, {&links[2], NULL, "t", false},
	{&links[3], NULL, "t", false}};

static void call(uint32_t method, const struct tela_options *o)
{
	struct tela_reply r;

	assert_int_equal(
		tela_thread_call(thread, client, &methods[method - 1], "12345678", 8, o, &r), 0);
	assert_int_equal(r.code, TELA_OK);
	tela_reply_free(&r);
}

/* ---- tests ---- */

static int set_up(void **state)
{
	(void)state;
	tela_node_poll(node);
	n_seen = n_wrong = evaluated = 0;
	tela_service_log_level(service, TELA_LOG_INFO);
	return 0;
}

static void assert_line(uint32_t at, enum tela_log_level level, const char *method,
	const char *plugin, const char *text)
{
	assert_int_equal(kept[at].l.level, level);
	assert_string_equal(kept[at].service, "test.Test");
	assert_string_equal(kept[at].method, method);
	assert_string_equal(kept[at].plugin, plugin);
	assert_string_equal(kept[at].text, text);
}

static void test_says_where_from(void **state)
{
	const struct tela_context context = {
		.deadline_ns = UINT64_MAX, .root = {1, 2}, .trace = {3, 4}, .span = 5};
	const struct tela_options o = {.context = &context};
	const struct tela_log_about about = {"say", &context};

	(void)state;
	call(SAY, &o);
	tela_node_poll(node);
	assert_int_equal(n_seen, 2);
	assert_line(0, TELA_LOG_WARN, "say", "", "request of 8 bytes");
	assert_int_equal(kept[0].l.trace[0], 3);
	assert_int_equal(kept[0].l.trace[1], 4);
	assert_true(kept[0].l.span);
	assert_true(kept[0].l.core < CORES);
	assert_line(1, TELA_LOG_ERROR, "", "mouth", "from the core itself");
	assert_int_equal(kept[1].l.core, kept[0].l.core);
	assert_true(kept[1].l.at_ns > 1600000000 * NS_PER_S);
	call(BLOCK, &o);
	tela_node_poll(node);
	assert_int_equal(n_seen, 3);
	assert_line(2, TELA_LOG_INFO, "block", "", "blocked on 5");
	assert_int_equal(kept[2].l.trace[1], 4);
	assert_int_equal(kept[2].l.core, UINT32_MAX);
	tela_log_of(lines, &about, TELA_LOG_INFO, "later");
	tela_log_of(lines, NULL, TELA_LOG_INFO, "of nothing");
	tela_node_poll(node);
	assert_line(3, TELA_LOG_INFO, "say", "mouth", "later");
	assert_int_equal(kept[3].l.trace[0], 3);
	assert_int_equal(kept[3].l.span, 5);
	assert_line(4, TELA_LOG_INFO, "", "mouth", "of nothing");
	assert_int_equal(kept[4].l.trace[0] | kept[4].l.trace[1] | kept[4].l.span, 0);
	assert_int_equal(n_seen, 5);
}

static void test_levels(void **state)
{
	(void)state;
	call(SAY, NULL);
	assert_int_equal(evaluated, 0);
	tela_service_log_level(service, TELA_LOG_DEBUG);
	call(SAY, NULL);
	assert_int_equal(evaluated, 1);
	tela_service_log_level(service, TELA_LOG_ERROR);
	call(SAY, NULL);
	assert_int_equal(evaluated, 1);
	tela_node_poll(node);
	assert_int_equal(n_seen, 2 + 3 + 1);
}

/* What is not compiled is not said, whatever the level; and its text is not in the program. */
static void test_built(void **state)
{
	static const char left[] = "left ", out[] = "out: info";
	FILE *self = fopen("/proc/self/exe", "re");
	bool built_in = false, left_out = true;
	char needle[32];
	size_t n = 0;
	char *all;

	(void)state;
	tela_service_log_level(service, TELA_LOG_DEBUG);
	call(BUILT, NULL);
	tela_node_poll(node);
	assert_int_equal(n_seen, 3);
	assert_line(0, TELA_LOG_ERROR, "built", "", "built in: error");
	assert_line(2, TELA_LOG_WARN, "", "mouth", "built in: warn of an instance");
	all = malloc(64 << 20);
	assert_true(self && all);
	n = fread(all, 1, 64 << 20, self);
	fclose(self);
	snprintf(needle, sizeof(needle), "%s%s", left, out);
	for (size_t i = 0; i + 32 < n; i++) {
		built_in |= !memcmp(all + i, "built in: warn of an", 20);
		left_out &= memcmp(all + i, needle, strlen(needle)) != 0;
	}
	free(all);
	assert_true(built_in && left_out);
}

static void test_full(void **state)
{
	uint64_t lost = tela_node_counter(node, "logs_lost");

	(void)state;
	for (uint32_t i = 0; i < LINES; i++)
		tela_log_of(lines, NULL, TELA_LOG_INFO, "an ordinary line, number %u", i);
	lost = tela_node_counter(node, "logs_lost") - lost;
	tela_node_poll(node);
	assert_true(lost > 0 && n_seen > 100);
	assert_int_equal(n_seen + lost, LINES);
	n_seen = 0;
	lost = tela_node_counter(node, "logs_lost");
	for (int i = 0; i < 1000; i++)
		call(OFTEN, NULL);
	lost = tela_node_counter(node, "logs_lost") - lost;
	tela_node_poll(node);
	assert_true(lost > 0 && n_seen > 100);
	assert_int_equal(n_seen + lost, 4000);
	n_seen = 0;
	call(SAY, NULL);
	tela_node_poll(node);
	assert_int_equal(n_seen, 2);
}

/* ---- what DPDK says ---- */

static _Atomic bool said;

static bool say_on_core(struct tela_core *core, void *arg)
{
	(void)arg;
	if (atomic_load(&said))
		return false;
	rte_log(RTE_LOG_ERR, RTE_LOGTYPE_EAL, "EAL: core %u\nand more", tela_core_index(core));
	atomic_store(&said, true);
	return true;
}

static void assert_dpdk(uint32_t at, enum tela_log_level level, uint32_t core, const char *text)
{
	assert_string_equal(kept[at].l.component, "dpdk");
	assert_int_equal(kept[at].l.core, core);
	assert_int_equal(kept[at].l.place, RTE_LOGTYPE_EAL + 1);
	assert_true(kept[at].l.at_ns > 0);
	assert_int_equal(kept[at].l.level, level);
	assert_string_equal(kept[at].service, "");
	assert_string_equal(kept[at].text, text);
}

static void test_dpdk(void **state)
{
	struct tela_task *task;

	(void)state;
	assert_int_equal(tela_on_dpdk_log(see, NULL), 0);
	assert_int_equal(tela_on_dpdk_log(see, NULL), -EALREADY);
	rte_log(RTE_LOG_WARNING, RTE_LOGTYPE_EAL, "EAL: before %d\n", 1);
	assert_int_equal(n_seen, 1);
	assert_dpdk(0, TELA_LOG_WARN, UINT32_MAX, "EAL: before 1");
	dpdk_log_through(node); /* whose cores poll */
	rte_log(RTE_LOG_NOTICE, RTE_LOGTYPE_EAL, "EAL: a thread\n");
	task = tela_task_start(node, 1, say_on_core, NULL, 0);
	assert_non_null(task);
	while (!atomic_load(&said))
		sched_yield();
	tela_task_end(task);
	assert_int_equal(n_seen, 1);
	rte_log(RTE_LOG_CRIT, RTE_LOGTYPE_EAL, "EAL: this is the end\n");
	assert_int_equal(n_seen, 2);
	assert_dpdk(1, TELA_LOG_ERROR, UINT32_MAX, "EAL: this is the end");
	tela_node_poll(node);
	assert_int_equal(n_seen, 5);
	assert_dpdk(2, TELA_LOG_ERROR, 1, "EAL: core 1");
	assert_dpdk(3, TELA_LOG_ERROR, 1, "and more");
	assert_dpdk(4, TELA_LOG_INFO, UINT32_MAX, "EAL: a thread");
	dpdk_log_through(NULL);
}

/* ---- all of them at once ---- */

static _Atomic uint32_t n_sending;

static void *send_lines(void *arg)
{
	const uint32_t sender = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = 0; i < LINES; i++)
		tela_log_of(lines, NULL, TELA_LOG_INFO, "sender %u, line %u", sender, i);
	atomic_fetch_sub(&n_sending, 1);
	return NULL;
}

static void *send_calls(void *arg)
{
	struct tela_thread *own = tela_thread_attach(node);
	struct tela_reply r;

	(void)arg;
	for (uint32_t i = 0; own && i < CALLS; i++)
		if (!tela_thread_call(own, client, &methods[OFTEN - 1], "12345678", 8, NULL, &r))
			tela_reply_free(&r);
	tela_thread_detach(own);
	atomic_fetch_sub(&n_sending, 1);
	return NULL;
}

static void test_all_at_once(void **state)
{
	uint64_t lost = tela_node_counter(node, "logs_lost");
	uint64_t served = tela_node_counter(node, "calls_served");
	pthread_t threads_of[SENDERS + CORES];

	(void)state;
	memset(next, 0, sizeof(next));
	atomic_store(&n_sending, SENDERS + CORES);
	for (uintptr_t i = 0; i < SENDERS + CORES; i++)
		assert_int_equal(pthread_create(&threads_of[i], NULL,
					 i < SENDERS ? send_lines : send_calls, (void *)i),
			0);
	while (atomic_load(&n_sending)) {
		tela_node_poll(node);
		sched_yield();
	}
	for (int i = 0; i < SENDERS + CORES; i++)
		pthread_join(threads_of[i], NULL);
	tela_node_poll(node);
	lost = tela_node_counter(node, "logs_lost") - lost;
	served = tela_node_counter(node, "calls_served") - served;
	assert_int_equal(n_wrong, 0);
	assert_int_equal(served, CORES * CALLS);
	assert_int_equal(n_seen + lost, SENDERS * LINES + 4 * served);
}

static void make_node(void)
{
	char err[200] = "";

	node = bare_node_create(CORES, &bare_node_small);
	CHECK(node);
	tela_node_on_log(node, see, NULL);
	service = tela_service_add(node, &desc);
	client = tela_client_open(node, NULL, &desc, 0);
	CHECK(service && client && !workers_start(node, 1));
	lines = tela_log_create(service, "mouth");
	CHECK(lines);
	tela_image_publish(service,
		tela_image_build(service, image, ARRAY_SIZE(image), err, sizeof(err)), NULL, NULL);
	bare_node_start(node);
	thread = tela_thread_attach(node);
	CHECK(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_says_where_from, set_up),
		cmocka_unit_test_setup(test_levels, set_up),
		cmocka_unit_test_setup(test_built, set_up),
		cmocka_unit_test_setup(test_full, set_up),
		cmocka_unit_test_setup(test_dpdk, set_up),
		cmocka_unit_test_setup(test_all_at_once, set_up)};
	int failed;

	make_node();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tela_thread_detach(thread);
	bare_node_destroy(node);
	tela_log_free(lines);
	return failed;
}
