/* main.c - the simulator as a program: one seed, some, or as many as fit into a time. */
#include "sim.h"

#include <getopt.h>
#include <signal.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { HANGS_SECONDS = 300 };

static const char help[] =
	"usage: tela-sim [OPTION]...\n"
	"Runs Tela's protocol machines, unchanged, in a network that exists only here: a virtual\n"
	"clock, bad wires, nodes that stop, end and come back. One number, the seed, decides all "
	"of\n"
	"it, so what went wrong once goes wrong again. Ends with 1 at the first seed that breaks "
	"a\n"
	"promise (each call ends once, with its own bytes, in time, where it was asked for; none "
	"runs\n"
	"twice; nothing leaks; all come to rest) and prints the command that repeats it.\n"
	"\n"
	"  --seed N        first seed (default 1); 'fresh': one that nobody has seen, printed\n"
	"  --runs N        so many seeds, one after the other (default 1)\n"
	"  --minutes N     seeds one after the other, until so many minutes are over\n"
	"  --nodes N       so many nodes, in place of what the seed says\n"
	"  --calls N       so many calls, in place of what the seed says\n"
	"  --without LIST  leaves faults out, by name (below), with commas; the rest stays the "
	"same\n"
	"  --study NAME    one kind of load in a good network (below), in figures that must be "
	"met\n"
	"  --verbose       prints the scenario and everything that happens\n"
	"  --follow N      with --verbose: of the calls, only call N, and no datagrams\n"
	"  --hash          prints a hash of everything that happened: equal runs have equal "
	"hashes\n"
	"\n"
	"Faults:\n";

static const char *const fault_name[] = {
#define FAULT_NAME(name, help) #name,
	FAULT_LIST(FAULT_NAME)
#undef FAULT_NAME
};
static const char *const study_name[] = {
#define STUDY_NAME(name, help) #name,
	STUDY_LIST(STUDY_NAME)
#undef STUDY_NAME
};
static const char *const study_help[] = {
#define STUDY_HELP(name, help) help,
	STUDY_LIST(STUDY_HELP)
#undef STUDY_HELP
};
static const char *const fault_help[] = {
#define FAULT_HELP(name, help) help,
	FAULT_LIST(FAULT_HELP)
#undef FAULT_HELP
};

static struct options options = {.seed = 1, .follow = -1};
static uint64_t runs = 1;
static double minutes;
static bool print_hash;
static char replay[256]; /* the command, made before a run, so that a signal handler can print it */

static void print_help(void)
{
	fputs(help, stdout);
	for (int i = 0; i < FAULT_N; i++)
		printf("  %-14s  %s\n", fault_name[i], fault_help[i]);
	printf("\nStudies:\n");
	for (int i = 1; i < STUDY_N; i++)
		printf("  %-14s  %s\n", study_name[i], study_help[i]);
}

static uint32_t fault_bits(char *list)
{
	uint32_t bits = 0;

	for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
		int i = 0;

		while (i < FAULT_N && strcmp(word, fault_name[i]))
			i++;
		if (i == FAULT_N) {
			fprintf(stderr, "tela-sim: no fault is named \"%s\"; --help lists them\n",
				word);
			exit(2);
		}
		bits |= 1u << i;
	}
	return bits;
}

static enum study study_of(const char *text)
{
	for (int i = 1; i < STUDY_N; i++)
		if (!strcmp(text, study_name[i]))
			return (enum study)i;
	fprintf(stderr, "tela-sim: no study is named \"%s\"; --help lists them\n", text);
	exit(2);
}

static uint64_t number(const char *option, const char *text, uint64_t low, uint64_t high)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 0);
	if (errno || end == text || *end || v < low || v > high || *text == '-') {
		fprintf(stderr, "tela-sim: --%s: \"%s\" is no number from %llu to %llu\n", option,
			text, (unsigned long long)low, (unsigned long long)high);
		exit(2);
	}
	return v;
}

static uint64_t fresh_seed(void)
{
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		abort();
	return seed;
}

enum word {
	OPT_SEED,
	OPT_RUNS,
	OPT_MINUTES,
	OPT_NODES,
	OPT_CALLS,
	OPT_WITHOUT,
	OPT_STUDY,
	OPT_VERBOSE,
	OPT_FOLLOW,
	OPT_HASH,
	OPT_HELP
};

static void set(enum word option, char *value)
{
	switch (option) {
	case OPT_SEED:
		options.seed = strcmp(value, "fresh") ? number("seed", value, 0, UINT64_MAX)
						      : fresh_seed();
		break;
	case OPT_RUNS:
		runs = number("runs", value, 1, UINT64_MAX);
		break;
	case OPT_MINUTES:
		minutes = (double)number("minutes", value, 1, 100000);
		break;
	case OPT_NODES:
		options.nodes = (uint32_t)number("nodes", value, 2, 4000);
		break;
	case OPT_CALLS:
		options.calls = (uint32_t)number("calls", value, 1, 1000000);
		break;
	case OPT_WITHOUT:
		options.without |= fault_bits(value);
		break;
	case OPT_STUDY:
		options.study = study_of(value);
		break;
	case OPT_VERBOSE:
		options.verbose = true;
		break;
	case OPT_FOLLOW:
		options.follow = (int64_t)number("follow", value, 0, UINT32_MAX);
		break;
	case OPT_HASH:
		print_hash = true;
		break;
	case OPT_HELP:
		print_help();
		exit(0);
	}
}

static void read_options(int argc, char **argv)
{
	static const struct option_name {
		const char *name;
		bool value;
	} names[] = {[OPT_SEED] = {"seed", true},
		[OPT_RUNS] = {"runs", true},
		[OPT_MINUTES] = {"minutes", true},
		[OPT_NODES] = {"nodes", true},
		[OPT_CALLS] = {"calls", true},
		[OPT_WITHOUT] = {"without", true},
		[OPT_STUDY] = {"study", true},
		[OPT_VERBOSE] = {"verbose", false},
		[OPT_FOLLOW] = {"follow", true},
		[OPT_HASH] = {"hash", false},
		[OPT_HELP] = {"help", false}};
	struct option known[ARRAY_SIZE(names) + 1] = {{0}};
	int c;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		known[i] = (struct option){names[i].name,
			names[i].value ? required_argument : no_argument, NULL, (int)i + 256};
	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (c == '?')
			exit(2);
		set(c == 'h' ? OPT_HELP : (enum word)(c - 256), optarg);
	}
	if (optind < argc) {
		fprintf(stderr, "tela-sim: \"%s\" means nothing here; see --help\n", argv[optind]);
		exit(2);
	}
}

/* ---- a seed that fails says so, however it fails ---- */

void sim_say_seed(void)
{
	if (write(2, replay, strlen(replay)) < 0)
		_exit(1);
}

static void on_signal(int sig)
{
	static const char hangs[] = "tela-sim: hangs\n";

	if (sig == SIGALRM && write(2, hangs, sizeof(hangs) - 1) < 0)
		_exit(1);
	sim_say_seed();
	signal(sig, SIG_DFL);
	if (sig == SIGALRM)
		_exit(1);
	raise(sig);
}

/* The sanitizers call these when they have found something. */
void __asan_on_error(void);
void __asan_on_error(void)
{
	sim_say_seed();
}

void __ubsan_on_report(void);
void __ubsan_on_report(void)
{
	sim_say_seed();
}

static volatile sig_atomic_t enough;

static void on_interrupt(int sig)
{
	(void)sig;
	enough = 1;
}

static void catch_signals(void)
{
	signal(SIGINT, on_interrupt);
	signal(SIGTERM, on_interrupt);
	signal(SIGABRT, on_signal);
	signal(SIGALRM, on_signal);
#ifndef __SANITIZE_ADDRESS__
	signal(SIGSEGV, on_signal);
	signal(SIGBUS, on_signal);
	signal(SIGFPE, on_signal);
#endif
}

static void remember(const char *program)
{
	int at = snprintf(replay, sizeof(replay), "FAILED: seed %llu. Again: %s --seed %llu",
		(unsigned long long)options.seed, program, (unsigned long long)options.seed);

	if (options.nodes)
		at += snprintf(replay + at, sizeof(replay) - at, " --nodes %u", options.nodes);
	if (options.study)
		at += snprintf(
			replay + at, sizeof(replay) - at, " --study %s", study_name[options.study]);
	if (options.calls)
		at += snprintf(replay + at, sizeof(replay) - at, " --calls %u", options.calls);
	for (int i = 0, n = 0; i < FAULT_N; i++)
		if (options.without >> i & 1)
			at += snprintf(replay + at, sizeof(replay) - at, "%s%s",
				n++ ? "," : " --without ", fault_name[i]);
	snprintf(replay + at, sizeof(replay) - at, " --verbose\n");
}

/* ---- runs ---- */

struct sums {
	uint64_t runs, nodes, virtual_ns, passes, frames, dropped, made, ok, executed, pended,
		accepted;
	uint64_t by_code[17], by_outcome[3], fault_hit[FAULT_N];
};

static void add(struct sums *to, const struct sim *sim)
{
	to->runs++;
	to->nodes += sim->s.n_nodes;
	to->virtual_ns += sim->now_ns;
	to->passes += sim->n_passes;
	to->frames += sim->n_frames;
	to->dropped += sim->n_dropped;
	to->made += sim->n_made;
	to->ok += sim->n_ok;
	to->executed += sim->n_executed;
	to->pended += sim->n_pended;
	to->accepted += sim->n_accepted;
	for (int i = 0; i < 17; i++)
		to->by_code[i] += sim->by_code[i];
	for (int i = 0; i < 3; i++)
		to->by_outcome[i] += sim->by_outcome[i];
	for (int i = 0; i < FAULT_N; i++)
		to->fault_hit[i] += sim->fault_hit[i];
}

static void print_sums(const struct sums *s)
{
	printf("%llu seeds passed: %llu nodes, %.1f s of virtual time, %llu passes, %llu "
	       "datagrams\n"
	       "(%llu of them gone on the way), %llu calls (%llu OK), %llu executions, %llu "
	       "parked, %llu one-way accepted\n",
		(unsigned long long)s->runs, (unsigned long long)s->nodes,
		(double)s->virtual_ns / NS_PER_S, (unsigned long long)s->passes,
		(unsigned long long)s->frames, (unsigned long long)s->dropped,
		(unsigned long long)s->made, (unsigned long long)s->ok,
		(unsigned long long)s->executed, (unsigned long long)s->pended,
		(unsigned long long)s->accepted);
	printf("codes:");
	for (int i = 0; i < 17; i++)
		if (s->by_code[i])
			printf(" %d: %llu", i, (unsigned long long)s->by_code[i]);
	printf("; executed %llu, not %llu, maybe %llu\nfaults:",
		(unsigned long long)s->by_outcome[0], (unsigned long long)s->by_outcome[1],
		(unsigned long long)s->by_outcome[2]);
	for (int i = 0; i < FAULT_N; i++)
		if (s->fault_hit[i])
			printf(" %s %llu", fault_name[i], (unsigned long long)s->fault_hit[i]);
	printf("\n");
}

int main(int argc, char **argv)
{
	static struct sums sums;
	static struct sim sim;
	time_t until;

	read_options(argc, argv);
	until = time(NULL) + (time_t)(minutes * 60);
	catch_signals();
	printf("tela-sim: from seed %llu\n", (unsigned long long)options.seed);
	fflush(stdout);
	for (uint64_t n = 0; !enough && (minutes > 0 ? time(NULL) < until : n < runs);
		n++, options.seed++) {
		remember(argv[0]);
		alarm(HANGS_SECONDS);
		sim_run(&sim, &options);
		add(&sums, &sim);
		if (print_hash)
			printf("seed %llu hash %016llx events %llu\n",
				(unsigned long long)options.seed, (unsigned long long)sim.hash,
				(unsigned long long)sim.n_events);
		sim_free(&sim);
	}
	alarm(0);
	print_sums(&sums);
	return 0;
}
