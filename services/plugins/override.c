/* override.c - stands above a service and answers one of its methods in its place.
 *
 * Wraps:   calculator, so its link comes before the service's own in the method's chain.
 * Hooks:   calculator.Calculator/add (1), enter: answers, and the service never sees the call.
 *          All other methods are the service's, untouched.
 */
#include "calculator_rpc.h"
#include "svc.h"

struct override {
	double value;
};

/* On a data core. */
static enum tela_verdict add(struct tela_call *call, void *self)
{
	const struct override *o = self;

	return calculator_Calculator_add_reply(
		call, &(struct calculator_Result_args){.value = o->value});
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct override *o = calloc(1, sizeof(*o));

	if (!o)
		return svc_fail(h, -ENOMEM, "no memory");
	*o = *(const struct override *)h->values;
	*ret_self = o;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct override, value, .fallback = "42", .help = "what `add` answers"),
};
static const char *const wraps[] = {"calculator", NULL};

static const struct tela_link links[] = {
	{
		.service = &calculator_Calculator_service,
		.method = calculator_Calculator_add_ID,
		.enter = add,
	},
};

const struct tela_plugin override_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "override",
	.version = "1.0",
	.wraps = wraps,
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct override),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(override_plugin);
