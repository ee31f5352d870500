/* fuzz_conf.c - any bytes as a configuration. It must end, and either be read or be reported; so
 * must what it says for services and plugins, by keys of every type. */
#include "../../control/conf.h"
#include "../../control/keys.h"

#include "../../dataplane/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void report(void *arg, const char *line)
{
	CHECK(strlen(line) > 0);
	(*(int *)arg)++;
}

static const char *const words[] = {"low", "high", NULL};

struct options {
	bool b;
	uint32_t u, w;
	int64_t i;
	double r;
	uint64_t d;
	const char *t;
	struct tela_list l;
	struct tela_map m;
};

static const struct tela_config_key numbers = {
	.type = TELA_CONFIG_LIST, .of = &(const struct tela_config_key){.type = TELA_CONFIG_U16}};

static const struct tela_config_key keys[] = {
	TELA_CONFIG(struct options, b, .help = ""),
	TELA_CONFIG(struct options, u, .power_of_two = true, .help = ""),
	TELA_CONFIG_AS(WORD, struct options, w, .words = words, .help = ""),
	TELA_CONFIG(struct options, i, .help = ""),
	TELA_CONFIG(struct options, r, .help = ""),
	TELA_CONFIG_AS(DURATION, struct options, d, .help = ""),
	TELA_CONFIG(struct options, t, .help = ""),
	TELA_CONFIG(struct options, l, .fallback = "a,b", .help = ""),
	TELA_CONFIG(struct options, m, .of = &numbers, .help = ""),
};

static const struct tela_plugin plugin = {.name = "p",
	.keys = keys,
	.n_keys = ARRAY_SIZE(keys),
	.values_size = sizeof(struct options)};

static void wrong(void *arg, uint32_t pair, const char *path, const char *what)
{
	const struct tela_plugin_config *c = arg;

	CHECK(pair < c->n && *path && *what);
}

static void read_values(const struct conf_free *config)
{
	struct tela_plugin_config c = config->pairs;
	struct options *o;
	void *values;
	size_t n = 0;

	if (keys_read(&plugin, &c, &values, wrong, &c))
		return;
	o = values;
	for (uint32_t i = 0; i < o->l.n; i++)
		n += strlen(((const char *const *)o->l.at)[i]);
	for (uint32_t i = 0; i < o->m.n; i++)
		n += strlen(o->m.keys[i]);
	CHECK(n < 2 * CONF_BYTES_MAX);
	free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int n_errors = 0;
	struct conf *c = conf_parse("fuzz", (const char *)data, size, report, &n_errors);

	CHECK((c != NULL) == (n_errors == 0));
	for (uint32_t i = 0; c && i < c->n_services; i++) {
		read_values(&c->services[i].config);
		for (uint32_t k = 0; k < c->services[i].n_plugins; k++)
			read_values(&c->services[i].plugins[k].config);
	}
	conf_free(c);
	return 0;
}
