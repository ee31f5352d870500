/* bytes.c - takes bytes and sends bytes: large ones are not copied on their way in.
 *
 * Hooks:   bytes.Bytes/put (1) and sum (3), which take a request as the pieces that it came in;
 * put_whole (2), which has it in one; get (4) and get_lent (5), whose replies are bytes. Options:
 * none
 */
#include "bytes_desc.h"
#include "svc.h"

#include <stdlib.h>

enum { BYTES_MAX = 16 << 20 /* no reply is larger */ };

static enum tela_verdict put(struct tela_call *call, void *self)
{
	struct bytes_taken taken = {.len = call->request_len};
	struct tela_segment whole;
	size_t n;

	(void)self;
	tela_call_segments(call, &whole, &n);
	taken.pieces = n;
	return tela_reply_copy(call, &taken, sizeof(taken));
}

static enum tela_verdict sum(struct tela_call *call, void *self)
{
	struct bytes_taken taken = {.len = call->request_len};
	struct tela_segment whole;
	const struct tela_segment *s = tela_call_segments(call, &whole, &taken.pieces);

	(void)self;
	for (size_t i = 0; i < taken.pieces; i++)
		taken.sum = bytes_sum(taken.sum, s[i].data, s[i].len);
	return tela_reply_copy(call, &taken, sizeof(taken));
}

/* False: the request says no length, and the status is set. */
static bool wanted(struct tela_call *call, uint64_t *ret_len)
{
	if (call->request_len != sizeof(*ret_len)) {
		tela_reply_status(call, TELA_INVALID_ARGUMENT, "expected 8 bytes, a length");
		return false;
	}
	memcpy(ret_len, call->request, sizeof(*ret_len));
	return true;
}

static enum tela_verdict get(struct tela_call *call, void *self)
{
	uint64_t len;

	/* More than the caller takes, or than there is memory for: it is told so. */
	return wanted(call, &len) ? tela_reply_copy(call, self, len) : TELA_ANSWER;
}

static enum tela_verdict get_lent(struct tela_call *call, void *self)
{
	uint64_t len;

	/* It stands there until the instance is stopped: nobody need say when it comes back. */
	return wanted(call, &len) ? tela_reply_lend(call, self, len, NULL, NULL) : TELA_ANSWER;
}

static int start(struct tela_hook *h, void **ret_self)
{
	uint8_t *bytes = malloc(BYTES_MAX);

	if (!bytes)
		return svc_fail(h, -ENOMEM, "no memory for %d bytes", BYTES_MAX);
	for (uint32_t i = 0; i < BYTES_MAX; i++)
		bytes[i] = bytes_at(i);
	*ret_self = bytes;
	return 0;
}

static void stop(struct tela_hook *h)
{
	free(h->self);
}

static const struct tela_link links[] = {
	{.service = &bytes_service, .method = BYTES_PUT, .enter = put},
	{.service = &bytes_service, .method = BYTES_PUT_WHOLE, .enter = put},
	{.service = &bytes_service, .method = BYTES_SUM, .enter = sum},
	{.service = &bytes_service, .method = BYTES_GET, .enter = get},
	{.service = &bytes_service, .method = BYTES_GET_LENT, .enter = get_lent},
};

const struct tela_plugin bytes_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "bytes",
	.version = "1.0",
	.serves = &bytes_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(bytes_plugin);
