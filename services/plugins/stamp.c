/* stamp.c - tells a caller that asks which image its call ran under.
 *
 * Hooks:   request_in, leave: a request with the metadata "stamp" (any value) gets "s<bit>" = the
 * generation of the image, in the reply's metadata. Two stamps of one call that differ would be a
 * torn image. Any other call pays one look for a key that is not there. Options: bit  0 to 63,
 * tells instances apart; 0
 */
#include "stamp_digits.h"
#include "svc.h"

struct stamp {
	char key[4]; /* "s63" */
};

static int bit(struct tela_hook *h, int64_t *ret)
{
	return svc_option_int(h, "bit", 0, 0, 63, ret);
}

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

static int config(struct tela_hook *h)
{
	int64_t n;

	return bit(h, &n);
}

static int start(struct tela_hook *h, void **ret_self)
{
	struct stamp *s;
	int64_t n;
	int rc = bit(h, &n);

	if (rc)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return svc_fail(h, -ENOMEM, "no memory");
	snprintf(s->key, sizeof(s->key), "s%u", (unsigned)n & 63);
	*ret_self = s;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const char *const keys[] = {"bit", NULL};

static const struct tela_link links[] = {
	{.callback = TELA_REQUEST_IN, .leave = leave},
};

const struct tela_plugin stamp_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "stamp",
	.version = "1.0",
	.keys = keys,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.config = config,
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(stamp_plugin);
