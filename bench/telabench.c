/* telabench.c - load for a mesh, from a program that is itself a node.
 *
 * run: one closed loop of echo calls, measured.  overload: more calls than the peer can serve.
 * demo: the whole main job, checked.
 */
#include "telabench.h"

#include "../control/conf.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
	"telabench - measures calls between this node and another one\n"
	"\n"
	"  telabench --config FILE --peer NAME [options] run       one closed loop of echo calls\n"
	"  telabench --config FILE --peer NAME [options] overload  its peak, and what it serves of "
	"1, 2 and 3 times that\n"
	"  telabench --config FILE --peer NAME [options] demo      the main job: kv, rates, swaps "
	"under load, faults; checked\n"
	"\n"
	"  -c, --config FILE      this node, as for telad (its services are ignored)\n"
	"  -p, --peer NAME        who is called: a peer of the configuration, which serves echo "
	"(demo: kv and calculator too)\n"
	"  -a, --admin SOCKET     admin socket of that node (swaps, faults, counters)\n"
	"  -n, --in-flight N      calls under way at once; of overload: at its peak (60)\n"
	"  -s, --sessions N       sessions they share (16)\n"
	"  -b, --bytes N          data bytes of a call, 8 to 16777152 (32)\n"
	"  -o, --one-way          large messages go, none come back: a caller that takes no reply "
	"so large (run)\n"
	"      --put HOW          run: bytes to the service `bytes` in place of echo, lent and "
	"not copied by the caller; HOW the handler takes them: pieces, or whole\n"
	"      --get HOW          run: bytes from it; HOW it answers: lent, from where they stand, "
	"or "
	"copied; taken as they arrived\n"
	"  -B, --both             serve echo too, on the same core: the peer is a telabench with "
	"--both, "
	"which calls at the same time (run)\n"
	"  -R, --rate N           run: an open loop of N calls/s; times count from when a call was "
	"due\n"
	"      --slow PERCENT     run: of the calls take --slow-us to answer; the others' times "
	"are "
	"shown (0)\n"
	"      --slow-us N        microseconds (1000)\n"
	"  -t, --seconds S        measured time of each round (1)\n"
	"  -r, --rounds N         rounds, 1 to 16; the median counts (3)\n"
	"  -w, --swaps N          change the plugin chain N times a second meanwhile (run: 0, "
	"demo: 1000)\n"
	"      --pairs N          of slices that tell what swapping costs beyond its CPU time "
	"(demo: "
	"20)\n"
	"      --words FILE       word list of the demo (/usr/share/dict/american-english)\n"
	"  -y, --yardsticks FILE  JSON lines of tela-echo and tela-floor, to compare with\n"
	"  -j, --json             one JSON object on standard output, progress on standard error\n"
	"\n"
	"Exit status: 0 measured and every check held, 1 a check failed or the peer cannot be "
	"reached, 2 usage.\n";

static _Atomic bool interrupted;

static void on_signal(int signal)
{
	(void)signal;
	atomic_store(&interrupted, true);
}

bool telabench_interrupted(void)
{
	return atomic_load(&interrupted);
}

static __attribute__((noreturn)) void bad_usage(const char *what)
{
	fprintf(stderr, "telabench: %s; telabench --help shows how\n", what);
	exit(2);
}

static uint32_t number(const char *text, uint32_t min, uint32_t max, const char *what)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || v < min || v > max) {
		fprintf(stderr, "telabench: %s: expected %u to %u, found '%s'\n", what, min, max,
			text);
		exit(2);
	}
	return (uint32_t)v;
}

static double decimal(const char *text, double min, double max, const char *what)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !(v >= min && v <= max)) {
		fprintf(stderr, "telabench: %s: expected %g to %g, found '%s'\n", what, min, max,
			text);
		exit(2);
	}
	return v;
}

/* --put HOW, or --get HOW: a method of the service `bytes`. */
static void bytes_method(struct options *o, bool get, const char *how)
{
	static const char *const words[2][2] = {{"pieces", "whole"}, {"copied", "lent"}};
	static const unsigned methods[2][2] = {{bytes_Bytes_put_ID, bytes_Bytes_put_whole_ID},
		{bytes_Bytes_get_ID, bytes_Bytes_get_lent_ID}};
	const bool second = !strcmp(how, words[get][1]);

	if (!second && strcmp(how, words[get][0]))
		bad_usage(
			get ? "--get: expected lent or copied" : "--put: expected pieces or whole");
	*(get ? &o->get : &o->put) = methods[get][second];
}

static void read_command(struct options *o, const char *command)
{
	o->demo = !strcmp(command, "demo");
	o->overload = !strcmp(command, "overload");
	if (!o->demo && !o->overload && strcmp(command, "run"))
		bad_usage("say run, overload or demo");
}

static void check_options(struct options *o)
{
	const bool run = !o->demo && !o->overload, bytes = o->put || o->get;

	if (!run && (o->rate > 0 || o->slow > 0 || o->both || o->one_way || bytes))
		bad_usage("--rate, --slow, --both, --one-way, --put and --get are for run");
	if (bytes && (o->one_way || o->both || o->rate > 0 || o->slow > 0))
		bad_usage("--put and --get: not with --one-way, --both, --rate or --slow");
	if (o->put && o->get)
		bad_usage("--put or --get, not both");
	if (o->overload && o->swaps != UINT32_MAX)
		bad_usage("--swaps is for run and demo");
	if (o->one_way && o->bytes <= LOAD_BYTES_OWN)
		bad_usage("--one-way takes --bytes above 65536");
	if (o->swaps == UINT32_MAX)
		o->swaps = o->demo ? 1000 : 0;
	if ((o->demo || o->swaps) && !o->admin)
		bad_usage("--admin is needed to change the chain of the other node");
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {{"config", 1, NULL, 'c'}, {"peer", 1, NULL, 'p'},
		{"admin", 1, NULL, 'a'}, {"in-flight", 1, NULL, 'n'}, {"sessions", 1, NULL, 's'},
		{"bytes", 1, NULL, 'b'}, {"one-way", 0, NULL, 'o'}, {"both", 0, NULL, 'B'},
		{"seconds", 1, NULL, 't'}, {"rounds", 1, NULL, 'r'}, {"swaps", 1, NULL, 'w'},
		{"words", 1, NULL, 'W'}, {"pairs", 1, NULL, 'P'}, {"rate", 1, NULL, 'R'},
		{"put", 1, NULL, 'T'}, {"get", 1, NULL, 'G'}, {"slow", 1, NULL, 'L'},
		{"slow-us", 1, NULL, 'U'}, {"yardsticks", 1, NULL, 'y'}, {"json", 0, NULL, 'j'},
		{"help", 0, NULL, 'h'}, {"version", 0, NULL, 'V'}, {NULL}};
	int c;

	while ((c = getopt_long(argc, argv, "c:p:a:n:s:b:t:r:w:y:R:jhVoB", known, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'p':
			o->peer = optarg;
			break;
		case 'a':
			o->admin = optarg;
			break;
		case 'n':
			o->in_flight = number(optarg, 1, LOAD_IN_FLIGHT_MAX, "--in-flight");
			break;
		case 's':
			o->sessions = number(optarg, 1, 65535, "--sessions");
			break;
		case 'b':
			o->bytes = number(optarg, 8, LOAD_BYTES_MAX, "--bytes");
			break;
		case 'o':
			o->one_way = true;
			break;
		case 'B':
			o->both = true;
			break;
		case 'T':
		case 'G':
			bytes_method(o, c == 'G', optarg);
			break;
		case 't':
			o->seconds = decimal(optarg, 0.05, 600, "--seconds");
			break;
		case 'r':
			o->rounds = number(optarg, 1, FIGURES_ROUNDS, "--rounds");
			break;
		case 'w':
			o->swaps = number(optarg, 0, 20000, "--swaps");
			break;
		case 'P':
			o->pairs = number(optarg, 1, SWAP_COST_PAIRS, "--pairs");
			break;
		case 'R':
			o->rate = decimal(optarg, 1, 1e8, "--rate");
			break;
		case 'L':
			o->slow = decimal(optarg, 0, 50, "--slow");
			break;
		case 'U':
			o->slow_us = number(optarg, 1, 1000000, "--slow-us");
			break;
		case 'W':
			o->words = optarg;
			break;
		case 'y':
			o->yardsticks = optarg;
			break;
		case 'j':
			o->json = true;
			break;
		case 'V':
			printf("telabench %s\n", TELA_VERSION);
			exit(0);
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			bad_usage("not understood");
		}
	}
	if (!o->config || !o->peer)
		bad_usage("--config and --peer are needed");
	read_command(o, optind + 1 == argc ? argv[optind] : "");
	check_options(o);
}

static void report(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "telabench: %s\n", line);
}

static double ns_per_tick(void)
{
	struct timespec a, b, t = {.tv_nsec = 50000000};
	uint64_t ta, tb;

	clock_gettime(CLOCK_MONOTONIC, &a);
	ta = load_ticks();
	nanosleep(&t, NULL);
	clock_gettime(CLOCK_MONOTONIC, &b);
	tb = load_ticks();
	return ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) /
	       (double)(tb - ta);
}

static int open_bench(struct bench *b, const struct conf *conf)
{
	const struct options *o = b->options;
	char err[512];

	b->node = tela_node_create(&conf->node, err, sizeof(err));
	if (!b->node) {
		report(NULL, err);
		return -1;
	}
	b->load = calloc(1, sizeof(*b->load));
	b->load_data = calloc(1, o->bytes);
	b->load_generation = calloc(LOAD_GENERATIONS, sizeof(*b->load_generation));
	b->storm.mask = calloc(LOAD_GENERATIONS, sizeof(*b->storm.mask));
	b->echo = tela_client_open(b->node, o->peer, &echo_Echo_service, o->sessions);
	b->echo_one = tela_client_open(b->node, o->peer, &echo_Echo_service, 1);
	b->kv = tela_client_open(b->node, o->peer, &kv_Kv_service, 4);
	b->calculator = tela_client_open(b->node, o->peer, &calculator_Calculator_service, 1);
	b->bytes = tela_client_open(b->node, o->peer, &bytes_Bytes_service, o->sessions);
	if (!b->load || !b->load_data || !b->load_generation || !b->storm.mask || !b->echo ||
		!b->echo_one || !b->kv || !b->calculator || !b->bytes) {
		report(NULL, "no such peer in the configuration, or out of memory");
		return -1;
	}
	if (o->both && both_serve(b, err, sizeof(err))) {
		report(NULL, err);
		return -1;
	}
	b->load->ns_per_tick = ns_per_tick();
	b->load->generation = b->load_generation;
	b->load->data = b->load_data;
	if (tela_task_add(b->node, 0, load_task, &b->load_now) ||
		(o->demo && tela_task_add(b->node, 0, words_task, &b->words_now)) ||
		tela_node_start(b->node, err, sizeof(err))) {
		report(NULL, err);
		return -1;
	}
	b->thread = tela_thread_attach(b->node);
	if (o->admin) {
		b->admin = admin_client_open(o->admin);
		b->storm_admin = admin_client_open(o->admin);
		if (!b->admin || !b->storm_admin) {
			report(NULL, "the admin socket of the other node cannot be reached");
			return -1;
		}
	}
	return b->thread ? 0 : -1;
}

static void close_bench(struct bench *b)
{
	admin_client_close(b->admin);
	admin_client_close(b->storm_admin);
	tela_thread_detach(b->thread);
	tela_node_destroy(b->node);
	words_free(&b->words);
	free(b->load);
	free(b->load_data);
	free(b->load_generation);
	free(b->storm.mask);
}

int main(int argc, char **argv)
{
	struct options o = {.in_flight = 60,
		.sessions = 16,
		.bytes = 32,
		.seconds = 1,
		.rounds = 3,
		.swaps = UINT32_MAX,
		.pairs = 20,
		.slow_us = 1000,
		.words = "/usr/share/dict/american-english"};
	static struct bench b;
	struct conf *conf;
	int rc;

	read_options(&o, argc, argv);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, SIG_IGN);
	conf = conf_load(o.config, report, NULL);
	if (!conf)
		return 1;
	conf->node.no_huge = conf->huge != CONF_HUGE_TRUE;
	b.options = &o;
	b.out = o.json ? stderr : stdout;
	if (o.yardsticks && yardsticks_read(&b.yardsticks, o.yardsticks))
		report(NULL, "the file of yardsticks cannot be read; ratios are left out");
	rc = open_bench(&b, conf);
	if (!rc)
		rc = o.demo ? demo(&b) : o.overload ? overload(&b) : run_once(&b);
	close_bench(&b);
	conf_free(conf);
	return rc ? 1 : 0;
}
