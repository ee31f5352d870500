/* plugin.h - every plugin that can be run: linked in, or loaded from a shared object.
 *
 * Loading copies the object to a private memory file first: opening the same path twice would
 * return the old handle, and a build that overwrites a mapped file would change running code. The
 * file stays open while the object is loaded, for its name (/proc/PID/fd/N) is what the dynamic
 * linker knows it by and must not come back. Names and versions are copied here, so that no
 * message outlives the object that it points into.
 *
 *      loading -> LOADED -> (no users for a while) -> unloading -> gone
 *                    \-> KEPT: cannot or must not be unloaded, and `reason` says why
 *
 * Context:   plugin_open and plugin_close block and belong on the lifecycle thread; the rest on
 *            the control thread.
 * Ownership: the registry owns its entries; users count them by plugin_get and plugin_put.
 * Errors:    -errno and a sentence in `err`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../dataplane/tela_plugin.h"

enum plugin_state { PLUGIN_LINKED, PLUGIN_LOADED, PLUGIN_UNLOADING, PLUGIN_KEPT };

extern const char *const plugin_state_names[];

/* Which build of a file: enough to see that it has been written again. */
struct plugin_identity {
	uint64_t device, inode, size, changed_ns;
};

struct plugin {
	struct plugin *next; /* registry's, newest first */
	const struct tela_plugin *desc;
	char *name, *version;
	char *path; /* as the operator gave it; NULL: linked in */
	void *handle;
	int fd;
	struct plugin_identity identity;
	enum plugin_state state;
	uint32_t users;  /* instances, and changes under way */
	uint32_t serves; /* services of the node that have its schema */
	uint64_t idle_since_ns;
	char reason[96]; /* why KEPT */
};

/* Loads `path`. On success *ret is an entry that is in no registry yet. -ENOENT, -EINVAL and the
 * like. [lifecycle] */
int plugin_open(const char *path, struct plugin **ret, char *err, size_t err_len);
/* Unloads; -EBUSY if the object stays mapped (then it is KEPT, with the reason), 0 and freed
 * otherwise. [lifecycle] */
int plugin_close(struct plugin *p);

struct registry;

/* NULL: no memory, or (with `err`) a linked-in plugin that is not one. */
struct registry *registry_create(
	const struct tela_plugin *const *builtins, char *err, size_t err_len);
void registry_destroy(struct registry *r); /* closes nothing: the process is about to end */

/* The newest of that name that is in use or linked in: one that was loaded and refused must not be
 * picked up by its name. If there is none, the newest. */
struct plugin *registry_find(struct registry *r, const char *name);
/* The one loaded from `path`, if the file is still the same build. */
struct plugin *registry_find_object(struct registry *r, const char *path);
struct plugin *registry_first(struct registry *r);
void registry_add(struct registry *r, struct plugin *p);
void registry_remove(struct registry *r, struct plugin *p);

void plugin_get(struct plugin *p);
void plugin_put(struct plugin *p);
/* A service of the node refers to its schema, and does not any more. */
void plugin_serve(struct plugin *p);
void plugin_serve_end(struct plugin *p);
/* Does `at` stand in the object that `plugin`, a struct plugin, was loaded from? [lifecycle] */
bool plugin_holds(const void *at, void *plugin);
/* Never unload it, because of `reason`. */
void plugin_keep(struct plugin *p, const char *reason);
/* A loaded one without users for `linger_ns`; NULL if there is none. */
struct plugin *registry_idle(struct registry *r, uint64_t now_ns, uint64_t linger_ns);

/* What a plugin says of itself is sane: ABI, name, keys, links. */
int plugin_check(const struct tela_plugin *p, const char *from, char *err, size_t err_len);
/* It may be part of a service of this schema: at least one link is for it, and none was built from
 * another schema. */
int plugin_check_schema(const struct tela_plugin *p, const struct tela_service_desc *service,
	char *err, size_t err_len);
/* keys_read() with the first mistake as `err`: "log: config.rate: expected 1..1000000, found 'x'".
 */
int plugin_read_config(const struct tela_plugin *p, const struct tela_plugin_config *config,
	void **ret, char *err, size_t err_len);
