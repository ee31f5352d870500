/* A program that embeds a node: built against the installed headers and library only, as C and as
 * C++. */
#include <tela_node.h>

#include <stdio.h>
#include <string.h>

static enum tela_verdict shout(struct tela_call *call, void *self)
{
	size_t len;
	const void *payload = tela_call_request(call, &len);

	(void)self;
	return tela_reply_copy(call, payload, len);
}

static const struct tela_method_desc methods[] = {{"shout", 1, 0, 0, NULL, NULL, NULL, 0, NULL, NULL}};
static const struct tela_service_desc service = {"embed.Shout", 1, NULL, 0, 1, methods, NULL, 0};
static const struct tela_link link_of_shout = {
	NULL, &service, 1, shout, NULL, false, NULL, 0, NULL, NULL, NULL};

static int call(struct tela_node *n)
{
	struct tela_thread *t = tela_thread_attach(n);
	struct tela_client *c = tela_client_open(n, NULL, &service, 0);
	struct tela_reply reply;
	int rc = t && c ? tela_thread_call(t, c, &methods[0], "hello", 5, NULL, &reply) : -1;

	if (!rc) {
		rc = reply.code || reply.len != 5 || memcmp(reply.payload, "hello", 5);
		printf("%s, %zu bytes\n", tela_code_name(reply.code), reply.len);
		tela_reply_free(&reply);
	}
	tela_thread_detach(t);
	return rc;
}

int main(void)
{
	struct tela_core_config core;
	struct tela_node_config config;
	struct tela_image_link link;
	struct tela_service *s;
	struct tela_image *image;
	struct tela_node *n;
	char err[256] = "";
	int rc;

	memset(&core, 0, sizeof(core));
	memset(&config, 0, sizeof(config));
	memset(&link, 0, sizeof(link));
	core.idle = TELA_IDLE_ADAPTIVE;
	config.name = "embedded";
	config.cores = &core;
	config.n_cores = 1;
	config.no_huge = true;
	config.share_cpu = true;
	config.memory_mib = 64;
	n = tela_node_create(&config, err, sizeof(err));
	if (!n) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	s = tela_service_add(n, &service);
	link.link = &link_of_shout;
	link.self = NULL;
	link.plugin = "shout";
	image = s ? tela_image_build(s, &link, 1, err, sizeof(err)) : NULL;
	if (!image || tela_node_start(n, err, sizeof(err))) {
		fprintf(stderr, "%s\n", err);
		return 1;
	}
	tela_image_publish(s, image, NULL, NULL);
	rc = call(n);
	tela_node_destroy(n);
	return rc ? 1 : 0;
}
