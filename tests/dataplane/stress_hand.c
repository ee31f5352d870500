/* stress_hand.c - frames handed from one thread to another that sleeps between: nothing is lost,
 * doubled or overtaken, what a place leads to is seen whole, a full ring refuses, and no wake-up is
 * lost. */
#include "hand.h"
#include "wake.h"

#include <pthread.h>
#include <sched.h>

enum { ITEMS = 400000, POOL = 2 * HAND_SIZE + 7 };
#define LONG_NS (60 * NS_PER_S) /* nobody waits so long unless a wake-up was lost */

struct item {
	uint64_t number, twice;
};

static struct hand_ring ring;
static struct wake wake;
static struct item items[POOL];
static _Atomic uint64_t taken;

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint32_t draw(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*seed >> 33);
}

static void *take_all(void *arg)
{
	uint64_t next = 0, seed = 1, sleeps = 0;
	uintptr_t got[64];

	while (next < ITEMS) {
		uint32_t n = hand_take(&ring, got, 1 + draw(&seed) % 64);

		for (uint32_t i = 0; i < n; i++, next++) {
			struct item *item = (struct item *)got[i];

			CHECK(item->number == next && item->twice == 2 * next);
		}
		atomic_store_explicit(&taken, next, memory_order_release);
		if (draw(&seed) % 64 == 0)
			sched_yield();
		if (n)
			continue;
		wake_prepare(&wake);
		if (!hand_empty(&ring)) {
			wake_cancel(&wake);
			continue;
		}
		uint64_t before = clock_ns();

		wake_sleep(&wake, LONG_NS);
		sleeps++;
		CHECK(clock_ns() - before < LONG_NS); /* else: a lost wake-up */
	}
	*(uint64_t *)arg = sleeps;
	return NULL;
}

int main(void)
{
	uint64_t sent = 0, full = 0, woke = 0, sleeps = 0, seed = 2;
	pthread_t thread;

	CHECK(!wake_init(&wake) && !pthread_create(&thread, NULL, take_all, &sleeps));
	while (sent < ITEMS) {
		/* Mostly small bursts; now and then more than fits. */
		uint32_t burst = draw(&seed) % 512 ? 1 + draw(&seed) % 64 : 2 * HAND_SIZE;

		for (; burst && sent < ITEMS; burst--) {
			struct item *item = &items[sent % POOL];

			if (sent - atomic_load_explicit(&taken, memory_order_acquire) >= POOL)
				break;
			*item = (struct item){sent, 2 * sent};
			if (!hand_put(&ring, (uintptr_t)item)) {
				full++;
				break;
			}
			sent++;
		}
		hand_publish(&ring);
		woke += wake_up(&wake);
		if (draw(&seed) % 16 == 0)
			sched_yield();
	}
	pthread_join(thread, NULL);
	CHECK(hand_empty(&ring) && full);
	printf("%u frames handed over, ring full %llu times, %llu sleeps, %llu wake-ups\n", ITEMS,
		(unsigned long long)full, (unsigned long long)sleeps, (unsigned long long)woke);
	wake_fini(&wake);
	return 0;
}
