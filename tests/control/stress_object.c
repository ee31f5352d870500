/* stress_object.c - a shared object is replaced by another build of itself again and again, each
 * loaded anew, while threads make calls of a node, calls are pending, and are resumed by threads of
 * the object; in the end none of it is mapped any more.
 *
 * usage: stress_object PLUGIN.so [REPLACEMENTS] */
#include "../../control/move.h"

#include "../dataplane/bare_node.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CORES = 2, CALLERS = 2, REPLACEMENTS = 200 };

static struct conf conf = {.file = "node.yaml",
	.drain_deadline_ms = 60000,
	.hook_deadline_ms = 60000,
	.start_retry_ms = 60000};
static struct conf_plugin listed = {.plugin = "passer"};
static struct conf_service conf_service = {.name = "svc", .plugins = &listed, .n_plugins = 1};
static struct control control;
static struct stack *s;
static struct tela_client *client;
static _Atomic bool ending;
static _Atomic uint64_t n_ok;
static bool done;
static int result;

/* ---- the service, and who calls it ---- */

static enum tela_verdict add_one(struct tela_call *call, void *self)
{
	uint64_t value;

	(void)self;
	CHECK(call->request_len == sizeof(value));
	memcpy(&value, call->request, sizeof(value));
	value++;
	return tela_reply_copy(call, &value, sizeof(value));
}

static const struct tela_method_desc methods[] = {
	{.name = "add", .id = 1}, {.name = "park", .id = 2}};
static const struct tela_service_desc desc = {
	.name = "test.Svc", .schema = 1, .n_methods = 2, .methods = methods};
static const struct tela_link links[] = {{.service = &desc, .method = 1, .enter = add_one},
	{.service = &desc, .method = 2, .enter = add_one}};
static const struct tela_plugin svc = {.abi = TELA_PLUGIN_ABI,
	.name = "svc",
	.version = "1",
	.serves = &desc,
	.links = links,
	.n_links = 2};
const struct tela_plugin *const tela_builtin_plugins[] = {&svc, NULL};

static void *call(void *arg)
{
	struct tela_thread *t = tela_thread_attach(control.node);
	const struct tela_options o = {.deadline_us = 60000000};

	CHECK(t);
	for (uint64_t i = (uintptr_t)arg << 32; !atomic_load(&ending); i++) {
		struct tela_reply r;
		uint64_t got;

		CHECK(!tela_thread_call(t, client, &methods[i & 1], &i, sizeof(i), &o, &r));
		CHECK(r.code == TELA_OK && r.len == sizeof(got));
		memcpy(&got, r.payload, sizeof(got));
		CHECK(got == i + 1);
		tela_reply_free(&r);
		atomic_fetch_add(&n_ok, 1);
	}
	tela_thread_detach(t);
	return NULL;
}

/* ---- the control side, as telad's loop has it ---- */

static void pump(void)
{
	tela_node_poll(control.node);
	change_tick(s);
	lifecycle_poll(control.lifecycle);
	load_reap(&control);
	usleep(200);
}

static void moved(void *arg, struct stack *stack, int error)
{
	(void)arg;
	(void)stack;
	result = error;
	done = true;
}

static void changed(struct change *change, int error)
{
	if (error)
		fprintf(stderr, "%s\n", change->error);
	result = error;
	done = true;
}

static void wait_done(void)
{
	while (!done)
		pump();
	done = false;
	CHECK(!result);
}

static void move(enum admin_status wanted)
{
	move_submit(s, wanted, NULL, moved, NULL);
	wait_done();
	while (!stack_is_quiet(s))
		pump();
}

/* Another build, by all that one can see: the same file written again has another time. */
static void replace(const char *object)
{
	struct change_step step = {.op = CHANGE_REPLACE, .plugin = "passer", .object = object};
	struct change change = {.stack = s, .steps = &step, .n_steps = 1, .done = changed};
	uint64_t before = atomic_load(&n_ok);

	CHECK(!utimensat(AT_FDCWD, object, NULL, 0));
	change_submit(&change);
	wait_done();
	while (atomic_load(&n_ok) == before) /* each has had its calls */
		pump();
}

static bool is_mapped(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	bool found = false;

	CHECK(maps);
	while (fgets(line, sizeof(line), maps))
		found |= strstr(line, "tela-plugin") != NULL;
	fclose(maps);
	return found;
}

static void copy(const char *from, const char *to)
{
	char buffer[65536];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buffer, sizeof(buffer))) > 0)
		CHECK(write(out, buffer, (size_t)n) == n);
	CHECK(!n);
	close(in);
	close(out);
}

static void set_up(const char *object)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 1,
		.slots = 8,
		.calls = 64,
		.messages_2k = 64,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 64};
	char err[200] = "";

	listed.object = object;
	control.conf = &conf;
	control.node = bare_node_create(CORES, &budgets);
	control.registry = registry_create(tela_builtin_plugins, err, sizeof(err));
	control.lifecycle = lifecycle_create(conf.hook_deadline_ms);
	CHECK(control.node && control.registry && control.lifecycle);
	s = stack_create(&control, &conf_service);
	bare_node_start(control.node);
	move(ADMIN_ACTIVE);
	CHECK(is_mapped());
	client = tela_client_open(control.node, NULL, &desc, 0);
	CHECK(client);
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : REPLACEMENTS;
	char object[] = "/tmp/tela-stress-XXXXXX";
	pthread_t caller[CALLERS];
	char now[160];

	CHECK(argc > 1);
	close(mkstemp(object));
	copy(argv[1], object);
	set_up(object);
	for (uintptr_t i = 0; i < CALLERS; i++)
		CHECK(!pthread_create(&caller[i], NULL, call, (void *)i));
	for (int i = 0; i < n; i++)
		replace(object);
	atomic_store(&ending, true);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(caller[i], NULL);
	move(ADMIN_INACTIVE);
	while (is_mapped()) /* unloading waits a moment for somebody who wants it again */
		pump();
	while (lifecycle_current(control.lifecycle, now, sizeof(now)))
		usleep(200);
	lifecycle_poll(control.lifecycle);
	printf("%d builds, %llu calls, none failed, none of it mapped\n", n + 1,
		(unsigned long long)n_ok);
	unlink(object);
	lifecycle_destroy(control.lifecycle);
	bare_node_destroy(control.node);
	stack_destroy_all(&control);
	registry_destroy(control.registry);
	return 0;
}
