/* callback.h - chains of the callbacks that plugins declare themselves, in an image. */
#pragma once

#include "image.h"

/* One chain of an image. */
struct callback_chain {
	const struct tela_callback *callback; /* as the first plugin that hooks it declares it */
	const struct tela_step *steps;
	uint32_t n;
};

/* `il` is a link of one; the links before it agree on what it is. 0 or -EINVAL with `err`. */
int callback_check(const struct tela_image_link *links, uint32_t at, char *err, size_t err_len);
/* Bytes that callback_fill() needs at most, a multiple of 8. */
size_t callback_room(uint32_t n_links);
/* Makes the chains, in `room`. */
void callback_fill(struct tela_image *image, const struct tela_image_link *links, uint32_t n_links,
	void *room);
