/* test_idle.c - a core that goes to sleep until an interrupt, and what comes just then: a frame
 * before the interrupts are on, one after the last look at the queue, work of another thread, and
 * events that last or are seen once. The device is here: the linker puts it in the place of the
 * pass over the queues and of the driver's interrupts, so that each comes at its moment. */
#include "bare_node.h"

#include "idle.h"
#include "net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#define _LGPL_SOURCE
#include <urcu-qsbr.h>

bool __real_core_pass(struct core *c);
bool __wrap_core_pass(struct core *c);
int __real_port_interrupt_fd(const struct port *p, uint16_t queue, bool *ret_level);
int __wrap_port_interrupt_fd(const struct port *p, uint16_t queue, bool *ret_level);
void __wrap_port_interrupt(const struct port *p, uint16_t queue, bool on);

/* ---- the device ---- */

static struct {
	int fd;
	bool level, on;
	bool frame; /* in the queue */
	bool late;  /* what has come is not seen in the queue yet */
	void (*before_on)(void), (*after_look)(void);
	uint32_t looks;
} device;

static struct tela_node *node;
static struct core *core;
static struct port port = {.name = "p0", .n_queues = 1, .driver = "net_test"};
static struct netif nif = {.port = &port};

static void arrives(void)
{
	device.frame = true;
	if (device.on)
		CHECK(!eventfd_write(device.fd, 1));
}

/* For once. */
static void call(void (**hook)(void))
{
	void (*fn)(void) = *hook;

	*hook = NULL;
	if (fn)
		fn();
}

bool __wrap_core_pass(struct core *c)
{
	bool found = device.frame && !device.late;
	eventfd_t unread;

	device.looks++;
	if (found) {
		device.frame = false;
		count(&c->counts, count_rx_frames);
		if (device.level)
			(void)eventfd_read(device.fd, &unread);
	}
	call(&device.after_look);
	return found;
}

int __wrap_port_interrupt_fd(const struct port *p, uint16_t queue, bool *ret_level)
{
	(void)p;
	(void)queue;
	*ret_level = device.level;
	return device.fd;
}

void __wrap_port_interrupt(const struct port *p, uint16_t queue, bool on)
{
	(void)p;
	(void)queue;
	if (on)
		call(&device.before_on);
	device.on = on;
}

/* ---- a core that has found nothing for long ---- */

static uint64_t counted(enum count_id id)
{
	return count_read(&core->counts, id);
}

/* Nothing is due for the next `due_ns`. */
static void falls_asleep(uint64_t due_ns)
{
	core->m.now_ns = core_clock(core);
	core->m.due_ns = core->m.now_ns + due_ns;
	core->idle_passes = 1 << 20;
	idle_pass(core);
	assert_false(device.on); /* until the next time */
	assert_false(atomic_load(&core->wake.asleep));
}

static int open_core(bool level)
{
	const struct tela_budgets budgets = {.messages_64k = 1, .messages_1m = 1};
	char err[200] = "";

	memset(&device, 0, sizeof(device));
	device.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	device.level = level;
	node = bare_node_create(1, &budgets);
	if (device.fd < 0 || !node)
		return -1;
	core = node->cores[0];
	core->idle = TELA_IDLE_INTERRUPT;
	core->netif = &nif;
	core->n_netifs = 1;
	rcu_register_thread();
	return idle_open(core, err, sizeof(err));
}

static int set_up(void **state)
{
	(void)state;
	return open_core(false);
}

static int set_up_level(void **state)
{
	(void)state;
	return open_core(true);
}

static int tear_down(void **state)
{
	(void)state;
	rcu_unregister_thread();
	idle_close(core);
	core->netif = NULL;
	core->n_netifs = 0;
	bare_node_destroy(node);
	close(device.fd);
	return 0;
}

/* Long enough that nobody is there to see it when a wake-up is lost: then the counters tell. */
#define LONG_NS  NS_PER_S
#define SHORT_NS NS_PER_MS

static void test_nothing_comes(void **state)
{
	(void)state;
	falls_asleep(SHORT_NS);
	assert_int_equal(counted(count_sleeps), 1);
	assert_int_equal(counted(count_interrupts), 0);
	assert_int_equal(counted(count_interrupts_missed), 0);
	assert_int_equal(device.looks, 2); /* before it sleeps, and when none had woken it */
}

/* Between the last pass and the interrupts: nothing tells of it, the look after that finds it. */
static void test_before_they_are_on(void **state)
{
	(void)state;
	device.before_on = arrives;
	falls_asleep(LONG_NS);
	assert_false(device.frame);
	assert_int_equal(counted(count_sleeps), 0);
	assert_int_equal(core->idle_passes, 0);
}

/* Behind that look: its interrupt ends the sleep. */
static void test_behind_the_look(void **state)
{
	(void)state;
	device.after_look = arrives;
	falls_asleep(LONG_NS);
	assert_int_equal(device.looks, 1);
	assert_int_equal(counted(count_sleeps), 1);
	assert_int_equal(counted(count_interrupts), 1);
	assert_int_equal(counted(count_interrupts_missed), 0);
	assert_true(device.frame); /* for the next pass */
}

static void ask(void)
{
	atomic_store(&core->command, CORE_LEAVE);
	wake_up(&core->wake);
}

/* Another thread leaves work behind that look, when the core does not say yet that it sleeps. */
static void test_asked_behind_the_look(void **state)
{
	(void)state;
	device.after_look = ask;
	falls_asleep(LONG_NS);
	assert_int_equal(counted(count_sleeps), 0);
}

static void a_timer(void)
{
	core->m.due_ns = core->m.now_ns;
}

/* That look has made something due at once. */
static void test_due_behind_the_look(void **state)
{
	(void)state;
	device.after_look = a_timer;
	falls_asleep(LONG_NS);
	assert_int_equal(counted(count_sleeps), 0);
}

/* A tap wakes before its frame can be seen: each sleep ends at once until it was. */
static void test_an_event_that_lasts(void **state)
{
	(void)state;
	device.after_look = arrives;
	device.late = true;
	for (uint64_t i = 1; i <= 3; i++) {
		falls_asleep(LONG_NS);
		assert_int_equal(counted(count_interrupts), i);
	}
	device.late = false;
	assert_true(__wrap_core_pass(core));
	falls_asleep(SHORT_NS);
	assert_int_equal(counted(count_interrupts), 3);
	assert_int_equal(counted(count_interrupts_missed), 0);
}

/* Others are seen once: what has been answered wakes nobody again. */
static void test_an_event_seen_once(void **state)
{
	(void)state;
	device.after_look = arrives;
	falls_asleep(LONG_NS);
	assert_true(__wrap_core_pass(core));
	falls_asleep(SHORT_NS);
	assert_int_equal(counted(count_sleeps), 2);
	assert_int_equal(counted(count_interrupts), 1);
}

/* What drivers say of themselves is not asked here; which events last is known by their names. */
static void test_whose_last(void **state)
{
	static const struct {
		const char *device;
		bool level;
	} known[] = {{"net_tap0,iface=dtap0", true}, {"net_vhost0,iface=/run/v", false},
		{"net_virtio_user0,path=/run/v", false}, {"0000:01:00.0", false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct port p = {.id = 0};
		bool level = !known[i].level;

		snprintf(p.device, sizeof(p.device), "%s", known[i].device);
		assert_true(__real_port_interrupt_fd(&p, 0, &level) < 0); /* it is not there */
		assert_int_equal(level, known[i].level);
	}
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_LEVEL(name) cmocka_unit_test_setup_teardown(name, set_up_level, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_comes),
		TEST(test_before_they_are_on),
		TEST(test_behind_the_look),
		TEST(test_asked_behind_the_look),
		TEST(test_due_behind_the_look),
		TEST_LEVEL(test_an_event_that_lasts),
		TEST(test_an_event_seen_once),
		cmocka_unit_test(test_whose_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
