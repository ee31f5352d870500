#include "plugin.h"

#include "keys.h"

#include "../dataplane/base.h"

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *const plugin_state_names[] = {"linked", "loaded", "unloading", "kept"};

static int fail(char *err, size_t err_len, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(char *err, size_t err_len, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, err_len, format, args);
	va_end(args);
	return error;
}

/* ---- what it says of itself ---- */

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
			return false;
	return n > 0 && n <= 63;
}

static bool same_place(const struct tela_link *a, const struct tela_link *b)
{
	if (a->own || b->own)
		return a->own && b->own && a->own->id == b->own->id;
	if (a->callback || b->callback)
		return a->callback && b->callback && !strcmp(a->callback, b->callback);
	return a->service && b->service && a->method == b->method &&
	       !strcmp(a->service->name, b->service->name);
}

static int check_links(const struct tela_plugin *p, const char *from, char *err, size_t err_len)
{
	if (p->n_links && !p->links)
		return fail(err, err_len, -EINVAL, "%s: plugin %s has %u links and no list of them",
			from, p->name, p->n_links);
	for (uint32_t i = 0; i < p->n_links; i++) {
		const struct tela_link *l = &p->links[i];

		if (!l->enter && !l->leave && !l->statuses && !l->status && !l->own)
			return fail(err, err_len, -EINVAL,
				"%s: link %u of plugin %s has neither enter nor leave", from, i,
				p->name);
		for (uint32_t j = 0; j < i; j++)
			if (same_place(l, &p->links[j]))
				return fail(err, err_len, -EINVAL,
					"%s: links %u and %u of plugin %s hook the same: a chain "
					"holds a plugin once",
					from, j, i, p->name);
	}
	return 0;
}

int plugin_check(const struct tela_plugin *p, const char *from, char *err, size_t err_len)
{
	char why[512];

	if (!p)
		return fail(err, err_len, -EINVAL, "%s: %s() returned no plugin", from,
			TELA_PLUGIN_ENTRY);
	/* The first field in every version: nothing behind it may be read before it is known to be
	 * ours. */
	if (p->abi != TELA_PLUGIN_ABI)
		return fail(err, err_len, -EPROTO,
			"%s: built for plugin ABI %u, this telad has ABI %u: rebuild it with this "
			"version's headers",
			from, p->abi, TELA_PLUGIN_ABI);
	if (!p->name || !is_name(p->name))
		return fail(err, err_len, -EINVAL,
			"%s: the plugin's name is not 1 to 63 letters, digits, '_', '.' and '-'",
			from);
	if (keys_check(p, why, sizeof(why)))
		return fail(err, err_len, -EINVAL, "%s: %s", from, why);
	return check_links(p, from, err, err_len);
}

static bool knows(const struct tela_service_desc *d, uint64_t schema)
{
	if (d->schema == schema)
		return true;
	for (uint32_t i = 0; i < d->n_compatible; i++)
		if (d->compatible[i] == schema)
			return true;
	return false;
}

/* Either side knowing the other's hash is enough, as between two nodes. */
static int check_one_schema(const struct tela_plugin *p, const struct tela_service_desc *has,
	const struct tela_service_desc *service, char *err, size_t err_len)
{
	if (knows(service, has->schema) || knows(has, service->schema))
		return 0;
	return fail(err, err_len, -EPROTO,
		"plugin %s was built from another schema of %s (%016llx, the service has %016llx): "
		"rebuild it",
		p->name, service->name, (unsigned long long)has->schema,
		(unsigned long long)service->schema);
}

int plugin_check_schema(const struct tela_plugin *p, const struct tela_service_desc *service,
	char *err, size_t err_len)
{
	uint32_t used = 0;
	int rc = 0;

	if (p->serves && !strcmp(p->serves->name, service->name))
		rc = check_one_schema(p, p->serves, service, err, err_len);
	for (uint32_t i = 0; i < p->n_links && !rc; i++) {
		const struct tela_link *l = &p->links[i];

		if (!l->callback && !l->own &&
			(!l->service || strcmp(l->service->name, service->name)))
			continue;
		used++;
		if (!l->callback && !l->own)
			rc = check_one_schema(p, l->service, service, err, err_len);
	}
	if (!rc && p->n_links && !used)
		return fail(err, err_len, -EINVAL, "plugin %s hooks nothing of service %s", p->name,
			service->name);
	return rc;
}

struct mistake {
	const struct tela_plugin *plugin;
	char *err;
	size_t err_len;
	uint32_t n;
};

/* The first one is told. */
static void keep_first(void *arg, uint32_t pair, const char *path, const char *what)
{
	struct mistake *m = arg;

	(void)pair;
	if (!m->n++)
		snprintf(m->err, m->err_len, "%s: config.%s: %s", m->plugin->name, path, what);
}

int plugin_read_config(const struct tela_plugin *p, const struct tela_plugin_config *config,
	void **ret, char *err, size_t err_len)
{
	struct mistake m = {p, err, err_len, 0};
	int rc = keys_read(p, config, ret, keep_first, &m);

	return rc == -ENOMEM ? fail(err, err_len, rc, "out of memory") : rc;
}

/* ---- shared objects ---- */

static struct plugin_identity identity_of(const struct stat *s)
{
	uint64_t changed = (uint64_t)s->st_mtim.tv_sec * NS_PER_S + (uint64_t)s->st_mtim.tv_nsec;
	uint64_t touched = (uint64_t)s->st_ctim.tv_sec * NS_PER_S + (uint64_t)s->st_ctim.tv_nsec;

	return (struct plugin_identity){
		s->st_dev, s->st_ino, (uint64_t)s->st_size, max_u64(changed, touched)};
}

/* A private copy of the file in memory; its descriptor or -errno. */
static int copy_object(const char *path, struct plugin_identity *ret, char *err, size_t err_len)
{
	int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), to;
	struct stat s;
	off_t left;

	if (from < 0)
		return fail(
			err, err_len, -errno, "%s: cannot be opened: %s", path, strerror(errno));
	if (fstat(from, &s) || !S_ISREG(s.st_mode) || !s.st_size) {
		close(from);
		return fail(err, err_len, -EINVAL, "%s: not a shared object: %s", path,
			S_ISREG(s.st_mode) ? "it is empty" : "not a regular file");
	}
	*ret = identity_of(&s);
	to = memfd_create("tela-plugin", MFD_CLOEXEC);
	for (left = s.st_size; to >= 0 && left > 0;) {
		ssize_t n = sendfile(to, from, NULL, left);

		if (n <= 0)
			break;
		left -= n;
	}
	close(from);
	if (to >= 0 && !left)
		return to;
	if (to >= 0)
		close(to);
	return fail(err, err_len, -EIO, "%s: cannot be copied: %s", path, strerror(errno));
}

/* The linker maps what the headers promise; the first touch of a page that a cut file lacks would
 * end the process. */
static int check_whole(int fd, uint64_t size, const char *path, char *err, size_t err_len)
{
	ElfW(Ehdr) e;
	ElfW(Phdr) p;

	if (pread(fd, &e, sizeof(e), 0) != sizeof(e) || memcmp(e.e_ident, ELFMAG, SELFMAG) ||
		e.e_phentsize != sizeof(p))
		return 0; /* the linker says what it is not */
	for (unsigned i = 0; i < e.e_phnum; i++) {
		off_t at = (off_t)(e.e_phoff + i * sizeof(p));

		if (pread(fd, &p, sizeof(p), at) != sizeof(p) ||
			(p.p_type == PT_LOAD &&
				(p.p_offset > size || p.p_filesz > size - p.p_offset)))
			return fail(err, err_len, -ELIBBAD,
				"%s: cannot be loaded: the file is cut short", path);
	}
	return 0;
}

/* The linker's message without the private name, which would tell nobody anything. */
static int fail_dl(char *err, size_t err_len, const char *path, const char *private)
{
	const char *text = dlerror();
	size_t n = strlen(private);

	if (text && !strncmp(text, private, n)) {
		text += n;
		text += strspn(text, ": ");
	}
	return fail(err, err_len, -ELIBBAD, "%s: cannot be loaded: %s", path,
		text ? text : "no reason given");
}

static int open_handle(struct plugin *p, const char *path, char *err, size_t err_len)
{
	tela_plugin_entry_fn entry;
	char private[64];
	void *symbol;

	snprintf(private, sizeof(private), "/proc/%d/fd/%d", (int)getpid(), p->fd);
	p->handle = dlopen(private, RTLD_NOW | RTLD_LOCAL);
	if (!p->handle)
		return fail_dl(err, err_len, path, private);
	symbol = dlsym(p->handle, TELA_PLUGIN_ENTRY);
	if (!symbol)
		return fail(err, err_len, -EINVAL, "%s: not a plugin: it exports no %s()", path,
			TELA_PLUGIN_ENTRY);
	memcpy(&entry, &symbol, sizeof(entry));
	p->desc = entry();
	return plugin_check(p->desc, path, err, err_len);
}

int plugin_open(const char *path, struct plugin **ret, char *err, size_t err_len)
{
	struct plugin *p = calloc(1, sizeof(*p));
	int rc;

	if (!p)
		return fail(err, err_len, -ENOMEM, "%s: out of memory", path);
	p->fd = copy_object(path, &p->identity, err, err_len);
	rc = p->fd < 0 ? p->fd : check_whole(p->fd, p->identity.size, path, err, err_len);
	if (!rc)
		rc = open_handle(p, path, err, err_len);
	if (!rc) {
		p->name = strdup(p->desc->name);
		p->version = strdup(p->desc->version ? p->desc->version : "");
		p->path = strdup(path);
		p->state = PLUGIN_LOADED;
		if (p->name && p->version && p->path) {
			*ret = p;
			return 0;
		}
		rc = fail(err, err_len, -ENOMEM, "%s: out of memory", path);
	}
	plugin_close(p);
	return rc;
}

int plugin_close(struct plugin *p)
{
	char private[64];
	void *again = NULL;

	if (p->handle) {
		snprintf(private, sizeof(private), "/proc/%d/fd/%d", (int)getpid(), p->fd);
		dlclose(p->handle);
		again = dlopen(private, RTLD_NOW | RTLD_NOLOAD);
	}
	if (again) {
		/* Marked so, or a unique symbol or a thread-local destructor holds it: it stays for
		 * good. */
		dlclose(again);
		plugin_keep(p, "the dynamic linker cannot unload it");
		return -EBUSY;
	}
	if (p->fd >= 0)
		close(p->fd);
	free(p->name);
	free(p->version);
	free(p->path);
	free(p);
	return 0;
}

/* ---- registry ---- */

struct registry {
	struct plugin *first;
};

static int add_builtin(
	struct registry *r, const struct tela_plugin *desc, char *err, size_t err_len)
{
	struct plugin *p;
	int rc = plugin_check(desc, "linked in", err, err_len);

	if (rc)
		return rc;
	if (registry_find(r, desc->name))
		return fail(
			err, err_len, -EEXIST, "linked in: two plugins are named %s", desc->name);
	p = calloc(1, sizeof(*p));
	if (!p)
		return fail(err, err_len, -ENOMEM, "out of memory");
	p->desc = desc;
	p->name = strdup(desc->name);
	p->version = strdup(desc->version ? desc->version : "");
	p->fd = -1;
	p->state = PLUGIN_LINKED;
	registry_add(r, p);
	return p->name && p->version ? 0 : fail(err, err_len, -ENOMEM, "out of memory");
}

struct registry *registry_create(
	const struct tela_plugin *const *builtins, char *err, size_t err_len)
{
	struct registry *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	for (; builtins && *builtins; builtins++) {
		if (add_builtin(r, *builtins, err, err_len)) {
			registry_destroy(r);
			return NULL;
		}
	}
	return r;
}

void registry_destroy(struct registry *r)
{
	struct plugin *p, *next;

	if (!r)
		return;
	for (p = r->first; p; p = next) {
		next = p->next;
		free(p->name);
		free(p->version);
		free(p->path);
		free(p);
	}
	free(r);
}

struct plugin *registry_first(struct registry *r)
{
	return r->first;
}

struct plugin *registry_find(struct registry *r, const char *name)
{
	struct plugin *p, *idle = NULL;

	for (p = r->first; p; p = p->next) {
		if (p->state == PLUGIN_UNLOADING || strcmp(p->name, name))
			continue;
		if (p->state == PLUGIN_LINKED || p->users)
			return p;
		if (!idle)
			idle = p;
	}
	return idle;
}

struct plugin *registry_find_object(struct registry *r, const char *path)
{
	struct plugin_identity now;
	struct plugin *p;
	struct stat s;

	for (p = r->first; p; p = p->next)
		if (p->path && p->handle && p->state != PLUGIN_UNLOADING && !strcmp(p->path, path))
			break;
	if (!p || stat(path, &s))
		return NULL;
	now = identity_of(&s);
	return memcmp(&now, &p->identity, sizeof(now)) ? NULL : p;
}

void registry_add(struct registry *r, struct plugin *p)
{
	p->next = r->first;
	r->first = p;
}

void registry_remove(struct registry *r, struct plugin *p)
{
	struct plugin **at = &r->first;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
}

void plugin_get(struct plugin *p)
{
	p->users++;
}

/* Nobody uses it just now. */
static void rest(struct plugin *p)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	p->idle_since_ns = (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

void plugin_put(struct plugin *p)
{
	CHECK(p->users > 0);
	if (!--p->users)
		rest(p);
}

void plugin_serve(struct plugin *p)
{
	p->serves++;
}

void plugin_serve_end(struct plugin *p)
{
	CHECK(p->serves > 0);
	if (!--p->serves)
		rest(p);
}

bool plugin_holds(const void *at, void *plugin)
{
	const struct plugin *p = plugin;
	Dl_info here, there;

	return p->handle && dladdr(p->desc, &here) && dladdr(at, &there) &&
	       here.dli_fbase == there.dli_fbase;
}

void plugin_keep(struct plugin *p, const char *reason)
{
	if (p->state == PLUGIN_LINKED || p->state == PLUGIN_KEPT)
		return;
	p->state = PLUGIN_KEPT;
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
}

struct plugin *registry_idle(struct registry *r, uint64_t now_ns, uint64_t linger_ns)
{
	struct plugin *p;

	for (p = r->first; p; p = p->next)
		if (p->state == PLUGIN_LOADED && !p->users && !p->serves &&
			now_ns - p->idle_since_ns >= linger_ns)
			return p;
	return NULL;
}
