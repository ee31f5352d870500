/* oracle.c - what must hold of every call, from a record that no machine sees. */
#include "sim.h"

/* A budget is exact to the pass in which it was written; the fragments of a large request then wait
 * for their turn among those of others. */
enum { PASS_NS = 3000, TURN_NS = 20000000, ONE_FRAGMENT = 1000 };

void oracle_fill(uint8_t *to, uint32_t id, uint32_t salt, size_t len)
{
	uint64_t word = id;

	for (size_t i = 0; i < len; i += 8) {
		/* Requests begin with the id itself. */
		word = i || salt == SALT_REPLY
			       ? rng_mix((uint64_t)id << 32 | (uint64_t)salt << 28 | i)
			       : id;
		memcpy(to + i, &word, len - i < 8 ? len - i : 8);
	}
}

bool oracle_same(const uint8_t *bytes, uint32_t id, uint32_t salt, size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = i || salt == SALT_REPLY
					? rng_mix((uint64_t)id << 32 | (uint64_t)salt << 28 | i)
					: id;

		if (memcmp(bytes + i, &word, len - i < 8 ? len - i : 8))
			return false;
	}
	return true;
}

bool oracle_same_pieces(
	const struct tela_segment *s, size_t n, uint32_t id, uint32_t salt, size_t len)
{
	uint8_t *flat;
	size_t at = 0;
	bool same;

	if (n == 1)
		return s->len == len && oracle_same(s->data, id, salt, len);
	flat = malloc(len ? len : 1);
	CHECK(flat);
	for (size_t i = 0; i < n; at += s[i++].len) {
		if (s[i].len > len - at)
			break;
		memcpy(flat + at, s[i].data, s[i].len);
	}
	same = at == len && oracle_same(flat, id, salt, len);
	free(flat);
	return same;
}

void oracle_take_back(struct record *r)
{
	free(r->lent);
	free(r->into);
	r->lent = r->into = NULL;
}

struct record *oracle_record(struct sim *sim, uint64_t id, const char *who)
{
	if (id >= sim->n_records)
		sim_violation("%s names call %llx, and there is none", who, (unsigned long long)id);
	return &sim->record[id];
}

struct record *oracle_new(struct sim *sim)
{
	struct record *r;

	if (sim->n_records == sim->records_cap)
		return NULL;
	r = &sim->record[sim->n_records];
	r->id = sim->n_records++;
	return r;
}

static struct path *path_of(const struct record *r)
{
	return r->slot->session->path;
}

void oracle_made(struct node *n, struct record *r, struct caller_slot *slot)
{
	struct sim *sim = n->sim;
	const struct path *p;

	r->state = RECORD_MADE;
	r->slot = slot;
	r->life = n->life;
	r->made_ns = sim->now_ns;
	r->deadline_local_ns = slot->deadline_ns;
	r->deadline_ns = sim->now_ns + (slot->deadline_ns - n->m.now_ns);
	p = path_of(r);
	r->target = p && p->state == PATH_UP ? p->incarnation : 0;
	r->next = n->under_way;
	n->under_way = (int32_t)r->id;
	n->next_deadline_ns = r->next < 0 ? r->deadline_local_ns
					  : min_u64(n->next_deadline_ns, r->deadline_local_ns);
	sim->n_made++;
	trace(sim, "is made", n->index, r->id, r->callee, r->len);
}

/* Virtual time that a clock has jumped over since is nobody's fault. */
static bool clocks_good(const struct sim *sim, const struct record *r)
{
	return sim->node[r->caller].stepped_ns < r->made_ns &&
	       sim->node[r->callee].stepped_ns < r->made_ns;
}

/* The envelope says what was left when the request was sent, so a callee may be late by as long as
 * a datagram was under way. */
static void in_time(struct node *n, struct record *r, const struct tela_call *call)
{
	struct sim *sim = n->sim;
	uint64_t late =
		r->deadline_ns + sim->max_age_ns + (r->len > ONE_FRAGMENT ? TURN_NS : PASS_NS);

	if (call->deadline_ns <= n->m.now_ns)
		sim_violation("call %u begins to run, and its own deadline has passed", r->id);
	if (!clocks_good(sim, r))
		return;
	if (sim->now_ns > late)
		sim_violation("call %u begins to run %llu us after its deadline, and no datagram "
			      "was ever older than %llu us",
			r->id, (unsigned long long)((sim->now_ns - r->deadline_ns) / 1000),
			(unsigned long long)(sim->max_age_ns / 1000));
	if (call->deadline_ns - n->m.now_ns > late - sim->now_ns)
		sim_violation("call %u may run for %llu us; its caller waits for %lld us more",
			r->id, (unsigned long long)((call->deadline_ns - n->m.now_ns) / 1000),
			(long long)(r->deadline_ns - sim->now_ns) / 1000);
}

void oracle_executes(struct node *n, struct record *r, const struct tela_call *call)
{
	struct sim *sim = n->sim;
	const struct tela_segment *s;
	struct tela_segment whole;
	size_t pieces;

	sim->n_executed++;
	trace(sim, "runs", n->index, r->id, r->executions, call->request_len);
	if (r->state == RECORD_NEW)
		sim_violation("call %u runs and was never made", r->id);
	if (r->callee != n->index)
		sim_violation("call %u runs on node %u, it is for %u", r->id, n->index, r->callee);
	if (call->method->id != r->method ||
		strcmp(call->service->name, app_desc[r->service][0]->name))
		sim_violation("call %u of method %u runs as %s.%s", r->id, r->method,
			call->service->name, call->method->name);
	s = tela_call_segments(call, &whole, &pieces);
	if (call->request_len != r->len ||
		!oracle_same_pieces(s, pieces, r->id, SALT_REQUEST, r->len))
		sim_violation("call %u runs with bytes that are not its own", r->id);
	if (r->executions++ && r->method != METHOD_REPEAT)
		sim_violation("call %u runs twice", r->id);
	if (r->invalid)
		sim_violation("call %u runs and its payload does not verify", r->id);
	if (r->state == RECORD_DONE && r->outcome == TELA_NOT_EXECUTED)
		sim_violation("call %u runs, its caller was told that it surely did not", r->id);
	if (r->target && r->target != n->m.cfg.incarnation)
		sim_violation("call %u runs on an incarnation that it was not sent to", r->id);
	r->served_life = n->life;
	in_time(n, r, call);
}

static void unlink_call(struct node *n, const struct record *r)
{
	int32_t *at = &n->under_way;

	while (*at != (int32_t)r->id)
		at = &n->sim->record[*at].next;
	*at = r->next;
}

/* One whose caller is told that it was accepted: it has run. */
static void check_accepted(const struct record *r, const struct tela_result *result)
{
	if (r->invalid)
		sim_violation("call %u is accepted, its payload does not verify", r->id);
	if (result->outcome != TELA_EXECUTED || result->len || result->envelope_len)
		sim_violation("call %u is accepted with outcome %u, %zu bytes of reply and %zu of "
			      "envelope",
			r->id, result->outcome, result->len, result->envelope_len);
}

static void check_ok(const struct record *r, const struct tela_result *result)
{
	const struct tela_segment *s;
	struct tela_segment whole;
	struct tela_str left;
	size_t pieces;

	if (r->method == METHOD_REFUSE || r->method == METHOD_NOBODY || r->invalid ||
		((r->method == METHOD_PARK || r->method == METHOD_KEEP_BYTES) && r->how))
		sim_violation("call %u ends OK, it cannot", r->id);
	if (result->outcome != TELA_EXECUTED)
		sim_violation("call %u ends OK and with outcome %u", r->id, result->outcome);
	if (result->segments && !r->in_segments)
		sim_violation("call %u ends with segments, it did not ask for them", r->id);
	if (r->into && result->len && result->payload != r->into)
		sim_violation("call %u ends with its reply elsewhere", r->id);
	s = tela_result_segments(result, &whole, &pieces);
	if (result->len != r->reply_len ||
		!oracle_same_pieces(s, pieces, r->id, SALT_REPLY, r->reply_len))
		sim_violation(
			"call %u ends with %zu bytes that are not its own", r->id, result->len);
	left = tela_result_metadata(result, "left");
	if (r->marked && (!left.s || left.len != 3 || memcmp(left.s, "yes", 3)))
		sim_violation("call %u has lost its reply metadata", r->id);
}

/* Nothing has gone wrong but that nodes were away, the callee never for as long as makes it down.
 */
static bool short_stalls(const struct sim *sim, const struct record *r)
{
	const struct machine_config *callee = &sim->node[r->callee].m.cfg;
	bool so = sim->s.stalls && !sim->n_dropped;

	for (uint32_t i = 0; so && i < sim->s.n_faults; i++)
		so = sim->s.faults[i].a != r->callee ||
		     sim->s.faults[i].lasts_ns < max_u64(sim->s.silence_ns, callee->pause_ns);
	return so;
}

/* Codes that only some calls may end with. */
static bool code_possible(
	const struct sim *sim, const struct record *r, const struct tela_result *result)
{
	const struct scenario *s = &sim->s;
	const struct node *n = &sim->node[r->caller];

	switch (result->code) {
	case TELA_OK:
	case TELA_RESOURCE_EXHAUSTED:
		return true;
	case TELA_CANCELLED:
		return r->cancelled && result->outcome != TELA_EXECUTED;
	case TELA_DEADLINE_EXCEEDED:
		return (n->m.now_ns >= r->deadline_local_ns || !clocks_good(sim, r)) &&
		       result->outcome != TELA_EXECUTED &&
		       !(s->calm && r->probe && !sim->n_dropped);
	case TELA_ABORTED:
		return true;
	case TELA_UNAVAILABLE:
		return !short_stalls(sim, r);
	case TELA_INVALID_ARGUMENT:
		return r->invalid && result->outcome == TELA_NOT_EXECUTED;
	case TELA_FAILED_PRECONDITION:
		return s->other_schema && result->outcome == TELA_NOT_EXECUTED;
	case TELA_PERMISSION_DENIED:
		return r->method == METHOD_REFUSE && !r->one_way;
	case TELA_UNIMPLEMENTED:
		return r->method == METHOD_NOBODY && !r->one_way;
	case TELA_NOT_FOUND:
		return (r->method == METHOD_PARK || r->method == METHOD_KEEP_BYTES) && r->how &&
		       !r->one_way;
	default:
		return false;
	}
}

void oracle_done(struct record *r, const struct tela_result *result)
{
	struct sim *sim = sim_now;
	struct node *n = &sim->node[r->caller];

	trace(sim, "ends", n->index, r->id, result->code, result->outcome);
	if (r->times_done++)
		sim_violation("call %u ends twice", r->id);
	if (r->state != RECORD_MADE || r->life != n->life)
		sim_violation("call %u ends in an incarnation that did not ask", r->id);
	if (sim->current != n && sim->current)
		sim_violation(
			"call %u of node %u ends on node %u", r->id, n->index, sim->current->index);
	if (sim->starting)
		sim_violation("call %u ends inside caller_send", r->id);
	if (!code_possible(sim, r, result))
		sim_violation("call %u ends with code %u, outcome %u: \"%.*s\"", r->id,
			result->code, result->outcome, (int)result->message.len, result->message.s);
	if (result->outcome == TELA_NOT_EXECUTED && r->executions)
		sim_violation(
			"call %u has run, its caller is told that it surely did not (code %u: "
			"%.*s)",
			r->id, result->code, (int)result->message.len, result->message.s);
	if (result->outcome == TELA_EXECUTED && !r->executions)
		sim_violation("call %u has not run, its caller is told that it did (code %u)",
			r->id, result->code);
	if (r->one_way && result->code && result->outcome == TELA_EXECUTED &&
		result->code != TELA_ABORTED)
		sim_violation("call %u is one-way, its caller is told how it ended: code %u", r->id,
			result->code);
	if (result->code == TELA_OK)
		(r->one_way ? check_accepted : check_ok)(r, result);
	sim->n_accepted += r->one_way && !result->code;
	unlink_call(n, r);
	r->state = RECORD_DONE;
	r->code = result->code;
	r->outcome = result->outcome;
	r->done_ns = sim->now_ns;
	sim->n_done++;
	sim->n_ok += result->code == TELA_OK;
	sim->by_code[result->code]++;
	sim->by_outcome[result->outcome]++;
	oracle_take_back(r);
}

/* The caller's process has ended, its calls with it. */
void oracle_died(struct node *n)
{
	while (n->under_way >= 0) {
		struct record *r = &n->sim->record[n->under_way];

		r->state = RECORD_DIED;
		oracle_take_back(r);
		n->under_way = r->next;
	}
}

/* A call is over in the first pass that looks at timers after its deadline; so is whatever still
 * waits at a callee. */
void oracle_after_pass(struct node *n, bool timers)
{
	struct sim *sim = n->sim;
	const struct machine *m = &n->m;
	uint64_t next = UINT64_MAX;

	if (timers && n->under_way >= 0 && m->now_ns >= n->next_deadline_ns) {
		for (int32_t i = n->under_way; i >= 0; i = sim->record[i].next) {
			const struct record *r = &sim->record[i];

			if (r->deadline_local_ns <= m->now_ns)
				sim_violation("call %u outlives its deadline by %llu us", r->id,
					(unsigned long long)(m->now_ns - r->deadline_local_ns) /
						1000);
			next = min_u64(next, r->deadline_local_ns);
		}
		n->next_deadline_ns = next;
	}
	if (n->passes % (sim->s.study ? 1024 : 16) == 0 || n->passes < 16)
		audit_node(n);
}

/* Nothing is sent again because time has passed: where nothing was lost and nothing overtaken,
 * nothing is. */
static void needless(const struct sim *sim)
{
	if (!sim->s.calm || sim->s.jitter_ns || sim->s.big || sim->n_dropped)
		return;
	for (uint32_t i = 0; i < sim->s.n_nodes; i++)
		if (count_read(&sim->node[i].counts, count_resends))
			sim_violation("node %u has sent %llu requests again, and none was lost", i,
				(unsigned long long)count_read(
					&sim->node[i].counts, count_resends));
}

void oracle_end(struct sim *sim)
{
	needless(sim);
	for (uint32_t i = 0; i < sim->n_records; i++) {
		const struct record *r = &sim->record[i];

		if (r->state == RECORD_MADE)
			sim_violation("call %u has not ended", r->id);
		if (r->state == RECORD_DONE && r->outcome == TELA_NOT_EXECUTED && r->executions)
			sim_violation("call %u ran, its caller was told that it did not", r->id);
		if (r->executions && r->leaves != r->executions &&
			sim->node[r->callee].life == r->served_life)
			sim_violation("call %u was entered %u times and left %u times", r->id,
				r->executions, r->leaves);
	}
}
