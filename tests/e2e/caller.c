/* caller.c - a node that only calls, driven by a test: load from several attached threads, every
 * reply checked.
 *
 *   caller NAME DEVICE ADDRESS PEER CPU
 *
 * Prints "ready", then takes a command a line on standard input and answers each with a line of
 * JSON:
 *
 * run [threads=N] [ms=N] [calls=N] [method=echo|later] [bytes=N] [delay_us=N] [deadline_ms=N]
 *     [stamp=1] [one_way=1] [pause_us=N] [first=ID]
 *         each thread calls until `ms` have passed, `calls` were made in all, or "stop", with
 *         pauses of 0 to pause_us between calls; answered when all have ended
 * calls   ended so far of the run under way
 * stop    ends the run; no answer of its own
 * end     (or the end of the input) ends the program
 *
 * The first 8 bytes of a request's data are its id, the others follow from it, so that no reply can
 * be taken for another's.
 */
#ifdef NEXT_VERSION
#include "echo_next_rpc.h"
#else
#include "echo_rpc.h"
#endif
#include "frame.h"
#include "tela_node.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 32, CODES = 17, BYTES_MAX = (1 << 24) - 64, BYTES_MIN = 8 };

struct tally {
	uint64_t calls, refused, code[CODES], outcome[3], wrong, resends, stamped, torn;
	uint64_t worst_us, first_generation, last_generation;
	char message[CODES][204];
};

static struct {
	struct tela_node *node;
	struct tela_client *client;
	uint64_t threads, ms, calls, bytes, delay_us, deadline_ms, stamp, one_way, pause_us;
	bool later;
	uint64_t end_us;
	_Atomic uint64_t next, last, ended;
	_Atomic bool stop;
	_Atomic uint32_t running;
	pthread_t thread[THREADS_MAX];
	struct tally tally[THREADS_MAX];
	bool busy;
} run;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void fill(uint8_t *data, uint64_t len, uint64_t id)
{
	uint64_t word = id;

	for (uint64_t i = 0; i < len; i += 8) {
		memcpy(data + i, &word, len - i < 8 ? len - i : 8);
		word = word * 6364136223846793005u + 1442695040888963407u;
	}
}

/* Every stamp of one reply names one generation, or the call ran under two images. */
static void read_stamps(struct tally *t, const struct tela_reply *r)
{
	frame_Envelope_t e;
	uint64_t seen = 0;
	bool torn = false;

	if (!r->envelope_len)
		return;
	e = frame_Envelope_root(r->envelope);
	for (size_t i = 0; i < frame_Envelope_metadata_len(e); i++) {
		frame_Pair_t p = frame_Envelope_metadata_at(e, i);
		uint64_t generation;

		if (frame_Pair_key(p).s[0] != 's' || !frame_Pair_value(p).s)
			continue;
		generation = strtoull(frame_Pair_value(p).s, NULL, 10);
		torn |= seen && generation != seen;
		seen = generation;
	}
	t->stamped += seen != 0;
	t->torn += torn;
	if (seen && (!t->first_generation || seen < t->first_generation))
		t->first_generation = seen;
	if (seen > t->last_generation)
		t->last_generation = seen;
}

static void note(struct tally *t, const struct tela_reply *r, const uint8_t *data, uint64_t len)
{
	t->calls++;
	t->code[r->code < CODES ? r->code : CODES - 1]++;
	t->outcome[r->outcome < 3 ? r->outcome : 2]++;
	t->resends += r->resends;
	if (r->code) {
		if (r->code < CODES && !t->message[r->code][0])
			snprintf(t->message[r->code], sizeof(t->message[0]), "%s", r->message);
		return;
	}
	if (run.one_way) {
		t->wrong += r->len != 0;
		return;
	}
	struct tela_bytes got = echo_Message_data(echo_Message_root(r->payload));

	t->wrong += got.len != len || memcmp(got.data, data, len) != 0;
	read_stamps(t, r);
}

/* Says whether it was accepted; as tela_thread_call(). */
static int send_one_way(struct tela_thread *t, const uint8_t *data, const struct tela_options *o,
	struct tela_reply *r)
{
	struct echo_Message_args echo = {.data = {data, (uint32_t)run.bytes}};
	struct echo_Delayed_args later = {
		.delay_us = (uint32_t)run.delay_us, .data = {data, (uint32_t)run.bytes}};

	return run.later ? echo_Echo_later_send_wait(t, run.client, &later, o, r)
			 : echo_Echo_echo_send_wait(t, run.client, &echo, o, r);
}

/* Returns the payload's length; `data` is where its data stands. */
static int build(uint8_t *to, size_t room, const uint8_t *data)
{
	struct echo_Message_args echo = {.data = {data, (uint32_t)run.bytes}};
	struct echo_Delayed_args later = {
		.delay_us = (uint32_t)run.delay_us, .data = {data, (uint32_t)run.bytes}};

	return run.later ? echo_Delayed_build(to, room, &later)
			 : echo_Message_build(to, room, &echo);
}

static void *call_on(void *arg)
{
	struct tally *t = arg;
	const struct tela_pair stamp = {"stamp", "1"};
	const struct tela_options o = {.deadline_us = run.deadline_ms * 1000,
		.metadata = &stamp,
		.n_metadata = run.stamp ? 1 : 0,
		.max_reply_bytes = BYTES_MAX + 64};
	const struct tela_method_desc *m = &echo_Echo_methods[run.later];
	struct tela_thread *thread = tela_thread_attach(run.node);
	size_t room = run.bytes + 128;
	uint8_t *data = malloc(run.bytes), *payload = malloc(room);
	uint64_t id;

	while (thread && data && payload && !atomic_load(&run.stop) && now_us() < run.end_us &&
		(id = atomic_fetch_add(&run.next, 1)) < run.last) {
		struct tela_reply r;
		uint64_t from = now_us(), took;
		int len;

		fill(data, run.bytes, id);
		len = build(payload, room, data);
		if (len <= 0 || (run.one_way ? send_one_way(thread, data, &o, &r)
					     : tela_thread_call(thread, run.client, m, payload,
						       (size_t)len, &o, &r))) {
			t->refused++;
			usleep(1000);
			continue;
		}
		took = now_us() - from;
		t->worst_us = took > t->worst_us ? took : t->worst_us;
		note(t, &r, data, run.bytes);
		atomic_fetch_add(&run.ended, 1);
		tela_reply_free(&r);
		if (run.pause_us)
			usleep((useconds_t)(id * 2654435761u % run.pause_us));
	}
	t->refused += !thread;
	tela_thread_detach(thread);
	free(data);
	free(payload);
	atomic_fetch_sub(&run.running, 1);
	return NULL;
}

static bool value(const char *word, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	if (strncmp(word, key, n) || word[n] != '=')
		return false;
	*ret = strtoull(word + n + 1, NULL, 0);
	return true;
}

static bool run_start(char *words)
{
	uint64_t first = 1;
	char *rest = NULL;

	run.threads = 1, run.ms = 600000, run.calls = UINT32_MAX, run.bytes = 32,
	run.deadline_ms = 5000;
	run.delay_us = run.stamp = run.one_way = run.pause_us = run.later = 0;
	for (char *w = strtok_r(words, " \n", &rest); w; w = strtok_r(NULL, " \n", &rest)) {
		if (!strcmp(w, "run") || !strcmp(w, "method=echo"))
			continue;
		if (!strcmp(w, "method=later"))
			run.later = true;
		else if (!value(w, "threads", &run.threads) && !value(w, "ms", &run.ms) &&
			 !value(w, "calls", &run.calls) && !value(w, "bytes", &run.bytes) &&
			 !value(w, "delay_us", &run.delay_us) &&
			 !value(w, "deadline_ms", &run.deadline_ms) &&
			 !value(w, "stamp", &run.stamp) && !value(w, "one_way", &run.one_way) &&
			 !value(w, "pause_us", &run.pause_us) && !value(w, "first", &first))
			return false;
	}
	if (run.busy || !run.threads || run.threads > THREADS_MAX || run.bytes < BYTES_MIN ||
		run.bytes > BYTES_MAX)
		return false;
	run.end_us = now_us() + run.ms * 1000;
	run.next = first;
	run.last = first + run.calls;
	run.ended = 0;
	run.stop = false;
	run.running = (uint32_t)run.threads;
	run.busy = true;
	memset(run.tally, 0, sizeof(run.tally));
	for (uint64_t i = 0; i < run.threads; i++)
		if (pthread_create(&run.thread[i], NULL, call_on, &run.tally[i]))
			abort();
	return true;
}

static void add(struct tally *sum, const struct tally *t)
{
	sum->calls += t->calls, sum->refused += t->refused, sum->wrong += t->wrong,
		sum->resends += t->resends;
	sum->stamped += t->stamped, sum->torn += t->torn;
	for (int i = 0; i < CODES; i++) {
		sum->code[i] += t->code[i];
		if (t->message[i][0])
			memcpy(sum->message[i], t->message[i], sizeof(t->message[i]));
	}
	for (int i = 0; i < 3; i++)
		sum->outcome[i] += t->outcome[i];
	if (t->worst_us > sum->worst_us)
		sum->worst_us = t->worst_us;
	if (t->first_generation &&
		(!sum->first_generation || t->first_generation < sum->first_generation))
		sum->first_generation = t->first_generation;
	if (t->last_generation > sum->last_generation)
		sum->last_generation = t->last_generation;
}

static void print_result(void)
{
	struct tally s = {0};
	const char *comma = "";

	for (uint64_t i = 0; i < run.threads; i++) {
		pthread_join(run.thread[i], NULL);
		add(&s, &run.tally[i]);
	}
	run.busy = false;
	printf("{\"calls\":%lu,\"refused\":%lu,\"wrong\":%lu,\"resends\":%lu,\"stamped\":%lu,"
	       "\"torn\":%lu,\"worst_ms\":%.1f,"
	       "\"generations\":[%lu,%lu],\"outcomes\":{\"%s\":%lu,\"%s\":%lu,\"%s\":%lu},"
	       "\"codes\":{",
		s.calls, s.refused, s.wrong, s.resends, s.stamped, s.torn,
		(double)s.worst_us / 1000, s.first_generation, s.last_generation,
		tela_outcome_name(0), s.outcome[0], tela_outcome_name(1), s.outcome[1],
		tela_outcome_name(2), s.outcome[2]);
	for (unsigned i = 0; i < CODES; i++) {
		if (s.code[i])
			printf("%s\"%s\":%lu", comma, tela_code_name(i), s.code[i]), comma = ",";
	}
	printf("},\"messages\":{");
	comma = "";
	for (unsigned i = 0; i < CODES; i++) {
		if (s.message[i][0])
			printf("%s\"%s\":\"%s\"", comma, tela_code_name(i), s.message[i]),
				comma = ",";
	}
	printf("}}\n");
	fflush(stdout);
}

static bool command(char *line)
{
	if (!strncmp(line, "end", 3))
		return false;
	if (!strncmp(line, "stop", 4)) {
		atomic_store(&run.stop, true);
	} else if (!strncmp(line, "calls", 5)) {
		printf("{\"calls\":%lu}\n", atomic_load(&run.ended));
		fflush(stdout);
	} else if (strncmp(line, "run", 3) || !run_start(line)) {
		printf("{\"error\":\"not understood, or a run is under way\"}\n");
		fflush(stdout);
	}
	return true;
}

static void serve(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char text[1024];
	size_t have = 0;

	for (;;) {
		char *end;

		tela_node_poll(run.node);
		if (run.busy && !atomic_load(&run.running))
			print_result();
		if (poll(&in, 1, 2) <= 0)
			continue;
		ssize_t n = read(STDIN_FILENO, text + have, sizeof(text) - 1 - have);

		if (n <= 0)
			return;
		have += (size_t)n;
		text[have] = 0;
		while ((end = strchr(text, '\n'))) {
			*end = 0;
			if (!command(text))
				return;
			have -= (size_t)(end + 1 - text);
			memmove(text, end + 1, have + 1);
		}
	}
}

static void print_line(void *arg, const char *text)
{
	fprintf(arg, "%s\n", text);
}

int main(int argc, char **argv)
{
	struct tela_core_config cores[16];
	uint32_t n_cores = 0;
	char err[1024] = "";

	if (argc != 6) {
		fprintf(stderr, "caller NAME DEVICE ADDRESS PEER CPU[,CPU...]\n");
		return 2;
	}
	for (char *cpu = strtok(argv[5], ","); cpu && n_cores < sizeof(cores) / sizeof(*cores);
		cpu = strtok(NULL, ","))
		cores[n_cores++] =
			(struct tela_core_config){.cpu = atoi(cpu), .idle = TELA_IDLE_ADAPTIVE};
	const struct tela_port_config port = {.name = "p0", .device = argv[2], .address = argv[3]};
	const struct tela_peer_config peer = {.name = "peer", .address = argv[4]};
	const struct tela_node_config c = {.name = argv[1],
		.ports = &port,
		.cores = cores,
		.peers = &peer,
		.n_ports = 1,
		.n_cores = n_cores,
		.n_peers = 1,
		.no_huge = true,
		.share_cpu = true};

	run.node = tela_node_create(&c, err, sizeof(err));
	if (!run.node) {
		fprintf(stderr, "caller: %s\n", err);
		return 1;
	}
	tela_node_print_budgets(run.node, print_line, stderr);
	run.client = tela_client_open(run.node, "peer", &echo_Echo_service, 1);
	if (!run.client || tela_node_start(run.node, err, sizeof(err))) {
		fprintf(stderr, "caller: %s\n", run.client ? err : strerror(errno));
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	serve();
	atomic_store(&run.stop, true);
	for (uint64_t i = 0; run.busy && i < run.threads; i++)
		pthread_join(run.thread[i], NULL);
	tela_node_destroy(run.node);
	return 0;
}
