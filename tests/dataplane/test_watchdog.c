/* test_watchdog.c - the end of a process whose data core does not come back: it is named first,
 * then everything ends with a core dump, for nothing could be freed after it. One that does come
 * back ends nothing. */
#include "bare_node.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { WARN_MS = 100, ABORT_MS = 200 };

static char said[4096];
static _Atomic bool held, came_back;

/* Holds its core until the watchdog has said so, or for ever. */
static bool hog(struct tela_core *core, void *for_ever)
{
	struct core *c = core_private(core);

	if (atomic_exchange(&held, true))
		return false;
	while (for_ever || !atomic_load(&c->stalled))
		;
	atomic_store(&came_back, true);
	return false;
}

/* In a process of its own. */
static void run_node(bool for_ever, uint32_t abort_ms)
{
	const struct tela_budgets budgets = {.messages_64k = 1, .messages_1m = 1};
	const struct rlimit no_core_file = {0, 0};
	struct tela_node *n = bare_node_create(1, &budgets);

	setrlimit(RLIMIT_CORE, &no_core_file);
	CHECK(n && !tela_task_add(n, 0, hog, for_ever ? n : NULL));
	n->stall_warn_ms = WARN_MS;
	n->stall_abort_ms = abort_ms;
	bare_node_start(n);
	CHECK(!watchdog_start(n));
	while (!atomic_load(&came_back))
		usleep(1000);
	watchdog_stop(n);
	bare_node_destroy(n);
	_exit(0);
}

/* How it ended; what it has said stands in `said`. */
static int end_of(bool for_ever, uint32_t abort_ms)
{
	int out[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		run_node(for_ever, abort_ms);
	}
	close(out[1]);
	while ((got = read(out[0], said + n, sizeof(said) - 1 - n)) > 0)
		n += (size_t)got;
	said[n] = 0;
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_it_never_comes_back(void **state)
{
	int status = end_of(true, ABORT_MS);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_non_null(strstr(said, "<3>bare: core 0 (CPU 0) has not polled for"));
	assert_non_null(strstr(said, "a task or completion holds it\n"));
	assert_non_null(strstr(said, "ending with a core dump\n"));
}

static void test_it_comes_back(void **state)
{
	int status = end_of(false, 0);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_non_null(strstr(said, "<3>bare: core 0 (CPU 0) has not polled for"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_never_comes_back),
		cmocka_unit_test(test_it_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
