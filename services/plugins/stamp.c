/* stamp.c - tells a caller that asks which image its call ran under.
 *
 * Hooks:   request_in, leave: a request with the metadata "stamp" (any value) gets "s<bit>" = the
 * generation of the image, in the reply's metadata. Two stamps of one call that differ would be a
 * torn image. Any other call pays one look for a key that is not there.
 */
#include "stamp_digits.h"
#include "svc.h"

struct options {
	uint32_t bit;
};

struct stamp {
	char key[4]; /* "s63" */
};

/* On a data core. */
static void leave(struct tela_call *call, void *self)
{
	const struct stamp *s = self;
	char digits[STAMP_DIGITS];

	if (likely(!tela_call_metadata(call, "stamp").s))
		return;
	/* No room left in the envelope: the caller sees that the stamp is missing. */
	(void)tela_reply_metadata(call, s->key, stamp_digits(digits, call->generation));
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct stamp *s = calloc(1, sizeof(*s));
	const struct options *o = h->values;

	if (!s)
		return svc_fail(h, -ENOMEM, "no memory");
	snprintf(s->key, sizeof(s->key), "s%u", o->bit & 63);
	*ret_self = s;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const struct tela_config_key keys[] = {
	TELA_CONFIG(
		struct options, bit, .max = 63, .fallback = "0", .help = "tells instances apart"),
};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .leave = leave},
};

const struct tela_plugin stamp_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "stamp",
	.version = "1.0",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options),
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(stamp_plugin);
