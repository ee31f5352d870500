/* test_oom.c - the n-th allocation fails, for every n until none does: what was asked for says so,
 * and everything taken before is given back. The linker puts the functions below in front of the
 * allocator (--wrap); mmap (mmap64, as meson has large files) counts as one: the machine takes its
 * slabs from there. */
#include "bare_node.h"
#include "client.h"
#include "fault.h"
#include "thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/mman.h>

static int64_t fail_in = -1; /* -1: never */
static uint32_t n_live, n_mapped;
static bool counting;

static bool fails(void)
{
	return counting && fail_in >= 0 && fail_in-- == 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_aligned_alloc(size_t to, size_t size);
void __real_free(void *p);
void *__real_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_aligned_alloc(size_t to, size_t size);
void __wrap_free(void *p);
void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t len);

static void *taken(void *p)
{
	n_live += counting && p;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? (errno = ENOMEM, NULL) : taken(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? (errno = ENOMEM, NULL) : taken(__real_calloc(n, size));
}

void *__wrap_aligned_alloc(size_t to, size_t size)
{
	return fails() ? (errno = ENOMEM, NULL) : taken(__real_aligned_alloc(to, size));
}

void __wrap_free(void *p)
{
	n_live -= counting && p;
	__real_free(p);
}

void *__wrap_mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *p = fails() ? (errno = ENOMEM, MAP_FAILED)
			  : __real_mmap64(at, len, prot, flags, fd, offset);

	n_mapped += counting && p != MAP_FAILED;
	return p;
}

int __wrap_munmap(void *at, size_t len)
{
	n_mapped -= counting;
	return __real_munmap(at, len);
}

/* Does `one` with the first, second, ... allocation failing. It returns whether it got what it
 * asked for, and gives back what it got. Returns how many allocations there are. */
static uint32_t sweep(bool (*one)(void))
{
	for (uint32_t n = 0;; n++) {
		bool got;

		n_live = n_mapped = 0;
		counting = true;
		fail_in = n;
		got = one();
		counting = false;
		if (n_live || n_mapped)
			fail_msg("allocation %u: %u blocks and %u mappings are left", n, n_live,
				n_mapped);
		if (fail_in >= 0) { /* there was no n-th */
			assert_true(got);
			return n;
		}
		assert_false(got);
		assert_true(n < 1000);
	}
}

/* ---- what is asked for ---- */

static enum tela_verdict enter(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_ANSWER;
}

static const struct tela_method_desc method = {"m", 1, 0, 0, NULL, NULL};
static const struct tela_service_desc desc = {"test.Test", 1, NULL, 0, 1, &method};
static const struct tela_service_desc desc2 = {"test.Other", 1, NULL, 0, 1, &method};
static const struct tela_link link_ = {NULL, &desc, 1, enter, NULL};
static const struct tela_image_link image_link = {&link_, NULL, "test"};
static const struct tela_budgets budgets = {.paths = 2,
	.sessions = 4,
	.slots = 8,
	.calls = 8,
	.messages_2k = 1,
	.messages_64k = 1,
	.messages_1m = 1,
	.in_flight = 8};

static struct tela_service *service;
static struct tela_node *node;
static char err[200];

static bool build_image(void)
{
	struct tela_image *i;

	err[0] = 0;
	i = image_build(service, 2, &image_link, 1, err, sizeof(err));
	if (!i)
		assert_non_null(strstr(err, "memory"));
	tela_image_free(i);
	return i != NULL;
}

static bool build_table(void)
{
	struct service_table *t = service_table_build(&service, 1);

	service_table_free(t);
	return t != NULL;
}

static bool make_service(void)
{
	struct tela_service *s = service_create(NULL, &desc, 0);

	service_free(s);
	return s != NULL;
}

static uint64_t io_random(void *io)
{
	(void)io;
	return 4;
}

static bool init_machine(void)
{
	static const struct machine_ops ops = {.random = io_random};
	static struct counts counts;
	static struct machine m;
	struct machine_config cfg = {.n_cores = 1, .budgets = budgets};
	int rc = machine_init(&m, &cfg, &ops, NULL, &counts);

	if (rc) {
		assert_int_equal(rc, -ENOMEM);
		return false;
	}
	machine_fini(&m);
	machine_fini(&m); /* one that is gone: does no harm */
	return true;
}

static bool make_node(void)
{
	struct tela_node *n = bare_node_create(2, &budgets);

	if (n)
		bare_node_destroy(n);
	return n != NULL;
}

static bool make_fault(void)
{
	struct fault *f = fault_create(0.1, 0.1, 0.1, 1);

	fault_destroy(f);
	return f != NULL;
}

static bool attach(void)
{
	struct tela_thread *t = tela_thread_attach(node);

	if (!t) {
		assert_int_equal(errno, ENOMEM);
		assert_null(node->threads[0]);
		return false;
	}
	counting = false; /* freed by the reclaimer, some time: the rest is no part of this */
	tela_thread_detach(t);
	node_reclaim_barrier(node);
	n_live = 0;
	return true;
}

static bool open_client(void)
{
	struct tela_client *c;

	errno = 0;
	c = tela_client_open(node, NULL, &desc, 0);
	if (!c) {
		assert_int_equal(errno, ENOMEM);
		return false;
	}
	node->clients = c->next;
	client_free(c);
	return true;
}

static bool add_service(void)
{
	struct service_table *old = atomic_load(&node->table);
	uint32_t n = node->n_services;
	struct tela_service *s = tela_service_add(node, &desc2);

	if (!s) {
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(node->n_services, n);
		assert_ptr_equal(atomic_load(&node->table), old);
		assert_null(tela_service_find(node, desc2.name));
		return false;
	}
	counting = false; /* it stays until the node ends */
	assert_ptr_equal(tela_service_find(node, desc2.name), s);
	n_live = 0;
	return true;
}

/* ---- tests ---- */

static void test_pieces(void **state)
{
	(void)state;
	service = service_create(NULL, &desc, 0);
	assert_int_equal(sweep(build_image), 1);
	assert_int_equal(service->generation, 0); /* one that was not published is none */
	assert_int_equal(sweep(build_table), 1);
	assert_int_equal(sweep(make_service), 1);
	assert_int_equal(sweep(make_fault), 1);
	service_free(service);
}

static void test_machine(void **state)
{
	(void)state;
	assert_true(sweep(init_machine) > 10);
}

static void test_node(void **state)
{
	(void)state;
	assert_true(sweep(make_node) > 30);
}

static void test_of_a_node(void **state)
{
	(void)state;
	node = bare_node_create(2, &budgets);
	assert_non_null(node);
	assert_true(sweep(attach) >= 1);
	assert_true(sweep(open_client) >= 2);
	assert_true(sweep(add_service) >= 2);
	bare_node_destroy(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_of_a_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
