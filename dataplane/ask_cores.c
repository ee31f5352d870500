/* ask_cores.c - a core asks the others of its node whether a call of some tree is in flight there,
 * while a gate is closed (descent.h).
 *
 * One ring for each ordered pair of cores, of pointers to the asker's own questions, which stay
 * where they are until all have been answered. The answer is two words in the question; the last
 * one to answer wakes the asker. Nobody looks at a ring unless a command says so.
 */
#include "callee.h"
#include "descent.h"
#include "node.h"

enum { QUESTIONS = 64 };

_Static_assert((int)QUESTIONS <= (int)XRING_SIZE, "a ring has room for all of a core's questions");

struct question {
	uint64_t root[2];
	struct tela_handle call; /* that waits */
	struct core *asker;
	bool open;              /* asker's */
	_Atomic bool in_flight; /* somebody knows it */
	_Atomic uint32_t n_left;
};

struct ask_core {
	struct question question[QUESTIONS];
	uint32_t n_open;
};

struct ask_cores {
	struct xring *ring; /* [from * n_cores + to] */
	struct ask_core core[];
};

static void command(struct core *c, uint32_t what)
{
	atomic_fetch_or(&c->command, what);
	if (wake_up(&c->wake))
		count(&core_current->counts, count_wakes);
}

int ask_cores_init(struct tela_node *n)
{
	size_t rings = (size_t)n->n_cores * n->n_cores * sizeof(struct xring);

	if (n->n_cores < 2)
		return 0;
	n->ask = calloc(1, sizeof(*n->ask) + n->n_cores * sizeof(n->ask->core[0]));
	if (n->ask)
		n->ask->ring = aligned_alloc(CACHE_LINE, rings);
	if (!n->ask || !n->ask->ring)
		return -ENOMEM;
	memset(n->ask->ring, 0, rings);
	return 0;
}

void ask_cores_fini(struct tela_node *n)
{
	if (n->ask)
		free(n->ask->ring);
	free(n->ask);
	n->ask = NULL;
}

static struct xring *ring(const struct tela_node *n, uint32_t from, uint32_t to)
{
	return &n->ask->ring[from * n->n_cores + to];
}

int core_ask(void *io, const uint64_t root[2], struct tela_handle h)
{
	struct core *c = io;
	struct ask_core *own = &c->node->ask->core[c->index];
	struct question *q = own->question;

	if (own->n_open == QUESTIONS)
		return -EAGAIN;
	while (q->open)
		q++;
	memcpy(q->root, root, sizeof(q->root));
	q->call = h;
	q->asker = c;
	q->open = true;
	own->n_open++;
	atomic_store_explicit(&q->in_flight, false, memory_order_relaxed);
	atomic_store_explicit(&q->n_left, c->node->n_cores - 1, memory_order_relaxed);
	for (uint32_t i = 0; i < c->node->n_cores; i++) {
		if (i == c->index)
			continue;
		CHECK(xring_push(ring(c->node, c->index, i), q)); /* it holds more than QUESTIONS */
		command(c->node->cores[i], CORE_ASKED);
	}
	return 0;
}

static void answer(struct core *c, struct question *q)
{
	struct core *asker = q->asker; /* who may use `q` for another question after this answer */

	if (descent_here(&c->m, q->root))
		atomic_store_explicit(&q->in_flight, true, memory_order_relaxed);
	/* release: with it the word above; acquire: the last one hands on what others said */
	if (atomic_fetch_sub_explicit(&q->n_left, 1, memory_order_acq_rel) == 1)
		command(asker, CORE_ASKED);
}

void core_asked(struct core *c)
{
	struct ask_core *own = &c->node->ask->core[c->index];
	struct question *q;

	for (uint32_t i = 0; i < c->node->n_cores; i++)
		while ((q = xring_pop(ring(c->node, i, c->index))))
			answer(c, q);
	for (uint32_t i = 0; own->n_open && i < QUESTIONS; i++) {
		q = &own->question[i];
		if (!q->open || atomic_load_explicit(&q->n_left, memory_order_acquire))
			continue;
		q->open = false;
		own->n_open--;
		callee_asked(
			&c->m, q->call, atomic_load_explicit(&q->in_flight, memory_order_relaxed));
	}
}
