/* bytes.c - takes bytes and sends bytes: large ones are not copied on their way in.
 *
 * Hooks:   bytes.Bytes/put (1) and sum (3), which take a request as the pieces that it came in;
 * put_whole (2), which has it in one; get (4) and get_lent (5), whose replies are bytes. Options:
 * none
 */
#include "bytes_pattern.h"
#include "bytes_rpc.h"
#include "svc.h"

#include <stdlib.h>

enum { BYTES_MAX = 16 << 20 /* no reply is larger */ };

static enum tela_verdict put(struct tela_call *call, void *self)
{
	struct tela_segment whole;
	size_t pieces;

	(void)self;
	bytes_Bytes_put_request(call, &whole, &pieces);
	return bytes_Bytes_put_reply(
		call, &(struct bytes_Taken_args){.len = call->request_len, .pieces = pieces});
}

static enum tela_verdict put_whole(struct tela_call *call, void *self)
{
	const struct tela_bytes bytes = bytes_Bytes_put_whole_request(call);

	(void)self;
	return bytes_Bytes_put_whole_reply(
		call, &(struct bytes_Taken_args){.len = bytes.len, .pieces = 1});
}

static enum tela_verdict sum(struct tela_call *call, void *self)
{
	struct bytes_Taken_args taken = {.len = call->request_len};
	struct tela_segment whole;
	size_t n;
	const struct tela_segment *s = bytes_Bytes_sum_request(call, &whole, &n);

	(void)self;
	taken.pieces = n;
	for (size_t i = 0; i < n; i++)
		taken.sum = bytes_sum(taken.sum, s[i].data, s[i].len);
	return bytes_Bytes_sum_reply(call, &taken);
}

/* More than the caller takes, or than there is memory for: it is told so. */
static enum tela_verdict get(struct tela_call *call, void *self)
{
	return bytes_Bytes_get_reply(call, self, bytes_Wanted_len(bytes_Bytes_get_request(call)));
}

/* They stand there until the instance is stopped: nobody need say when they come back. */
static enum tela_verdict get_lent(struct tela_call *call, void *self)
{
	const bytes_Wanted_t wanted = bytes_Bytes_get_lent_request(call);

	return bytes_Bytes_get_lent_reply_lend(call, self, bytes_Wanted_len(wanted), NULL, NULL);
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
	{.service = &bytes_Bytes_service, .method = bytes_Bytes_put_ID, .enter = put},
	{.service = &bytes_Bytes_service, .method = bytes_Bytes_put_whole_ID, .enter = put_whole},
	{.service = &bytes_Bytes_service, .method = bytes_Bytes_sum_ID, .enter = sum},
	{.service = &bytes_Bytes_service, .method = bytes_Bytes_get_ID, .enter = get},
	{.service = &bytes_Bytes_service, .method = bytes_Bytes_get_lent_ID, .enter = get_lent},
};

const struct tela_plugin bytes_plugin = {
	.abi = TELA_PLUGIN_ABI,
	.name = "bytes",
	.version = "1.0",
	.serves = &bytes_Bytes_service,
	.links = links,
	.n_links = ARRAY_SIZE(links),
	.start = start,
	.stop = stop,
};

TELA_PLUGIN_EXPORT(bytes_plugin);
