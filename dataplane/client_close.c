/* client_close.c - a client goes.
 *
 * A core takes no more calls of it, ends those under way, and gives its sessions back, some of them
 * a look. It looks so often that what attached threads had handed it before has come out of their
 * rings. When all cores have done so, nothing of the node knows the client any more, and whoever
 * closes it frees it: cores find a client in their callers' hands alone, so that no grace period is
 * needed.
 */
#include "client.h"
#include "mesh.h"
#include "node.h"
#include "thread.h"

enum { SESSIONS_A_LOOK = 16, LOOKS = XRING_SIZE / THREAD_RING_PER_PASS + 1 };

const char client_closed[] = "the client is closed";

/* ---- on a core ---- */

/* Returns whether it has none left. */
static bool end_sessions(struct core *core, struct tela_client *c, uint32_t *left)
{
	struct client_core *cc = &c->core[core->index];

	for (; cc->n_sessions && *left; --*left)
		caller_session_end(&core->m, &cc->session[--cc->n_sessions], client_closed);
	return !cc->n_sessions;
}

static void take_no_more(struct core *core, struct tela_client *c)
{
	struct client_core *cc = &c->core[core->index];

	cc->open = cc->spread = false; /* client_begin() looks at one or the other */
	cc->error = -ESHUTDOWN;
	cc->n_paths = 0;
}

static uint32_t n_instances(const struct tela_client *c)
{
	return c->mesh ? c->mesh->balance.n : 0;
}

/* Returns whether that was the last look. */
static bool look(struct core *core, struct tela_client *c)
{
	struct client_core *cc = &c->core[core->index];
	uint32_t left = SESSIONS_A_LOOK;
	bool over;

	if (!cc->closing++) {
		take_no_more(core, c);
		for (uint32_t i = 0; i < n_instances(c); i++)
			take_no_more(core, c->mesh->instance[i]);
		core_refuse_threads(core, c);
		if (c->mesh)
			mesh_core_close(&c->mesh->core[core->index], client_closed);
	}
	over = end_sessions(core, c, &left);
	for (uint32_t i = 0; i < n_instances(c); i++)
		over &= end_sessions(core, c->mesh->instance[i], &left);
	return over && cc->closing >= LOOKS;
}

void core_close(struct core *core)
{
	struct tela_node *n = core->node;

	if (look(core, atomic_load_explicit(&n->closing, memory_order_relaxed)))
		/* Pairs with tela_client_close(): the core has let go of it. */
		atomic_fetch_sub_explicit(&n->n_closing, 1, memory_order_release);
	else
		atomic_fetch_or(&core->command, CORE_CLOSE);
}

/* ---- on another thread ---- */

static void leave(struct tela_node *n, const struct tela_client *c)
{
	struct tela_client **at = &n->clients;

	pthread_mutex_lock(&n->threads_lock);
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	pthread_mutex_unlock(&n->threads_lock);
}

/* Cores that do not poll, not yet or no more, have nothing to do with it. */
static void wait_for_cores(struct tela_node *n, struct tela_client *c)
{
	static const struct timespec tick = {.tv_nsec = 50 * NS_PER_US};

	pthread_mutex_lock(&n->closing_lock);
	atomic_store(&n->closing, c);
	atomic_store(&n->n_closing, n->n_cores);
	node_command(n, CORE_CLOSE); /* what is above is seen with it */
	while (node_polling(n) && atomic_load_explicit(&n->n_closing, memory_order_acquire))
		nanosleep(&tick, NULL);
	pthread_mutex_unlock(&n->closing_lock);
}

void tela_client_close(struct tela_client *c)
{
	struct tela_node *n;

	if (!c)
		return;
	n = c->node;
	CHECK(!core_current);
	if (node_polling(n))
		wait_for_cores(n, c);
	leave(n, c); /* whoever finds it there looks at its instances */
	for (uint32_t i = 0; i < n_instances(c); i++) {
		leave(n, c->mesh->instance[i]);
		client_free(c->mesh->instance[i]);
	}
	client_free(c);
}
