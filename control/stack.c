#include "move.h"

#include "log.h"
#include "log_text.h"

#include <time.h>

uint64_t control_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

struct stack *stack_create(struct control *c, const struct conf_service *conf)
{
	struct stack *s = calloc(1, sizeof(*s)), **at = &c->stacks;

	if (!s)
		return NULL;
	s->control = c;
	s->conf = conf;
	s->weight = conf->weight;
	s->log_level = conf->log_level;
	s->name = conf->name;
	s->retiring_last = &s->retiring;
	s->changes_last = &s->changes;
	s->held_last = &s->held;
	s->notice = calloc(1, sizeof(*s->notice));
	if (!s->notice) {
		free(s);
		return NULL;
	}
	while (*at)
		at = &(*at)->next;
	*at = s;
	return s;
}

struct stack *stack_find(struct control *c, const char *name)
{
	for (struct stack *s = c->stacks; s; s = s->next)
		if (!strcmp(s->name, name) || (s->desc && !strcmp(s->desc->name, name)))
			return s;
	return NULL;
}

void stack_error(struct stack *s, const char *text)
{
	snprintf(s->last_error, sizeof(s->last_error), "%s", text);
	log_text_repair(s->last_error);
	s->last_error_at = time(NULL);
}

int stack_where(const struct stack *s, uint32_t line, char *ret, size_t size)
{
	return conf_where(s->file ? s->file : s->control->conf, line, ret, size);
}

const char *stack_shown(const struct stack *s)
{
	return s->desc ? s->desc->name : s->name;
}

void stack_log_level(const struct stack *s)
{
	if (s->service)
		tela_service_log_level(s->service,
			s->log_level ? (enum tela_log_level)(s->log_level - 1) : log_get_level());
}

bool stack_is_quiet(const struct stack *s)
{
	return stack_is_still(s) && !s->leaving.step;
}

bool stack_is_still(const struct stack *s)
{
	return !s->partings && !s->retiring && !s->n_stopping && !s->changes && !s->held &&
	       !s->asking;
}

void stack_free(struct stack *s)
{
	if (s->current)
		record_put(s->current);
	if (s->serves)
		plugin_serve_end(s->serves);
	free(s->history);
	free(s->notice);
	move_forget_plan(s);
	conf_free(s->file);
	free(s);
}

void stack_destroy_all(struct control *c)
{
	struct stack *s, *next;

	for (s = c->stacks; s; s = next) {
		next = s->next;
		if (stack_is_quiet(s)) /* else left behind, as was said */
			stack_free(s);
	}
	c->stacks = NULL;
}

/* ---- records ---- */

struct record *record_create(struct stack *s, struct tela_instance *const *declared, uint32_t n)
{
	struct record *r =
		calloc(1, sizeof(*r) + n * (sizeof(*r->declared) + 2 * sizeof(uint32_t)));

	if (!r)
		return NULL;
	r->stack = s;
	r->refs = 1;
	r->n = n;
	r->declared = (struct tela_instance **)(r + 1);
	r->call = (uint32_t *)(r->declared + n);
	r->start = r->call + n;
	for (uint32_t i = 0; i < n; i++) {
		r->declared[i] = declared[i];
		instance_get(declared[i]);
	}
	return r;
}

struct record *record_copy(const struct record *r)
{
	struct record *copy = record_create(r->stack, r->declared, r->n);

	if (!copy)
		return NULL;
	memcpy(copy->call, r->call, r->n * sizeof(*r->call));
	memcpy(copy->start, r->start, r->n * sizeof(*r->start));
	return copy;
}

void record_get(struct record *r)
{
	r->refs++;
}

struct tela_instance *record_find(const struct record *r, const char *name)
{
	for (uint32_t i = 0; r && i < r->n; i++)
		if (!strcmp(r->declared[i]->name, name))
			return r->declared[i];
	return NULL;
}

void record_set(struct record *r, uint32_t declared, struct tela_instance *i)
{
	instance_get(i);
	instance_put(r->declared[declared]);
	r->declared[declared] = i;
}

void record_put(struct record *r)
{
	if (--r->refs)
		return;
	for (uint32_t i = r->n; i-- > 0;)
		instance_put(r->declared[r->start[i]]);
	free(r);
}

static bool concerns(const struct tela_link *l, const struct tela_service_desc *d)
{
	return l->callback || l->own || (l->service && !strcmp(l->service->name, d->name));
}

/* The word at *at, which is moved behind it. */
static size_t next_word(const char **at, const char **ret_word)
{
	size_t n;

	*ret_word = *at + strspn(*at, " ,");
	n = strcspn(*ret_word, " ,");
	*at = *ret_word + n;
	return n;
}

static bool is_word(const char *word, size_t n, const char *name)
{
	return strlen(name) == n && !memcmp(word, name, n);
}

int stack_check_blocking(
	const struct tela_service_desc *d, const char *blocking, char *err, size_t err_len)
{
	const char *word;
	size_t n;

	while (blocking && (n = next_word(&blocking, &word))) {
		bool found = is_word(word, n, "all");

		for (uint32_t i = 0; i < d->n_methods; i++)
			found |= is_word(word, n, d->methods[i].name);
		if (!found) {
			snprintf(err, err_len, "blocking: %s has no method '%.*s'", d->name, (int)n,
				word);
			return -EINVAL;
		}
	}
	return 0;
}

/* Of the service's own plugin: whether the configuration says that this link blocks. */
static bool blocks(const struct stack *s, const struct tela_plugin *p, const struct tela_link *l)
{
	const char *blocking = s->conf->blocking, *word;
	size_t n;

	while (p->serves && !l->callback && !l->own && blocking &&
		(n = next_word(&blocking, &word))) {
		if (is_word(word, n, "all"))
			return true;
		for (uint32_t i = 0; i < s->desc->n_methods; i++)
			if (s->desc->methods[i].id == l->method &&
				is_word(word, n, s->desc->methods[i].name))
				return true;
	}
	return false;
}

/* ---- two plugins that define one method ---- */

static const struct tela_method_desc *method_of(const struct tela_service_desc *d, uint16_t id)
{
	for (uint32_t i = 0; i < d->n_methods; i++)
		if (d->methods[i].id == id)
			return &d->methods[i];
	return NULL;
}

/* The method that this link answers and the service's own schema lacks; NULL: none. */
static const struct tela_method_desc *defines(const struct stack *s, const struct tela_link *l)
{
	if (l->callback || l->own || !l->enter || !l->service ||
		strcmp(l->service->name, s->desc->name) || method_of(s->desc, l->method))
		return NULL;
	return method_of(l->service, l->method);
}

static bool names(const char *const *list, const struct tela_instance *i)
{
	for (; list && *list; list++)
		if (!strcmp(*list, i->name) || !strcmp(*list, i->plugin->name))
			return true;
	return false;
}

/* The order of the two was chosen by one of them. */
static bool related(const struct tela_instance *a, const struct tela_instance *b)
{
	const struct tela_plugin *x = a->plugin->desc, *y = b->plugin->desc;

	return names(x->needs, b) || names(x->wraps, b) || names(x->may_need, b) ||
	       names(x->may_wrap, b) || names(y->needs, a) || names(y->wraps, a) ||
	       names(y->may_need, a) || names(y->may_wrap, a) ||
	       (x->group && y->group && !strcmp(x->group, y->group));
}

static bool is_defined_twice(const struct stack *s, const struct tela_image_link *links,
	struct tela_instance *const *of, uint32_t n, char *err, size_t err_len)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct tela_method_desc *m = defines(s, links[i].link);

		for (uint32_t k = 0; m && k < i; k++) {
			const struct tela_method_desc *other = defines(s, links[k].link);

			if (!other || other->id != m->id || related(of[k], of[i]))
				continue;
			snprintf(err, err_len,
				"%s and %s both define method %s of %s: let one of them wrap the "
				"other, or need it",
				of[k]->name, of[i]->name, m->name, s->desc->name);
			return true;
		}
	}
	return false;
}

struct tela_image *stack_build(struct stack *s, const struct record *r, char *err, size_t err_len)
{
	struct tela_image_link links[STACK_LINKS_MAX];
	struct tela_instance *of[STACK_LINKS_MAX]; /* whose they are */
	uint32_t n = 0;

	if (stack_check_blocking(s->desc, s->conf->blocking, err, err_len))
		return NULL;
	for (uint32_t i = 0; i < r->n; i++) {
		struct tela_instance *instance = r->declared[r->call[i]];
		const struct tela_plugin *desc = instance->plugin->desc;

		for (uint32_t l = 0; l < desc->n_links; l++) {
			if (!concerns(&desc->links[l], s->desc))
				continue;
			if (n == STACK_LINKS_MAX) {
				snprintf(err, err_len, "more than %d links in one service",
					STACK_LINKS_MAX);
				return NULL;
			}
			of[n] = instance;
			links[n++] = (struct tela_image_link){&desc->links[l],
				instance->view ? instance->view : instance->root->self,
				instance->name, blocks(s, desc, &desc->links[l])};
		}
	}
	if (is_defined_twice(s, links, of, n, err, err_len))
		return NULL;
	return tela_image_build(s->service, links, n, err, err_len);
}

/* ---- images that come and go ---- */

static void history_add(struct stack *s, uint64_t generation, uint64_t calls)
{
	if (!s->history)
		s->history = calloc(STACK_HISTORY, sizeof(*s->history));
	if (s->history)
		s->history[s->n_history++ % STACK_HISTORY] = (struct history){generation, calls};
}

/* No call runs under that record's image any more, and none can. */
static void on_retired(void *arg, uint64_t generation, uint64_t calls)
{
	struct record *r = arg;
	struct stack *s = r->stack;

	*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
	else
		s->retiring_last = r->at;
	s->n_retiring--;
	history_add(s, generation, calls);
	record_put(r);
}

bool record_has(const struct record *r, const struct tela_instance *root)
{
	for (uint32_t i = 0; r && i < r->n; i++)
		if (r->declared[i]->root == root)
			return true;
	return false;
}

/* Some instance of it is to stop, and cannot. */
static bool holds_up(const struct record *r)
{
	for (uint32_t i = 0; i < r->n; i++) {
		const struct tela_instance *root = r->declared[i]->root;

		if (root->state != INSTANCE_ABANDONED && !record_has(r->stack->current, root) &&
			!record_has(r->stack->staged, root))
			return true;
	}
	return false;
}

void stack_tick(struct stack *s)
{
	uint64_t now = s->retiring ? control_now_ns() : 0;
	struct record *r = s->retiring;

	while (r && (now < r->cancel_ns || !holds_up(r)))
		r = r->next;
	if (!r)
		return;
	if (!r->late)
		stack_log(s, TELA_LOG_WARN,
			"calls that hold image %llu since before it was replaced are cancelled: "
			"what it consists of is to stop",
			(unsigned long long)r->generation);
	r->late = true;
	r->cancel_ns = now + STACK_CANCEL_MS * NS_PER_MS;
	tela_service_cancel(s->service, r->generation);
}

static void retire(struct stack *s, struct record *r)
{
	r->cancel_ns = control_now_ns() + s->control->conf->drain_deadline_ms * NS_PER_MS;
	r->at = s->retiring_last;
	*s->retiring_last = r;
	s->retiring_last = &r->next;
	s->n_retiring++;
}

bool stack_may_publish(const struct record *r)
{
	for (uint32_t i = 0; i < r->n; i++)
		for (const struct tela_instance *at = r->declared[i]; at->from; at = at->from)
			if (at->claim & TELA_CLAIM_WORKERS && at->from->root->restarting)
				return false;
	return true;
}

void stack_publish(struct stack *s, struct record *r, struct tela_image *image)
{
	struct record *old = s->current;

	r->generation = old ? old->generation : 0;
	/* Before publishing: the data plane may have nothing to wait for and say so from inside. Of
	 * one without an image it says nothing. */
	if (old && s->image)
		retire(s, old);
	else if (old)
		record_put(old);
	s->current = r;
	s->image = image;
	tela_image_publish(s->service, image, on_retired, old);
	if (image)
		r->generation = tela_image_generation(image);
	for (uint32_t i = 0; i < r->n; i++)
		instance_claim(r->declared[i]);
}
