/* test_numa.c - which NUMA node is asked for, what comes of it, and what is said where that is in
 * vain. */
#include "bare_node.h"
#include "dpdk.h"
#include "eal.h"
#include "numa.h"
#include "port.h"
#include "slab.h"
#include "tela_node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BYTES = 1 << 20, NO_SUCH = 1000, OTHER = 1 };

static int policy(unsigned long *ret_nodes)
{
	unsigned long mask[1024 / 64] = {0};
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, mask, 1024, NULL, 0))
		return -errno;
	*ret_nodes = mask[0];
	return mode;
}

static void test_prefer(void **state)
{
	unsigned long nodes, one = 1;
	int rc = numa_prefer(0);
	void *memory = slab_take(BYTES);

	(void)state;
	assert_non_null(memory);
	if (rc) { /* a kernel without NUMA, or a sandbox: memory comes as ever */
		assert_true(rc == -EPERM || rc == -ENOSYS);
		assert_true(numa_of(memory) <= 0);
		slab_give(memory, BYTES);
		skip();
	}
	assert_int_equal(policy(&nodes), MPOL_PREFERRED);
	assert_int_equal(nodes, 1);
	for (size_t i = 0; i < BYTES; i += 4096)
		assert_int_equal(numa_of((char *)memory + i), 0);
	slab_give(memory, BYTES);
	numa_default();
	assert_int_equal(policy(&nodes), MPOL_DEFAULT);
	/* One that is not there changes nothing. */
	assert_int_equal(numa_prefer(NO_SUCH), -EINVAL);
	assert_int_equal(numa_prefer(100000), -EINVAL);
	assert_int_equal(numa_prefer(NUMA_ANY), -EINVAL);
	assert_int_equal(policy(&nodes), MPOL_DEFAULT);
	/* What the operator has chosen stays. */
	assert_int_equal(syscall(SYS_set_mempolicy, MPOL_BIND, &one, 64), 0);
	assert_int_equal(numa_prefer(0), -EBUSY);
	assert_int_equal(policy(&nodes), MPOL_BIND);
	numa_default();
}

/* A port on a socket that has no memory has its buffers on another, and says so. */
static void test_elsewhere(void **state)
{
	const struct tela_core_config core = {.cpu = sched_getcpu()};
	const struct tela_node_config config = {
		.name = "numa", .cores = &core, .n_cores = 1, .share_cpu = true, .memory_mib = 32};
	struct port port = {.socket = NUMA_ANY, .elsewhere.node = NUMA_ANY, .mbuf_room = 2176};
	struct rte_mempool *near, *far;
	char err[256] = "";

	(void)state;
	if (eal_start(&config, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(eal_socket(0) < 0, false);
	near = port_pool_create(&port, 0, 511, eal_socket(0));
	assert_non_null(near);
	assert_int_equal(near->socket_id, eal_socket(0));
	assert_int_equal(port.elsewhere.node, NUMA_ANY);
	port.socket = OTHER;
	port.id = 1;
	far = port_pool_create(&port, 0, 511, eal_socket(0));
	assert_non_null(far);
	if (eal_sockets() == 1 && eal_huge()) {
		assert_int_equal(far->socket_id, SOCKET_ID_ANY);
		assert_int_equal(port.elsewhere.node, OTHER);
		assert_int_not_equal(port.elsewhere.error, 0);
	} else { /* ordinary memory knows no sockets; or there is that one */
		assert_int_equal(far->socket_id, OTHER);
	}
	port_pool_free(near);
	port_pool_free(far);
	eal_stop();
}

struct told {
	bool owner;
	uint32_t n;
	char last[2][256];
};

static void tell(void *arg, const char *text)
{
	struct told *t = arg;

	t->owner |= strstr(text, "budgets of") && strstr(text, " node");
	if (strstr(text, "NUMA"))
		snprintf(t->last[t->n++ % 2], sizeof(t->last[0]), "%s", text);
}

static void test_told(void **state)
{
	struct tela_node *n = bare_node_create(1, &bare_node_small);
	struct tela_core_info core;
	struct told t = {0};

	(void)state;
	assert_non_null(n);
	tela_node_print_budgets(n, tell, &t);
	assert_int_equal(t.n, 0);
	assert_true(t.owner);
	n->cores[0]->memory = (struct numa_place){1, -EPERM};
	n->ports[0] = (struct port){.name = "nic", .elsewhere = {1, -ENOMEM}};
	n->n_ports = 1;
	tela_node_print_budgets(n, tell, &t);
	n->n_ports = 0;
	assert_int_equal(t.n, 2);
	assert_non_null(strstr(t.last[0], "core 0 "));
	assert_non_null(strstr(t.last[0], "not of 1: Operation not permitted"));
	assert_string_equal(t.last[1],
		"buffers of port nic are of any NUMA socket, not of 1: Cannot allocate memory");
	assert_int_equal(tela_node_core_info(n, 0, &core), 0);
	assert_true(core.memory_socket == numa_of(n->cores[0]->m.paths));
	bare_node_destroy(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefer),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
