/* orders.c - places orders: asks who orders, reserves each line, has it paid. Nothing here waits:
 * the call goes pending, and what comes back from one service sends the call to the next.
 *
 *      user known --> line 1 reserved --> ... --> line n reserved --> charged --> created
 *          |              |                          |                 |   '-> maybe charged:
 * order_unsettled, v              v                          v                 v        what is
 * reserved stays so refused <--------------------- what was reserved goes back, refused
 *
 * Hooks:   shop.Orders/place (1).
 * Answers: created; what another service refuses it with, name and data; forbidden, an order for
 *          somebody else; order_unsettled, with the order's number and the step that nobody knows
 * of.
 */
#include "shop_common.h"
#include "stamp_digits.h"
#include "tela_mesh.h"
#include "tela_trace.h"

#include <time.h>

enum { LINES_MAX = 16, NODES_MAX = 16 };

struct options {
	struct tela_list nodes;
};

struct orders {
	struct tela_client *users, *products, *payments;
	uint64_t first; /* number of an order: none has it twice, also after a restart */
	struct svc_count *begun, *placed; /* by core */
	struct svc_count *astray;         /* those whose stock could not be given back */
	uint32_t n_cores;
};

/* One that is being placed: in its call's arena, which is there until the call is answered, also
 * where its service had to go without it (is_torn). */
struct order {
	struct orders *orders;
	struct tela_handle handle;
	struct tela_span span;
	uint64_t number, cents;
	uint32_t n_reserved;
	/* How it ends, if not well. */
	char name[TELA_STATUS_NAME_MAX + 1], info[TELA_STATUS_INFO_MAX + 1];
	char key[2][16], value[2][64];
	struct tela_pair data[2];
	uint32_t n_data;
};

static uint64_t number_of(const struct orders *o, const struct tela_call *call)
{
	struct svc_count *begun = svc_count_of(o->begun, call);

	svc_count_up(begun);
	return o->first + atomic_load_explicit(&begun->n, memory_order_relaxed) * o->n_cores +
	       tela_core_index(tela_call_core(call));
}

static const struct tela_call *call_of(const struct order *o)
{
	return tela_core_call(tela_core_self(), o->handle);
}

/* A drain's time was over, or the service has been stopped: of the call there is nothing but the
 * handle, which is given back, and of `orders` nothing at all. Each completion asks first. */
static bool is_torn(const struct order *o)
{
	if (call_of(o))
		return false;
	tela_core_answer(tela_core_self(), o->handle, NULL, 0);
	return true;
}

/* Options of a call that is made for the order: it goes on with the caller's token, ends no later,
 * and is cancelled with the order. */
struct asking {
	struct tela_pair token;
	struct tela_options o;
};

static const struct tela_options *for_order(const struct tela_call *call, struct asking *a)
{
	a->token = (struct tela_pair){"authorization", tela_call_metadata(call, "authorization").s};
	a->o = (struct tela_options){.parent = call,
		.metadata = &a->token,
		.n_metadata = a->token.value != NULL,
		.flags = TELA_CALL_FAIL_FAST};
	return &a->o;
}

/* ---- an order that does not come about ---- */

static struct tela_str text(const char *s)
{
	return (struct tela_str){s, strlen(s)};
}

static void copy(char *to, size_t room, struct tela_str s)
{
	size_t n = s.s ? min_u64(s.len, room - 1) : 0;

	memcpy(to, n ? s.s : "", n);
	to[n] = 0;
}

static void add_data(struct order *o, struct tela_str key, struct tela_str value)
{
	uint32_t i = o->n_data++;

	copy(o->key[i], sizeof(o->key[i]), key);
	copy(o->value[i], sizeof(o->value[i]), value);
	o->data[i] = (struct tela_pair){o->key[i], o->value[i]};
}

static void end(struct order *o)
{
	const struct tela_status s = {.name = o->name,
		.info = *o->info ? o->info : NULL,
		.n_data = o->n_data,
		.data = o->data};

	tela_span_error(call_of(o), o->name);
	tela_span_end(call_of(o), o->span);
	tela_core_answer_with(tela_core_self(), o->handle, &s);
}

static void given_back(void *arg, const struct tela_result *r)
{
	struct order *o = arg;

	if (is_torn(o))
		return;
	if (r->code) {
		tela_span_error(call_of(o), "the stock was not given back");
		tela_log(call_of(o), TELA_LOG_ERROR, "what was reserved is not given back: %s",
			tela_code_name(r->code));
		svc_count_up(svc_count_of(o->orders->astray, call_of(o)));
	}
	end(o);
}

/* What was reserved goes back, also when nobody waits for the order any more: so this call has a
 * deadline of its own, and is not cancelled with the order. */
static void undo(struct order *o)
{
	const struct tela_call *call = call_of(o);
	shop_NewOrder_t wanted = shop_Orders_place_request(call);
	struct shop_Line_args lines[LINES_MAX];
	struct tela_context context;
	struct asking a;
	int rc;

	if (!o->n_reserved) {
		end(o);
		return;
	}
	for (uint32_t i = 0; i < o->n_reserved; i++) {
		shop_Line_t line = shop_NewOrder_lines_at(wanted, i);

		lines[i] =
			(struct shop_Line_args){shop_Line_product(line), shop_Line_quantity(line)};
	}
	for_order(call, &a);
	tela_call_context(call, &context);
	context.deadline_ns = UINT64_MAX;
	a.o.parent = NULL;
	a.o.context = &context;
	rc = shop_Products_give_back_call(o->orders->products,
		&(struct shop_Lines_args){.lines = lines, .lines_len = o->n_reserved}, &a.o,
		given_back, o);
	if (rc)
		given_back(o, &(struct tela_result){.code = TELA_UNAVAILABLE});
}

static void refuse(struct order *o, const char *name, const char *info)
{
	copy(o->name, sizeof(o->name), text(name));
	copy(o->info, sizeof(o->info), text(info));
	undo(o);
}

/* As the service that was asked has said it, whose words are gone when its completion returns. */
static void refuse_as(struct order *o, const struct tela_result *r)
{
	struct tela_status_view s;
	struct tela_str key, value;

	tela_result_status(r, &s);
	copy(o->name, sizeof(o->name), s.name);
	copy(o->info, sizeof(o->info), s.info);
	while (o->n_data < 2 && tela_status_data_at(&s, o->n_data, &key, &value))
		add_data(o, key, value);
	undo(o);
}

static void unsettled(struct order *o, const char *step)
{
	char room[STAMP_DIGITS];

	copy(o->name, sizeof(o->name), text("order_unsettled"));
	add_data(o, text("order"), text(stamp_digits(room, o->number)));
	add_data(o, text("step"), text(step));
}

/* ---- step by step ---- */

static void next(struct order *o);

static void charged(void *arg, const struct tela_result *r)
{
	uint64_t bytes[16];
	struct order *o = arg;
	struct shop_Order_args order = {.number = o->number,
		.cents = o->cents,
		.payment = shop_Payment_id(shop_Payments_charge_result(r))};
	int len = shop_Order_build((uint8_t *)bytes, sizeof(bytes), &order);

	if (is_torn(o))
		return;
	if (r->outcome == TELA_MAYBE_EXECUTED) {
		unsettled(o, "charge");
		end(o); /* the goods may have been paid for */
	} else if (r->code) {
		refuse_as(o, r);
	} else {
		svc_count_up(svc_count_of(o->orders->placed, call_of(o)));
		tela_span_end(call_of(o), o->span);
		tela_core_answer_created(tela_core_self(), o->handle, bytes, (size_t)len);
	}
}

static void reserved(void *arg, const struct tela_result *r)
{
	struct order *o = arg;

	if (is_torn(o))
		return;
	if (r->outcome == TELA_MAYBE_EXECUTED) {
		unsettled(o, "reserve");
		undo(o); /* the lines before this one */
	} else if (r->code) {
		refuse_as(o, r);
	} else {
		o->cents += shop_Reserved_cents(shop_Products_reserve_result(r));
		o->n_reserved++;
		next(o);
	}
}

static void next(struct order *o)
{
	const struct tela_call *call = call_of(o);
	shop_NewOrder_t wanted = shop_Orders_place_request(call);
	struct asking a;
	int rc;

	if (o->n_reserved < shop_NewOrder_lines_len(wanted)) {
		shop_Line_t line = shop_NewOrder_lines_at(wanted, o->n_reserved);

		rc = shop_Products_reserve_call(o->orders->products,
			&(struct shop_Line_args){shop_Line_product(line), shop_Line_quantity(line)},
			for_order(call, &a), reserved, o);
	} else {
		rc = shop_Payments_charge_call(o->orders->payments,
			&(struct shop_Charge_args){.order = o->number,
				.user = shop_NewOrder_user(wanted),
				.cents = o->cents,
				.card = shop_NewOrder_card(wanted)},
			for_order(call, &a), charged, o);
	}
	if (rc)
		refuse(o, "overloaded", "");
}

static void user_known(void *arg, const struct tela_result *r)
{
	struct order *o = arg;
	struct tela_str user = shop_User_name(shop_Users_get_result(r));
	const char *caller;

	if (is_torn(o))
		return;
	caller = tela_call_subject(call_of(o));
	if (r->code)
		refuse_as(o, r);
	else if (caller && (strlen(caller) != user.len || memcmp(caller, user.s, user.len)))
		refuse(o, "forbidden", "an order for somebody else");
	else
		next(o);
}

static enum tela_verdict place(struct tela_call *call, void *self)
{
	struct order *o = tela_call_alloc(call, sizeof(*o));
	struct orders *orders = self;
	struct asking a;
	int rc;

	if (shop_NewOrder_lines_len(shop_Orders_place_request(call)) > LINES_MAX)
		return tela_reply_error(call, "invalid_parameters", "more than 16 lines");
	if (!o)
		return tela_reply_error(call, "overloaded", NULL);
	*o = (struct order){.orders = orders, .number = number_of(orders, call)};
	if (tela_call_pend(call, &o->handle, NULL, NULL))
		return tela_reply_error(call, "overloaded", NULL);
	o->span = tela_span_begin(call, "place the order");
	rc = shop_Users_get_call(orders->users,
		&(struct shop_UserId_args){shop_NewOrder_user(shop_Orders_place_request(call))},
		for_order(call, &a), user_known, o);
	if (!rc)
		return TELA_PENDING;
	tela_span_end(call, o->span);
	return tela_reply_error(call, "overloaded", NULL);
}

/* ---- hooks ---- */

static void destroy(struct orders *o)
{
	tela_client_close(o->users);
	tela_client_close(o->products);
	tela_client_close(o->payments);
	free(o->begun);
	free(o->placed);
	free(o->astray);
	free(o);
}

static int make(struct tela_hook *h, struct orders *o)
{
	struct tela_mesh_instance at[NODES_MAX];
	struct tela_mesh_config c = {.instances = at};
	const struct options *options = h->values;
	const char *const *nodes = options->nodes.at;

	for (c.n_instances = 0; c.n_instances < options->nodes.n; c.n_instances++)
		at[c.n_instances] = (struct tela_mesh_instance){
			.peer = strcmp(nodes[c.n_instances], ".") ? nodes[c.n_instances] : NULL};
	o->first = (uint64_t)time(NULL) << 20;
	o->n_cores = tela_node_n_cores(h->node);
	o->begun = svc_counts_create(o->n_cores);
	o->placed = svc_counts_create(o->n_cores);
	o->astray = svc_counts_create(o->n_cores);
	if (!o->begun || !o->placed || !o->astray)
		return svc_fail(h, -ENOMEM, "no memory");
	o->users = tela_mesh_open(h->node, &shop_Users_service, &c, h->error, h->error_len);
	o->products = tela_mesh_open(h->node, &shop_Products_service, &c, h->error, h->error_len);
	o->payments = tela_mesh_open(h->node, &shop_Payments_service, &c, h->error, h->error_len);
	return o->users && o->products && o->payments ? 0 : -ENOENT; /* the error has been said */
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct orders *o = calloc(1, sizeof(*o));
	int rc = o ? make(h, o) : svc_fail(h, -ENOMEM, "no memory");

	if (!rc)
		*ret_self = o;
	else if (o)
		destroy(o);
	return rc;
}

static void stop(struct tela_hook *h)
{
	destroy(h->self);
}

static void stats(void *self, void (*emit)(void *arg, const char *name, uint64_t value), void *arg)
{
	const struct orders *o = self;

	emit(arg, "begun", svc_counts_sum(o->begun, o->n_cores));
	emit(arg, "placed", svc_counts_sum(o->placed, o->n_cores));
	emit(arg, "astray", svc_counts_sum(o->astray, o->n_cores));
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, nodes, .required = true, .min = 1, .max = NODES_MAX,
		.help = "where the other services of the shop may run, by name; . is this node"),
};
static const char *const uses[] = {"users", "products", "payments", NULL};

static const struct tela_link links[] = {
	{.service = &shop_Orders_service, .method = shop_Orders_place_ID, .enter = place},
	SHOP_STATUSES,
};

static const struct tela_plugin orders_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "orders",
	.version = "1.0",
	.uses = uses,
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.serves = &shop_Orders_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
	.stats = stats,
};

TELA_PLUGIN_EXPORT(orders_plugin);
