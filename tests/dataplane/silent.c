/* silent.c - put behind a test whose cores poll: from then on a data core that takes or gives back
 * memory, or makes another system call than those that README.md names, ends the process.
 *
 * The linker puts core_main() and the allocator of this file in front of the real ones. The core's
 * own thread takes a seccomp filter upon itself before it begins to poll.
 */
#include "core.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- memory ---- */

#define ALLOCATOR(type, name, parameters, arguments)                                               \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		CHECK(!core_current);                                                              \
		return __real_##name arguments;                                                    \
	}

ALLOCATOR(void *, malloc, (size_t size), (size))
ALLOCATOR(void *, calloc, (size_t n, size_t size), (n, size))
ALLOCATOR(void *, realloc, (void *p, size_t size), (p, size))
ALLOCATOR(void *, aligned_alloc, (size_t align, size_t size), (align, size))
ALLOCATOR(void, free, (void *p), (p))

/* ---- system calls ---- */

/* Waking the waiter for a grace period, a sleeper; sleep; and what ends a thread. */
static const int allowed[] = {SYS_futex, SYS_write, SYS_read, SYS_ppoll, SYS_sched_yield, SYS_exit,
	SYS_madvise, SYS_munmap, SYS_rt_sigprocmask, SYS_rt_sigreturn};

static void say_number(int number)
{
	char text[] = "a data core made system call    \n";
	size_t at = sizeof(text) - 2;

	do
		text[--at] = (char)('0' + number % 10);
	while (number /= 10);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		return;
}

static void on_forbidden(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	say_number(info->si_syscall);
	_exit(1); /* of the process: other threads have no filter, but this one may not abort() */
}

static void forbid(void)
{
	struct sigaction a = {.sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO};
	struct sock_filter f[4 + ARRAY_SIZE(allowed) + 2];
	struct sock_fprog program = {.filter = f};
	unsigned short n = 0;

	f[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	f[n++] = (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, ARRAY_SIZE(allowed) + 1, 0);
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			(uint32_t)allowed[i], (uint8_t)(ARRAY_SIZE(allowed) - i), 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = n;
	CHECK(!sigaction(SIGSYS, &a, NULL));
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

int __real_core_main(void *core);
int __wrap_core_main(void *core);

int __wrap_core_main(void *core)
{
	forbid();
	return __real_core_main(core);
}
