/* test_callback.c - callbacks that plugins declare themselves, and methods that a plugin adds to a
 * service at run time, by calls of a node: there as soon as the image is published, gone with it.
 */
#include "bare_node.h"

#include "callback.h"
#include "tela_plugin.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { PRICE = 1, REFUND = 2, BARRED = 13, ODD = 14 };

struct price_args {
	uint64_t cents;
	uint64_t customer;
};

TELA_CALLBACK(shop_price, struct price_args)
TELA_CALLBACK(shop_other, struct price_args)

static struct tela_node *node;
static struct tela_service *service;
static struct tela_client *client;
static struct tela_thread *thread;
static char err[400];

/* ---- plugins ---- */

static const struct tela_callback another_build = {
	TELA_ID("shop_price"), "shop_price", "struct price_args", 24};

static enum tela_verdict price(struct tela_call *call, void *self)
{
	struct price_args args;
	uint32_t n;

	memcpy(&args, call->request, sizeof(args));
	CHECK(shop_other_walk(call, &args) == TELA_CONTINUE); /* nobody hooks it */
	if (args.customer == ODD) { /* as one built with another header would ask */
		const struct tela_step *s = tela_callback_steps(call, &another_build, &n);

		CHECK(n == 1);
		return ((shop_price_fn)s->fn)(call, s->self, &args);
	}
	if (shop_price_walk(call, &args) != TELA_CONTINUE)
		return TELA_ANSWER;
	return tela_reply_copy(call, &args.cents, sizeof(args.cents));
}

/* `self` is how much. */
static enum tela_verdict rebate(struct tela_call *call, void *self, struct price_args *args)
{
	args->cents -= *(const uint64_t *)self;
	return TELA_CONTINUE;
}

static enum tela_verdict halve(struct tela_call *call, void *self, struct price_args *args)
{
	if (args->customer == BARRED)
		return tela_reply_status(call, TELA_PERMISSION_DENIED, "not to you");
	args->cents /= 2;
	return TELA_CONTINUE;
}

static enum tela_verdict refund(struct tela_call *call, void *self)
{
	return tela_reply_copy(call, "ok", 2);
}

static int verify(const void *payload, size_t len)
{
	return len == sizeof(struct price_args) ? 0 : -EBADMSG;
}

static const struct tela_method_desc methods[] = {
	{.name = "price", .id = PRICE}, {.name = "refund", .id = REFUND, .verify_request = verify}};
static const struct tela_method_desc renamed[] = {{.name = "repay", .id = REFUND}};
static const struct tela_method_desc renumbered[] = {{.name = "price", .id = 3}};
static const struct tela_method_desc refund_as_4[] = {{.name = "refund", .id = 4}};
static const uint64_t older[] = {1};
#define SHOP(schema_, list)                                                                        \
	{                                                                                          \
		.name = "shop.Shop", .schema = schema_, .compatible = older, .n_compatible = 1,    \
		.n_methods = ARRAY_SIZE(list), .methods = list                                     \
	}
static const struct tela_service_desc desc = {
	.name = "shop.Shop", .schema = 1, .n_methods = 1, .methods = methods};
static const struct tela_service_desc second = SHOP(2, methods), third = SHOP(3, renamed),
				      fourth = SHOP(4, renumbered), fifth = SHOP(5, refund_as_4),
				      sixth = SHOP(6, methods);

static const struct tela_link base = {.service = &desc, .method = PRICE, .enter = price};
static const struct tela_link rebates = {TELA_ON(shop_price, rebate)};
static const struct tela_link halves = {TELA_ON(shop_price, halve)};
static const struct tela_link refunds = {.service = &second, .method = REFUND, .enter = refund};

/* ---- images and calls ---- */

static struct tela_image *build(const struct tela_link *const *links, uint32_t n)
{
	static const char *const names[] = {"shop", "first", "second", "third"};
	static uint64_t much[] = {0, 10, 20, 30};
	struct tela_image_link il[4];

	CHECK(n <= ARRAY_SIZE(il));
	for (uint32_t i = 0; i < n; i++)
		il[i] = (struct tela_image_link){links[i], &much[i], names[i]};
	err[0] = 0;
	return tela_image_build(service, il, n, err, sizeof(err));
}

static void publish(const struct tela_link *const *links, uint32_t n)
{
	struct tela_image *image = build(links, n);

	if (!image)
		fail_msg("%s", err);
	tela_image_publish(service, image, NULL, NULL);
	tela_node_poll(node);
}

/* The reply's first bytes, or 0 and the code. */
static uint64_t call(uint16_t method, uint64_t cents, uint64_t customer, uint8_t *ret_code)
{
	struct price_args args = {cents, customer};
	const struct tela_options o = {.deadline_us = 60000000};
	uint64_t value = 0;
	struct tela_reply r;

	assert_int_equal(tela_thread_call(thread, client, &methods[method - 1], &args,
				 method == REFUND && cents ? 3 : sizeof(args), &o, &r),
		0);
	memcpy(&value, r.payload ? r.payload : "", min_u64(r.len, sizeof(value)));
	*ret_code = r.code;
	tela_reply_free(&r);
	return value;
}

static void test_walk(void **state)
{
	const struct tela_link *const alone[] = {&base}, *const all[] = {&base, &rebates, &halves},
				      *const reversed[] = {&base, &halves, &rebates};
	uint8_t code;

	(void)state;
	publish(alone, 1);
	assert_int_equal(call(PRICE, 100, 1, &code), 100);
	publish(all, 3);
	assert_int_equal(call(PRICE, 100, 1, &code), 45); /* the next one sees what it made */
	assert_int_equal(code, TELA_OK);
	call(PRICE, 100, BARRED, &code);
	assert_int_equal(code, TELA_PERMISSION_DENIED);
	call(PRICE, 100, ODD, &code);
	assert_int_equal(code, TELA_INTERNAL);
	publish(reversed, 3);
	assert_int_equal(call(PRICE, 100, 1, &code), 30);
	publish(alone, 1);
	assert_int_equal(call(PRICE, 100, BARRED, &code), 100);
}

static void test_added_method(void **state)
{
	const struct tela_link *const alone[] = {&base}, *const both[] = {&base, &refunds};
	uint8_t code;

	(void)state;
	for (int i = 0; i < 3; i++) {
		publish(alone, 1);
		call(REFUND, 0, 1, &code);
		assert_int_equal(code, TELA_UNIMPLEMENTED);
		publish(both, 2);
		assert_int_equal(call(REFUND, 0, 1, &code), 'o' | 'k' << 8);
		assert_int_equal(code, TELA_OK);
		call(REFUND, 1, 1, &code); /* verified as its plugin's schema says */
		assert_int_equal(code, TELA_INVALID_ARGUMENT);
		assert_int_equal(call(PRICE, 7, 1, &code), 7);
	}
}

static void test_refused(void **state)
{
	static const struct tela_callback same_id = {TELA_ID("shop_price"), "shop_prize",
		"struct price_args", sizeof(struct price_args)};
	static const struct tela_callback nameless = {1, "", "int", 4};
#define OF(callback_)                                                                              \
	{                                                                                          \
		.own = &callback_, .step = (tela_step_fn)rebate                                    \
	}
	static const struct tela_link links[] = {OF(another_build), OF(same_id), OF(nameless),
		{TELA_ON(shop_price, rebate), .blocking = true},
		{TELA_ON(shop_price, rebate), .enter = refund}, {.own = &shop_price_callback},
		{.service = &third, .method = REFUND, .enter = refund},
		{.service = &fourth, .method = 3, .enter = refund},
		{.service = &fifth, .method = 4, .enter = refund},
		{.service = &sixth, .method = REFUND, .enter = refund},
		{.service = &second, .method = 9, .enter = refund}};
	static const char *const says[] = {
		"plugins first and third do not agree on callback shop_price: struct price_args of "
		"16 bytes, struct price_args of 24 bytes",
		"plugins first and third: callbacks shop_price and shop_prize have one id",
		"no name of 1 to 47 bytes", "a function of its own and nothing else",
		"a function of its own and nothing else", "a function of its own and nothing else",
		"plugins second and third both define a method of shop.Shop: refund as number 2, "
		"repay as number 2",
		"plugin third defines method price of shop.Shop as number 3, which the service has "
		"as 1",
		"plugins second and third both define a method of shop.Shop: refund as number 2, "
		"refund as number 4",
		"plugins second and third both define method refund of shop.Shop, by schemas that "
		"do not agree",
		"service shop.Shop has no method 9"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
		const struct tela_link *const list[] = {&base, &rebates, &refunds, &links[i]};

		assert_null(build(list, 4));
		if (!strstr(err, says[i]))
			fail_msg("%zu: %s", i, err);
	}
}

int main(void)
{
	static const struct tela_budgets budgets = {.paths = 1,
		.sessions = 1,
		.slots = 8,
		.calls = 8,
		.messages_2k = 8,
		.messages_64k = 1,
		.messages_1m = 1,
		.in_flight = 8};
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_walk),
		cmocka_unit_test(test_added_method), cmocka_unit_test(test_refused)};
	int failed;

	node = bare_node_create(1, &budgets);
	CHECK(node);
	service = tela_service_add(node, &desc);
	client = tela_client_open(node, NULL, &second, 0);
	CHECK(service && client);
	bare_node_start(node);
	thread = tela_thread_attach(node);
	CHECK(thread);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tela_thread_detach(thread);
	while (atomic_load(&node->n_retiring)) {
		tela_node_poll(node);
		sched_yield();
	}
	bare_node_destroy(node);
	return failed;
}
