/* memif_quirks.c - two faults of DPDK 22.11's memif driver that end the process, met from outside
 * of it.
 *
 * The driver works on EAL's interrupt thread, and has no hook of its own; what it calls, it calls
 * through the dynamic linker. So these two functions are ours for the whole process, and plain for
 * every other thread.
 *
 * munmap: the rings go as soon as the peer's process does, also from under a core inside a burst
 * (SIGSEGV within a dozen kills under load). Between "not connected any more" and the unmapping,
 * wait for the cores: port_guard.h.
 *
 * sendmsg: a peer that connects and hangs up before it is greeted makes the driver close a socket
 * that EAL still watches, and EAL's interrupt thread panics ("Error adding fd ... epoll_ctl, Bad
 * file descriptor"). If the send seems to succeed, the hang-up is seen in the next round, where the
 * driver handles it well.
 */
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dpdk.h"
#include "memif_quirks.h"
#include "port_guard.h"

static ssize_t (*next_sendmsg)(int fd, const struct msghdr *message, int flags);

static __attribute__((constructor)) void find_next(void)
{
	*(void **)&next_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
}

static int quirk_munmap(void *addr, size_t len)
{
	if (rte_thread_is_intr())
		guard_wait_watched();
	return (int)syscall(SYS_munmap, addr, len);
}

static ssize_t quirk_sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t n = next_sendmsg ? next_sendmsg(fd, message, flags)
				 : syscall(SYS_sendmsg, fd, message, flags);

	if (n >= 0 || !rte_thread_is_intr() || (errno != EPIPE && errno != ECONNRESET))
		return n;
	n = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++)
		n += (ssize_t)message->msg_iov[i].iov_len;
	return n;
}

int munmap(void *addr, size_t len) __attribute__((alias("quirk_munmap")));
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
	__attribute__((alias("quirk_sendmsg")));

bool memif_quirks_active(void)
{
	return dlsym(RTLD_DEFAULT, "munmap") == (void *)quirk_munmap &&
	       dlsym(RTLD_DEFAULT, "sendmsg") == (void *)quirk_sendmsg;
}
