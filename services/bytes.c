/* bytes.c - takes bytes and sends bytes: large ones are not copied on their way in.
 *
 * Hooks:   bytes.Bytes/put (1) and sum (3), which take a request as the pieces that it came in;
 * put_whole (2), which has it in one; get (4). Options: none
 */
#include "bytes_desc.h"
#include "svc.h"

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

static enum tela_verdict get(struct tela_call *call, void *self)
{
	uint64_t len;
	uint8_t *to;

	(void)self;
	if (call->request_len != sizeof(len))
		return tela_reply_status(call, TELA_INVALID_ARGUMENT, "expected 8 bytes, a length");
	memcpy(&len, call->request, sizeof(len));
	to = tela_reply_begin(call, len);
	if (!to) /* more than the caller takes, or than there is memory for: it is told so */
		return TELA_ANSWER;
	for (uint64_t i = 0; i < len; i++)
		to[i] = bytes_at(i);
	return tela_reply_commit(call, len);
}

static int start(struct tela_hook *h, void **ret_self)
{
	(void)h;
	*ret_self = NULL;
	return 0;
}

static const struct tela_link links[] = {
	{.service = &bytes_service, .method = BYTES_PUT, .enter = put},
	{.service = &bytes_service, .method = BYTES_PUT_WHOLE, .enter = put},
	{.service = &bytes_service, .method = BYTES_SUM, .enter = sum},
	{.service = &bytes_service, .method = BYTES_GET, .enter = get},
};

const struct tela_plugin bytes_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "bytes",
	.version = "1.0",
	.serves = &bytes_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
};

TELA_PLUGIN_EXPORT(bytes_plugin);
