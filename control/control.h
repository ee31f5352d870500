/* control.h - what the control thread works with, in one place. One node a process, so one of
 * these.
 *
 * Everything here belongs to the control thread: the one that made the node and runs the event
 * loop. Other threads (lifecycle, outcall) are handed jobs and hand back results. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"
#include "lifecycle.h"
#include "plugin.h"

#include "../dataplane/base.h"
#include "../dataplane/tela_node.h"
#include "../dataplane/tela_registry.h"

struct control {
	struct event_base *base;
	struct tela_node *node;
	const struct conf *conf;
	struct registry *registry;
	struct lifecycle *lifecycle;
	struct stack *stacks; /* first declared first */
	struct outcall_pool *outcall;
	struct admin *admin;
	struct traces *traces;
	struct probe *probe;
	struct discovery *discovery; /* NULL: it is switched off */
	struct forwards *forwards;   /* NULL: no calls are sent on */
	struct announce *announced;  /* after discovery_close(), until the node is gone */
	uint64_t last_instance;      /* numbers instances, for people */
	uint64_t started_ns;
	bool draining;
	struct drain_watcher *watchers; /* of that */
	bool left_behind; /* ended with plugins that were not stopped: their threads may still use
			     the node */
	void (*on_change)(
		void); /* a change begins: the loop looks often until it is done; or NULL */
	void (*on_drain)(
		struct control *c); /* begins the end of the node, as SIGTERM does; NULL: cannot */
};

uint64_t control_now_ns(void); /* CLOCK_MONOTONIC */
