/* request_out on a node's real loop: links of the calling service see what goes out, add to it,
 * replace it, or answer in the callee's place, for a client of one instance and of many, from a
 * core and from a worker; whatever they say comes back as any status, and never inside the call
 * that sends. What they leave pending goes on when it is resumed, and ends without them. */
#include "bare_node.h"

#include "tela_mesh.h"
#include "worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { GO = 1, GO_BLOCKING = 2, ECHO = 1 };

static struct tela_node *node;
static struct tela_thread *thread;
static struct tela_client *front_client, *to_back, *to_back_mesh;
static _Atomic uint32_t n_served, n_linked, n_inside;
static __thread bool sending;

static bool is(struct tela_str s, const char *what)
{
	return s.len == strlen(what) && !memcmp(s.s, what, s.len);
}

/* ---- the callee ---- */

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	struct tela_str who = tela_call_metadata(call, "who");
	char text[64];

	(void)self;
	atomic_fetch_add(&n_served, 1);
	snprintf(text, sizeof(text), "%.*s", (int)who.len, who.s ? who.s : "");
	tela_reply_metadata(call, "who", text);
	snprintf(text, sizeof(text), "%u", call->hops);
	tela_reply_metadata(call, "hops", text);
	return tela_reply_copy(call, call->request, call->request_len);
}

static const struct tela_method_desc back_methods[] = {{"echo", ECHO, 0, 0, NULL, NULL}};
static const struct tela_service_desc back = {"test.Back", 1, NULL, 0, 1, back_methods};
static const struct tela_link back_link = {.service = &back, .method = ECHO, .enter = echo};

/* ---- the caller ---- */

/* What a call has to tell whoever called it. */
struct waiting {
	struct tela_handle handle;
};

static struct waiting *latest; /* whose completion a node that ends does not run */

static void answer(struct tela_core *core, struct tela_handle h, const struct tela_result *r)
{
	struct tela_status_view s;
	char name[64];

	tela_result_status(r, &s);
	snprintf(name, sizeof(name), "%.*s", (int)s.name.len, s.name.s);
	if (r->code)
		tela_core_answer_with(core, h,
			&(struct tela_status){.name = name, .info = tela_outcome_name(r->outcome)});
	else
		tela_core_answer(core, h, r->payload, r->len);
}

static void done(void *arg, const struct tela_result *r)
{
	struct waiting *w = arg;

	atomic_fetch_add(&n_inside, sending);
	if (!r->code && tela_result_metadata(r, "who").s &&
		!is(tela_result_metadata(r, "who"), "")) {
		struct tela_str who = tela_result_metadata(r, "who");

		CHECK(is(tela_result_metadata(r, "hops"), "1"));
		tela_core_answer(tela_core_self(), w->handle, who.s, who.len);
	} else {
		answer(tela_core_self(), w->handle, r);
	}
	free(w);
}

static enum tela_verdict go(struct tela_call *call, void *self)
{
	struct tela_str what = tela_call_metadata(call, "what"),
			mesh = tela_call_metadata(call, "mesh");
	char text[32];
	struct tela_pair m[] = {{"what", text}, {"more", "1"}};
	struct tela_options o = {.parent = call,
		.metadata = m,
		.n_metadata = 2,
		.deadline_us = mesh.len > 3 ? 20000 : 0};
	struct waiting *w = calloc(1, sizeof(*w));
	struct tela_request r;
	int rc;

	(void)self;
	CHECK(w);
	latest = w;
	tela_call_identify(call, 7, "alice");
	snprintf(text, sizeof(text), "%.*s", (int)what.len, what.s);
	CHECK(!tela_call_pend(call, &w->handle, NULL, NULL));
	rc = tela_request_begin(
		mesh.s && mesh.len != 4 ? to_back_mesh : to_back, &back_methods[0], 8, &o, &r);
	CHECK(!rc);
	memcpy(r.payload, "original", 8);
	if (!strcmp(text, "abandon")) {
		tela_request_abandon(&r);
		free(w);
		return tela_reply_error(call, "gone", NULL);
	}
	sending = true;
	tela_request_send(&r, done, w);
	sending = false;
	return TELA_PENDING;
}

static enum tela_verdict go_blocking(struct tela_call *call, void *self)
{
	struct tela_str what = tela_call_metadata(call, "what");
	char text[32];
	struct tela_pair m[] = {{"what", text}};
	struct tela_options o = {.parent = call, .metadata = m, .n_metadata = 1};
	struct tela_reply r;
	enum tela_verdict v;

	(void)self;
	tela_call_identify(call, 7, "alice");
	snprintf(text, sizeof(text), "%.*s", (int)what.len, what.s);
	CHECK(!tela_thread_call(
		tela_thread_self(), to_back, &back_methods[0], "original", 8, &o, &r));
	v = r.code ? tela_reply_status(call, r.code, r.message)
		   : tela_reply_copy(call, r.payload, r.len);
	tela_reply_free(&r);
	return v;
}

/* ---- links that answer later: a thread goes on with them ---- */

enum { LATER = 64 };

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	bool end;
	uint32_t n, n_kept; /* kept: until they are let go */
	struct tela_handle handle[LATER], kept[LATER];
	char how[LATER][16];
} later = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum tela_verdict leave_to_thread(struct tela_call *call, const char *how)
{
	struct tela_handle h;

	CHECK(!tela_call_pend(call, &h, NULL, NULL));
	CHECK(call->request_len == 8 && !memcmp(call->request, "original", 8));
	pthread_mutex_lock(&later.lock);
	CHECK(later.n < LATER);
	later.handle[later.n] = h;
	snprintf(later.how[later.n++], sizeof(later.how[0]), "%s", how);
	pthread_mutex_unlock(&later.lock);
	return TELA_PENDING;
}

static int resume(struct tela_thread *t, struct tela_handle h, const char *how)
{
	if (!strcmp(how, "replace"))
		return tela_thread_continue(t, h, "replaced by another", 19);
	if (!strcmp(how, "refuse"))
		return tela_thread_answer_status(t, h, TELA_PERMISSION_DENIED, "not now");
	if (!strcmp(how, "cache"))
		return tela_thread_answer(t, h, "cached", 6);
	if (!strcmp(how, "create"))
		return tela_thread_answer_created(t, h, "created", 7);
	if (strcmp(how, "never"))
		return tela_thread_continue(t, h, NULL, 0);
	CHECK(later.n_kept < LATER);
	later.kept[later.n_kept++] = h;
	return 0;
}

static void *resume_all(void *arg)
{
	struct tela_thread *t = tela_thread_attach(node);
	bool end = false;

	CHECK(t);
	while (!end) {
		pthread_mutex_lock(&later.lock);
		while (later.n && !resume(t, later.handle[later.n - 1], later.how[later.n - 1]))
			later.n--;
		end = later.end;
		pthread_mutex_unlock(&later.lock);
		usleep(100);
	}
	tela_thread_detach(t);
	return arg;
}

/* Those that the thread keeps, when it has taken all that links have left to it. */
static uint32_t n_kept(void)
{
	uint32_t n, left = 1;

	for (int i = 0; left && i < 5000; i++) {
		pthread_mutex_lock(&later.lock);
		left = later.n;
		n = later.n_kept;
		pthread_mutex_unlock(&later.lock);
		if (left)
			usleep(1000);
	}
	assert_int_equal(left, 0);
	return n;
}

static void later_start(void)
{
	later.end = false;
	CHECK(!pthread_create(&later.thread, NULL, resume_all, NULL));
}

static void later_stop(void)
{
	pthread_mutex_lock(&later.lock);
	later.end = true;
	pthread_mutex_unlock(&later.lock);
	pthread_join(later.thread, NULL);
}

/* What nobody waits for any more is gone on with all the same. */
static void let_go(void)
{
	uint32_t n = n_kept();
	uint64_t dropped;

	/* Its caller hears first; then the call that it was made for ends, and may be dropped. */
	for (int i = 0; i < 5000 && tela_node_in_flight(node) > n; i++)
		usleep(1000);
	dropped = tela_node_counter(node, "drop_detached");
	pthread_mutex_lock(&later.lock);
	for (; later.n_kept; later.n_kept--)
		while (tela_thread_continue(thread, later.kept[later.n_kept - 1], NULL, 0))
			usleep(100);
	pthread_mutex_unlock(&later.lock);
	for (int i = 0; i < 5000 && tela_node_counter(node, "drop_detached") < dropped + n; i++)
		usleep(1000);
	assert_int_equal(tela_node_counter(node, "drop_detached"), dropped + n);
}

/* "later" goes on as it is, "later_X" as X says, "latest" after both links have had it. */
static bool is_later(struct tela_str what, const char **ret_how)
{
	*ret_how = what.len > 6 ? what.s + 6 : "";
	return what.len >= 5 && !memcmp(what.s, "later", 5);
}

/* Sees it first. */
static enum tela_verdict upper(struct tela_call *call, void *self)
{
	struct tela_str what = tela_call_metadata(call, "what");
	const char *how;

	atomic_fetch_add(&n_linked, 1);
	CHECK(self == &node && !strcmp(call->service->name, "test.Back"));
	CHECK(!strcmp(call->method->name, "echo") && call->identity == 7);
	CHECK(!strcmp(tela_call_subject(call), "alice") && tela_call_core(call));
	CHECK(call->request_len == 8 && !memcmp(call->request, "original", 8));
	if (is(what, "add"))
		CHECK(!tela_call_metadata_add(call, "who", "upper"));
	if (is(what, "much"))
		for (int i = 0; i < 17; i++)
			CHECK(!tela_call_metadata_add(call, "who", "upper"));
	if (is(what, "large"))
		for (int i = 0; i < 10; i++)
			CHECK(!tela_call_metadata_add(call, "who",
				"012345678901234567890123456789012345678901234567890123456789012345"
				"6"
				"789012345678901234567890123456789012345678901234567890123456789"));
	if (is(what, "replace"))
		CHECK(!tela_call_replace(call, "replaced by another", 19));
	if (is_later(what, &how))
		return leave_to_thread(call, how);
	if (is(what, "refuse"))
		return tela_reply_error(call, "forbidden", NULL);
	if (is(what, "hidden"))
		return tela_reply_error(call, "nobody_knows", NULL);
	if (is(what, "cache"))
		return tela_reply_copy(call, "cached", 6);
	return is(what, "wait") ? TELA_PENDING : TELA_CONTINUE;
}

/* Sees what the one above has made of it. */
static enum tela_verdict lower(struct tela_call *call, void *self)
{
	struct tela_str what = tela_call_metadata(call, "what");

	(void)self;
	atomic_fetch_add(&n_linked, 1);
	if (is(what, "add")) {
		CHECK(is(tela_call_metadata(call, "who"), "upper"));
		CHECK(!tela_call_metadata_add(call, "who", "lower"));
	}
	CHECK((is(what, "replace") || is(what, "later_replace")) == (call->request_len == 19));
	CHECK(call->identity == 7 && !strcmp(tela_call_subject(call), "alice"));
	if (is(what, "later_both")) {
		CHECK(!tela_call_metadata_add(call, "who", "lower, later"));
		return leave_to_thread(call, "");
	}
	return is(what, "latest") ? leave_to_thread(call, "refuse") : TELA_CONTINUE;
}

static const struct tela_method_desc front_methods[] = {
	{"go", GO, 0, 0, NULL, NULL}, {"go_blocking", GO_BLOCKING, 0, 0, NULL, NULL}};
static const struct tela_service_desc front = {"test.Front", 1, NULL, 0, 2, front_methods};
static const struct tela_link front_links[] = {
	{.service = &front, .method = GO, .enter = go},
	{.service = &front, .method = GO_BLOCKING, .enter = go_blocking, .blocking = true},
	{.callback = TELA_REQUEST_OUT, .enter = upper},
	{.callback = TELA_REQUEST_OUT, .enter = lower},
};

static void publish(const struct tela_service_desc *d, const struct tela_link *links, uint32_t n)
{
	struct tela_service *s = tela_service_add(node, d);
	struct tela_image_link il[8];
	struct tela_image *image;
	char err[200] = "";

	for (uint32_t i = 0; i < n; i++)
		il[i] = (struct tela_image_link){&links[i], &node, "test"};
	image = tela_image_build(s, il, n, err, sizeof(err));
	if (!image)
		print_error("%s\n", err);
	assert_non_null(image);
	tela_image_publish(s, image, NULL, NULL);
}

static int set_up(void **state)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 8,
		.slots = 64,
		.slots_per_session = 64,
		.calls = 64,
		.detached = 16,
		.messages_2k = 64,
		.messages_64k = 4,
		.messages_1m = 2,
		.in_flight = 64};
	static const struct tela_mesh_instance here = {0};
	static const struct tela_mesh_config many = {.instances = &here, .n_instances = 1};
	char err[200];

	(void)state;
	node = bare_node_create(1, &budgets);
	assert_non_null(node);
	assert_int_equal(workers_start(node, 1), 0);
	publish(&back, &back_link, 1);
	publish(&front, front_links, ARRAY_SIZE(front_links));
	front_client = tela_client_open(node, NULL, &front, 1);
	to_back = tela_client_open(node, NULL, &back, 1);
	to_back_mesh = tela_mesh_open(node, &back, &many, err, sizeof(err));
	assert_true(front_client && to_back && to_back_mesh);
	bare_node_start(node);
	thread = tela_thread_attach(node);
	return thread ? 0 : -1;
}

static int tear_down(void **state)
{
	const struct core *c = node->cores[0];
	const struct machine *m = &c->m;

	(void)state;
	tela_thread_detach(thread);
	for (int i = 0; i < 3 || (i < 2000 && atomic_load(&c->in_flight)); i++)
		usleep(1000);
	bare_node_stop(node);
	assert_int_equal(m->n_calls_busy, 0);
	assert_int_equal(m->n_made, 0);
	for (int i = 0; i < MSG_CLASSES; i++)
		assert_int_equal(m->msgs.n_free[i], m->msgs.n[i]);
	bare_node_destroy(node);
	return 0;
}

/* ---- tests ---- */

struct answer {
	uint8_t code;
	char text[64], message[204];
};

static struct answer ask_within(struct tela_thread *t, uint16_t method, const char *what,
	const char *mesh, uint64_t deadline_us)
{
	struct tela_pair m[] = {{"what", what}, {"mesh", mesh}};
	struct tela_options o = {
		.metadata = m, .n_metadata = mesh ? 2 : 1, .deadline_us = deadline_us};
	struct answer a = {0};
	struct tela_reply r;

	if (tela_thread_call(t, front_client, &front_methods[method - 1], "", 0, &o, &r)) {
		a.code = TELA_CANCELLED; /* the node has stopped */
		return a;
	}
	a.code = r.code;
	snprintf(a.text, sizeof(a.text), "%.*s", (int)r.len, (char *)r.payload);
	snprintf(a.message, sizeof(a.message), "%s", r.message);
	tela_reply_free(&r);
	return a;
}

static struct answer ask(uint16_t method, const char *what, bool mesh)
{
	return ask_within(thread, method, what, mesh ? "yes" : NULL, 60000000);
}

static void assert_ok(const struct answer *a, const char *text)
{
	if (a->code)
		print_error("%s\n", a->message);
	assert_int_equal(a->code, TELA_OK);
	assert_string_equal(a->text, text);
}

/* It has not left: no handler ran, and its caller knows that. */
static void assert_refused(const struct answer *a, uint8_t code)
{
	assert_int_equal(a->code, code);
	assert_string_equal(a->message, "not executed");
}

static void each_way(bool mesh)
{
	struct answer a = ask(GO, "nothing", mesh);
	uint32_t served, linked;
	uint64_t intercepted;

	assert_ok(&a, "original");
	a = ask(GO, "add", mesh);
	assert_ok(&a, "lower"); /* the latest first */
	a = ask(GO, "replace", mesh);
	assert_ok(&a, "replaced by another");
	served = atomic_load(&n_served);
	linked = atomic_load(&n_linked);
	intercepted = tela_node_counter(node, "calls_intercepted");
	a = ask(GO, "cache", mesh);
	assert_ok(&a, "cached");
	a = ask(GO, "refuse", mesh);
	assert_refused(&a, TELA_PERMISSION_DENIED);
	a = ask(GO, "hidden", mesh);
	assert_refused(&a, TELA_INTERNAL);
	a = ask(GO, "wait", mesh);
	assert_refused(&a, TELA_INTERNAL);
	assert_int_equal(atomic_load(&n_linked), linked + 4); /* the lower one saw none */
	a = ask(GO, "much", mesh);
	assert_refused(&a, TELA_RESOURCE_EXHAUSTED);
	if (!mesh) { /* a client of many only sees it when an instance is to be asked */
		a = ask(GO, "large", mesh);
		assert_refused(&a, TELA_RESOURCE_EXHAUSTED);
	}
	assert_int_equal(atomic_load(&n_served), served);
	assert_int_equal(
		tela_node_counter(node, "calls_intercepted"), intercepted + (mesh ? 5 : 6));
	a = ask(GO, "abandon", mesh);
	assert_int_equal(a.code, TELA_NOT_FOUND);
	assert_int_equal(atomic_load(&n_inside), 0);
}

static void test_one_instance(void **state)
{
	(void)state;
	each_way(false);
}

static void test_many_instances(void **state)
{
	(void)state;
	each_way(true);
}

/* From a worker: the links run on the core all the same. */
static void test_blocking(void **state)
{
	struct answer a = ask(GO_BLOCKING, "nothing", false);

	(void)state;
	assert_ok(&a, "original");
	a = ask(GO_BLOCKING, "replace", false);
	assert_ok(&a, "replaced by another");
	a = ask(GO_BLOCKING, "refuse", false);
	assert_int_equal(a.code, TELA_PERMISSION_DENIED);
}

static void later_each_way(bool mesh)
{
	uint32_t served;
	struct answer a;

	later_start();
	a = ask(GO, "later", mesh);
	assert_ok(&a, "original");
	a = ask(GO, "later_add", mesh);
	assert_ok(&a, "original");
	a = ask(GO, "later_replace", mesh);
	assert_ok(&a, "replaced by another");
	a = ask(GO, "later_both", mesh);
	assert_ok(&a, "lower, later");
	served = atomic_load(&n_served);
	a = ask(GO, "later_cache", mesh);
	assert_ok(&a, "cached");
	a = ask(GO, "later_create", mesh);
	assert_ok(&a, "created");
	a = ask(GO, "later_refuse", mesh);
	assert_refused(&a, TELA_PERMISSION_DENIED);
	a = ask(GO, "latest", mesh); /* only the second one waits */
	assert_refused(&a, TELA_PERMISSION_DENIED);
	/* Its caller has gone: a deadline that is over for the whole tree. */
	a = ask_within(thread, GO, "later_never", mesh ? "yes" : NULL, 30000);
	assert_int_equal(a.code, TELA_DEADLINE_EXCEEDED);
	let_go();
	assert_int_equal(atomic_load(&n_served), served);
	assert_int_equal(atomic_load(&n_inside), 0);
	later_stop();
}

static void test_later(void **state)
{
	(void)state;
	later_each_way(false);
}

static void test_later_of_many(void **state)
{
	(void)state;
	later_each_way(true);
}

/* Its own deadline passes while the call that it is for goes on. */
static void test_later_than_its_deadline(void **state)
{
	static const char *const soon[] = {"soon", "soon, of many"};

	(void)state;
	later_start();
	for (int i = 0; i < 2; i++) {
		struct answer a = ask_within(thread, GO, "later_never", soon[i], 60000000);

		assert_refused(&a, TELA_DEADLINE_EXCEEDED);
		assert_int_equal(n_kept(), 1);
		let_go();
	}
	later_stop();
}

/* Asks from a thread of its own. */
static void *ask_never(void *arg)
{
	struct tela_thread *t = tela_thread_attach(node);

	CHECK(t);
	*(struct answer *)arg = ask_within(t, GO, "later_never", NULL, 2000000);
	tela_thread_detach(t);
	return NULL;
}

static void await_kept(void)
{
	for (int i = 0; i < 5000 && !n_kept(); i++)
		usleep(1000);
	assert_int_equal(n_kept(), 1);
}

static void cancel_front(void)
{
	tela_service_cancel(tela_service_find(node, "test.Front"), UINT64_MAX);
}

/* A drain that has waited long enough ends the calls of the service, and what goes out for them. */
static void test_drained_meanwhile(void **state)
{
	const struct tela_service *s = tela_service_find(node, "test.Front");
	struct answer a;
	pthread_t asker;

	(void)state;
	later_start();
	assert_int_equal(pthread_create(&asker, NULL, ask_never, &a), 0);
	await_kept();
	assert_true(tela_node_in_flight(node) > 0);
	cancel_front();
	pthread_join(asker, NULL);
	assert_int_equal(a.code, TELA_UNAVAILABLE);
	/* The link need not hear of it for its image to be free. */
	for (int i = 0; i < 5000 && tela_service_in_flight(s); i++) {
		cancel_front();
		usleep(1000);
	}
	assert_int_equal(tela_service_in_flight(s), 0);
	assert_int_equal(n_kept(), 1);
	while (tela_thread_continue(thread, later.kept[--later.n_kept], NULL, 0))
		later.n_kept++, usleep(100);
	later_stop();
}

/* The node ends before anybody resumes the call. */
static void test_shut_down_meanwhile(void **state)
{
	struct answer a;
	pthread_t asker;

	assert_int_equal(set_up(state), 0);
	later_start();
	assert_int_equal(pthread_create(&asker, NULL, ask_never, &a), 0);
	await_kept();
	bare_node_stop(node);
	cancel_front(); /* nobody has seen this one when the next comes: it is not lost */
	tela_service_cancel(tela_service_find(node, "test.Front"), 1);
	assert_true(tela_service_find(node, "test.Front")->core[0].cancel == UINT64_MAX);
	atomic_store(&node->polling, false); /* who waits is told */
	pthread_join(asker, NULL);
	assert_int_equal(a.code, TELA_CANCELLED);
	later.n_kept = 0;
	later_stop();
	tela_thread_detach(thread);
	bare_node_destroy(node);
	free(latest);
}

/* A call that is made for none passes no links. */
static void test_without_a_parent(void **state)
{
	uint32_t linked = atomic_load(&n_linked);
	struct tela_reply r;

	(void)state;
	assert_int_equal(tela_thread_call(thread, to_back, &back_methods[0], "x", 1, NULL, &r), 0);
	assert_int_equal(r.code, TELA_OK);
	tela_reply_free(&r);
	assert_int_equal(atomic_load(&n_linked), linked);
}

static void told(void *arg, const struct tela_ends *e)
{
	if (!strcmp(e->side, "caller") && !strcmp(e->service, "test.Back") &&
		!strcmp(e->reason, "forbidden"))
		*(uint64_t *)arg += e->calls;
}

/* Whoever wants to hear how calls end is told of those since, each once. */
static void test_told(void **state)
{
	uint64_t calls = 0, sum = 0;

	(void)state;
	tela_node_on_ends(node, told, &calls);
	tela_node_poll(node); /* what there was before */
	calls = 0;
	for (int i = 0; i < 3; i++)
		ask(GO, "refuse", false);
	node->ends_told_ns = 0; /* a second is over */
	tela_node_poll(node);
	assert_int_equal(calls, 3);
	node->ends_told_ns = 0;
	tela_node_poll(node);
	assert_int_equal(calls, 3);
	tela_node_on_ends(node, NULL, NULL);
	tela_node_ends(node, told, &sum);
	assert_true(sum >= 3);
}

/* Calls that handlers of the front have answered, and how long the longest took. */
struct heard {
	uint64_t calls, max_ns;
};

static void hear(void *arg, const struct tela_latency *l)
{
	struct heard *h = arg;

	if (strcmp(l->side, "callee") || strcmp(l->part, "queue") ||
		strcmp(l->service, "test.Back"))
		return;
	h->calls += l->calls;
	h->max_ns = max_u64(h->max_ns, l->max_ns);
	assert_true(l->p50_ns <= l->max_ns);
}

/* Whoever wants to hear how many calls there are, and how long they take, is told of those since:
 * together they are what tela_node_latency() shows. */
static void test_told_of_all(void **state)
{
	struct heard before = {0}, after = {0}, since = {0};

	(void)state;
	assert_int_equal(tela_node_latency(node, UINT32_MAX, hear, &before), 0);
	assert_int_equal(tela_node_on_latency(node, hear, &since), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20; i++)
			ask(GO, "nothing", false);
		node->latency_told_ns = 0; /* a second is over */
		tela_node_poll(node);
	}
	assert_int_equal(tela_node_latency(node, UINT32_MAX, hear, &after), 0);
	assert_true(since.calls > 0);
	assert_int_equal(since.calls, after.calls - before.calls);
	assert_true(since.max_ns <= after.max_ns);
	node->latency_told_ns = 0;
	tela_node_poll(node); /* nothing new */
	assert_int_equal(since.calls, after.calls - before.calls);
	assert_int_equal(tela_node_on_latency(node, NULL, NULL), 0);
}

/* Each call holds a call object more while it is on its way out: when there is none, it is not
 * made, and all is there again afterwards (tear_down). */
static void test_again_and_again(void **state)
{
	static const char *const what[] = {"nothing", "add", "replace", "refuse", "cache", "wait"};

	(void)state;
	for (int i = 0; i < 300; i++)
		ask(GO, what[i % ARRAY_SIZE(what)], i % 2);
	assert_int_equal(atomic_load(&n_inside), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_later_of_many),
		cmocka_unit_test(test_later_than_its_deadline),
		cmocka_unit_test(test_drained_meanwhile),
		cmocka_unit_test(test_one_instance),
		cmocka_unit_test(test_many_instances),
		cmocka_unit_test(test_blocking),
		cmocka_unit_test(test_without_a_parent),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_told_of_all),
		cmocka_unit_test(test_again_and_again),
	};
	const struct CMUnitTest last[] = {cmocka_unit_test(test_shut_down_meanwhile)};

	return cmocka_run_group_tests(tests, set_up, tear_down) |
	       cmocka_run_group_tests(last, NULL, NULL);
}
