#include "discovery.h"

#include "announce.h"
#include "forward.h"
#include "log.h"
#include "watch.h"

#include "../dataplane/tela_discovery.h"
#include "../dataplane/tela_mesh.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

/* A node that is known, or was. */
struct member {
	const char *name; /* as the configuration has it; NULL: this node */
	uint8_t *bytes;   /* its announcement, NULL: not known */
	/* the thread's */
	uint64_t incarnation, version; /* handed over, 0: nothing */
	uint32_t missed;
};

struct news {
	struct news *next;
	struct member *of;
	uint8_t *bytes; /* NULL: not known any more */
};

struct discovery {
	struct control *control;
	struct announce *announce;
	struct member own;
	struct member *peer;
	uint32_t n_peers, n_groups;
	struct tela_client **group; /* each of at most TELA_MESH_INSTANCES_MAX peers */
	pthread_t thread;
	bool runs;
	pthread_mutex_t lock;
	pthread_cond_t end;
	bool ending;
	struct news *news, **news_last;
};

/* ---- what may be believed ---- */

static bool is_name(struct tela_str s)
{
	if (!s.len || s.len > DISCOVERY_NAME_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.s[i] <= ' ' || (unsigned char)s.s[i] >= 127)
			return false;
	return true;
}

/* What is wrong with it, NULL: nothing. It has been verified. */
static const char *wrong_with(tela_node_Announcement_t a)
{
	size_t n = tela_node_Announcement_services_len(a), n_methods = 0;

	if (!tela_node_Announcement_incarnation(a) || !tela_node_Announcement_version(a))
		return "no incarnation or version";
	if (n > DISCOVERY_SERVICES_MAX)
		return "too many services";
	for (size_t i = 0; i < n; i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(a, i);

		n_methods += tela_node_Service_methods_len(s);
		if (!is_name(tela_node_Service_name(s)) ||
			tela_node_Service_version(s).len > DISCOVERY_NAME_MAX)
			return "a service without a proper name or version";
		if (tela_node_Service_status(s) > TELA_SERVICE_FAILED)
			return "a service of an unknown status";
		if (n_methods > DISCOVERY_METHODS_MAX)
			return "too many methods";
		for (size_t k = 0; k < tela_node_Service_methods_len(s); k++)
			if (!is_name(tela_node_Method_name(tela_node_Service_methods_at(s, k))))
				return "a method without a proper name";
	}
	return tela_node_Announcement_zone(a).len > DISCOVERY_NAME_MAX ? "a zone too long" : NULL;
}

/* ---- the thread: it asks ---- */

/* False: no memory; it is for the next heartbeat. */
static bool hand_over(struct discovery *d, struct member *m, uint8_t *bytes)
{
	struct news *n = malloc(sizeof(*n));

	if (!n)
		return false;
	*n = (struct news){.of = m, .bytes = bytes};
	pthread_mutex_lock(&d->lock);
	*d->news_last = n;
	d->news_last = &n->next;
	pthread_mutex_unlock(&d->lock);
	return true;
}

/* 0 with its announcement, NULL: it may not be believed; else it could not be had. */
static int ask_announcement(
	struct tela_thread *t, struct tela_client *group, const struct member *m, uint8_t **ret)
{
	const struct tela_options o = {.instance = m->name,
		.max_reply_bytes = DISCOVERY_BYTES_MAX,
		.flags = TELA_CALL_FAIL_FAST};
	const struct tela_node_Nothing_args nothing = tela_node_Nothing_ARGS_INIT;
	struct tela_reply reply;
	tela_node_Announcement_t a;
	const char *wrong;
	int rc = tela_node_Node_announcement_wait(t, group, &nothing, &o, &reply, &a);

	if (rc)
		return rc;
	if (!reply.code && reply.len) {
		wrong = wrong_with(a);
		*ret = wrong ? NULL : malloc(reply.len);
		if (*ret)
			memcpy(*ret, reply.payload, reply.len);
		else
			log_warn("discovery: %s: not believed: %s", m->name,
				wrong ? wrong : "out of memory");
	} else {
		rc = -EAGAIN;
	}
	tela_reply_free(&reply);
	return rc;
}

static void missed(struct discovery *d, struct member *m)
{
	if (!m->version || ++m->missed < DISCOVERY_MISSED)
		return;
	if (hand_over(d, m, NULL))
		m->incarnation = m->version = m->missed = 0;
}

static void heard(struct discovery *d, struct tela_thread *t, struct tela_client *group,
	struct member *m, const struct tela_reply *reply)
{
	tela_node_Beat_t beat;
	uint64_t incarnation, version;
	uint8_t *bytes;

	if (reply->code || !reply->len) {
		missed(d, m);
		return;
	}
	beat = tela_node_Beat_root(reply->payload);
	incarnation = tela_node_Beat_incarnation(beat);
	version = tela_node_Beat_version(beat);
	m->missed = 0;
	if (!version || (incarnation == m->incarnation && version == m->version))
		return;
	if (ask_announcement(t, group, m, &bytes))
		return; /* next time */
	if (hand_over(d, m, bytes)) {
		m->incarnation = incarnation;
		m->version = version;
	} else {
		free(bytes);
	}
}

static void ask_group(struct discovery *d, struct tela_thread *t, uint32_t g)
{
	const struct tela_options o = {
		.deadline_us = (uint64_t)d->control->conf->heartbeat_ms * 1000,
		.max_reply_bytes = 256};
	const struct tela_node_Nothing_args nothing = tela_node_Nothing_ARGS_INIT;
	struct tela_reply replies[TELA_MESH_INSTANCES_MAX];
	uint8_t request[64];
	int len = tela_node_Nothing_build(request, sizeof(request), &nothing);

	CHECK(len > 0);
	if (tela_thread_all(t, d->group[g], &tela_node_Node_methods[0], request, (size_t)len, &o, 0,
		    replies))
		return;
	for (uint32_t i = 0; i < tela_mesh_size(d->group[g]); i++) {
		heard(d, t, d->group[g], &d->peer[g * TELA_MESH_INSTANCES_MAX + i], &replies[i]);
		tela_reply_free(&replies[i]);
	}
}

/* Until the next heartbeat. False: it is time to end. */
static bool wait(struct discovery *d)
{
	uint64_t ns = control_now_ns() + d->control->conf->heartbeat_ms * NS_PER_MS;
	const struct timespec until = {
		.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	bool ending;

	pthread_mutex_lock(&d->lock);
	while (!d->ending && !pthread_cond_timedwait(&d->end, &d->lock, &until))
		;
	ending = d->ending;
	pthread_mutex_unlock(&d->lock);
	return !ending;
}

static void *run(void *arg)
{
	struct discovery *d = arg;
	struct tela_thread *t = tela_thread_attach(d->control->node);

	if (!t)
		log_error("discovery: its thread cannot be attached: %s", strerror(errno));
	while (t && wait(d))
		for (uint32_t g = 0; g < d->n_groups; g++)
			ask_group(d, t, g);
	tela_thread_detach(t);
	return NULL;
}

/* ---- what is known ---- */

static tela_node_Announcement_t announcement_of(const struct member *m)
{
	return tela_node_Announcement_root(m->bytes);
}

static bool same_text(struct tela_str a, struct tela_str b)
{
	return a.len == b.len && !memcmp(a.s, b.s, a.len);
}

static bool is_served_in(tela_node_Announcement_t a, struct tela_str name)
{
	for (size_t i = 0; a.p && i < tela_node_Announcement_services_len(a); i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(a, i);

		if (tela_node_Service_serves(s) && same_text(tela_node_Service_name(s), name))
			return true;
	}
	return false;
}

/* Of what is served in `a`, and not in `other`. */
static void tell(struct discovery *d, const struct member *m, tela_node_Announcement_t a,
	tela_node_Announcement_t other, bool serves)
{
	bool anew =
		a.p && other.p &&
		tela_node_Announcement_incarnation(a) != tela_node_Announcement_incarnation(other);

	for (size_t i = 0; a.p && i < tela_node_Announcement_services_len(a); i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(a, i);
		struct tela_str name = tela_node_Service_name(s);

		if (tela_node_Service_serves(s) && (anew || !is_served_in(other, name)))
			watch_tell(d->control, m->name, name, serves,
				tela_node_Announcement_incarnation(a));
	}
}

static void know(struct discovery *d, struct member *m, uint8_t *bytes)
{
	const char *names[DISCOVERY_SERVICES_MAX];
	char text[DISCOVERY_SERVICES_MAX][DISCOVERY_NAME_MAX + 1];
	char zone[DISCOVERY_NAME_MAX + 1] = "";
	uint32_t weights[DISCOVERY_SERVICES_MAX], n = 0;
	tela_node_Announcement_t before = {NULL}, after = {NULL};
	int rc;

	if (!m->bytes != !bytes && m->name)
		log_info("discovery: %s is %s", m->name, bytes ? "known" : "not known any more");
	if (m->bytes)
		before = announcement_of(m);
	if (bytes)
		after = tela_node_Announcement_root(bytes);
	tell(d, m, before, after, false);
	tell(d, m, after, before, true);
	free(m->bytes);
	m->bytes = bytes;
	for (size_t i = 0; bytes && i < tela_node_Announcement_services_len(announcement_of(m));
		i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(announcement_of(m), i);
		struct tela_str name = tela_node_Service_name(s);

		if (!tela_node_Service_serves(s))
			continue;
		snprintf(text[n], sizeof(text[n]), "%.*s", (int)name.len, name.s);
		weights[n] = tela_node_Service_weight(s);
		names[n] = text[n];
		n++;
	}
	if (bytes && tela_node_Announcement_zone(after).s)
		snprintf(zone, sizeof(zone), "%.*s", (int)tela_node_Announcement_zone(after).len,
			tela_node_Announcement_zone(after).s);
	rc = tela_node_discovered(
		d->control->node, m->name, *zone ? zone : NULL, bytes ? names : NULL, weights, n);
	if (rc)
		log_warn("discovery: %s: %s", m->name ? m->name : "this node", strerror(-rc));
}

void discovery_tick(struct control *c)
{
	struct discovery *d = c->discovery;
	const uint8_t *own;
	struct news *n, *next;
	bool peers_changed;
	uint8_t *copy;
	size_t len;

	if (!d)
		return;
	own = announce_look(d->announce, &len);
	if (own && (copy = malloc(len)))
		know(d, &d->own, memcpy(copy, own, len));
	else if (own)
		announce_again(d->announce);
	pthread_mutex_lock(&d->lock);
	n = d->news;
	d->news = NULL;
	d->news_last = &d->news;
	pthread_mutex_unlock(&d->lock);
	peers_changed = n != NULL;
	for (; n; n = next) {
		next = n->next;
		know(d, n->of, n->bytes);
		free(n);
	}
	forward_look(c, peers_changed);
}

void discovery_each(const struct control *c,
	void (*each)(void *arg, const char *node, tela_node_Announcement_t a), void *arg)
{
	const struct discovery *d = c->discovery;

	for (uint32_t i = 0; d && i < d->n_peers; i++)
		if (d->peer[i].bytes)
			each(arg, d->peer[i].name, announcement_of(&d->peer[i]));
}

/* ---- open and close ---- */

static int no_memory(char *err, size_t err_len)
{
	snprintf(err, err_len, "discovery: out of memory");
	return -ENOMEM;
}

static int open_groups(struct discovery *d, char *err, size_t err_len)
{
	uint32_t n_groups = (d->n_peers + TELA_MESH_INSTANCES_MAX - 1) / TELA_MESH_INSTANCES_MAX;

	d->group = calloc(n_groups + 1, sizeof(struct tela_client *));
	if (!d->group)
		return no_memory(err, err_len);
	for (; d->n_groups < n_groups; d->n_groups++) {
		struct tela_mesh_instance at[TELA_MESH_INSTANCES_MAX] = {{0}};
		uint32_t first = d->n_groups * TELA_MESH_INSTANCES_MAX;
		struct tela_mesh_config config = {.instances = at,
			.n_instances = min_u32(d->n_peers - first, TELA_MESH_INSTANCES_MAX)};

		for (uint32_t i = 0; i < config.n_instances; i++)
			at[i].peer = d->peer[first + i].name;
		d->group[d->n_groups] = tela_mesh_open(
			d->control->node, &tela_node_Node_service, &config, err, err_len);
		if (!d->group[d->n_groups])
			return -errno;
	}
	return 0;
}

int discovery_open(struct control *c, char *err, size_t err_len)
{
	struct discovery *d = calloc(1, sizeof(*d));
	pthread_condattr_t clock;

	if (!d)
		return no_memory(err, err_len);
	d->control = c;
	d->news_last = &d->news;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->end, &clock);
	pthread_condattr_destroy(&clock);
	c->discovery = d;
	d->peer = calloc(c->conf->node.n_peers + 1, sizeof(*d->peer));
	if (!d->peer)
		return no_memory(err, err_len);
	d->n_peers = c->conf->node.n_peers;
	for (uint32_t i = 0; i < d->n_peers; i++)
		d->peer[i].name = c->conf->node.peers[i].name;
	d->announce = announce_open(c, err, err_len);
	return d->announce ? open_groups(d, err, err_len) : -ENOMEM;
}

void discovery_start(struct control *c)
{
	struct discovery *d = c->discovery;
	sigset_t all, old;

	if (!d || !d->n_peers)
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	d->runs = !pthread_create(&d->thread, NULL, run, d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (d->runs)
		pthread_setname_np(d->thread, "tela-discovery");
	else
		log_error("discovery: no thread can be made: peers are not asked");
}

void discovery_stop(struct control *c)
{
	struct discovery *d = c->discovery;

	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->ending = true;
	pthread_cond_signal(&d->end);
	pthread_mutex_unlock(&d->lock);
}

bool discovery_close(struct control *c, uint32_t wait_s)
{
	struct discovery *d = c->discovery;
	struct timespec until;

	if (!d)
		return true;
	discovery_stop(c);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_s;
	if (d->runs && pthread_timedjoin_np(d->thread, NULL, &until))
		return false;
	c->discovery = NULL;
	for (struct news *n = d->news, *next; n; n = next) {
		next = n->next;
		free(n->bytes);
		free(n);
	}
	for (uint32_t i = 0; i < d->n_peers; i++)
		free(d->peer[i].bytes);
	free(d->own.bytes);
	free(d->peer);
	free(d->group);
	pthread_cond_destroy(&d->end);
	pthread_mutex_destroy(&d->lock);
	c->announced = d->announce;
	forward_close(c);
	free(d);
	return true;
}

/* ---- for people ---- */

static json_t *text_of(struct tela_str s)
{
	json_t *text = json_stringn(s.s ? s.s : "", s.s ? s.len : 0);

	return text ? text : json_string("?"); /* not UTF-8 */
}

static json_t *methods_of(tela_node_Service_t s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < tela_node_Service_methods_len(s); i++)
		json_array_append_new(
			list, text_of(tela_node_Method_name(tela_node_Service_methods_at(s, i))));
	return list;
}

static json_t *hashes_of(tela_node_Service_t s)
{
	json_t *list = json_array();
	char text[24];

	for (size_t i = 0; i < min_u64(tela_node_Service_compatible_len(s), 64); i++) {
		snprintf(text, sizeof(text), "%016llx",
			(unsigned long long)tela_node_Service_compatible_at(s, i));
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static void show_member(json_t *list, const struct member *m)
{
	char incarnation[24], schema[24];
	tela_node_Announcement_t a;

	if (!m->bytes)
		return;
	a = announcement_of(m);
	snprintf(incarnation, sizeof(incarnation), "%016llx",
		(unsigned long long)tela_node_Announcement_incarnation(a));
	for (size_t i = 0; i < tela_node_Announcement_services_len(a); i++) {
		tela_node_Service_t s = tela_node_Announcement_services_at(a, i);

		snprintf(schema, sizeof(schema), "%016llx",
			(unsigned long long)tela_node_Service_schema(s));
		json_array_append_new(
			list, json_pack("{s:s,s:o,s:b,s:s,s:o,s:I,s:o,s:s,s:o,s:o,s:s}", "node",
				      m->name ? m->name : ".", "service",
				      text_of(tela_node_Service_name(s)), "serves",
				      (int)tela_node_Service_serves(s), "state",
				      running_name((enum tela_running)tela_node_Service_status(s)),
				      "version", text_of(tela_node_Service_version(s)), "weight",
				      (json_int_t)tela_node_Service_weight(s), "zone",
				      text_of(tela_node_Announcement_zone(a)), "schema", schema,
				      "compatible", hashes_of(s), "methods", methods_of(s),
				      "incarnation", incarnation));
	}
}

json_t *discovery_show(struct control *c)
{
	const struct discovery *d = c->discovery;
	json_t *list = json_array();

	if (d)
		show_member(list, &d->own);
	for (uint32_t i = 0; d && i < d->n_peers; i++)
		show_member(list, &d->peer[i]);
	return list;
}
