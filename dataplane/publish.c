/* publish.c - services and images from the control side: publish with one store, retire when
 * nothing can see the old one.
 *
 * The order in which an image goes is in image.h. The reclaimer is liburcu's call_rcu worker, one
 * thread that batches grace periods; it only moves images to a list. The control thread takes them
 * from there (tela_node_poll) and looks at pins.
 */
#include "log_put.h"
#include "fault.h"
#include "names.h"
#include "report.h"
#include "trace.h"
#include "worker.h"
#include "say.h"
#include "state.h"
#include "thread.h"

#include <urcu-qsbr.h>
#include <urcu-call-rcu.h>

struct grace {
	struct rcu_head head;
	struct tela_node *node;
	struct tela_image *image;
	struct tela_thread *thread;
	struct service_table *table;
	struct fault *fault;
	char *refusal;
	struct tela_service *closed; /* its gate, for the time n_closed */
	uint64_t n_closed;
	struct tela_service *leaving; /* has no name any more */
	void *memory;
	_Atomic bool handed; /* what was written above is seen by the reclaimer: a race detector
				does not see that into liburcu's queue */
};

int reclaimer_start(struct tela_node *n)
{
	pthread_t self = pthread_self();
	cpu_set_t before, housekeeping;
	bool moved = node_housekeeping(n, &housekeeping) &&
		     !pthread_getaffinity_np(self, sizeof(before), &before) &&
		     !pthread_setaffinity_np(self, sizeof(housekeeping), &housekeeping);

	/* It inherits where it may run. liburcu could pin it to one CPU, on which another node's
	 * core may poll. */
	n->reclaimer = create_call_rcu_data(0, -1);
	if (moved)
		pthread_setaffinity_np(self, sizeof(before), &before);
	if (!n->reclaimer)
		return -ENOMEM;
	set_thread_call_rcu_data(n->reclaimer);
	return 0;
}

void reclaimer_stop(struct tela_node *n)
{
	if (!n->reclaimer)
		return;
	node_reclaim_barrier(n);
	set_thread_call_rcu_data(NULL);
	call_rcu_data_free(n->reclaimer);
	n->reclaimer = NULL;
}

/* Every core has been quiescent. Reading what they stored before is also what makes that order
 * visible to a race detector, which does not see into liburcu. */
static void see_cores(struct tela_node *n)
{
	for (uint32_t i = 0; i < n->n_cores; i++)
		(void)atomic_load_explicit(&n->cores[i]->passes, memory_order_acquire);
}

static void let_go(const struct grace *g)
{
	if (g->closed)
		atomic_store_explicit(&g->closed->n_settled, g->n_closed, memory_order_release);
	if (g->leaving)
		atomic_store_explicit(&g->leaving->leave.unnamed, true, memory_order_release);
	service_table_free(g->table);
	fault_destroy(g->fault);
	service_refusal_free(g->refusal);
	free(g->memory);
}

static void graced(struct rcu_head *head)
{
	struct grace *g = container_of(head, struct grace, head);
	struct tela_node *n;

	(void)atomic_load_explicit(&g->handed, memory_order_acquire);
	n = g->node;
	see_cores(n);
	if (g->image) {
		struct tela_image *old = atomic_load_explicit(&n->graced, memory_order_relaxed);

		do
			g->image->next = old;
		while (!atomic_compare_exchange_weak_explicit(
			&n->graced, &old, g->image, memory_order_release, memory_order_relaxed));
	}
	if (g->thread) {
		wake_fini(&g->thread->wake);
		free(g->thread);
	}
	let_go(g);
	free(g);
	atomic_fetch_add_explicit(&n->n_graced, 1, memory_order_release);
}

/* Never fails: without memory for the note, the caller waits for the grace period itself. Any
 * thread; the node's own reclaimer does it, for a thread that detaches too. */
static void after_grace(struct grace what)
{
	struct call_rcu_data *before = get_thread_call_rcu_data();
	struct grace *g = malloc(sizeof(*g));

	if (!g) {
		synchronize_rcu();
		g = &what;
		see_cores(g->node);
		if (g->image) {
			g->image->next = g->node->retiring;
			g->node->retiring = g->image;
		}
		let_go(g);
		if (g->thread)
			wake_fini(&g->thread->wake);
		free(g->thread);
		return;
	}
	*g = what;
	atomic_store_explicit(&g->handed, true, memory_order_release);
	set_thread_call_rcu_data(what.node->reclaimer);
	call_rcu(&g->head, graced);
	set_thread_call_rcu_data(before);
}

void node_free_thread(struct tela_node *n, struct tela_thread *t)
{
	after_grace((struct grace){.node = n, .thread = t});
}

void node_free_later(struct tela_node *n, void *memory)
{
	after_grace((struct grace){.node = n, .memory = memory});
}

struct names *node_names(struct tela_node *n)
{
	return n->names;
}

void node_reclaim_barrier(struct tela_node *n)
{
	rcu_barrier();
	/* Pairs with graced(): what it did is done and seen. */
	(void)atomic_load_explicit(&n->n_graced, memory_order_acquire);
}

/* Cores take the new injector at their next frame; the old one goes when none can hold it any more.
 */
int tela_node_faults(
	struct tela_node *n, uint32_t port, double loss, double duplicate, double reorder)
{
	bool any = loss > 0 || duplicate > 0 || reorder > 0;

	if (port >= n->n_ports || loss > 1 || duplicate > 1 || reorder > 1)
		return -EINVAL;
	for (uint32_t c = 0; c < n->n_cores; c++) {
		for (uint32_t i = 0; i < n->cores[c]->n_netifs; i++) {
			struct netif *nif = &n->cores[c]->netif[i];
			struct fault *fresh = NULL, *old;

			if (nif->port_index != port)
				continue;
			if (any)
				fresh = fault_create(loss, duplicate, reorder,
					n->ports[port].fault_seed + nif->queue);
			if (any && !fresh)
				return -ENOMEM;
			old = atomic_exchange_explicit(&nif->fault, fresh, memory_order_acq_rel);
			if (old)
				after_grace((struct grace){.node = n, .fault = old});
		}
	}
	return 0;
}

/* ---- services ---- */

static struct tela_service *find(const struct tela_node *n, const char *name)
{
	for (uint32_t i = 0; i < n->n_services; i++)
		if (n->services[i] && !strcmp(n->services[i]->desc->name, name))
			return n->services[i];
	return NULL;
}

struct tela_service *tela_service_find(struct tela_node *n, const char *name)
{
	struct tela_service *s;

	pthread_mutex_lock(&n->services_lock);
	s = find(n, name);
	pthread_mutex_unlock(&n->services_lock);
	return s;
}

/* What cores find by name from now on; 0 or -ENOMEM. */
static int publish_table(struct tela_node *n, struct tela_service *leaving)
{
	struct service_table *table = service_table_build(n->services, n->n_services), *old;

	if (!table)
		return -ENOMEM;
	old = atomic_exchange_explicit(&n->table, table, memory_order_acq_rel);
	if (old || leaving)
		after_grace((struct grace){.node = n, .table = old, .leaving = leaving});
	return 0;
}

static void put_place(struct tela_node *n, uint32_t index, struct tela_service *s)
{
	pthread_mutex_lock(&n->services_lock);
	n->services[index] = s;
	while (n->n_services && !n->services[n->n_services - 1])
		n->n_services--;
	if (s && n->n_services <= index)
		n->n_services = index + 1;
	pthread_mutex_unlock(&n->services_lock);
}

struct tela_service *tela_service_add(struct tela_node *n, const struct tela_service_desc *desc)
{
	struct tela_service *s;
	uint32_t index = 0;

	while (index < n->n_services && n->services[index])
		index++;
	if (find(n, desc->name) || index == SERVICES_MAX) {
		errno = index == SERVICES_MAX ? E2BIG : EEXIST;
		return NULL;
	}
	s = service_create(n, desc, index);
	if (!s)
		return NULL;
	s->storage = storage_create(n);
	put_place(n, index, s);
	if (!s->storage || publish_table(n, NULL)) {
		put_place(n, index, NULL);
		tela_service_free(s);
		errno = ENOMEM;
		return NULL;
	}
	tela_service_shed(s, 0);
	return s;
}

int tela_service_remove(struct tela_service *s, void (*removed)(void *arg), void *arg)
{
	struct tela_node *n = s->node;

	if (tela_service_image(s) || s->n_retiring || n->services[s->index] != s)
		return -EBUSY;
	put_place(n, s->index, NULL);
	if (publish_table(n, s)) {
		put_place(n, s->index, s);
		return -ENOMEM;
	}
	tela_service_shed(s, TELA_SHED_NEVER);
	s->leave.removed = removed;
	s->leave.arg = arg;
	s->leave.next = n->leaving;
	n->leaving = s;
	return 0;
}

void tela_service_free(struct tela_service *s)
{
	if (!s)
		return;
	tela_image_free(atomic_load(&s->image));
	storage_destroy(s->storage);
	service_free(s);
}

/* Cores that do not poll yet have no sessions. */
static bool is_unbound(const struct tela_node *n, const struct tela_service *s)
{
	for (uint32_t i = 0; node_polling(n) && i < n->n_cores; i++)
		if (atomic_load_explicit(&n->cores[i]->unbound, memory_order_acquire) <
			s->leave.walk)
			return false;
	return true;
}

/* Takes those that are being removed a step further. */
static void services_poll(struct tela_node *n)
{
	struct tela_service *s, **at = &n->leaving;

	while ((s = *at)) {
		void (*removed)(void *arg) = s->leave.removed;
		void *arg = s->leave.arg;

		if (!s->leave.walk &&
			atomic_load_explicit(&s->leave.unnamed, memory_order_acquire)) {
			s->leave.walk = atomic_fetch_add(&n->unbind, 1) + 1;
			node_command(n, CORE_UNBIND);
		}
		if (!s->leave.walk || !is_unbound(n, s)) {
			at = &s->leave.next;
			continue;
		}
		*at = s->leave.next;
		removed(arg);
	}
}

uint32_t tela_core_services(
	const struct tela_core *core, const struct tela_service_desc **ret, uint32_t room)
{
	const struct service_table *t =
		atomic_load_explicit(&core_private(core)->node->table, memory_order_acquire);
	uint32_t n = 0;

	for (uint32_t at = 0; t && at <= t->mask; at++) {
		const struct tela_service *s = t->by_hash[at];

		if (s && n < room)
			ret[n] = s->desc;
		n += s != NULL;
	}
	return n;
}

/* Their chains stand behind those of the descriptor's methods. */
uint32_t tela_service_added(
	const struct tela_service *s, const struct tela_method_desc **ret, uint32_t room)
{
	const struct tela_image *i = atomic_load_explicit(&s->image, memory_order_acquire);
	uint32_t n = 0;

	for (uint32_t at = s->desc->n_methods; i && at < i->n_chains; at++, n++)
		if (n < room)
			ret[n] = i->chains[at].method;
	return n;
}

uint32_t tela_core_added(const struct tela_core *core, const char *service,
	const struct tela_method_desc **ret, uint32_t room)
{
	const struct service_table *t =
		atomic_load_explicit(&core_private(core)->node->table, memory_order_acquire);
	const struct tela_service *s = t ? service_table_find(t, service, strlen(service)) : NULL;

	return s ? tela_service_added(s, ret, room) : 0;
}

static void set_gate(struct tela_service *s, const char *refusal, bool drains)
{
	struct grace g = {.node = s->node};

	/* Closing for good comes before, and opening for some after, what it is of. */
	if (!drains)
		atomic_store_explicit(&s->drains, false, memory_order_relaxed);
	g.refusal = atomic_exchange_explicit(
		&s->refusal, refusal ? service_refusal(refusal) : NULL, memory_order_acq_rel);
	if (drains)
		atomic_store_explicit(&s->drains, true, memory_order_relaxed);
	if (refusal) {
		g.closed = s;
		g.n_closed = ++s->n_closed;
	}
	if (g.refusal || g.closed)
		after_grace(g);
}

void tela_service_admit(struct tela_service *s, bool admit, const char *reason)
{
	set_gate(s, admit ? NULL : reason ? reason : "paused", false);
}

void tela_service_drain(struct tela_service *s, const char *reason)
{
	set_gate(s, reason ? reason : "draining", true);
}

bool tela_service_settled(const struct tela_service *s)
{
	return atomic_load_explicit(&s->n_settled, memory_order_acquire) == s->n_closed;
}

void tela_service_cancel(struct tela_service *s, uint64_t generation)
{
	for (uint32_t c = 0; c < s->node->n_cores; c++) /* all of them are more than some */
		if (atomic_load(&s->core[c].cancel) != UINT64_MAX)
			atomic_store(&s->core[c].cancel, generation);
	node_command(s->node, CORE_CANCEL);
}

/* Cores look at targets only when something has waited for longer than the least of them. */
void tela_service_shed(struct tela_service *s, uint32_t target_us)
{
	struct tela_node *n = s->node;
	uint64_t least_ns = SHED_NEVER;

	target_us = target_us ? target_us : n->shed_us;
	atomic_store_explicit(&s->shed_ns,
		target_us == TELA_SHED_NEVER ? SHED_NEVER : target_us * NS_PER_US,
		memory_order_relaxed);
	for (uint32_t i = 0; i < n->n_services; i++)
		if (n->services[i])
			least_ns = min_u64(least_ns, atomic_load_explicit(&n->services[i]->shed_ns,
							     memory_order_relaxed));
	for (uint32_t i = 0; i < n->n_cores; i++)
		atomic_store_explicit(
			&n->cores[i]->m.shed.target_ns, least_ns, memory_order_relaxed);
}

uint32_t tela_service_in_flight(const struct tela_service *s)
{
	uint32_t n = 0;

	for (uint32_t c = 0; c < s->node->n_cores; c++)
		n += atomic_load_explicit(&s->core[c].in_flight, memory_order_relaxed);
	return n;
}

/* ---- images ---- */

struct tela_image *tela_image_build(struct tela_service *s, const struct tela_image_link *links,
	uint32_t n_links, char *err, size_t err_len)
{
	for (uint32_t i = 0; i < n_links; i++)
		if (links[i].blocking || links[i].link->blocking)
			return worker_build(s, links, n_links, err, err_len);
	return image_build(s, s->node->n_cores, links, n_links, err, err_len);
}

const struct tela_image *tela_service_image(const struct tela_service *s)
{
	return atomic_load_explicit(&s->image, memory_order_relaxed);
}

void tela_image_publish(struct tela_service *s, struct tela_image *i,
	void (*retired)(void *arg, uint64_t generation, uint64_t calls), void *arg)
{
	struct tela_image *old = image_swap(s, i);

	if (!old)
		return;
	old->retired = retired;
	old->retired_arg = arg;
	atomic_fetch_add(&s->node->n_retiring, 1);
	s->n_retiring++;
	after_grace((struct grace){.node = s->node, .image = old});
}

/* Retires what no call holds any more. Control thread. */
static void retire_images(struct tela_node *n)
{
	struct tela_image *i = atomic_exchange_explicit(&n->graced, NULL, memory_order_acquire),
			  *next, **at;

	for (; i; i = next) {
		next = i->next;
		i->next = n->retiring;
		n->retiring = i;
	}
	for (at = &n->retiring; (i = *at);) {
		if (image_pins(i)) {
			at = &i->next;
			continue;
		}
		*at = i->next;
		atomic_fetch_sub(&n->n_retiring, 1);
		i->service->n_retiring--;
		if (i->retired)
			i->retired(i->retired_arg, i->generation, tela_image_calls(i));
		tela_image_free(i);
	}
}

/* From the cores' clock to that of the world. */
static uint64_t since_1970(const struct tela_node *n)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec - core_clock(n->cores[0]);
}

static void drain_traces(struct tela_node *n, uint64_t offset_ns)
{
	for (uint32_t i = 0; i < n->n_cores && n->cores[i] && n->cores[i]->m.traces; i++)
		trace_drain(n->cores[i]->m.traces, offset_ns, n->on_trace, n->on_trace_arg);
	workers_drain_traces(n, offset_ns);
}

void tela_node_poll(struct tela_node *n)
{
	uint64_t offset_ns = n->on_trace || n->on_log ? since_1970(n) : 0;

	drain_traces(n, offset_ns);
	node_log_drain(n, offset_ns);
	node_tell_ends(n);
	node_tell_latency(n);
	for (uint32_t i = 0; i < n->n_cores && n->cores[i] && n->cores[i]->m.reports; i++)
		report_drain(n->cores[i]->m.reports, i, n->on_report, n->on_report_arg);
	workers_poll(n);
	retire_images(n);
	services_poll(n);
	for (uint32_t i = 0; i < n->n_ports; i++) {
		struct port *p = &n->ports[i];

		if (!port_poll_link(p))
			continue;
		for (uint32_t c = 0; c < n->n_cores; c++) {
			if (!atomic_load(&p->up))
				atomic_fetch_or(
					&n->cores[c]->command, (uint32_t)CORE_LINK_DOWN << i);
			wake_up(&n->cores[c]->wake);
		}
	}
}
