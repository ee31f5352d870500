/* worker.h - ordinary threads that run blocking links.
 *
 * A blocking link's place in an image is taken by worker_enter: the call goes pending on its core,
 * which leaves it in a ring of its own; a worker takes it, runs the link on a copy of the call's
 * head, with buffers of the worker's, and hands the verdict back to the core like any attached
 * thread. One worker at a time waits at the rings (it holds the lock, and is the one that is
 * woken); it goes to work with what it has found, and the next one takes its place. Cores never
 * touch the lock.
 */
#pragma once

#include "node.h"
#include "xring.h"

enum { WORKERS_MAX = 64 };

struct worker_link {
	struct worker_pool *pool;
	tela_enter_fn enter;
	void *self;
};

/* A blocking link, as it stands in a chain; `self` is a struct worker_link. [core] */
enum tela_verdict worker_enter(struct tela_call *call, void *self);

/* image_build() of links some of which block. [control] */
struct tela_image *worker_build(struct tela_service *s, const struct tela_image_link *links,
	uint32_t n_links, char *err, size_t err_len);

/* 0, -ENOMEM, -EAGAIN. [control] */
int workers_start(struct tela_node *n, uint32_t n_workers);
/* Waits for the links that run; work that waits is not started any more. [control] */
void workers_stop(struct tela_node *n);
/* Frees; the cores being out of their loops. */
void workers_free(struct tela_node *n);
/* What their links have to report. [control] */
void workers_poll(struct tela_node *n);
/* What they say of spans, its times moved on by `offset_ns`. [control] */
void workers_drain_traces(struct tela_node *n, uint64_t offset_ns);
/* What they have counted. [any but data cores] */
uint64_t workers_counted(const struct tela_node *n, enum count_id id);
/* The watchdog's look at them, every `tick_ms`. */
void workers_watch(struct tela_node *n, uint32_t tick_ms);
