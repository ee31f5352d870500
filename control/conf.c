#include "conf_read.h"

#include "../dataplane/base.h"

struct conf_chunk {
	struct conf_chunk *next;
};

void *conf_alloc(struct conf *c, size_t size)
{
	struct conf_chunk *chunk = calloc(1, sizeof(*chunk) + size);

	CHECK(chunk); /* a configuration is small and read once, at start */
	chunk->next = c->chunks;
	c->chunks = chunk;
	return chunk + 1;
}

char *conf_copy(struct conf *c, const char *text, size_t len)
{
	char *copy = conf_alloc(c, len + 1);

	memcpy(copy, text, len);
	return copy;
}

void conf_free(struct conf *c)
{
	struct conf_chunk *chunk, *next;

	if (!c)
		return;
	for (chunk = c->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(c);
}

int conf_where(const struct conf *c, uint32_t line, char *ret, size_t size)
{
	return snprintf(ret, size, "%s:%u: ", c->file, line);
}

/* ---- what no single value can tell ---- */

/* Two links of one service need two names. */
static void check_plugins(struct reader *r, const struct conf_service *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->n_plugins; i++) {
		const struct conf_plugin *p = &s->plugins[i];
		const char *name = p->as ? p->as : p->plugin;

		if (!name)
			continue;
		for (uint32_t j = 0; j <= i; j++) {
			const struct conf_plugin *q = &s->plugins[j];
			const char *other = j == i ? s->name : q->as ? q->as : q->plugin;

			if (!other || strcmp(name, other))
				continue;
			snprintf(r->path, sizeof(r->path), "services[%u].plugins[%u].%s", index, i,
				p->as ? "as" : "plugin");
			conf_complain(r, p->line,
				"'%s' is already there (line %u); name this one with 'as:'", name,
				j == i ? s->line : q->line);
			r->path[0] = 0;
			break;
		}
	}
}

static void finish(struct reader *r)
{
	struct conf *c = r->conf;
	char path[128];

	for (uint32_t i = 0; i < c->n_services; i++)
		check_plugins(r, &c->services[i], i);
	c->node.peer_silence_us = c->peer_silence_ms * 1000;
	if (!c->node.shed_target_us)
		c->node.shed_target_us = TELA_SHED_NEVER;
	if (!c->admin && c->node.name) {
		snprintf(path, sizeof(path), "/run/tela/%s.sock", c->node.name);
		c->admin = conf_copy(c, path, strlen(path));
	}
}

static void read_document(struct reader *r)
{
	yaml_node_t *root = yaml_document_get_root_node(r->doc);

	if (!root) {
		conf_complain(r, 1, "is empty; see telad --help config");
		return;
	}
	conf_read_map(r, root, conf_root, (char *)r->conf);
	finish(r);
}

static void complain_syntax(struct reader *r, const yaml_parser_t *p)
{
	size_t line = p->error == YAML_READER_ERROR ? p->mark.line : p->problem_mark.line;

	conf_complain(r, line + 1, "not YAML: %s%s%s", p->problem ? p->problem : "out of memory",
		p->context ? ", " : "", p->context ? p->context : "");
}

/* A second document in the file would otherwise be passed over in silence. */
static void refuse_more(struct reader *r, yaml_parser_t *p)
{
	yaml_document_t next;

	if (!yaml_parser_load(p, &next)) {
		complain_syntax(r, p);
		return;
	}
	if (yaml_document_get_root_node(&next))
		conf_complain(r, yaml_document_get_root_node(&next)->start_mark.line + 1,
			"a second document; there may be one");
	yaml_document_delete(&next);
}

struct conf *conf_parse(
	const char *file, const char *text, size_t len, conf_report_fn report, void *arg)
{
	struct reader r = {.report = report, .arg = arg};
	yaml_document_t doc;
	yaml_parser_t parser;

	r.conf = calloc(1, sizeof(*r.conf));
	CHECK(r.conf && yaml_parser_initialize(&parser));
	r.conf->file = conf_copy(r.conf, file, strlen(file));
	r.doc = &doc;
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (len > CONF_BYTES_MAX) {
		conf_complain(&r, 1, "larger than %d bytes", CONF_BYTES_MAX);
	} else if (!yaml_parser_load(&parser, &doc)) {
		complain_syntax(&r, &parser);
	} else {
		read_document(&r);
		yaml_document_delete(&doc);
		refuse_more(&r, &parser);
	}
	yaml_parser_delete(&parser);
	if (!r.n_errors)
		return r.conf;
	conf_free(r.conf);
	return NULL;
}

struct conf *conf_load(const char *path, conf_report_fn report, void *arg)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(CONF_BYTES_MAX + 2), line[512];
	struct conf *c = NULL;
	size_t len;

	CHECK(text);
	len = f ? fread(text, 1, CONF_BYTES_MAX + 1, f) : 0;
	if (!f || ferror(f)) {
		snprintf(line, sizeof(line), "%s: cannot be read: %s", path, strerror(errno));
		report(arg, line);
	} else {
		c = conf_parse(path, text, len, report, arg);
	}
	if (f)
		fclose(f);
	free(text);
	return c;
}
