/* both.c - telabench as the other end of a telabench: it serves echo on the core that calls. */
#include "telabench.h"

#include "tela_plugin.h"

#include <time.h>

static enum tela_verdict echo(struct tela_call *call, void *self)
{
	struct echo_Message_args reply = {.data = echo_Message_data(echo_Echo_echo_request(call))};

	(void)self;
	return echo_Echo_echo_reply(call, &reply);
}

int both_serve(struct bench *b, char *err, size_t err_len)
{
	static const struct tela_link link = {
		.service = &echo_Echo_service, .method = echo_Echo_echo_ID, .enter = echo};
	const struct tela_image_link in_image = {.link = &link, .plugin = "telabench"};
	struct tela_service *s = tela_service_add(b->node, &echo_Echo_service);
	struct tela_image *image = s ? tela_image_build(s, &in_image, 1, err, err_len) : NULL;

	if (image)
		tela_image_publish(s, image, NULL, NULL);
	return image ? 0 : -1;
}

void both_wait(struct bench *b)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	uint64_t served = UINT64_MAX, now;

	for (int quiet = 0, n = 0; quiet < 50 && n < 1000; quiet++, n++) {
		now = tela_node_counter(b->node, "calls_served");
		if (now != served)
			quiet = 0;
		served = now;
		tela_node_poll(b->node);
		nanosleep(&tick, NULL);
	}
}
