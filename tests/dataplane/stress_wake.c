/* stress_wake.c - no wake-up is lost: a sleeper with a long timeout is always woken by who leaves
 * it work, however the two interleave. First one waker, so that nobody makes up for a wake-up that
 * was lost; then two, so that one may take the flag from the other. */
#include "wake.h"
#include "xring.h"

#include <pthread.h>
#include <sched.h>

enum { WAKERS = 2, ROUNDS = 100000 };
#define LONG_NS                                                                                    \
	(60 * NS_PER_S) /* nobody waits so long on any machine unless a wake-up was lost           \
			 */

static struct wake wake;
static struct xring ring[WAKERS];
static _Atomic uint64_t taken[WAKERS];

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool idle(void)
{
	for (int i = 0; i < WAKERS; i++)
		if (!xring_empty(&ring[i]))
			return false;
	return true;
}

static void pause_up_to(uint64_t *seed, uint32_t most)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	for (volatile uint32_t n = (uint32_t)(*seed >> 33) % most; n; n--)
		;
}

/* Leaves one piece of work, mostly waits until it was taken, and goes on after a pause that varies.
 */
static void *waker(void *arg)
{
	uint32_t me = (uint32_t)(uintptr_t)arg;
	uint64_t seed = me + 1, woke = 0;

	for (uint64_t i = 1; i <= ROUNDS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		while (!xring_push(&ring[me], (void *)(uintptr_t)i))
			sched_yield();
		woke += wake_up(&wake);
		/* Spinning at first, to be there when the sleeper looks for more. */
		for (int spins = 0; seed >> 62 && atomic_load(&taken[me]) < i; spins++)
			if (spins > 2000)
				sched_yield();
		pause_up_to(&seed, 100);
	}
	return (void *)(uintptr_t)woke;
}

static void run(uint32_t n_wakers)
{
	uint64_t sleeps = 0, cancelled = 0, woken = 0, next[WAKERS] = {1, 1},
		 left = n_wakers * ROUNDS, seed = 7;
	pthread_t thread[WAKERS];

	CHECK(!wake_init(&wake));
	for (int i = 0; i < WAKERS; i++)
		atomic_store(&taken[i], 0);
	for (uintptr_t i = 0; i < n_wakers; i++)
		CHECK(!pthread_create(&thread[i], NULL, waker, (void *)i));
	while (left) {
		for (int i = 0; i < WAKERS; i++) {
			void *p;

			while ((p = xring_pop(&ring[i]))) {
				CHECK((uintptr_t)p == next[i]++);
				atomic_fetch_add(&taken[i], 1);
				left--;
			}
		}
		if (!left)
			break;
		pause_up_to(&seed, 3000); /* a waker comes back from the kernel: to meet it there */
		wake_prepare(&wake);
		if (!idle()) {
			wake_cancel(&wake);
			cancelled++;
			continue;
		}
		uint64_t before = clock_ns();

		wake_sleep(&wake, LONG_NS);
		sleeps++;
		CHECK(clock_ns() - before < LONG_NS); /* else: a lost wake-up */
	}
	for (uint32_t i = 0; i < n_wakers; i++) {
		void *n;

		pthread_join(thread[i], &n);
		woken += (uintptr_t)n;
	}
	/* At most one call of the kernel for each time the flag was up. */
	CHECK(woken <= sleeps + cancelled + 1);
	printf("%u pieces of work, %llu sleeps, %llu wake-ups, %llu not slept after all\n",
		n_wakers * ROUNDS, (unsigned long long)sleeps, (unsigned long long)woken,
		(unsigned long long)cancelled);
	wake_fini(&wake);
}

int main(void)
{
	for (uint32_t n = 1; n <= WAKERS; n++)
		run(n);
	return 0;
}
