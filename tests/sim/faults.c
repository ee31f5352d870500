/* faults.c - what goes wrong by the clock: begins, lasts a while, heals. */
#include "sim.h"

void faults_schedule(struct sim *sim)
{
	for (uint32_t i = 0; i < sim->s.n_faults; i++) {
		const struct fault_event *f = &sim->s.faults[i];

		sim_at(sim, f->at_ns, EVENT_FAULT, f->a, i, NULL);
		sim_at(sim, f->at_ns + f->lasts_ns, EVENT_HEAL, f->a, i, NULL);
	}
}

static void rule_add(struct sim *sim, uint32_t fault)
{
	const struct fault_event *f = &sim->s.faults[fault];
	struct rule r = {.fault = fault, .from = f->a, .to = f->b};

	if (f->kind == FAULT_partition) {
		r.partition = true;
		r.from = fault * 77 + f->b;
	} else if (fault % 3 == 1) {
		r.to = UINT32_MAX;
	} else if (fault % 3 == 2) {
		r.from = UINT32_MAX;
	}
	sim->rule[sim->n_rules++] = r;
}

static void rule_remove(struct sim *sim, uint32_t fault)
{
	for (uint32_t i = 0; i < sim->n_rules; i++)
		if (sim->rule[i].fault == fault)
			sim->rule[i--] = sim->rule[--sim->n_rules];
}

static void set_gate(struct tela_service *s, bool open)
{
	service_refusal_free(
		atomic_exchange(&s->refusal, open ? NULL : service_refusal("switched off")));
}

/* Another image each time; now and then another schema, or none admitted. */
static void swap(struct sim *sim, struct node *n)
{
	uint32_t service = (uint32_t)rng_below(&sim->fault_rng, SERVICES);
	uint32_t what = (uint32_t)rng_below(&sim->fault_rng, 4);
	struct tela_service *s;

	if (!n->up)
		return;
	s = n->service[service];
	if (what <= 1)
		s->desc = app_desc[service][s->desc == app_desc[service][0]];
	if (what == 2) {
		set_gate(s, atomic_load(&s->refusal) != NULL);
	}
	node_publish(n, service);
}

static void swap_heal(struct node *n)
{
	for (uint32_t i = 0; n->up && i < SERVICES; i++) {
		set_gate(n->service[i], true);
		if (n->service[i]->desc == app_desc[i][0])
			continue;
		n->service[i]->desc = app_desc[i][0];
		node_publish(n, i);
	}
}

void faults_begin(struct sim *sim, uint32_t fault)
{
	const struct fault_event *f = &sim->s.faults[fault];
	struct node *n = &sim->node[f->a];

	sim->fault_hit[f->kind]++;
	trace(sim, "fault", f->a, -1, f->kind, f->lasts_ns);
	switch (f->kind) {
	case FAULT_cut:
	case FAULT_partition:
		rule_add(sim, fault);
		break;
	case FAULT_pause:
		n->paused = true;
		n->pass_number++; /* the one that was to come does not */
		n->pass_at_ns = UINT64_MAX;
		break;
	case FAULT_crash:
		node_end(n);
		break;
	case FAULT_clock:
		n->offset_ns += f->lasts_ns * (1 + fault % 20);
		n->stepped_ns = sim->now_ns + 1;
		break;
	case FAULT_slow:
		n->burst = 1;
		n->cost_ns = 5000u << fault % 6;
		break;
	case FAULT_rings:
		n->tx_ring = min_u32(n->tx_ring, 1 + fault % 8);
		n->tx_burst = 1 + fault % 4;
		n->rx_ring = min_u32(n->rx_ring, 1 + f->b % 8);
		break;
	case FAULT_alloc:
		sim->allocs_fail = true;
		break;
	case FAULT_drain:
		node_todo(n, TODO_DRAIN, n->life);
		break;
	case FAULT_swap:
		swap(sim, n);
		break;
	case FAULT_link:
		node_todo(n, TODO_LINK_DOWN, 1);
		break;
	default:
		break;
	}
}

static void boot(struct sim *sim, struct node *n)
{
	if (!n->up && !node_boot(n)) /* no memory: tries again */
		sim_at(sim, sim->now_ns + 5 * NS_PER_MS, EVENT_BOOT, n->index, 0, NULL);
}

void faults_heal(struct sim *sim, uint32_t fault)
{
	const struct fault_event *f = &sim->s.faults[fault];
	struct node *n = &sim->node[f->a];

	trace(sim, "heals", f->a, -1, f->kind, 0);
	switch (f->kind) {
	case FAULT_cut:
	case FAULT_partition:
		rule_remove(sim, fault);
		break;
	case FAULT_pause:
		n->paused = false;
		node_wake(n, sim->now_ns);
		break;
	case FAULT_slow:
		n->burst = 32;
		n->cost_ns = n->usual_cost_ns;
		break;
	case FAULT_rings:
		n->tx_burst = 32;
		n->tx_ring = sim->s.tx_ring;
		n->rx_ring = sim->s.rx_ring;
		break;
	case FAULT_alloc:
		sim->allocs_fail = false;
		break;
	case FAULT_drain:
		node_end(n);
		boot(sim, n);
		break;
	case FAULT_crash:
		boot(sim, n);
		break;
	case FAULT_swap:
		swap_heal(n);
		break;
	default:
		break;
	}
}
