/* demo.c - the main job: what a newcomer runs to see that all of it works, every step checked. */
#include "telabench.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

static void say(struct bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct bench *b, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(b->out, format, args);
	va_end(args);
	fflush(b->out);
}

/* ---- services ---- */

static double calculated(struct bench *b, struct tela_reply *reply, int rc,
	calculator_Result_t result, const char *what)
{
	double value = 0;

	check(b, !rc && reply->code == TELA_OK, "calculator: %s: %s %s", what,
		rc ? strerror(-rc) : tela_code_name(reply->code), rc ? "" : reply->message);
	if (!rc) {
		value = reply->code ? 0 : calculator_Result_value(result);
		tela_reply_free(reply);
	}
	return value;
}

static void calculate(struct bench *b)
{
	const double series[] = {1.5, 2.5, -3, 100};
	struct calculator_Operands_args sum = {.a = 40, .b = 2}, bad = {.a = 1, .b = 0};
	struct calculator_Series_args all = {.values = series, .values_len = 4};
	struct calculator_Expression_args two = calculator_Expression_ARGS_INIT, three = two,
					  tree = two;
	struct tela_reply reply;
	calculator_Result_t r;
	int rc;

	two.value = 2;
	three.value = 3;
	tree.op = calculator_Op_multiply;
	tree.left = &two;
	tree.right = &three;
	rc = calculator_Calculator_add_wait(b->thread, b->calculator, &sum, NULL, &reply, &r);
	check(b, calculated(b, &reply, rc, r, "add") == 42, "calculator: 40 + 2 is not 42");
	rc = calculator_Calculator_sum_wait(b->thread, b->calculator, &all, NULL, &reply, &r);
	check(b, calculated(b, &reply, rc, r, "sum") == 101, "calculator: the sum is not 101");
	rc = calculator_Calculator_evaluate_wait(b->thread, b->calculator, &tree, NULL, &reply, &r);
	check(b, calculated(b, &reply, rc, r, "evaluate") == 6, "calculator: 2 * 3 is not 6");
	rc = calculator_Calculator_divide_wait(b->thread, b->calculator, &bad, NULL, &reply, &r);
	check(b, !rc && reply.code == TELA_INVALID_ARGUMENT,
		"calculator: a division by zero was not refused");
	if (!rc)
		tela_reply_free(&reply);
	say(b, "calculator  40 + 2, a sum, a tree of operators, a division by zero refused\n");
}

static void words_phase(struct bench *b, int phase)
{
	const struct timespec tick = {.tv_nsec = 5000000};
	struct words *w = &b->words;

	w->next = 0;
	atomic_store(&w->ended, 0);
	atomic_store(&w->phase, phase);
	atomic_store(&b->words_now, w);
	while (atomic_load(&w->ended) < w->n && !telabench_interrupted()) {
		nanosleep(&tick, NULL);
		tela_node_poll(b->node);
	}
	atomic_store(&w->phase, 0);
	atomic_store(&b->words_now, NULL);
	nanosleep(&tick, NULL); /* the task has seen it */
}

static void words(struct bench *b)
{
	struct words *w = &b->words;
	int rc;

	w->client = b->kv;
	w->path = b->options->words;
	rc = words_load(w);
	check(b, !rc, "the word list %s cannot be read: %s (Debian package wamerican)", w->path,
		strerror(-rc));
	if (rc)
		return;
	words_phase(b, 1);
	words_phase(b, 2);
	say(b, "kv          %u words put, %u read back byte for byte\n", w->put, w->read_back);
	check(b, w->put == w->n && w->read_back == w->n && !w->wrong && !w->failed,
		"kv: of %u words %u were put and %u read back; %u wrong, %u failed %s", w->n,
		w->put, w->read_back, w->wrong, w->failed, w->last_error);
}

/* ---- load ---- */

static void rates(struct bench *b)
{
	const struct options *o = b->options;
	struct figure *f1024 = figure_add(b, "many", "1,024 calls in flight", 1024, o->sessions);
	struct figure *f60 = figure_add(b, "sixty", "60 in flight", 60, o->sessions);
	struct figure *one = figure_add(b, "one_session", "1,024 in one session", 1024, 1);
	struct figure *alone = figure_add(b, "alone", "one call alone", 1, o->sessions);

	for (uint32_t i = 0; i < o->rounds && !telabench_interrupted(); i++) {
		measure(b, f1024, b->echo, false, false);
		measure(b, f60, b->echo, false, false);
		measure(b, one, b->echo_one, false, false);
		measure(b, alone, b->echo, false, false);
		say(b,
			"load        round %u of %u: %.2f, %.2f, %.2f, %.3f M calls/s with 1,024, "
			"60, 1,024 in one session, 1 in flight\n",
			i + 1, o->rounds, f1024->per_second[i] / 1e6, f60->per_second[i] / 1e6,
			one->per_second[i] / 1e6, alone->per_second[i] / 1e6);
	}
}

static void storm_setup(struct bench *b)
{
	b->storm.admin = b->storm_admin;
	b->storm.service = "echo";
	b->storm.rate = b->options->swaps;
	check(b, !storm_begin(&b->storm), "the chain cannot be changed: %s", b->storm.error);
	b->load->first_generation = b->storm.first_generation;
	memset(b->load->generation, 0, LOAD_GENERATIONS * sizeof(*b->load->generation));
}

/* Swaps under load: once for the figures, once with every reply showing its image. */
static void swaps(struct bench *b)
{
	struct figure *f =
		figure_add(b, "swaps", "swapping, 1,024 in flight", 1024, b->options->sessions);
	struct figure *stamped = figure_add(
		b, "swaps_checked", "swapping, replies stamped", 1024, b->options->sessions);
	uint64_t compared, differ;
	char why[160];

	storm_setup(b);
	for (uint32_t i = 0; i < b->options->rounds && !telabench_interrupted(); i++)
		measure(b, f, b->echo, false, true);
	storm_end(&b->storm);
	say(b, "swaps       %llu images published under load, %llu calls failed\n",
		(unsigned long long)f->swaps, (unsigned long long)f->failed);
	storm_setup(b);
	measure(b, stamped, b->echo, true, true);
	differ = storm_compare(&b->storm, b->load, &compared, why);
	storm_end(&b->storm);
	check(b, !differ && compared > 1, "of %llu generations %llu disagree: %s",
		(unsigned long long)compared, (unsigned long long)differ, why);
	say(b,
		"            %llu generations: replies seen under each equal the calls counted "
		"under it: %s\n",
		(unsigned long long)compared, differ ? "NO" : "yes");
}

/* Pairs of slices with 1,024 calls in flight: swapping, and burning the time that swapping takes.
 */
static void cost_of_swaps(struct bench *b)
{
	const struct timespec tick = {.tv_nsec = 20000000};
	struct swap_cost *c = &b->swap_cost;
	struct figure f = {.name = "cost of swaps", .in_flight = 1024};
	double q[3];

	storm_setup(b);
	*c = (struct swap_cost){
		.storm = &b->storm, .measured = &b->load->measured, .pairs = b->options->pairs};
	load_on(b, &f, b->echo, false);
	atomic_store(&b->load->measure, true);
	if (swap_cost_start(c)) {
		check(b, false, "the storm's thread cannot be started");
	} else {
		while (!atomic_load(&c->done)) {
			nanosleep(&tick, NULL);
			tela_node_poll(b->node);
			atomic_store(&b->storm.stop, telabench_interrupted());
		}
		swap_cost_join(c);
	}
	load_off(b, &f);
	storm_end(&b->storm);
	check(b, !b->storm.error[0], "a change of the chain was refused: %s", b->storm.error);
	swap_cost_quartiles(c, q);
	say(b,
		"            %.0f swaps/s cost calls %.1f %% beyond the CPU time of the threads "
		"that "
		"swap (%.0f us a swap; quartiles %.1f..%.1f %% of %u pairs)\n",
		b->storm.rate, q[1], c->cpu_us, q[0], q[2], c->n);
}

/* ---- faults ---- */

static void set_faults(struct bench *b, double loss, double duplicate)
{
	json_t *reply;

	tela_node_faults(b->node, 0, loss, duplicate, 0);
	reply = admin_client_ask(
		b->admin, json_pack("{s:s,s:i,s:i,s:i}", "cmd", "faults", "port", 0, "loss_ppm",
				  (int)(loss * 1e6), "duplicate_ppm", (int)(duplicate * 1e6)));
	check(b, json_is_true(json_object_get(reply, "ok")),
		"faults cannot be set at the other node");
	json_decref(reply);
}

/* What the echo handler counted: calls run, and calls run more than once. */
static uint64_t plugin_figure(struct bench *b, const char *name)
{
	json_t *reply = admin_client_ask(
		       b->admin, json_pack("{s:s,s:b}", "cmd", "stats", "zero", 1)),
	       *figure;
	json_t *plugins = json_object_get(reply, "plugins");
	uint64_t value = UINT64_MAX;
	size_t i;

	json_array_foreach(plugins, i, figure)
	{
		const char *service = json_string_value(json_object_get(figure, "service"));
		const char *n = json_string_value(json_object_get(figure, "name"));

		if (service && n && !strcmp(service, "echo") && !strcmp(n, name))
			value = (uint64_t)json_integer_value(json_object_get(figure, "value"));
	}
	json_decref(reply);
	return value;
}

static void faults(struct bench *b)
{
	struct figure *f = figure_add(
		b, "faults", "swapping, 0.1 % lost, doubled", 1024, b->options->sessions);
	uint64_t before = plugin_figure(b, "executions"), executed, compared, differ;
	char why[160];

	storm_setup(b);
	set_faults(b, 0.001, 0.001);
	measure(b, f, b->echo, true, true);
	set_faults(b, 0, 0);
	differ = storm_compare(&b->storm, b->load, &compared, why);
	storm_end(&b->storm);
	executed = plugin_figure(b, "executions") - before;
	b->executed_twice = plugin_figure(b, "executed_twice");
	say(b,
		"faults      %llu calls over a wire that lost and doubled 0.1 %%: %llu failed, "
		"%llu sent again, %llu executed, "
		"%llu twice\n",
		(unsigned long long)f->calls, (unsigned long long)f->failed,
		(unsigned long long)f->retransmissions, (unsigned long long)executed,
		(unsigned long long)b->executed_twice);
	check(b, executed == f->calls, "%llu calls were made, %llu executed",
		(unsigned long long)f->calls, (unsigned long long)executed);
	check(b, !b->executed_twice, "%llu calls were executed twice",
		(unsigned long long)b->executed_twice);
	check(b, f->retransmissions > 0, "no loss was repaired: the faults were not injected");
	check(b, !differ && compared > 1, "of %llu generations %llu disagree: %s",
		(unsigned long long)compared, (unsigned long long)differ, why);
}

int demo(struct bench *b)
{
	void (*const step[])(struct bench *) = {
		calculate, words, rates, swaps, cost_of_swaps, faults};
	int rc = wait_for_peer(b, 10);

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(step) / sizeof(*step) && !telabench_interrupted(); i++)
		step[i](b);
	if (telabench_interrupted()) {
		fprintf(stderr, "telabench: interrupted\n");
		return -EINTR;
	}
	show(b);
	return b->n_failed_checks ? -EIO : 0;
}

int run_once(struct bench *b)
{
	const struct options *o = b->options;
	struct figure *f = figure_add(b, "run", "echo", o->in_flight, o->sessions);
	int rc = wait_for_peer(b, 10);

	if (rc)
		return rc;
	f->rate = o->rate;
	f->slow_percent = o->slow;
	if (o->swaps)
		storm_setup(b);
	for (uint32_t i = 0; i < o->rounds && !telabench_interrupted(); i++) {
		measure(b, f, b->echo, false, o->swaps > 0);
		say(b, "round %u of %u: %.3f M calls/s\n", i + 1, o->rounds,
			f->per_second[i] / 1e6);
	}
	if (o->swaps)
		storm_end(&b->storm);
	if (o->both)
		both_wait(b);
	show(b);
	return b->n_failed_checks ? -EIO : 0;
}
