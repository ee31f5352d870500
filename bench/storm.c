#include "storm.h"

#include "clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STAMPS_MAX = 6, PAGE = 4096 };

static void note_error(struct storm *s, json_t *reply)
{
	const char *message =
		json_string_value(json_object_get(json_object_get(reply, "error"), "message"));

	snprintf(s->error, sizeof(s->error), "%s", message ? message : "the node does not answer");
}

/* Sends one change of the chain; on success `present` is what the chain holds from that generation
 * on. */
static int change(struct storm *s, json_t *request, uint64_t present)
{
	json_t *reply = admin_client_ask(s->admin, request);
	uint64_t generation;

	if (!json_is_true(json_object_get(reply, "ok"))) {
		note_error(s, reply);
		json_decref(reply);
		return -EIO;
	}
	generation = (uint64_t)json_integer_value(json_object_get(reply, "generation"));
	json_decref(reply);
	s->present = present;
	if (!s->first_generation)
		s->first_generation = generation;
	s->last_generation = generation;
	if (generation - s->first_generation < LOAD_GENERATIONS)
		s->mask[generation - s->first_generation] = present;
	atomic_fetch_add(&s->swaps, 1);
	return 0;
}

static int add(struct storm *s, int bit)
{
	char name[16];

	snprintf(name, sizeof(name), "stamp%d", bit);
	return change(s,
		json_pack("{s:s,s:s,s:s,s:s,s:{s:i}}", "cmd", "chain.add", "service", s->service,
			"plugin", "stamp", "as", name, "config", "bit", bit),
		s->present | 1ull << bit);
}

static int drop(struct storm *s, int bit)
{
	char name[16];

	snprintf(name, sizeof(name), "stamp%d", bit);
	return change(s,
		json_pack("{s:s,s:s,s:s}", "cmd", "chain.remove", "service", s->service, "name",
			name),
		s->present & ~(1ull << bit));
}

/* A new instance of the same plugin takes the old one's place. */
static int replace(struct storm *s, int bit)
{
	char name[16];

	snprintf(name, sizeof(name), "stamp%d", bit);
	return change(s,
		json_pack("{s:s,s:s,s:s,s:{s:i}}", "cmd", "chain.replace", "service", s->service,
			"name", name, "config", "bit", bit),
		s->present);
}

/* Add, replace, remove in turn, over a handful of plugins, so that every generation differs from
 * its neighbours. One stamp always stays: a reply without any could not be told from one whose
 * stamps were lost. */
void storm_step(struct storm *s)
{
	uint64_t n = s->n_steps++;
	int bit = 1 + (int)(n / 3 % (STAMPS_MAX - 1));
	bool there = s->present & 1ull << bit;

	if (there && (n % 3 == 0 || (n % 3 == 2 && n % 2)))
		drop(s, bit);
	else if (n % 3 == 0)
		add(s, bit);
	else
		replace(s, 0);
}

int storm_begin(struct storm *s)
{
	s->error[0] = 0;
	s->present = 0;
	s->n_steps = 0;
	s->first_generation = 0;
	atomic_store(&s->swaps, 0);
	memset(s->mask, 0, LOAD_GENERATIONS * sizeof(*s->mask));
	return add(s, 0);
}

static void *run(void *arg)
{
	struct storm *s = arg;
	uint64_t begin = clock_ns(CLOCK_MONOTONIC), n = 0;

	while (!atomic_load(&s->stop) && !s->error[0]) {
		uint64_t due = begin + (uint64_t)((double)n / s->rate * 1e9);

		clock_sleep_until(due);
		storm_step(s);
		n++;
	}
	return NULL;
}

int storm_start(struct storm *s)
{
	atomic_store(&s->stop, false);
	return -pthread_create(&s->thread, NULL, run, s);
}

void storm_stop(struct storm *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
}

void storm_end(struct storm *s)
{
	for (int bit = 0; bit < STAMPS_MAX; bit++)
		if (s->present & 1ull << bit)
			drop(s, bit);
}

/* ---- comparison ---- */

struct comparison {
	struct storm *storm;
	const struct load *load;
	uint64_t compared, differ;
	char *error;
};

static void compare_one(struct comparison *c, uint64_t generation, uint64_t calls)
{
	struct storm *s = c->storm;
	const struct load_generation *seen;
	uint64_t published;

	if (generation < s->first_generation || generation > s->last_generation)
		return;
	seen = &c->load->generation[generation - c->load->first_generation];
	published = s->mask[generation - s->first_generation];
	c->compared++;
	if (seen->replies == calls && (!calls || seen->mask == published))
		return;
	if (!c->differ++)
		snprintf(c->error, 160,
			"generation %llu: %llu replies, %llu calls counted; plugins %llx, "
			"published %llx",
			(unsigned long long)generation, (unsigned long long)seen->replies,
			(unsigned long long)calls, (unsigned long long)seen->mask,
			(unsigned long long)published);
}

/* An image's calls are known when nothing holds it any more; that takes a grace period. */
static void wait_retired(struct storm *s)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	bool left = true;

	for (int i = 0; left && i < 500; i++) {
		json_t *reply = admin_client_ask(s->admin,
			json_pack("{s:s,s:s}", "cmd", "chain.show", "service", s->service));

		left = json_integer_value(json_object_get(reply, "retiring")) != 0;
		json_decref(reply);
		if (left)
			nanosleep(&tick, NULL);
	}
}

uint64_t storm_compare(
	struct storm *s, const struct load *l, uint64_t *ret_compared, char error[160])
{
	struct comparison c = {.storm = s, .load = l, .error = error};
	uint64_t from = s->first_generation, replies = 0, known = 0;

	error[0] = 0;
	wait_retired(s);
	while (from <= s->last_generation) {
		json_t *reply = admin_client_ask(
			s->admin, json_pack("{s:s,s:s,s:I,s:I,s:i}", "cmd", "images", "service",
					  s->service, "from", (json_int_t)from, "to",
					  (json_int_t)(from + PAGE - 1), "limit", PAGE));
		json_t *images = json_object_get(reply, "images"), *image;
		size_t i;

		json_array_foreach(images, i, image)
		{
			uint64_t calls =
				(uint64_t)json_integer_value(json_object_get(image, "calls"));

			known += calls;
			compare_one(&c,
				(uint64_t)json_integer_value(json_object_get(image, "generation")),
				calls);
		}
		if (!images) {
			snprintf(error, 160, "the node does not list its images");
			c.differ++;
		}
		json_decref(reply);
		from += PAGE;
	}
	/* What replies showed must all be in images that the node knows: none may be missing there.
	 */
	for (uint32_t i = 0; i < LOAD_GENERATIONS; i++)
		replies += l->generation[i].replies;
	if (replies != known && !c.differ++)
		snprintf(error, 160, "%llu replies showed a generation, %llu calls were counted",
			(unsigned long long)replies, (unsigned long long)known);
	*ret_compared = c.compared;
	return c.differ;
}
