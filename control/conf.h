/* conf.h - the configuration of a node, read from YAML.
 *
 * What may stand in the file is in conf_table.c: one table of key, kind, range, default and help
 * for each mapping, from which reading, checking and `telad --help config` all work.
 *
 * Why libyaml and not libcyaml: a plugin's `config:` is a mapping of keys that only the plugin
 * knows, which libcyaml's schema cannot express; its errors go to a log callback without the value
 * found; and it reads a doubled key without a word. Reading half of the file with each would give
 * two ways of reporting, so all of it is read with libyaml's document API, whose nodes know their
 * lines, and one typed table.
 *
 * Ownership: everything in a struct conf belongs to it and lives until conf_free.
 * Errors:    each is handed to `report` as one line, "node.yaml:12: ports[0].mtu: expected
 *            1280..9000, found 'abc'"; reading goes on after one, so that a file is corrected in
 *            one go. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../dataplane/tela_node.h"

enum { CONF_BYTES_MAX = 1 << 20, CONF_ERRORS_MAX = 20, CONF_DEPTH_MAX = 16, CONF_PAIRS_MAX = 4096 };

enum conf_huge { CONF_HUGE_AUTO, CONF_HUGE_TRUE, CONF_HUGE_FALSE };

/* The keys of a plugin, and where each pair stands in the file. */
struct conf_free {
	struct tela_plugin_config pairs;
	const uint32_t *lines;
};

struct conf_plugin {
	const char *plugin;
	const char *as;     /* NULL: the plugin's name */
	const char *object; /* shared object, NULL: linked in, or loaded already */
	struct conf_free config;
	uint32_t line;
};

struct conf_service {
	const char *name; /* of a plugin that serves */
	const char *object;
	bool global; /* other nodes hear of it, and may call it */
	uint32_t weight;
	const char *blocking; /* methods that run on workers, "all", or NULL */
	struct conf_free config;
	struct conf_plugin *plugins;
	uint32_t n_plugins;
	uint32_t shed_target_us; /* 0: the node's */
	bool shed;
	uint32_t admin;     /* enum admin_status that it begins with */
	uint32_t log_level; /* 0: as the node's; else enum tela_log_level + 1 */
	uint32_t line;
};

struct conf {
	struct tela_node_config node;
	const char *admin; /* path of the admin socket */
	const char *zone;  /* NULL: none */
	bool discovery, dpdk_telemetry;
	uint32_t forward_balance; /* enum tela_balance */
	const char *probes;       /* where /livez and /readyz are served, NULL: nowhere */
	const char *file;         /* what was read, for messages */
	uint32_t drain_deadline_ms;
	uint32_t hook_deadline_ms;
	uint32_t start_retry_ms, start_retry_max_ms, start_retries;
	uint32_t peer_silence_ms;
	uint32_t heartbeat_ms;
	uint32_t huge;                  /* enum conf_huge */
	uint32_t log_level, log_format; /* enum tela_log_level, enum log_format */
	bool reflection;                /* serve it though no service lists it */
	struct conf_service *services;
	uint32_t n_services;
	bool alone;                /* one service is all of it */
	struct conf_chunk *chunks; /* all memory of this configuration */
	void *no_memory;           /* while it is read */
};

typedef void (*conf_report_fn)(void *arg, const char *line);

/* The line that is reported then. */
extern const char conf_no_memory[];

/* NULL after at least one report. */
struct conf *conf_load(const char *path, conf_report_fn report, void *arg);
struct conf *conf_parse(
	const char *file, const char *text, size_t len, conf_report_fn report, void *arg);
/* A file, of that name, which holds one service as a list of `services` does; n_services is 1, and
 * of the node nothing is said. Relative paths of objects start from `folder`, if one is given. */
struct conf *conf_parse_service(const char *file, const char *text, size_t len, const char *folder,
	conf_report_fn report, void *arg);
void conf_free(struct conf *c);

/* "node.yaml:12: " for a message about something read from that line, into at least 32 bytes: of a
 * long name the end, so that there is room for the message. Returns its length. */
int conf_where(const struct conf *c, uint32_t line, char *ret, size_t size);

/* Writes every key with its kind, default and help. */
void conf_describe(void (*line)(void *arg, const char *text), void *arg);
