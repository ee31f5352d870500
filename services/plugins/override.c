/* override.c - stands above a service and answers one of its methods in its place.
 *
 * Wraps:   calculator, so its link comes before the service's own in the method's chain.
 * Hooks:   calculator.Calculator/add (1), enter: answers, and the service never sees the call.
 *          All other methods are the service's, untouched.
 * Options: value  what `add` answers, a number; 42
 */
#include "calculator_rpc.h"
#include "svc.h"

#include <math.h>

struct override {
	double value;
};

static int value(struct tela_hook *h, double *ret)
{
	const char *text = tela_config_str(h->config, "value", "42");
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v))
		return svc_fail(h, -EINVAL, "value: expected a finite number, found \"%s\"", text);
	*ret = v;
	return 0;
}

/* On a data core. */
static enum tela_verdict add(struct tela_call *call, void *self)
{
	const struct override *o = self;

	return calculator_Calculator_add_reply(
		call, &(struct calculator_Result_args){.value = o->value});
}

static int config(struct tela_hook *h)
{
	double v;

	return value(h, &v);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct override *o = calloc(1, sizeof(*o));
	int rc;

	if (!o)
		return svc_fail(h, -ENOMEM, "no memory");
	rc = value(h, &o->value);
	if (rc) {
		free(o);
		return rc;
	}
	*ret_self = o;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const char *const keys[] = {"value", NULL};
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
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(override_plugin);
