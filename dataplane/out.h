/* out.h - request_out: links that a call passes before it leaves the node, those of the service
 * whose handler makes it.
 *
 * A call with a parent whose image has such links takes a call object when it begins, so that
 * nothing can fail for want of one when it is sent. The links see it as any call: the payload as
 * its request, the callee's service and method, the metadata, the parent's identity and trace. Then
 * it goes out with what they have put into it, or ends with what they have answered, in a later
 * pass and without a frame. One of them may go pending: the call is held meanwhile, for as long as
 * its deadline and the call that it is made for let it. A call without a parent, or of a service
 * without such links, pays a compare.
 */
#pragma once

#include "client.h"

/* As tela_request_begin, on behalf of any thread. */
int out_begin(struct core *core, struct tela_client *c, const struct tela_method_desc *m,
	size_t size, const struct tela_options *o, struct tela_request *ret);
/* Whether `session`, of a request, is one of these; then it is sent or abandoned here. */
bool out_is(const struct core *core, const void *session);
void out_send(struct tela_request *r, tela_done_fn done, void *arg);
void out_abandon(struct tela_request *r);
/* Of machine_ops. */
void out_resumed(void *io, struct call *c, bool go_on);
