/* test_change.c - changes of a service without a data plane: which hooks run in which order, that a
 * change of which one step fails has changed nothing (every hook of every plugin, every
 * allocation), what successors claim, and hooks that never return ("hangs": then threads are left
 * behind). The plugins are "svc" over "a" over "b"; each hook writes a line to the record. */
#include "../../control/move.h"

#include "fake_node.h"
#include "test_change_keys.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

enum { SELVES = 1 << 16, RECORD_BYTES = 1 << 16 };

/* What an instance is to its hooks; never freed, so that one used too late is seen. */
struct self {
	_Atomic bool lives, works;
	unsigned number;
	char name[8];
};

static struct self selves[SELVES];
static unsigned n_selves;
static char record[RECORD_BYTES]; /* of the hooks, one at a time */
static char failing[32], hanging[32];
static bool hangs;               /* short deadlines, for hooks that hang */
static _Atomic int fail_in = -1; /* allocations until one fails; -1: none does */

/* ---- an allocator that fails once ---- */

static bool fails(void)
{
	int left = atomic_load(&fail_in);

	while (left >= 0 && !atomic_compare_exchange_weak(&fail_in, &left, left - 1))
		;
	return left == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
char *__wrap_strdup(const char *s);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(align, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

/* ---- and how many threads there ever were ---- */

static _Atomic int n_threads;

int __real_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg);
int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg);

int __wrap_pthread_create(
	pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg)
{
	n_threads++;
	return __real_pthread_create(thread, attr, fn, arg);
}

/* ---- hooks ---- */

static void say(const char *hook, const struct tela_hook *h)
{
	size_t n = strlen(record);

	snprintf(record + n, sizeof(record) - n, "%s %s\n", hook, h->instance->name);
}

static int obey(struct tela_hook *h, const char *hook)
{
	char what[32];

	snprintf(what, sizeof(what), "%s %.16s", hook, h->instance->name);
	check_values(h, hook);
	say(hook, h);
	while (!strcmp(hanging, what))
		pause();
	if (strcmp(failing, what))
		return 0;
	snprintf(h->error, h->error_len, "on purpose");
	return -EIO;
}

static const char *get(const struct tela_hook *h, const char *key)
{
	return tela_config_str(h->config, key, "");
}

/* A list grows; all other keys are the default's business. */
static int on_config_merge(struct tela_hook *h, const struct tela_plugin_config *update)
{
	const char *more = tela_config_str(update, "list", NULL);
	char both[160];

	snprintf(both, sizeof(both), "%s,%s", get(h, "list"), more);
	if (more && tela_hook_set(h, NULL, "list", both))
		return -ENOMEM;
	return obey(h, "config_merge");
}

/* "push" is what "pushed" of b is to be; "list" has a length. */
static int on_config(struct tela_hook *h)
{
	char length[24];

	snprintf(length, sizeof(length), "%zu", strlen(get(h, "list")));
	if (*get(h, "list") && tela_hook_set(h, NULL, "length", length))
		return -ENOMEM;
	if (*get(h, "push") && tela_hook_set(h, "b", "pushed", get(h, "push")))
		return -ENOMEM;
	if (*get(h, "wrong") && tela_hook_set(h, get(h, "wrong"), "nonsense", "1"))
		return -ENOMEM;
	return obey(h, "config");
}

static int run_worker(struct tela_worker_run *r, void *arg)
{
	struct self *self = arg;

	self->works = true;
	while (!tela_worker_wait(r, NS_PER_MS))
		CHECK(self->lives);
	self->works = false;
	return 0;
}

static const struct tela_worker worker[] = {{.name = "w", .run = run_worker}};
static const struct tela_workers workers = {.list = worker, .n = 1};

static struct tela_bytes text(const char *s)
{
	return (struct tela_bytes){(const uint8_t *)s, strlen(s)};
}

/* The first one has the name; a later one finds it taken, and claims it. */
static int on_start(struct tela_hook *h, void **ret_self)
{
	struct self *self = &selves[n_selves++];
	int rc = obey(h, "start");
	char holder[160];

	if (rc)
		return rc;
	self->number = n_selves;
	snprintf(self->name, sizeof(self->name), "%.7s", h->instance->name);
	rc = tela_name_register(h->owner, self->name, text("v"), holder, sizeof(holder));
	CHECK(rc != -EEXIST || strstr(holder, self->name));
	if (rc == -ENOMEM || tela_bag_add(h->owner, "all", text(self->name)))
		return -ENOMEM;
	self->lives = true;
	*ret_self = self;
	if (strcmp(get(h, "x"), "twice") == 0) /* and b names them in prepare, too */
		h->workers = &workers;
	return 0;
}

struct view {
	struct self *self;
	char x[16];
};

static int on_prepare(struct tela_hook *h, const struct tela_hook *old)
{
	int rc = obey(h, "prepare");
	struct view *v;

	if (rc)
		return rc;
	CHECK(!old || ((struct self *)old->self)->lives);
	v = tela_hook_view(h, sizeof(*v));
	if (!v)
		return -ENOMEM;
	CHECK((uintptr_t)v % 64 == 0 && !v->self && !tela_hook_view(h, 1));
	v->self = h->self;
	snprintf(v->x, sizeof(v->x), "%s", get(h, "x"));
	if (old && old->self != h->self)
		h->claim = TELA_CLAIM_NAMES | (old->workers ? TELA_CLAIM_WORKERS : 0);
	if (!h->claim && strcmp(h->instance->name, "b") == 0)
		h->workers = &workers;
	return 0;
}

static void on_abort(struct tela_hook *h)
{
	CHECK(((struct self *)h->self)->lives);
	obey(h, "abort");
}

static void on_updated(struct tela_hook *h, const struct tela_hook *old)
{
	CHECK(((struct self *)h->self)->lives);
	h->restart = old && old->config != h->config && strcmp(get(h, "restart"), "yes") == 0;
	obey(h, old && old->config != h->config ? "updated" : "same");
}

static bool is_not_held_by(void *arg, const char *key, bool bag, const struct tela_entry *e)
{
	char own[40];

	(void)key;
	(void)bag;
	snprintf(own, sizeof(own), ", instance %llu", *(unsigned long long *)arg);
	CHECK(!strstr(e->holder, own) || strcmp(strstr(e->holder, own), own));
	return true;
}

/* Nobody finds any more what is about to end. */
static void on_stop(struct tela_hook *h)
{
	struct self *self = h->self;
	unsigned long long id = h->instance->id;

	CHECK(self->lives);
	tela_registry_each(h->node, is_not_held_by, &id);
	say(h->claimed ? "stop-claimed" : "stop", h);
	if (!h->claimed) /* else the workers go on with it */
		self->lives = false;
}

static enum tela_verdict go_on(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_CONTINUE;
}

static const struct tela_method_desc methods[] = {{.name = "Ping", .id = 1}};
static const uint64_t known[] = {8};
static const struct tela_service_desc desc = {.name = "test.Svc",
	.schema = 7,
	.compatible = known,
	.n_compatible = 1,
	.n_methods = 1,
	.methods = methods};
static const struct tela_link serve[] = {{.service = &desc, .method = 1, .enter = go_on}};
static const struct tela_link every[] = {{.callback = TELA_REQUEST_IN, .enter = go_on}};
#define HOOKS                                                                                      \
	.abi = TELA_PLUGIN_ABI, .version = "1", .n_links = 1, .keys = keys,                        \
	.n_keys = ARRAY_SIZE(keys), .values_size = sizeof(struct options),                         \
	.config_merge = on_config_merge, .config = on_config, .start = on_start,                   \
	.prepare = on_prepare, .abort = on_abort, .updated = on_updated, .stop = on_stop

static const struct tela_plugin svc = {
	.name = "svc", .serves = &desc, .links = serve, .in_place = true, HOOKS};
static const struct tela_plugin a = {.name = "a", .links = every, .in_place = true, HOOKS};
static const struct tela_plugin b = {.name = "b", .links = every, HOOKS};
static const struct tela_plugin c = {.name = "c", .links = every, HOOKS};

/* A later schema of the service, whose second method these define. */
static const struct tela_method_desc later_methods[] = {
	{.name = "Ping", .id = 1}, {.name = "Pong", .id = 2}};
static const struct tela_service_desc later = {
	.name = "test.Svc", .schema = 8, .n_methods = 2, .methods = later_methods};
static const struct tela_link pong[] = {{.service = &later, .method = 2, .enter = go_on}};
static const struct tela_link ping[] = {{.service = &later, .method = 1, .enter = go_on}};
static const char *const wraps_d[] = {"d", NULL};
#define DEFINES .abi = TELA_PLUGIN_ABI, .version = "1", .n_links = 1
static const struct tela_plugin plugin_d = {.name = "d", .links = pong, DEFINES};
static const struct tela_plugin plugin_e = {.name = "e", .links = pong, DEFINES};
static const struct tela_plugin plugin_f = {.name = "f", .links = pong, .wraps = wraps_d, DEFINES};
static const struct tela_plugin plugin_g = {.name = "g", .links = ping, DEFINES};
const struct tela_plugin *const tela_builtin_plugins[] = {
	&svc, &a, &b, &c, &plugin_d, &plugin_e, &plugin_f, &plugin_g, NULL};

/* ---- a control side ---- */

static struct conf conf = {
	.drain_deadline_ms = 10000, .start_retry_ms = 60000, .start_retry_max_ms = 60000};
static struct conf_plugin listed[] = {{.plugin = "a"}, {.plugin = "b"}};
static const struct conf_service conf_svc = {.name = "svc", .plugins = listed, .n_plugins = 2};
static struct control control;
static struct stack *s;
static bool done;
static int result;
static char why[512];

static void pump(void)
{
	tela_node_poll(control.node);
	change_tick(s);
	lifecycle_poll(control.lifecycle);
}

static void moved(void *arg, struct stack *stack, int error)
{
	(void)arg;
	snprintf(why, sizeof(why), "%s", stack->last_error);
	result = error;
	done = true;
}

static void changed(struct change *change, int error)
{
	snprintf(why, sizeof(why), "%s", change->error);
	result = error;
	done = true;
}

static void wait_done(void)
{
	while (!done) {
		pump();
		usleep(200);
	}
	done = false;
}

static void wait_quiet(void)
{
	while (!stack_is_quiet(s)) {
		pump();
		usleep(200);
	}
}

static int move(enum admin_status wanted)
{
	move_submit(s, wanted, NULL, moved, NULL);
	wait_done();
	wait_quiet();
	return result;
}

static int set_up(void **state)
{
	(void)state;
	conf.file = "node.yaml";
	control = (struct control){.conf = &conf};
	control.node = tela_node_create(&conf.node, why, sizeof(why));
	control.registry = registry_create(tela_builtin_plugins, why, sizeof(why));
	control.lifecycle = lifecycle_create(hangs ? 50 : 20000);
	s = stack_create(&control, &conf_svc);
	failing[0] = hanging[0] = record[0] = 0;
	assert_int_equal(move(ADMIN_ACTIVE), 0);
	assert_string_equal(record, "config svc\nconfig a\nconfig b\nstart b\nstart a\nstart svc\n"
				    "prepare b\nprepare a\nprepare svc\n");
	record[0] = 0;
	return 0;
}

static bool count_entry(void *arg, const char *key, bool bag, const struct tela_entry *e)
{
	(void)key;
	(void)bag;
	(void)e;
	return ++*(int *)arg > 0;
}

static int entries(void)
{
	int n = 0;

	tela_registry_each(control.node, count_entry, &n);
	return n;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(move(ADMIN_INACTIVE), 0);
	assert_int_equal(entries(), 0);
	for (unsigned i = 0; i < n_selves; i++)
		CHECK(!selves[i].works);
	n_selves = 0;
	memset(selves, 0, sizeof(selves));
	lifecycle_destroy(control.lifecycle);
	stack_destroy_all(&control);
	tela_node_destroy(control.node);
	registry_destroy(control.registry);
	assert_int_equal(fake_node_images(), 0);
	return 0;
}

/* ---- changes ---- */

static struct tela_pair pair_x[] = {{"x", "1"}}, pair_push[] = {{"push", "p"}};

#define LONG_LIST                                                                                  \
	"0123456789012345678901234567890123456789012345678901234567890123456789"                   \
	"012345678901234567890123456789"

#define VALUES(name) ((const struct options *)find(name)->values)

#define CONFIG(pairs)                                                                              \
	{                                                                                          \
		ARRAY_SIZE(pairs), pairs                                                           \
	}

static int change(struct change_step *steps, uint32_t n)
{
	struct change change = {.stack = s, .steps = steps, .n_steps = n, .done = changed};

	record[0] = 0;
	change_submit(&change);
	wait_done();
	return result;
}

static int change_quiet(struct change_step *steps, uint32_t n)
{
	change(steps, n);
	wait_quiet();
	return result;
}

static struct tela_instance *find(const char *name)
{
	return record_find(s->current, name);
}

static const struct view *view_of(const char *name)
{
	return find(name)->view;
}

/* A new configuration for one plugin, as 'config merge' makes it. */
static int set(const char *name, const char *key, const char *value)
{
	struct tela_pair pair = {key, value};
	struct change_step step = {
		.op = CHANGE_REPLACE, .plugin = name, .config = {1, &pair}, .in_place = true};

	return change_quiet(&step, 1);
}

static int unset(const char *name, const char *key)
{
	struct change_step step = {.op = CHANGE_REPLACE, .plugin = name, .in_place = true};

	step.unset = (const char *const[]){key, NULL};
	return change_quiet(&step, 1);
}

/* Read by its keys; what they do not allow is refused before any hook has run. */
static void test_values(void **state)
{
	struct record *before;

	(void)state;
	assert_int_equal(VALUES("a")->items.n, 2);
	assert_int_equal(set("a", "items",
				 "\x1f"
				 "only one, really"),
		0);
	assert_int_equal(VALUES("a")->items.n, 1);
	assert_int_equal(set("a", "map.one", "1"), 0);
	assert_int_equal(set("a", "map.two", "2"), 0);
	assert_int_equal(VALUES("a")->map.n, 2);
	before = s->current;
	assert_int_equal(set("a", "length", "many"), -EINVAL);
	assert_string_equal(why, "a: config.length: expected 0..99, found 'many'");
	assert_int_equal(unset("a", "lenght"), -EINVAL);
	assert_string_equal(why, "a: config.lenght: unknown key, nothing to take out");
	assert_string_equal(record, "");
	assert_ptr_equal(s->current, before);
	/* All that lies below it. */
	assert_int_equal(unset("a", "map"), 0);
	assert_int_equal(VALUES("a")->map.n, 0);
	/* What a hook sets is held against them too, and counts. */
	assert_int_equal(set("b", "list", "abcde"), 0);
	assert_int_equal(VALUES("b")->length, 6);
	assert_int_equal(set("b", "list", LONG_LIST), -EINVAL);
	assert_non_null(strstr(why, "b: config.length: expected 0..99, found '107'"));
}

static void test_orders(void **state)
{
	struct change_step steps[] = {
		{.op = CHANGE_REPLACE, .plugin = "b", .config = CONFIG(pair_x), .in_place = true},
		{.op = CHANGE_REPLACE, .plugin = "svc", .config = CONFIG(pair_x), .in_place = true},
		{.op = CHANGE_REPLACE, .plugin = "a", .config = CONFIG(pair_x), .in_place = true},
	};
	uint64_t ids[] = {find("svc")->id, find("a")->id, find("b")->id};

	(void)state;
	assert_int_equal(change_quiet(steps, 3), 0);
	assert_string_equal(record, "config_merge svc\nconfig_merge a\nconfig_merge b\n"
				    "config svc\nconfig a\nconfig b\nstart b\n"
				    "prepare b\nprepare a\nprepare svc\n"
				    "updated b\nupdated a\nupdated svc\nstop-claimed b\n");
	/* In place: the same instance, seen anew; b cannot. */
	assert_true(find("svc")->id == ids[0] && find("a")->id == ids[1] && find("b")->id > ids[2]);
	assert_string_equal(view_of("a")->x, "1");
	assert_ptr_equal(view_of("a")->self, find("a")->root->self);
	assert_int_equal(s->current->generation, 2);
}

static void test_restart(void **state)
{
	uint64_t id = find("a")->id, other = find("b")->id;

	(void)state;
	assert_int_equal(set("a", "restart", "no"), 0);
	assert_int_equal(find("a")->id, id);
	assert_int_equal(set("a", "restart", "yes"), 0);
	assert_true(find("a")->id > id && find("b")->id == other);
	assert_int_equal(s->current->generation, 4);
	assert_non_null(strstr(record, "updated a\nsame svc\n"));
	assert_non_null(strstr(record, "start a\nprepare a\n"));
	/* Asked for by one that is new, it is nothing. */
	assert_int_equal(set("b", "restart", "yes"), 0);
	assert_int_equal(s->current->generation, 5);
}

static void test_merge(void **state)
{
	(void)state;
	assert_int_equal(set("a", "list", "one"), 0);
	assert_int_equal(set("a", "x", "7"), 0);
	assert_int_equal(set("a", "list", "two"), 0);
	assert_string_equal(tela_config_str(&find("a")->config, "list", ""), ",one,two");
	assert_string_equal(tela_config_str(&find("a")->config, "length", ""), "8");
	assert_string_equal(tela_config_str(&find("a")->config, "x", ""), "7");
	assert_null(tela_config_str(&find("a")->given, "length", NULL));
	/* And so it is when it has been stopped and started. */
	assert_int_equal(move(ADMIN_INACTIVE), 0);
	assert_int_equal(move(ADMIN_ACTIVE), 0);
	assert_string_equal(tela_config_str(&find("a")->config, "list", ""), ",one,two");
	assert_string_equal(tela_config_str(&find("a")->config, "length", ""), "8");
}

static void test_altered_below(void **state)
{
	uint64_t id = find("b")->id;

	(void)state;
	assert_int_equal(set("svc", "push", "p"), 0);
	assert_string_equal(tela_config_str(&find("b")->config, "pushed", ""), "p");
	assert_true(find("b")->id > id);
	assert_non_null(strstr(record, "config svc\nconfig b\nstart b\nprepare b\nprepare svc\n"));
	/* It holds against the operator, and for one that comes in its place. */
	assert_int_equal(set("b", "pushed", "mine"), 0);
	assert_string_equal(tela_config_str(&find("b")->config, "pushed", ""), "p");
	assert_string_equal(tela_config_str(&find("b")->given, "pushed", ""), "mine");
	/* When it is not said any more, the operator's word counts. */
	assert_int_equal(unset("svc", "push"), 0);
	assert_string_equal(tela_config_str(&find("b")->config, "pushed", ""), "mine");
	/* Refused: what stands above, what is not known; what is not there is left alone. */
	assert_int_equal(set("a", "wrong", "svc"), -EINVAL);
	assert_string_equal(why, "the config hook of a in svc sets 'nonsense' of 'svc', which does "
				 "not stand below it");
	assert_int_equal(set("a", "wrong", "b"), -EINVAL);
	assert_non_null(strstr(why, "b: config.nonsense: unknown key; known are x, list"));
	assert_int_equal(set("a", "wrong", "ghost"), 0);
}

/* Everything at once, so that each step has something to do: a stays, b is new and claims, c
 * comes, svc pushes b. */
static struct change_step all[] = {
	{.op = CHANGE_REPLACE, .plugin = "a", .config = CONFIG(pair_x), .in_place = true},
	{.op = CHANGE_REPLACE, .plugin = "b", .config = CONFIG(pair_x)},
	{.op = CHANGE_REPLACE, .plugin = "svc", .config = CONFIG(pair_push), .in_place = true},
	{.op = CHANGE_ADD, .plugin = "c"},
};

struct state {
	struct record *r;
	uint64_t generation;
	int entries;
};

static struct state look(void)
{
	return (struct state){s->current, s->current->generation, entries()};
}

/* Nothing has changed: what was prepared is aborted in reverse, and then what was started is
 * stopped. */
static void check_unchanged(const struct state *before)
{
	static const char *const stop[] = {"stop c\n", "stop b\n"},
				 *const prepare[] = {"prepare c\n", "prepare b\n", "prepare a\n",
					 "prepare svc\n"},
				 *const abort[] = {
					 "abort c\n", "abort b\n", "abort a\n", "abort svc\n"};
	struct state now = look();
	const char *last = NULL;
	int living = 0;

	assert_ptr_equal(now.r, before->r);
	assert_int_equal(now.generation, before->generation);
	assert_int_equal(now.entries, before->entries);
	assert_null(s->staged);
	assert_null(strstr(record, "updated"));
	for (unsigned i = 0; i < n_selves; i++)
		living += selves[i].lives;
	assert_int_equal(living, now.r->n);
	for (int i = 3; i >= 0; i--) {
		const char *aborted = strstr(record, abort[i]), *p = strstr(record, prepare[i]);

		if (!aborted)
			continue;
		assert_non_null(p);
		assert_true(!last || aborted > last);
		last = aborted;
	}
	for (int i = 0; last && i < 2; i++)
		assert_true(!strstr(record, stop[i]) || strstr(record, stop[i]) > last);
}

static void test_each_hook_fails(void **state)
{
	static const char *const hooks[] = {"config_merge a", "config_merge b", "config_merge svc",
		"config svc", "config a", "config b", "config c", "start c", "start b", "prepare c",
		"prepare b", "prepare a", "prepare svc"};
	struct state before = look();
	char expected[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		strcpy(failing, hooks[i]);
		assert_int_equal(change_quiet(all, ARRAY_SIZE(all)), -EPROTO);
		snprintf(expected, sizeof(expected),
			"the %.*s hook of %s in svc failed: on purpose",
			(int)strcspn(hooks[i], " "), hooks[i], strchr(hooks[i], ' ') + 1);
		assert_string_equal(why, expected);
		check_unchanged(&before);
		if (i == ARRAY_SIZE(hooks) - 1)
			assert_non_null(strstr(record,
				"prepare svc\nabort a\nabort b\nabort c\nstop b\nstop c\n"));
	}
	failing[0] = 0;
	assert_int_equal(change_quiet(all, ARRAY_SIZE(all)), 0);
	assert_int_equal(s->current->generation, before.generation + 1);
	assert_int_equal(entries(), before.entries + 2);
}

/* A start of a service: what had started is stopped, in reverse. */
static void test_boot_fails(void **state)
{
	(void)state;
	assert_int_equal(move(ADMIN_INACTIVE), 0);
	record[0] = 0;
	strcpy(failing, "prepare svc");
	assert_int_equal(move(ADMIN_ACTIVE), -EPROTO);
	assert_int_equal(s->status, TELA_SERVICE_FAILED);
	assert_non_null(
		strstr(record, "prepare svc\nabort a\nabort b\nstop svc\nstop a\nstop b\n"));
	assert_int_equal(entries(), 0);
	failing[0] = 0;
	assert_int_equal(move(ADMIN_INACTIVE), 0);
	assert_int_equal(move(ADMIN_ACTIVE), 0);
}

static void test_each_allocation_fails(void **state)
{
	struct state before;
	int n = 0;

	(void)state;
	assert_int_equal(set("a", "x", "0"), 0); /* the history is there from now on */
	before = look();
	for (;; n++) {
		atomic_store(&fail_in, n);
		change(all, ARRAY_SIZE(all));
		if (atomic_exchange(&fail_in, -1) >= 0)
			break;
		wait_quiet();
		if (!result)
			fail_msg("allocation %d failed and nobody noticed", n);
		assert_true(result == -ENOMEM || result == -EPROTO || result == -EINVAL);
		assert_true(why[0]);
		check_unchanged(&before);
	}
	wait_quiet();
	assert_int_equal(result, 0);
	assert_int_equal(s->current->generation, before.generation + 1);
	assert_true(n > 40);
}

static int add(const char *name)
{
	struct change_step step = {.op = CHANGE_ADD, .plugin = name};

	return change_quiet(&step, 1);
}

/* Of a method that the service does not have, two answers need an order that one of them chose; of
 * one that it has, chain rules say who stands above. */
static void test_one_method_defined_twice(void **state)
{
	struct record *before;

	(void)state;
	assert_int_equal(add("d"), 0);
	before = s->current;
	assert_int_equal(add("e"), -EINVAL);
	assert_string_equal(why,
		"d and e both define method Pong of test.Svc: let one of them wrap "
		"the other, or need it");
	assert_ptr_equal(s->current, before);
	assert_int_equal(add("f"), 0);
	assert_int_equal(add("g"), 0);
}

static bool works(const struct self *self)
{
	while (!self->works) /* it has been started, and says so soon */
		usleep(200);
	return self->lives;
}

static const char *holder(const char *name)
{
	struct tela_entry e;

	return tela_name_find(control.node, name, &e) ? e.holder : "nobody";
}

static void test_claims(void **state)
{
	struct change_step step = {.op = CHANGE_REPLACE, .plugin = "b"};
	struct change_step away = {.op = CHANGE_REMOVE, .plugin = "b"};
	struct self *first = find("b")->self;
	char expected[64];

	(void)state;
	fake_node_pin(true);
	assert_int_equal(change(&step, 1), 0);
	snprintf(expected, sizeof(expected), "svc/b, instance %llu",
		(unsigned long long)find("b")->id);
	assert_string_equal(holder("b"), expected);
	/* Both are there, and their entries in the bag. */
	assert_int_equal(tela_bag_count(control.node, "all"), 4);
	assert_true(works(first));
	fake_node_pin(false);
	wait_quiet();
	assert_non_null(strstr(record, "stop-claimed b\n"));
	assert_string_equal(holder("b"), expected);
	assert_int_equal(tela_bag_count(control.node, "all"), 3);
	assert_true(works(first));
	/* Handed on once more, then ended with the last heir. */
	assert_int_equal(change_quiet(&step, 1), 0);
	assert_true(works(first));
	assert_int_equal(change_quiet(&away, 1), 0);
	assert_false(first->works);
	assert_string_equal(holder("b"), "nobody");
}

/* Those of start are the ones, and prepare's are not started beside them. */
static void test_workers_named_twice(void **state)
{
	static struct tela_pair twice[] = {{"x", "twice"}};
	struct change_step away = {.op = CHANGE_REMOVE, .plugin = "b"};
	struct change_step back = {.op = CHANGE_ADD, .plugin = "b", .config = CONFIG(twice)};
	int before;

	(void)state;
	assert_int_equal(change_quiet(&away, 1), 0);
	before = n_threads;
	assert_int_equal(change_quiet(&back, 1), 0);
	assert_int_equal(n_threads, before + 1);
	assert_true(works(find("b")->self));
	assert_int_equal(change_quiet(&away, 1), 0);
	assert_int_equal(n_threads, before + 1);
}

static void on_merged(struct change *change, int error)
{
	CHECK(!error && change->merged == 8);
	result++;
}

/* With 256 images pinned: names and workers go from hand to hand among those that nobody ever
 * saw. */
static void test_claims_of_merged_changes(void **state)
{
	struct change_step step = {.op = CHANGE_REPLACE, .plugin = "b"};
	struct change_step seen = {
		.op = CHANGE_REPLACE, .plugin = "a", .config = CONFIG(pair_x), .in_place = true};
	struct self *first = find("b")->self;
	static struct change held[8];
	uint64_t generation;

	(void)state;
	fake_node_pin(true);
	for (int i = 0; i < STACK_PINNED; i++)
		assert_int_equal(change(&seen, 1), 0);
	generation = s->current->generation;
	record[0] = 0;
	result = 0;
	for (int i = 0; i < 8; i++) {
		held[i] = (struct change){.stack = s,
			.steps = i & 1 ? &seen : &step,
			.n_steps = 1,
			.done = on_merged};
		change_submit(&held[i]);
	}
	while (s->changes) {
		pump();
		usleep(200);
	}
	assert_true(s->staged && result == 0 && !strstr(record, "updated"));
	assert_true(works(first));
	fake_node_pin(false);
	wait_quiet();
	assert_int_equal(result, 8);
	assert_int_equal(s->current->generation, generation + 1);
	assert_int_equal(s->n_merged, 8);
	assert_true(works(first));
	assert_non_null(strstr(record, "updated b\nupdated a\nsame svc\n"));
	assert_int_equal(entries(), 6);
}

/* Each hook that hangs: its instance is abandoned, and then it is as if it had failed; what was
 * started with it is stopped, and the next change is as good as any. */
static void test_each_hook_hangs(void **state)
{
	static const char *const hooks[] = {"config_merge a", "config b", "start c", "prepare c",
		"prepare b", "prepare a", "abort b"};
	struct record *before = s->current;
	uint64_t generation = before->generation;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		bool aborts = strcmp(hooks[i], "abort b") == 0;

		strcpy(hanging, hooks[i]);
		if (aborts)
			strcpy(failing, "prepare svc");
		assert_int_equal(change_quiet(all, ARRAY_SIZE(all)), aborts ? -EPROTO : -ETIMEDOUT);
		if (aborts)
			assert_non_null(strstr(record, "abort a\nabort b\nabort c\nstop c\n"));
		else
			assert_non_null(strstr(why, "did not return in time"));
		assert_ptr_equal(s->current, before);
		assert_int_equal(s->current->generation, generation);
		assert_int_equal(entries(), 6);
		assert_int_equal(lifecycle_abandoned(control.lifecycle), i + 1);
		failing[0] = 0;
	}
	/* `updated` cannot fail, nor can it make the others wait for ever. */
	strcpy(hanging, "updated a");
	assert_int_equal(change_quiet(all, ARRAY_SIZE(all)), 0);
	assert_non_null(strstr(record, "updated a\nupdated svc\n"));
	hanging[0] = 0;
	assert_int_equal(set("svc", "x", "2"), 0);
	assert_null(strstr(record, " a\n")); /* no hook of it is run any more */
	assert_int_equal(move(ADMIN_INACTIVE), 0);
	/* All but a's has been stopped, and what it held has gone. */
	assert_int_equal(entries(), 0);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		TEST(test_values),
		TEST(test_values),
		TEST(test_orders),
		TEST(test_restart),
		TEST(test_merge),
		TEST(test_altered_below),
		TEST(test_each_hook_fails),
		TEST(test_boot_fails),
		TEST(test_each_allocation_fails),
		TEST(test_one_method_defined_twice),
		TEST(test_claims),
		TEST(test_workers_named_twice),
		TEST(test_claims_of_merged_changes),
	};

	static const struct CMUnitTest hanging_tests[] = {
		cmocka_unit_test_setup(test_each_hook_hangs, set_up)};

	hangs = argc > 1 && strcmp(argv[1], "hangs") == 0;
	if (!hangs)
		return cmocka_run_group_tests(tests, NULL, NULL);
	/* Threads are left behind: nothing can be taken down under them. */
	_exit(cmocka_run_group_tests(hanging_tests, NULL, NULL));
}
