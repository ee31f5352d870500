/* recorder_test.c - a service "rec" over "reca" over "recb", each of which writes every hook that
 * runs into the file "events" of the folder TELA_RECORD, and does what files there tell it:
 *
 *     fail-HOOK-NAME   the hook fails        unready-NAME   ready says no
 *     hang-HOOK-NAME   it never returns      busy-NAME      drain says no */
#include "test_plugins.h"

#include "recorder_test.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static void record(const char *format, ...)
{
	const char *folder = getenv("TELA_RECORD");
	char path[512], line[512];
	va_list args;
	int fd, n;

	if (!folder)
		return;
	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	line[n++] = '\n';
	snprintf(path, sizeof(path), "%s/events", folder);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && write(fd, line, n) == n);
	close(fd);
}

static bool told(const char *what, const char *hook, const char *name)
{
	const char *folder = getenv("TELA_RECORD");
	char path[512];

	if (!folder)
		return false;
	snprintf(path, sizeof(path), "%s/%s%s%s-%s", folder, what, hook ? "-" : "",
		hook ? hook : "", name);
	return !access(path, F_OK);
}

/* That file is obeyed by one, which takes it away. */
static bool told_once(const char *what, const char *name)
{
	const char *folder = getenv("TELA_RECORD");
	char path[512];

	snprintf(path, sizeof(path), "%s/%s-once-%s", folder ? folder : "", what, name);
	return folder && !unlink(path);
}

static int obey(struct tela_hook *h, const char *hook, const char *name)
{
	while (told("hang", hook, name))
		pause();
	if (!told("fail", hook, name))
		return 0;
	snprintf(h->error, h->error_len, "%s of %s fails on purpose", hook, name);
	return -EIO;
}

static const char *status(enum tela_running s)
{
	static const char *const names[] = {"unknown", "starting", "running", "pausing", "paused",
		"stopping", "stopped", "failed"};

	return names[s];
}

static enum tela_verdict go_on(struct tela_call *call, void *self)
{
	(void)call;
	(void)self;
	return TELA_CONTINUE;
}

/* The same hooks for each, which know their name by the macro. */
#define RECORDER(id, shown)                                                                        \
	static int config_##id(struct tela_hook *h)                                                \
	{                                                                                          \
		record("config %s", shown);                                                        \
		return obey(h, "config", shown);                                                   \
	}                                                                                          \
	static int start_##id(struct tela_hook *h, void **ret_self)                                \
	{                                                                                          \
		record("start %s", shown);                                                         \
		*ret_self = &self_##id;                                                            \
		return obey(h, "start", shown);                                                    \
	}                                                                                          \
	static void stop_##id(struct tela_hook *h)                                                 \
	{                                                                                          \
		CHECK(h->self == &self_##id);                                                      \
		record("stop %s", shown);                                                          \
		obey(h, "stop", shown);                                                            \
	}                                                                                          \
	static void status_##id(struct tela_hook *h, enum tela_running from, enum tela_running to) \
	{                                                                                          \
		record("status %s %s>%s%s", shown, status(from), status(to),                       \
			h->self ? "" : " unstarted");                                              \
		obey(h, "status", shown);                                                          \
	}                                                                                          \
	static bool ready_##id(struct tela_hook *h)                                                \
	{                                                                                          \
		obey(h, "ready", shown);                                                           \
		snprintf(h->error, h->error_len, "no pool");                                       \
		return !told("unready", NULL, shown);                                              \
	}                                                                                          \
	static bool drain_##id(struct tela_hook *h)                                                \
	{                                                                                          \
		snprintf(h->error, h->error_len, "jobs left");                                     \
		return !told("busy", NULL, shown);                                                 \
	}

static int self_rec, self_reca, self_recb;

RECORDER(rec, "rec")
RECORDER(reca, "reca")
RECORDER(recb, "recb")

static int verify(const void *payload, size_t len)
{
	(void)payload;
	(void)len;
	return 0;
}

static const struct tela_method_desc methods[] = {
	{.name = "Ping", .id = 1, .verify_request = verify}};
static const struct tela_service_desc desc = {
	.name = "test.Rec", .schema = 7, .n_methods = 1, .methods = methods};
static const struct tela_link serve[] = {{.service = &desc, .method = 1, .enter = go_on}};
static const struct tela_link every[] = {{.callback = TELA_REQUEST_IN, .enter = go_on}};
static const char *const wraps_recb[] = {"recb", NULL};
struct options {
	const char *x;
	struct {
		uint32_t z;
	} y;
};

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, x, .help = "how"),
	TELA_CONFIG(struct options, y.z, .help = "how many"),
};

static void stats_recb(
	void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	CHECK(self == &self_recb);
	while (told("hang", "stats", "recb"))
		pause();
	emit(arg, "seen", 1);
}

#define HOOKS(id)                                                                                  \
	.abi = TELA_PLUGIN_ABI, .version = "1.0", .n_links = 1, .keys = keys,                      \
	.n_keys = ARRAY_SIZE(keys), .values_size = sizeof(struct options), .config = config_##id,  \
	.start = start_##id, .stop = stop_##id, .status_changed = status_##id,                     \
	.ready = ready_##id, .drain = drain_##id

const struct tela_plugin recorder = {.name = "rec", .serves = &desc, .links = serve, HOOKS(rec)};
const struct tela_plugin recorder_a = {
	.name = "reca", .links = every, .wraps = wraps_recb, HOOKS(reca)};
static const char *const uses_svc2[] = {"test.Other", NULL};
const struct tela_plugin recorder_b = {
	.name = "recb", .links = every, .uses = uses_svc2, .stats = stats_recb, HOOKS(recb)};

/* ---- crew: two threads and a timer. "die-NAME" makes one return an error at once, and again when
 * it has been started again; "end-NAME" 0; "die-once-NAME" and "end-once-NAME" one time only ----
 */

static int work(struct tela_worker_run *r, const char *name)
{
	record("work %s", name);
	while (!told("die", NULL, name) && !told("end", NULL, name)) {
		if (told_once("die", name))
			return -EIO;
		if (told_once("end", name))
			return 0;
		if (tela_worker_wait(r, NS_PER_MS)) {
			record("rest %s", name);
			return 0;
		}
	}
	return told("die", NULL, name) ? -EIO : 0;
}

static int work_one(struct tela_worker_run *r, void *self)
{
	CHECK(self == &crew);
	return work(r, "one");
}

static int work_two(struct tela_worker_run *r, void *self)
{
	(void)self;
	return work(r, "two");
}

static int tick(struct tela_worker_run *r, void *self)
{
	(void)r;
	(void)self;
	return told("die", NULL, "timer") ? -EIO : 0;
}

static int start_crew(struct tela_hook *h, void **ret_self)
{
	static const struct tela_worker list[] = {
		{.name = "one", .run = work_one, .restart = TELA_PERMANENT},
		{.name = "two", .run = work_two, .restart = TELA_TRANSIENT},
		{.name = "timer", .run = tick, .period_ms = 1, .restart = TELA_TEMPORARY},
	};
	static const struct tela_worker bad[] = {{.name = "far too long a name", .run = tick}};
	static const struct tela_workers each = {
		.list = list, .n = 3, .max_restarts = 5, .period_ms = 60000};
	static const struct tela_workers all = {.list = list,
		.n = 3,
		.strategy = TELA_ONE_FOR_ALL,
		.max_restarts = 5,
		.period_ms = 60000};
	static const struct tela_workers wrong = {.list = bad, .n = 1};
	const struct options *o = h->values;
	const char *how = o->x ? o->x : "each";

	record("start crew");
	*ret_self = (void *)&crew;
	h->workers = !strcmp(how, "each") ? &each : !strcmp(how, "all") ? &all : &wrong;
	return 0;
}

static void stop_crew(struct tela_hook *h)
{
	CHECK(h->self == &crew);
	record("stop crew");
}

static void stats_crew(
	void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	CHECK(self == &crew);
	emit(arg, "seen", 1);
}

const struct tela_plugin crew = {.abi = TELA_PLUGIN_ABI,
	.name = "crew",
	.in_place = true,
	.stats = stats_crew,
	.version = "1.0",
	.n_links = 1,
	.links = every,
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.start = start_crew,
	.stop = stop_crew};
