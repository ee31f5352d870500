#include "callback.h"

#include "call.h"
#include "say.h"

int callback_check(const struct tela_image_link *links, uint32_t at, char *err, size_t err_len)
{
	const struct tela_image_link *il = &links[at];
	const struct tela_callback *c = il->link->own;

	if (!c->name || !*c->name || strlen(c->name) > TELA_CALLBACK_NAME_MAX || !c->args)
		return say(err, err_len, -EINVAL,
			"plugin %s: a callback of its own has no name of 1 to %d bytes", il->plugin,
			TELA_CALLBACK_NAME_MAX);
	if (!il->link->step || il->link->enter || il->link->leave || il->link->callback ||
		il->link->service || il->link->blocking)
		return say(err, err_len, -EINVAL,
			"plugin %s: a link of callback %s has a function of its own and nothing "
			"else (TELA_ON)",
			il->plugin, c->name);
	for (uint32_t i = 0; i < at; i++) {
		const struct tela_callback *other = links[i].link->own;

		if (!other || other->id != c->id)
			continue;
		if (strcmp(other->name, c->name))
			return say(err, err_len, -EINVAL,
				"plugins %s and %s: callbacks %s and %s have one id: name one of "
				"them otherwise",
				links[i].plugin, il->plugin, other->name, c->name);
		if (other->args_size != c->args_size || strcmp(other->args, c->args))
			return say(err, err_len, -EINVAL,
				"plugins %s and %s do not agree on callback %s: %s of %u bytes, "
				"%s of %u bytes: rebuild them with one header",
				links[i].plugin, il->plugin, c->name, other->args, other->args_size,
				c->args, c->args_size);
	}
	return 0;
}

size_t callback_room(uint32_t n_links)
{
	return n_links *
	       (sizeof(uint64_t) + sizeof(struct callback_chain) + sizeof(struct tela_step));
}

void callback_fill(
	struct tela_image *image, const struct tela_image_link *links, uint32_t n_links, void *room)
{
	struct callback_chain *chains = (void *)((uint64_t *)room + n_links);
	struct tela_step *step = (void *)(chains + n_links);

	image->own_ids = room;
	image->own = chains;
	for (uint32_t i = 0; i < n_links; i++) {
		const struct tela_callback *c = links[i].link->own;
		uint32_t k = 0;

		while (c && k < image->n_own && image->own_ids[k] != c->id)
			k++;
		if (!c || k < image->n_own)
			continue;
		image->own_ids[k] = c->id;
		chains[k] = (struct callback_chain){.callback = c, .steps = step};
		image->n_own++;
		for (uint32_t l = i; l < n_links; l++)
			if (links[l].link->own && links[l].link->own->id == c->id) {
				*step++ = (struct tela_step){links[l].link->step, links[l].self};
				chains[k].n++;
			}
	}
}

/* In place of a chain whose functions would not understand what they are given. */
static enum tela_verdict disagree(struct tela_call *call, void *self, void *args)
{
	(void)self;
	(void)args;
	return tela_reply_status(call, TELA_INTERNAL,
		"the callback asked for has other arguments: rebuild the plugins");
}

const struct tela_step *tela_callback_steps(
	const struct tela_call *call, const struct tela_callback *c, uint32_t *ret_n)
{
	static const struct tela_step answer = {(tela_step_fn)disagree, NULL};
	const struct tela_image *image = call_of(call)->image;

	*ret_n = 0;
	for (uint32_t i = 0; image && i < image->n_own; i++) {
		if (image->own_ids[i] != c->id)
			continue;
		if (unlikely(image->own[i].callback->args_size != c->args_size)) {
			*ret_n = 1;
			return &answer;
		}
		*ret_n = image->own[i].n;
		return image->own[i].steps;
	}
	return NULL;
}
