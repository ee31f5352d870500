/* stress_xring.c - one pushes, one pops, there and back: nothing lost, nothing twice, in order, and
 * what a pointer leads to is seen whole. */
#include "xring.h"

#include <pthread.h>
#include <sched.h>

struct item {
	uint64_t number, twice;
};

static struct xring there, back;
static uint64_t n_items = 1000000;

/* Short rests at random, so that the rings run both full and empty. */
static void rest(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	if (*seed >> 52 == 0)
		sched_yield();
}

static void *echo(void *arg)
{
	uint64_t next = 0, seed = 1;

	while (next < n_items) {
		struct item *i = xring_pop(&there);

		rest(&seed);
		if (!i) {
			sched_yield();
			continue;
		}
		CHECK(i->number == next && i->twice == 2 * next);
		i->twice++; /* the other side looks again */
		next++;
		while (!xring_push(&back, i))
			sched_yield();
	}
	return arg;
}

int main(void)
{
	enum { OUT = 2 * XRING_SIZE + 7 };
	static struct item items[OUT];
	uint64_t sent = 0, taken = 0, full = 0, seed = 2;
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, echo, NULL));
	while (taken < n_items) {
		struct item *i;

		rest(&seed);
		for (int burst = (int)(seed >> 33 & 511);
			burst && sent < n_items && sent - taken < OUT; burst--) {
			i = &items[sent % OUT];
			*i = (struct item){sent, 2 * sent};
			if (!xring_push(&there, i)) {
				full++;
				break;
			}
			sent++;
		}
		while ((i = xring_pop(&back))) {
			CHECK(i->number == taken && i->twice == 2 * taken + 1);
			taken++;
		}
		if (sent == n_items || sent - taken == OUT)
			sched_yield();
	}
	pthread_join(thread, NULL);
	CHECK(xring_empty(&there) && xring_empty(&back));
	printf("%llu items there and back, ring full %llu times\n", (unsigned long long)n_items,
		(unsigned long long)full);
	return 0;
}
