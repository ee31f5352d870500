/* memif_quirks.c - faults of DPDK 22.11's memif driver, met from outside of it.
 *
 * The driver works on EAL's interrupt thread, and has no hook of its own; what it calls, it calls
 * through the dynamic linker. So these functions are ours for the whole process, and plain for
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
 *
 * recvmsg: a server may be given fewer rings than it has queues; it tells nobody, and a burst on
 * one of the others works on the memory of the first. So the rings that a client announces are
 * counted here, and told when the server says that it is connected (sendmsg again).
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
static ssize_t (*next_recvmsg)(int fd, struct msghdr *message, int flags);
static memif_rings_fn tell;

/* memif's own messages (its protocol, version 2.0): 128 bytes, little-endian. */
enum {
	MEMIF_MESSAGE = 128,
	MEMIF_INIT = 3,
	MEMIF_ADD_RING = 5,
	MEMIF_CONNECTED = 7,
	MEMIF_FDS = 4096,
	MEMIF_NAME = 32,
};

/* Of each control channel, which rings were announced: bit n is ring n. Interrupt thread. */
static struct {
	uint16_t to_server, to_client;
} rings[MEMIF_FDS];

static __attribute__((constructor)) void find_next(void)
{
	*(void **)&next_sendmsg = dlsym(RTLD_NEXT, "sendmsg");
	*(void **)&next_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
}

static int quirk_munmap(void *addr, size_t len)
{
	if (rte_thread_is_intr())
		guard_wait_watched();
	return (int)syscall(SYS_munmap, addr, len);
}

static uint16_t word(const uint8_t *message, size_t at)
{
	return (uint16_t)(message[at] | message[at + 1] << 8);
}

/* The message, if it is one of memif's on a channel that we can count for. */
static const uint8_t *memif_message(int fd, const struct msghdr *m)
{
	return tell && rte_thread_is_intr() && fd >= 0 && fd < MEMIF_FDS && m->msg_iovlen == 1 &&
			       m->msg_iov[0].iov_len == MEMIF_MESSAGE
		       ? m->msg_iov[0].iov_base
		       : NULL;
}

static ssize_t quirk_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t n = next_recvmsg ? next_recvmsg(fd, message, flags)
				 : syscall(SYS_recvmsg, fd, message, flags);
	const uint8_t *said = n == MEMIF_MESSAGE ? memif_message(fd, message) : NULL;

	if (said && word(said, 0) == MEMIF_INIT) {
		rings[fd].to_server = rings[fd].to_client = 0;
		tell(NULL, 0);
	} else if (said && word(said, 0) == MEMIF_ADD_RING && word(said, 4) < 16) {
		uint16_t *of = word(said, 2) & 1 ? &rings[fd].to_server : &rings[fd].to_client;

		*of |= (uint16_t)(1u << word(said, 4));
	}
	return n;
}

static void say_connected(int fd, const uint8_t *said)
{
	uint32_t both = rings[fd].to_server & rings[fd].to_client;
	char device[MEMIF_NAME + 1] = "";

	memcpy(device, said + 2, MEMIF_NAME);
	tell(device, (uint32_t)__builtin_ctz(~both));
}

void memif_quirks_tell(memif_rings_fn fn)
{
	tell = fn;
}

static ssize_t quirk_sendmsg(int fd, const struct msghdr *message, int flags)
{
	const uint8_t *said = memif_message(fd, message);
	ssize_t n = next_sendmsg ? next_sendmsg(fd, message, flags)
				 : syscall(SYS_sendmsg, fd, message, flags);

	if (said && word(said, 0) == MEMIF_CONNECTED)
		say_connected(fd, said);
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
ssize_t recvmsg(int fd, struct msghdr *message, int flags) __attribute__((alias("quirk_recvmsg")));

bool memif_quirks_active(void)
{
	return dlsym(RTLD_DEFAULT, "munmap") == (void *)quirk_munmap &&
	       dlsym(RTLD_DEFAULT, "sendmsg") == (void *)quirk_sendmsg &&
	       dlsym(RTLD_DEFAULT, "recvmsg") == (void *)quirk_recvmsg;
}
