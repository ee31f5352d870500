#include "conf_read.h"

#include "../dataplane/base.h"

#include <setjmp.h>

struct conf_chunk {
	struct conf_chunk *next;
};

void *conf_alloc(struct conf *c, size_t size)
{
	struct conf_chunk *chunk = calloc(1, sizeof(*chunk) + size);

	if (!chunk)
		longjmp(*(jmp_buf *)c->no_memory, 1);
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
	size_t len = strlen(c->file), most = min_u64(size, 256) - sizeof("...:4294967295: ");
	const char *from = len > most ? c->file + len - most : c->file;

	return snprintf(ret, size, "%s%s:%u: ", from > c->file ? "..." : "", from, line);
}

/* ---- what no single value can tell ---- */

/* Two links of one service need two names. `at`: where the service stands, "" if it is all there
 * is.
 */
static void check_plugins(struct reader *r, const struct conf_service *s, const char *at)
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
			snprintf(r->path, sizeof(r->path), "%splugins[%u].%s", at, i,
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

	for (uint32_t i = 0; i < c->n_services; i++) {
		snprintf(path, sizeof(path), "services[%u].", i);
		check_plugins(r, &c->services[i], path);
	}
	for (uint32_t i = 0; i < c->node.n_ports && !c->discovery; i++) {
		if (!c->node.ports[i].forward)
			continue;
		snprintf(r->path, sizeof(r->path), "ports[%u].forward", i);
		conf_complain(r, 1,
			"without node.discovery nobody knows where calls could be sent on to");
		r->path[0] = 0;
	}
	c->node.peer_silence_us = c->peer_silence_ms * 1000;
	if (!c->node.shed_target_us)
		c->node.shed_target_us = TELA_SHED_NEVER;
	if (!c->admin && c->node.name) {
		snprintf(path, sizeof(path), "/run/tela/%s.sock", c->node.name);
		c->admin = conf_copy(c, path, strlen(path));
	}
}

static void read_node(struct reader *r, const yaml_node_t *root)
{
	conf_read_map(r, root, conf_root, (char *)r->conf);
	finish(r);
}

/* Where the definition was written, a relative path starts. */
static const char *path_from(struct reader *r, const char *path)
{
	char text[8192];

	if (!path || !r->folder || *path == '/')
		return path;
	snprintf(text, sizeof(text), "%s/%s", r->folder, path);
	return conf_copy(r->conf, text, strlen(text));
}

static void read_service(struct reader *r, const yaml_node_t *root)
{
	struct conf *c = r->conf;

	c->services = conf_alloc(c, sizeof(*c->services));
	c->n_services = 1;
	c->alone = true;
	c->services->line = (uint32_t)conf_line(root);
	conf_read_map(r, root, conf_service_fields, (char *)c->services);
	check_plugins(r, c->services, "");
	c->services->object = path_from(r, c->services->object);
	for (uint32_t i = 0; i < c->services->n_plugins; i++)
		c->services->plugins[i].object = path_from(r, c->services->plugins[i].object);
}

static void read_document(struct reader *r, void (*read)(struct reader *r, const yaml_node_t *root))
{
	const yaml_node_t *root = yaml_document_get_root_node(r->doc);

	if (root)
		read(r, root);
	else
		conf_complain(r, 1, "is empty; see telad --help config");
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

const char conf_no_memory[] = "the configuration cannot be read: out of memory";

/* One reading; its memory may run out in the middle of it. */
struct parse {
	struct reader r;
	yaml_parser_t parser;
	yaml_document_t doc;
	bool loaded;
	jmp_buf no_memory;
};

static void parse_text(struct parse *p, const char *file, const char *text, size_t len,
	void (*read)(struct reader *r, const yaml_node_t *root))
{
	p->r.conf->file = conf_copy(p->r.conf, file, strlen(file));
	yaml_parser_set_input_string(&p->parser, (const unsigned char *)text, len);
	if (len > CONF_BYTES_MAX) {
		conf_complain(&p->r, 1, "larger than %d bytes", CONF_BYTES_MAX);
		return;
	}
	p->loaded = yaml_parser_load(&p->parser, &p->doc);
	if (!p->loaded) {
		complain_syntax(&p->r, &p->parser);
		return;
	}
	read_document(&p->r, read);
	refuse_more(&p->r, &p->parser);
}

/* False: there was no memory for all of it. */
static bool has_memory(struct parse *p, const char *file, const char *text, size_t len,
	void (*read)(struct reader *r, const yaml_node_t *root))
{
	if (setjmp(p->no_memory))
		return false;
	parse_text(p, file, text, len, read);
	return true;
}

static struct conf *parse(const char *file, const char *text, size_t len, const char *folder,
	void (*read)(struct reader *r, const yaml_node_t *root), conf_report_fn report, void *arg)
{
	struct parse *p = calloc(1, sizeof(*p));
	struct conf *c = calloc(1, sizeof(*c));

	if (!p || !c || !yaml_parser_initialize(&p->parser)) {
		free(p);
		free(c);
		report(arg, conf_no_memory);
		return NULL;
	}
	p->r = (struct reader){
		.conf = c, .doc = &p->doc, .folder = folder, .report = report, .arg = arg};
	c->no_memory = &p->no_memory;
	if (!has_memory(p, file, text, len, read)) {
		report(arg, conf_no_memory);
		p->r.n_errors++;
	}
	if (p->loaded)
		yaml_document_delete(&p->doc);
	yaml_parser_delete(&p->parser);
	c->no_memory = NULL;
	if (p->r.n_errors) {
		conf_free(c);
		c = NULL;
	}
	free(p);
	return c;
}

struct conf *conf_parse(
	const char *file, const char *text, size_t len, conf_report_fn report, void *arg)
{
	return parse(file, text, len, NULL, read_node, report, arg);
}

struct conf *conf_parse_service(const char *file, const char *text, size_t len, const char *folder,
	conf_report_fn report, void *arg)
{
	return parse(file, text, len, folder, read_service, report, arg);
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
