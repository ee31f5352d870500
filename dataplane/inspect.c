/* inspect.c - what can be seen of a node from outside its cores. Reads only; cold. */
#include "log_put.h"
#include "node.h"
#include "worker.h"

#include <arpa/inet.h>

const char *tela_node_name(const struct tela_node *n)
{
	return n->name;
}

uint64_t tela_node_incarnation(const struct tela_node *n)
{
	return n->incarnation;
}

void tela_node_on_report(struct tela_node *n, tela_report_fn fn, void *arg)
{
	n->on_report = fn;
	n->on_report_arg = arg;
}

void tela_node_on_trace(struct tela_node *n, tela_trace_fn fn, void *arg)
{
	n->on_trace = fn;
	n->on_trace_arg = arg;
}

uint32_t tela_node_n_cores(const struct tela_node *n)
{
	return n->n_cores;
}

/* ---- where time goes ---- */

static void emit_parts(const struct latency_series *s, const struct latency_hist sum[LATENCY_PARTS],
	void (*emit)(void *arg, const struct tela_latency *l), void *arg)
{
	static const char *const side[] = {"callee", "caller"};
	static const char *const part[][LATENCY_PARTS] = {
		{"queue", "handler", "pending"}, {"queue", "callee", "network"}};

	for (int i = 0; i < LATENCY_PARTS; i++) {
		const struct latency_hist *h = &sum[i];
		const struct tela_latency l = {.service = s->service,
			.method = s->method,
			.side = side[s->side],
			.part = part[s->side][i],
			.calls = latency_calls(h),
			.samples = atomic_load_explicit(&h->samples, memory_order_relaxed),
			.p50_ns = latency_quantile(h, 500),
			.p90_ns = latency_quantile(h, 900),
			.p99_ns = latency_quantile(h, 990),
			.p999_ns = latency_quantile(h, 999),
			.max_ns = atomic_load_explicit(&h->max_ns, memory_order_relaxed)};

		if (l.samples)
			emit(arg, &l);
	}
}

/* ---- calls that did not end well ---- */

/* The same on another core; NULL: none there. */
static struct ends_series *ends_same(const struct core *c, const struct ends_series *s)
{
	for (uint32_t i = 0; i < ENDS_MAX; i++) {
		struct ends_series *o = &c->m.ends[i];

		if (atomic_load_explicit(&o->used, memory_order_acquire) && o->hash == s->hash &&
			o->side == s->side && o->code == s->code &&
			!strcmp(o->service, s->service) && !strcmp(o->method, s->method) &&
			!strcmp(o->reason, s->reason))
			return o;
	}
	return NULL;
}

/* What all cores have of it, or of that what has not been told; 0 where an earlier core has it
 * too. */
static uint64_t ends_sum(
	const struct tela_node *n, uint32_t core, const struct ends_series *s, bool news)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < n->n_cores; i++) {
		struct ends_series *o = ends_same(n->cores[i], s);
		uint64_t calls = o ? atomic_load_explicit(&o->calls, memory_order_relaxed) : 0;

		if (o && i < core)
			return 0;
		sum += calls - (news && o ? o->told : 0);
		if (news && o)
			o->told = calls;
	}
	return sum;
}

static void ends_tell(const struct tela_node *n, bool news, tela_ends_fn emit, void *arg)
{
	for (uint32_t c = 0; c < n->n_cores; c++) {
		for (uint32_t i = 0; i < ENDS_MAX; i++) {
			const struct ends_series *s = &n->cores[c]->m.ends[i];
			uint64_t calls;

			if (!atomic_load_explicit(&s->used, memory_order_acquire))
				continue;
			calls = ends_sum(n, c, s, news);
			if (calls)
				emit(arg, &(struct tela_ends){.side = s->side == ENDS_CALLEE
									      ? "callee"
									      : "caller",
						  .service = s->service,
						  .method = s->method,
						  .reason = s->reason,
						  .code = s->code,
						  .calls = calls});
		}
	}
}

void tela_node_ends(const struct tela_node *n, tela_ends_fn emit, void *arg)
{
	ends_tell(n, false, emit, arg);
}

void tela_node_on_ends(struct tela_node *n, tela_ends_fn fn, void *arg)
{
	n->on_ends = fn;
	n->on_ends_arg = arg;
}

void node_tell_ends(struct tela_node *n)
{
	uint64_t now_ns = n->on_ends ? core_clock(n->cores[0]) : 0;

	if (!n->on_ends || now_ns - n->ends_told_ns < NS_PER_S)
		return;
	n->ends_told_ns = now_ns;
	ends_tell(n, true, n->on_ends, n->on_ends_arg);
}

/* ---- latency ---- */

static bool used(const struct latency_series *s)
{
	return atomic_load_explicit(&s->used, memory_order_acquire);
}

/* The series of core `core` that is of the same method and side. NULL: none. */
static const struct latency_series *same_series(
	const struct tela_node *n, uint32_t core, const struct latency_series *s)
{
	const struct latency *l = &n->cores[core]->m.latency;

	for (uint32_t i = 0; i < l->n; i++)
		if (used(&l->series[i]) && l->series[i].side == s->side &&
			l->series[i].method_id == s->method_id &&
			!strcmp(l->series[i].service, s->service))
			return &l->series[i];
	return NULL;
}

/* Adds up what cores `first` to `last` have of it; false: an earlier one has it too. */
static bool add_up(const struct tela_node *n, uint32_t first, uint32_t last, uint32_t core,
	const struct latency_series *s, struct latency_hist sum[LATENCY_PARTS])
{
	memset(sum, 0, LATENCY_PARTS * sizeof(*sum));
	for (uint32_t c = first; c <= last; c++) {
		const struct latency_series *other = same_series(n, c, s);

		if (other && c < core)
			return false;
		for (int i = 0; other && i < LATENCY_PARTS; i++)
			latency_merge(&sum[i], &other->part[i]);
	}
	return true;
}

int tela_node_latency(const struct tela_node *n, uint32_t core,
	void (*emit)(void *arg, const struct tela_latency *l), void *arg)
{
	uint32_t first = core == UINT32_MAX ? 0 : core, last = min_u32(core, n->n_cores - 1);
	struct latency_hist *sum;

	if (first >= n->n_cores)
		return -EINVAL;
	sum = malloc(LATENCY_PARTS * sizeof(*sum));
	if (!sum)
		return -ENOMEM;
	for (uint32_t c = first; c <= last; c++) {
		const struct latency *l = &n->cores[c]->m.latency;

		for (uint32_t i = 0; i < l->n; i++)
			if (used(&l->series[i]) && add_up(n, first, last, c, &l->series[i], sum))
				emit_parts(&l->series[i], sum, emit, arg);
	}
	free(sum);
	return 0;
}

/* What was told of a series of core `core`. */
static struct latency_hist *told_of(
	const struct tela_node *n, uint32_t core, const struct latency_series *s)
{
	const struct latency *l = &n->cores[core]->m.latency;

	return &n->latency_told[(core * l->n + (uint32_t)(s - l->series)) * LATENCY_PARTS];
}

/* As add_up(), of what all cores have had since. */
static bool add_up_since(const struct tela_node *n, uint32_t core, const struct latency_series *s,
	struct latency_hist sum[LATENCY_PARTS])
{
	memset(sum, 0, LATENCY_PARTS * sizeof(*sum));
	for (uint32_t c = 0; c < n->n_cores; c++) {
		const struct latency_series *other = same_series(n, c, s);

		if (other && c < core)
			return false;
		for (int i = 0; other && i < LATENCY_PARTS; i++)
			latency_since(&sum[i], &other->part[i], &told_of(n, c, other)[i]);
	}
	return true;
}

static void tell_latency(struct tela_node *n, tela_latency_fn emit, void *arg)
{
	struct latency_hist *sum = malloc(LATENCY_PARTS * sizeof(*sum));

	for (uint32_t c = 0; sum && c < n->n_cores; c++) { /* no memory: next time */
		const struct latency *l = &n->cores[c]->m.latency;

		for (uint32_t i = 0; i < l->n; i++)
			if (used(&l->series[i]) && add_up_since(n, c, &l->series[i], sum) && emit)
				emit_parts(&l->series[i], sum, emit, arg);
	}
	free(sum);
}

int tela_node_on_latency(struct tela_node *n, tela_latency_fn fn, void *arg)
{
	free(n->latency_told);
	n->latency_told = NULL;
	n->on_latency = NULL;
	if (!fn)
		return 0;
	n->latency_told = calloc((size_t)n->n_cores * n->cores[0]->m.latency.n * LATENCY_PARTS,
		sizeof(*n->latency_told));
	if (!n->latency_told)
		return -ENOMEM;
	tell_latency(n, NULL, NULL);
	n->on_latency = fn;
	n->on_latency_arg = arg;
	return 0;
}

void node_tell_latency(struct tela_node *n)
{
	uint64_t now_ns = n->on_latency ? core_clock(n->cores[0]) : 0;

	if (!n->on_latency || now_ns - n->latency_told_ns < NS_PER_S)
		return;
	n->latency_told_ns = now_ns;
	tell_latency(n, n->on_latency, n->on_latency_arg);
}

/* Of all cores (UINT32_MAX) and the threads beside them, or of one. */
static uint64_t counted(const struct tela_node *n, uint32_t core, enum count_id id)
{
	uint64_t sum = core == UINT32_MAX ? workers_counted(n, id) : 0;

	if (core == UINT32_MAX && id == count_logs_lost)
		sum += node_logs_lost(n);
	for (uint32_t i = 0; i < n->n_cores; i++)
		if (core == UINT32_MAX || core == i)
			sum += count_read(&n->cores[i]->counts, id);
	return sum;
}

void tela_node_counters(const struct tela_node *n, uint32_t core,
	void (*emit)(void *arg, const char *name, const char *help, bool drop, uint64_t value),
	void *arg)
{
	for (int id = 0; id < COUNT_N; id++)
		emit(arg, count_info[id].name, count_info[id].help, count_info[id].drop,
			counted(n, core, (enum count_id)id));
}

uint64_t tela_node_counter(const struct tela_node *n, const char *name)
{
	for (int id = 0; id < COUNT_N; id++)
		if (!strcmp(count_info[id].name, name))
			return counted(n, UINT32_MAX, (enum count_id)id);
	return 0;
}

int tela_node_core_info(const struct tela_node *n, uint32_t core, struct tela_core_info *ret)
{
	const struct core *c = core < n->n_cores ? n->cores[core] : NULL;

	if (!c)
		return -EINVAL;
	*ret = (struct tela_core_info){
		.cpu = c->cpu,
		.socket = c->socket,
		.memory_socket = numa_of(c->m.paths),
		.idle = c->idle,
		.passes = atomic_load_explicit(&c->passes, memory_order_relaxed),
		.busy_ns = atomic_load_explicit(&c->busy_ns, memory_order_relaxed),
		.polled_ns = atomic_load_explicit(&c->polled_ns, memory_order_relaxed),
		.loop_gap_us = atomic_load_explicit(&c->gap10_ns, memory_order_relaxed) / NS_PER_US,
		.stalled = atomic_load(&c->stalled),
		.sessions = atomic_load_explicit(&c->sessions, memory_order_relaxed),
		.calls_served = count_read(&c->counts, count_calls_served),
		.calls_made = count_read(&c->counts, count_calls_made),
		.handed_in = count_read(&c->counts, count_handed_in),
		.handed_out = count_read(&c->counts, count_handed_out),
	};
	if (ret->stalled)
		node_running_name(
			n, atomic_load_explicit(&c->m.running, memory_order_relaxed), ret->running);
	return 0;
}

int tela_node_reach(const struct tela_node *n, uint32_t core, uint32_t port, struct tela_reach *ret)
{
	const struct port *p = port < n->n_ports ? &n->ports[port] : NULL;
	uint32_t live;
	size_t len = 0;

	if (!p || core >= n->n_cores)
		return -EINVAL;
	live = atomic_load_explicit(&p->live, memory_order_relaxed);
	ret->queues[0] = 0;
	for (uint32_t q = core; q < live && len < sizeof(ret->queues); q += n->n_cores)
		len += (size_t)snprintf(
			ret->queues + len, sizeof(ret->queues) - len, "%s%u", len ? "," : "", q);
	ret->how = !*ret->queues                             ? "ring"
		   : p->hashes && n->n_cores > 1 && live > 1 ? "hash"
							     : "queue";
	return 0;
}

int tela_node_port_info(const struct tela_node *n, uint32_t port, struct tela_port_info *ret)
{
	const struct port *p = port < n->n_ports ? &n->ports[port] : NULL;
	char ip[INET_ADDRSTRLEN];

	if (!p)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	inet_ntop(AF_INET, &p->ip, ip, sizeof(ip));
	snprintf(ret->address, sizeof(ret->address), "%s/%d", ip, __builtin_popcount(p->netmask));
	snprintf(ret->mac, sizeof(ret->mac), "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1],
		p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
	ret->name = p->name;
	ret->driver = p->driver;
	ret->socket = p->socket;
	ret->buffers_elsewhere = p->elsewhere.node != NUMA_ANY;
	ret->mtu = p->mtu;
	ret->queues = atomic_load_explicit(&p->live, memory_order_relaxed);
	ret->up = atomic_load(&p->up);
	return 0;
}

int tela_node_peer_info(const struct tela_node *n, uint32_t peer, struct tela_peer_info *ret)
{
	const struct node_peer *p = peer < n->n_peers ? &n->peers[peer] : NULL;
	char ip[INET_ADDRSTRLEN];
	struct core_peer_view view, other;

	if (!p)
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	inet_ntop(AF_INET, &p->ip, ip, sizeof(ip));
	snprintf(ret->address, sizeof(ret->address), "%s:%u", ip, p->udp);
	ret->name = p->name;
	core_peer_view_read(n->cores[0], peer, &view);
	for (uint32_t c = 1; c < n->n_cores; c++) { /* of the core that is nearest to it */
		core_peer_view_read(n->cores[c], peer, &other);
		if (other.state != PATH_FREE && (view.state == PATH_FREE || other.state == PATH_UP))
			view = other;
	}
	ret->state = view.state == PATH_UP           ? "up"
		     : view.state == PATH_FREE       ? "unused"
		     : view.state == PATH_CONNECTING ? "connecting"
						     : "down";
	ret->rtt_ns = view.srtt_ns;
	ret->incarnation = view.incarnation;
	return 0;
}

/* Where memory is, on machines that have several NUMA sockets; and where it should be, but is not.
 */
static void print_places(
	const struct tela_node *n, void (*line)(void *arg, const char *text), void *arg)
{
	char text[256];

	for (uint32_t i = 0; i < n->n_cores; i++) {
		const struct core *c = n->cores[i];

		if (c->memory.node == NUMA_ANY)
			continue;
		if (c->memory.error)
			snprintf(text, sizeof(text),
				"memory of core %-3u is of any NUMA socket, not of %d: %s", i,
				c->memory.node, strerror(-c->memory.error));
		else
			snprintf(text, sizeof(text),
				"memory of core %-3u of NUMA socket %d; its CPU is on %d", i,
				c->memory.node, c->socket);
		line(arg, text);
	}
	for (uint32_t i = 0; i < n->n_ports; i++) {
		const struct port *p = &n->ports[i];

		if (p->elsewhere.node == NUMA_ANY)
			continue;
		snprintf(text, sizeof(text),
			"buffers of port %s are of any NUMA socket, not of %d: %s", p->name,
			p->elsewhere.node, strerror(-p->elsewhere.error));
		line(arg, text);
	}
}

void tela_node_print_budgets(
	const struct tela_node *n, void (*line)(void *arg, const char *text), void *arg)
{
	static const char *const name[] = {"paths", "sessions", "slots", "slots_per_session",
		"calls", "detached", "messages_2k", "messages_64k", "messages_1m", "in_flight",
		"window", "pending", "retained_kib", "reassembly_kib", "segments", "latencies",
		"identities"};
	const struct machine *m = &n->cores[0]->m;
	const uint32_t *value = (const uint32_t *)&m->cfg.budgets;
	const struct session_bytes s = machine_session_bytes();
	size_t bytes[MACHINE_BUDGETS];
	char text[128];

	_Static_assert(MACHINE_BUDGETS == sizeof(name) / sizeof(*name), "one name a budget");
	machine_budget_bytes(m, bytes);
	snprintf(text, sizeof(text), "%-18s %8s", "budgets of", n->budgets_owner);
	line(arg, text);
	for (size_t i = 0; i < ARRAY_SIZE(name); i++) {
		int len = snprintf(text, sizeof(text), "%-18s %8u a core", name[i], value[i]);

		if (bytes[i])
			snprintf(text + len, sizeof(text) - (size_t)len, ", %zu bytes", bytes[i]);
		line(arg, text);
	}
	snprintf(text, sizeof(text),
		"%-18s %8zu bytes served, %zu made, with 8 slots; %zu and %zu a slot more",
		"a session", s.served, s.made, s.served_slot, s.made_slot);
	line(arg, text);
	snprintf(text, sizeof(text), "%-18s %8.1f MiB a core, %u cores", "memory",
		(double)machine_bytes(m) / (1 << 20), n->n_cores);
	line(arg, text);
	print_places(n, line, arg);
}
