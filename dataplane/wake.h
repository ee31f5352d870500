/* wake.h - waking a sleeper without a system call for one that is awake.
 *
 * Protocol, sleeper and waker each in two steps with a full fence between them, so that at least
 * one of them sees the other: sleeper: asleep = 1; fence; is there really nothing to do? then wait
 * on the descriptor; asleep = 0 waker:   leave the work where the sleeper looks; fence; asleep?
 * then write the descriptor
 */
#pragma once

#include "base.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct wake {
	int fd;
	_Atomic uint32_t asleep;
};

static inline int wake_init(struct wake *w)
{
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	atomic_store(&w->asleep, 0);
	return w->fd < 0 ? -errno : 0;
}

static inline void wake_fini(struct wake *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

/* Returns whether a system call was needed. At most one per sleep: the first waker takes the flag
 * down. */
static inline bool wake_up(struct wake *w)
{
	uint64_t one = 1;
	ssize_t n;

	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&w->asleep, memory_order_relaxed) ||
		!atomic_exchange(&w->asleep, 0))
		return false;
	n = write(w->fd, &one, sizeof(one));
	(void)n; /* it can only fail when the counter is full, and then the sleeper wakes */
	return true;
}

/* Says that sleep comes next; the caller then looks for work once more, and calls one of the two
 * below. */
static inline void wake_prepare(struct wake *w)
{
	atomic_store_explicit(&w->asleep, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
}

static inline void wake_cancel(struct wake *w)
{
	atomic_store_explicit(&w->asleep, 0, memory_order_relaxed);
}

/* Also ends when `fd` (-1: none) has something to read; returns whether it has. */
static inline bool wake_sleep_too(struct wake *w, int fd, uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	struct pollfd p[2] = {{.fd = w->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	uint64_t drained;
	ssize_t n;

	if (ppoll(p, 2, &ts, NULL) > 0 && p[0].revents) {
		n = read(w->fd, &drained, sizeof(drained));
		(void)n;
	}
	wake_cancel(w);
	return p[1].revents;
}

static inline void wake_sleep(struct wake *w, uint64_t ns)
{
	wake_sleep_too(w, -1, ns);
}
