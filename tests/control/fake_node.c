#include "fake_node.h"

#include "../../dataplane/base.h"
#include "../../dataplane/names.h"
#include "../../dataplane/tela_discovery.h"
#include "../../dataplane/tela_forward.h"
#include "../../dataplane/tela_mesh.h"
#include "../../dataplane/tela_state.h"
#include "../../dataplane/tela_trace.h"

#include <unistd.h>

struct tela_image {
	struct tela_image *next;
	uint64_t generation;
	void (*retired)(void *arg, uint64_t generation, uint64_t calls);
	void *arg;
};

struct tela_service {
	struct tela_service *next;
	const struct tela_service_desc *desc;
	uint64_t generation;
	struct tela_image *image;
	bool admit;
	void (*removed)(void *arg);
	void *removed_arg;
};

struct tela_node {
	const struct tela_node_config *config;
	struct tela_service *services, *removing;
	struct tela_image *retiring;
	struct names *names;
};

struct tela_client {
	int unused;
};

struct tela_thread {
	int unused;
};

static struct tela_node node;
static bool pinned;
static unsigned n_images;

void fake_node_pin(bool pin)
{
	pinned = pin;
}

unsigned fake_node_images(void)
{
	return n_images;
}

struct tela_node *tela_node_create(const struct tela_node_config *c, char *err, size_t err_len)
{
	(void)err;
	(void)err_len;
	node = (struct tela_node){.config = c, .names = names_create()};
	return &node;
}

int tela_node_start(struct tela_node *n, char *err, size_t err_len)
{
	(void)n;
	(void)err;
	(void)err_len;
	return 0;
}

void tela_node_leave(struct tela_node *n)
{
	(void)n;
}

uint32_t tela_node_in_flight(const struct tela_node *n)
{
	(void)n;
	return 0;
}

uint32_t tela_node_workers_busy(const struct tela_node *n)
{
	(void)n;
	return 0;
}

void tela_node_halt(struct tela_node *n)
{
	(void)n;
}

void tela_node_destroy(struct tela_node *n)
{
	struct tela_service *s, *next;

	for (s = n->services; s; s = next) {
		next = s->next;
		tela_image_free(s->image);
		free(s);
	}
	n->services = NULL;
	names_destroy(n->names);
	n->names = NULL;
}

struct names *node_names(struct tela_node *n)
{
	return n->names;
}

/* No core reads here. */
void node_free_later(struct tela_node *n, void *memory)
{
	(void)n;
	free(memory);
}

struct tela_core *tela_core_self(void)
{
	return NULL;
}

const char *tela_node_name(const struct tela_node *n)
{
	return n->config->name;
}

uint64_t tela_node_incarnation(const struct tela_node *n)
{
	(void)n;
	return 0x123456789abcdef0;
}

uint32_t tela_node_n_cores(const struct tela_node *n)
{
	return n->config->n_cores;
}

void tela_node_print_budgets(
	const struct tela_node *n, void (*line)(void *arg, const char *text), void *arg)
{
	(void)n;
	line(arg, "budget calls 4096 1.0 MiB");
}

void tela_service_shed(struct tela_service *s, uint32_t target_us)
{
	(void)s;
	(void)target_us;
}

struct tela_service *tela_service_add(struct tela_node *n, const struct tela_service_desc *desc)
{
	struct tela_service *s;

	if (tela_service_find(n, desc->name)) {
		errno = EEXIST;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		errno = ENOMEM;
		return NULL;
	}
	s->desc = desc;
	s->admit = true;
	s->next = n->services;
	n->services = s;
	return s;
}

struct tela_image *tela_image_build(struct tela_service *s, const struct tela_image_link *links,
	uint32_t n_links, char *err, size_t err_len)
{
	struct tela_image *i = calloc(1, sizeof(*i));

	(void)links;
	(void)n_links;
	if (!i) {
		snprintf(err, err_len, "out of memory");
		return NULL;
	}
	n_images++;
	return i;
}

void tela_image_free(struct tela_image *i)
{
	if (!i)
		return;
	n_images--;
	free(i);
}

uint64_t tela_image_generation(const struct tela_image *i)
{
	return i->generation;
}

void tela_image_publish(struct tela_service *s, struct tela_image *i,
	void (*retired)(void *arg, uint64_t generation, uint64_t calls), void *arg)
{
	struct tela_image *old = s->image;

	s->image = i;
	if (i)
		i->generation = ++s->generation;
	if (!old)
		return;
	old->retired = retired;
	old->arg = arg;
	old->next = node.retiring;
	node.retiring = old;
}

const struct tela_image *tela_service_image(const struct tela_service *s)
{
	return s->image;
}

uint32_t tela_service_added(
	const struct tela_service *s, const struct tela_method_desc **ret, uint32_t room)
{
	(void)s;
	(void)ret;
	(void)room;
	return 0;
}

uint64_t tela_image_calls(const struct tela_image *i)
{
	return i->generation * 10;
}

void tela_service_admit(struct tela_service *s, bool admit, const char *reason)
{
	(void)reason;
	s->admit = admit;
}

void tela_service_drain(struct tela_service *s, const char *reason)
{
	tela_service_admit(s, false, reason);
}

bool tela_service_settled(const struct tela_service *s)
{
	(void)s;
	return true;
}

struct tela_task *tela_task_start(
	struct tela_node *n, uint32_t core, tela_task_fn fn, void *arg, uint32_t period_ms)
{
	(void)n;
	(void)core;
	(void)fn;
	(void)arg;
	(void)period_ms;
	errno = EBUSY;
	return NULL;
}

void tela_task_end(struct tela_task *t)
{
	(void)t;
}

enum tela_verdict tela_reply_copy(struct tela_call *call, const void *payload, size_t len)
{
	(void)call;
	(void)payload;
	(void)len;
	return TELA_ANSWER;
}

int tela_service_remove(struct tela_service *s, void (*removed)(void *arg), void *arg)
{
	struct tela_service **at = &node.services;

	CHECK(!s->image);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->removed = removed;
	s->removed_arg = arg;
	s->next = node.removing;
	node.removing = s;
	return 0;
}

/* While a file PIN.remove is there, cores look at what is being removed. */
static void tell_removed(const char *file)
{
	struct tela_service *s = node.removing, *next;
	char path[512];

	snprintf(path, sizeof(path), "%s.remove", file ? file : "");
	if (file && !access(path, F_OK))
		return;
	node.removing = NULL;
	for (; s; s = next) {
		next = s->next;
		s->removed(s->removed_arg);
	}
}

void tela_service_free(struct tela_service *s)
{
	free(s);
}

void tela_service_keep_local(struct tela_service *s)
{
	(void)s;
}

/* It has no ports. */
bool tela_node_has_clients(const struct tela_node *n)
{
	(void)n;
	return false;
}

int tela_node_forward(struct tela_node *n, const struct tela_forward *f, enum tela_balance balance)
{
	(void)n;
	(void)f;
	(void)balance;
	return 0;
}

void tela_node_forwards(const struct tela_node *n,
	void (*emit)(void *arg, const struct tela_forward_view *v), void *arg)
{
	(void)n;
	(void)emit;
	(void)arg;
}

int tela_node_discovered(struct tela_node *n, const char *peer, const char *zone,
	const char *const *services, const uint32_t *weights, uint32_t n_services)
{
	(void)n;
	(void)peer;
	(void)services;
	(void)zone;
	(void)weights;
	(void)n_services;
	return 0;
}

void tela_service_cancel(struct tela_service *s, uint64_t generation)
{
	(void)s;
	(void)generation;
}

uint32_t tela_service_in_flight(const struct tela_service *s)
{
	(void)s;
	return 0;
}

struct tela_storage *tela_service_storage(struct tela_service *s)
{
	(void)s;
	return NULL;
}

struct tela_service *tela_service_find(struct tela_node *n, const char *name)
{
	for (struct tela_service *s = n->services; s; s = s->next)
		if (!strcmp(s->desc->name, name))
			return s;
	return NULL;
}

void tela_node_poll(struct tela_node *n)
{
	const char *file = getenv("FAKE_NODE_PIN");
	struct tela_image *i = n->retiring, *next;

	tell_removed(file);
	if (pinned || (file && !access(file, F_OK)))
		return;
	n->retiring = NULL;
	for (; i; i = next) {
		next = i->next;
		i->retired(i->arg, i->generation, i->generation * 10);
		tela_image_free(i);
	}
}

void tela_node_on_report(struct tela_node *n, tela_report_fn fn, void *arg)
{
	(void)n;
	(void)fn;
	(void)arg;
}

void tela_trace_new(struct tela_context *ret)
{
	*ret = (struct tela_context){.trace = {1, 2}};
}

void tela_node_on_trace(struct tela_node *n, tela_trace_fn fn, void *arg)
{
	(void)n;
	(void)fn;
	(void)arg;
}

uint32_t tela_service_working(const struct tela_service *s)
{
	(void)s;
	return 0;
}

int tela_on_dpdk_log(tela_log_fn fn, void *arg)
{
	(void)fn;
	(void)arg;
	return 0;
}

void tela_node_on_log(struct tela_node *n, tela_log_fn fn, void *arg)
{
	(void)n;
	(void)fn;
	(void)arg;
}

void tela_service_log_level(struct tela_service *s, enum tela_log_level level)
{
	(void)s;
	(void)level;
}

struct tela_log *tela_log_create(struct tela_service *s, const char *plugin)
{
	(void)s;
	return (struct tela_log *)strdup(plugin);
}

void tela_log_free(struct tela_log *l)
{
	free(l);
}

int tela_node_faults(
	struct tela_node *n, uint32_t port, double loss, double duplicate, double reorder)
{
	(void)loss;
	(void)duplicate;
	(void)reorder;
	return port < n->config->n_ports ? 0 : -EINVAL;
}

static struct tela_limits limits = {.window = 256, .slots_per_session = 1024};

int tela_node_limits(struct tela_node *n, const struct tela_limits *l)
{
	(void)n;
	limits.window = l->window ? l->window : limits.window;
	limits.slots_per_session =
		l->slots_per_session ? l->slots_per_session : limits.slots_per_session;
	return 0;
}

struct tela_limits tela_node_limits_now(const struct tela_node *n)
{
	(void)n;
	return limits;
}

void tela_node_ends(const struct tela_node *n, tela_ends_fn emit, void *arg)
{
	(void)n;
	emit(arg, &(struct tela_ends){"callee", "test.Served", "get", "paused", 14, 3});
}

int tela_node_latency(const struct tela_node *n, uint32_t core,
	void (*emit)(void *arg, const struct tela_latency *l), void *arg)
{
	const struct tela_latency l = {
		"echo.Echo", "later", "callee", "queue", 640, 10, 100, 200, 300, 400, 512};

	if (core != UINT32_MAX && core >= n->config->n_cores)
		return -EINVAL;
	emit(arg, &l);
	return 0;
}

void tela_node_counters(const struct tela_node *n, uint32_t core,
	void (*emit)(void *arg, const char *name, const char *help, bool drop, uint64_t value),
	void *arg)
{
	(void)n;
	(void)core;
	emit(arg, "rx_frames", "frames received", false, 5);
	emit(arg, "tx_frames", "frames handed to the device", false, 0);
	emit(arg, "drop_short", "frame shorter than its headers say", true, 2);
}

int tela_node_core_info(const struct tela_node *n, uint32_t core, struct tela_core_info *ret)
{
	*ret = (struct tela_core_info){
		.cpu = n->config->cores[core].cpu, .passes = 1, .polled_ns = 2, .busy_ns = 1};
	return 0;
}

int tela_node_reach(const struct tela_node *n, uint32_t core, uint32_t port, struct tela_reach *ret)
{
	(void)n;
	(void)port;
	*ret = (struct tela_reach){.how = "queue"};
	snprintf(ret->queues, sizeof(ret->queues), "%u", core);
	return 0;
}

int tela_node_port_info(const struct tela_node *n, uint32_t port, struct tela_port_info *ret)
{
	*ret = (struct tela_port_info){
		.name = n->config->ports[port].name, .driver = "fake", .mtu = 1500, .up = true};
	return 0;
}

int tela_node_peer_info(const struct tela_node *n, uint32_t peer, struct tela_peer_info *ret)
{
	*ret = (struct tela_peer_info){.name = n->config->peers[peer].name, .state = "down"};
	return 0;
}

/* ---- calls: the payload comes back ---- */

const struct tela_policy *tela_policy_named(const char *name)
{
	static const struct tela_policy mesh = {.name = "mesh"};

	return strcmp(name, "mesh") ? NULL : &mesh;
}

uint32_t tela_mesh_size(const struct tela_client *c)
{
	(void)c;
	return 1;
}

const char *tela_mesh_name(const struct tela_client *c, uint32_t instance)
{
	(void)c;
	(void)instance;
	return NULL;
}

int tela_thread_all(struct tela_thread *t, struct tela_client *c, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o, uint32_t quorum,
	struct tela_reply *replies)
{
	(void)quorum;
	return tela_thread_call(t, c, m, payload, len, o, replies);
}

int tela_balance_named(const char *name)
{
	return strcmp(name, "round_robin") ? -EINVAL : 0;
}

struct tela_client *tela_mesh_open(struct tela_node *n, const struct tela_service_desc *service,
	const struct tela_mesh_config *c, char *err, size_t err_len)
{
	(void)err;
	(void)err_len;
	return tela_client_open(n, c->instances[0].peer, service, 1);
}

bool tela_node_clients_use(
	struct tela_node *n, bool (*in)(const void *descriptor, void *arg), void *arg)
{
	(void)n;
	(void)in;
	(void)arg;
	return false;
}

struct tela_client *tela_client_open(struct tela_node *n, const char *peer,
	const struct tela_service_desc *service, unsigned sessions)
{
	static struct tela_client client;

	(void)service;
	(void)sessions;
	for (uint32_t i = 0; peer && i <= n->config->n_peers; i++) {
		if (i == n->config->n_peers) {
			errno = ENOENT;
			return NULL;
		}
		if (!strcmp(n->config->peers[i].name, peer))
			break;
	}
	return &client;
}

struct tela_thread *tela_thread_attach(struct tela_node *n)
{
	static struct tela_thread thread;

	(void)n;
	return &thread;
}

void tela_thread_detach(struct tela_thread *t)
{
	(void)t;
}

int tela_thread_call(struct tela_thread *t, struct tela_client *c, const struct tela_method_desc *m,
	const void *payload, size_t len, const struct tela_options *o, struct tela_reply *reply)
{
	(void)t;
	(void)c;
	(void)m;
	(void)o;
	*reply = (struct tela_reply){.payload = malloc(len + 1), .len = len};
	if (!reply->payload)
		return -ENOMEM;
	memcpy(reply->payload, payload, len);
	return 0;
}

void tela_reply_free(struct tela_reply *reply)
{
	free(reply->payload);
}
