/* eal.c - from a node's configuration to EAL's command line, and back.
 *
 * No file in hugetlbfs and no shared configuration, so that a node that is killed leaves no memory
 * behind: with huge pages --in-memory, which takes them from memfd_create and needs no mount;
 * without them --no-huge --no-shconf, because EAL refuses --in-memory there (and its memory is a
 * memfd anyway).
 *
 * memif works in both cases: a client that does not ask for zero-copy (the default) puts rings and
 * buffers into a memfd that the driver makes, and the node's own memory never leaves the process.
 * With zero-copy=yes the client passes its own memory to the peer, which takes one file a memory
 * segment list: --single-file-segments for huge pages; without them EAL has it so by itself.
 *
 * Thread placement: the workers get one CPU each; the caller becomes the main lcore on its own CPUs
 * minus the workers', if any remain, because EAL puts its interrupt thread (memif's connections)
 * where the main lcore may run.
 */
#include "eal.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_alarm.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "cpu_claim.h"
#include "say.h"
#include "tela_node.h"

enum { ARGS_MAX = 96, TEXT_MAX = 8192, MEMORY_DEFAULT_MIB = 256, MAIN_LCORE = 0 };

static struct {
	bool started, ever, huge;
	uint32_t n_cores;
	int socket[EAL_CORES_MAX];
	struct cpu_claim claims[EAL_CORES_MAX];
	uint32_t n_claims;
	char runtime_dir[256];
} eal;

/* argv in the making. Sized for what it holds: a node's ports and cores are bounded well below. */
struct args {
	char *v[ARGS_MAX], text[TEXT_MAX];
	int n;
	size_t used;
};

static __attribute__((format(printf, 2, 3))) void add(struct args *a, const char *format, ...)
{
	size_t room = sizeof(a->text) - a->used;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(a->text + a->used, room, format, args);
	va_end(args);
	CHECK(a->n < ARGS_MAX - 1 && n >= 0 && (size_t)n < room);
	a->v[a->n++] = a->text + a->used;
	a->used += (size_t)n + 1;
}

bool eal_is_pci(const char *device)
{
	unsigned a, b, c, d;
	int end = 0;

	if (!strncmp(device, "pci:", 4))
		device += 4;
	if (sscanf(device, "%4x:%2x:%2x.%1x%n", &a, &b, &c, &d, &end) != 4)
		end = sscanf(device, "%2x:%2x.%1x%n", &a, &b, &c, &end) == 3 ? end : 0;
	return end && (!device[end] || device[end] == ',');
}

/* ---- CPUs ---- */

static int check_cores(const struct tela_node_config *c, char *err, size_t err_len)
{
	if (!c->n_cores || c->n_cores > EAL_CORES_MAX)
		return say(err, err_len, -EINVAL, "a node has 1 to %d cores, not %u", EAL_CORES_MAX,
			c->n_cores);
	for (uint32_t i = 0; i < c->n_cores; i++) {
		if (c->cores[i].cpu < 0 || c->cores[i].cpu >= RTE_MAX_LCORE)
			return say(err, err_len, -EINVAL, "CPU %d: DPDK numbers CPUs from 0 to %d",
				c->cores[i].cpu, RTE_MAX_LCORE - 1);
		for (uint32_t j = 0; j < i && !c->share_cpu; j++) {
			if (c->cores[i].cpu == c->cores[j].cpu)
				return say(err, err_len, -EBUSY,
					"cores %u and %u are both on CPU %d: two pollers on one "
					"CPU are a "
					"thousand times slower; give each its own, or set "
					"share_cpu: true "
					"to allow it",
					j, i, c->cores[i].cpu);
		}
	}
	return 0;
}

/* EAL panics when a thread cannot be pinned, so it is tried here first, on the caller. */
static int try_cpus(
	const struct tela_node_config *c, const cpu_set_t *saved, char *err, size_t err_len)
{
	cpu_set_t one, got;
	int ret = 0;

	for (uint32_t i = 0; i < c->n_cores && !ret; i++) {
		CPU_ZERO(&one);
		CPU_SET((size_t)c->cores[i].cpu, &one);
		if (sched_setaffinity(0, sizeof(one), &one) ||
			sched_getaffinity(0, sizeof(got), &got) || !CPU_EQUAL(&one, &got))
			ret = say(err, err_len, -EINVAL,
				"CPU %d is offline or not among those this process may use (cgroup "
				"cpuset)",
				c->cores[i].cpu);
	}
	sched_setaffinity(0, sizeof(*saved), saved);
	return ret;
}

static int claim_cpus(const struct tela_node_config *c, char *err, size_t err_len)
{
	for (uint32_t i = 0; i < c->n_cores; i++) {
		int ret = cpu_claim_take(&eal.claims[i], c->cores[i].cpu,
			c->name ? c->name : "a node", c->share_cpu, err, err_len);

		if (ret)
			return ret;
		eal.n_claims++;
	}
	return 0;
}

static void drop_claims(void)
{
	while (eal.n_claims)
		cpu_claim_drop(&eal.claims[--eal.n_claims]);
}

struct affinity {
	cpu_set_t set;
	int socket, ret;
};

static int report_affinity(void *arg)
{
	struct affinity *a = arg;

	/* rte_lcore_to_socket_id() knows the socket of the CPU that has the lcore's number. */
	a->socket = (int)rte_socket_id();
	a->ret = sched_getaffinity(0, sizeof(a->set), &a->set) ? -errno : 0;
	return 0;
}

/* What EAL was asked for and what the kernel does are two things. */
static int check_pinned(const struct tela_node_config *c, char *err, size_t err_len)
{
	for (uint32_t i = 0; i < c->n_cores; i++) {
		struct affinity a = {.ret = -ESRCH};

		if (eal_launch(i, report_affinity, &a))
			return say(
				err, err_len, -EBUSY, "the thread of core %u does not answer", i);
		eal_wait(i);
		if (a.ret || CPU_COUNT(&a.set) != 1 || !CPU_ISSET((size_t)c->cores[i].cpu, &a.set))
			return say(err, err_len, -EIO,
				"the thread of core %u should run on CPU %d alone, but may run on "
				"%d CPUs: "
				"something moved it after it was pinned",
				i, c->cores[i].cpu, a.ret ? 0 : CPU_COUNT(&a.set));
		eal.socket[i] = a.socket;
	}
	return 0;
}

/* ---- memory ---- */

static uint64_t read_number(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "re");

	if (f && fscanf(f, "%llu", &n) != 1)
		n = 0;
	if (f)
		fclose(f);
	return n;
}

/* Free huge pages of all sizes, in MiB. */
static uint64_t huge_free_mib(void)
{
	static const char dir[] = "/sys/kernel/mm/hugepages";
	char path[sizeof(dir) + 300];
	struct dirent *e;
	uint64_t mib = 0;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		unsigned long kib;

		if (sscanf(e->d_name, "hugepages-%lukB", &kib) != 1)
			continue;
		snprintf(path, sizeof(path), "%s/%s/free_hugepages", dir, e->d_name);
		mib += read_number(path) * kib / 1024;
	}
	if (d)
		closedir(d);
	return mib;
}

/* ---- command line ---- */

static void add_lcores(struct args *a, const struct tela_node_config *c, const cpu_set_t *saved)
{
	char text[2048];
	cpu_set_t main_set = *saved;
	size_t n = 0;
	bool first = true;

	for (uint32_t i = 0; i < c->n_cores; i++)
		CPU_CLR((size_t)c->cores[i].cpu, &main_set);
	if (!CPU_COUNT(&main_set))
		main_set = *saved;
	n += (size_t)snprintf(text, sizeof(text), "%d@(", MAIN_LCORE);
	for (size_t cpu = 0; cpu < RTE_MAX_LCORE; cpu++) {
		if (CPU_ISSET(cpu, &main_set)) {
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, first ? "%zu" : ",%zu", cpu);
			first = false;
		}
	}
	if (first) /* the caller is on CPUs that EAL cannot number; its affinity is put back anyway
		    */
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%d", c->cores[0].cpu);
	n += (size_t)snprintf(text + n, sizeof(text) - n, ")");
	for (uint32_t i = 0; i < c->n_cores; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, ",%u@%d", i + 1, c->cores[i].cpu);
	add(a, "--lcores=%s", text);
	add(a, "--main-lcore=%d", MAIN_LCORE);
}

static void add_devices(struct args *a, const struct tela_node_config *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_ports; i++) {
		if (eal_is_pci(c->ports[i].device)) {
			add(a, "--allow=%s", c->ports[i].device);
			n++;
		}
	}
	if (n)
		return;
	/* Virtual devices alone: no bus to scan, and no need of physical addresses. */
	add(a, "--no-pci");
	add(a, "--iova-mode=va");
}

static void make_args(struct args *a, const struct tela_node_config *c, const cpu_set_t *saved)
{
	uint32_t mib = c->memory_mib ? c->memory_mib : MEMORY_DEFAULT_MIB;

	eal.huge = !c->no_huge && huge_free_mib() >= mib;
	add(a, "tela");
	add(a, "--log-level=%u", RTE_LOG_ERR);
	add_lcores(a, c, saved);
	add_devices(a, c);
	if (c->no_dpdk_telemetry)
		add(a, "--no-telemetry");
	add(a, eal.huge ? "--in-memory" : "--no-huge");
	add(a, eal.huge ? "--single-file-segments" : "--no-shconf");
	add(a, "-m");
	add(a, "%u", mib);
	if (c->file_prefix)
		add(a, "--file-prefix=%.64s", c->file_prefix);
	else
		add(a, "--file-prefix=tela-%.40s-%d", c->name ? c->name : "node", (int)getpid());
}

/* ---- files ---- */

/* EAL leaves a runtime directory with the telemetry socket behind. */
static void remove_dir(const char *dir)
{
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d && (e = readdir(d))) {
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

/* Whether the node whose runtime directory this was is gone: nobody listens on its socket. */
static bool is_dead(const char *dir)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool dead;

	if (fd < 0)
		return false;
	snprintf(un.sun_path, sizeof(un.sun_path), "%.80s/dpdk_telemetry.v2", dir);
	dead = connect(fd, (struct sockaddr *)&un, sizeof(un)) && errno == ECONNREFUSED;
	close(fd);
	return dead;
}

/* Of the process whose number is in the usual name. One that is gone for us may be in another
 * namespace. */
static bool is_process_gone(const char *dir)
{
	const char *number = strrchr(dir, '-');
	int pid = number ? atoi(number + 1) : 0;

	return pid > 0 && kill(pid, 0) && errno == ESRCH;
}

/* What nodes that were killed left, beside our own. */
static void remove_dead_dirs(void)
{
	char parent[sizeof(eal.runtime_dir)], path[sizeof(parent) + 80];
	struct dirent *e;
	char *slash;
	DIR *d;

	memcpy(parent, eal.runtime_dir, sizeof(parent));
	slash = strrchr(parent, '/');
	if (!slash)
		return;
	*slash = '\0';
	d = opendir(parent);
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, "tela-", 5))
			continue;
		snprintf(path, sizeof(path), "%s/%.64s", parent, e->d_name);
		if (is_dead(path))
			remove_dir(path);
		else if (is_process_gone(path))
			rmdir(path); /* of one without telemetry: nothing is in it */
	}
	if (d)
		closedir(d);
}

/* ---- start and stop ---- */

static int start_eal(struct args *a, const struct tela_node_config *c, const cpu_set_t *saved,
	char *err, size_t err_len)
{
	int ret;

	make_args(a, c, saved);
	optind = 1; /* EAL uses getopt, and so may the program that embeds us */
	eal.ever = true;
	ret = rte_eal_init(a->n, a->v);
	snprintf(eal.runtime_dir, sizeof(eal.runtime_dir), "%s", rte_eal_get_runtime_dir());
	if (ret < 0)
		return say(err, err_len, rte_errno ? -rte_errno : -EIO,
			"DPDK did not start (%s): its own words say more; its "
			"memory is %s",
			rte_strerror(rte_errno), eal.huge ? "in huge pages" : "without huge pages");
	remove_dead_dirs();
	eal.n_cores = c->n_cores;
	eal.started = true;
	return 0;
}

int eal_start(const struct tela_node_config *c, char *err, size_t err_len)
{
	struct args a = {.n = 0};
	cpu_set_t saved;
	int ret;

	if (eal.ever)
		return say(
			err, err_len, -EALREADY, "DPDK starts once a process: one node a process");
	ret = check_cores(c, err, err_len);
	if (ret)
		return ret;
	if (sched_getaffinity(0, sizeof(saved), &saved))
		return say(
			err, err_len, -errno, "cannot read the CPU affinity: %s", strerror(errno));
	ret = try_cpus(c, &saved, err, err_len);
	if (!ret)
		ret = claim_cpus(c, err, err_len);
	if (!ret)
		ret = start_eal(&a, c, &saved, err, err_len);
	sched_setaffinity(0, sizeof(saved), &saved);
	if (!ret)
		ret = check_pinned(c, err, err_len);
	if (ret)
		eal_stop();
	return ret;
}

static struct {
	_Atomic bool here; /* outlives a thread that comes late */
	pthread_t id;
} interrupt_thread;

static void interrupt_thread_is_here(void *arg)
{
	(void)arg;
	interrupt_thread.id = pthread_self();
	atomic_store(&interrupt_thread.here, true);
}

/* Waits until EAL's interrupt thread has run once around. */
static bool wait_interrupt_thread(void)
{
	const struct timespec tick = {.tv_nsec = 100000};

	atomic_store(&interrupt_thread.here, false);
	if (rte_eal_alarm_set(1, interrupt_thread_is_here, NULL))
		return false;
	for (int i = 0; i < 10000 && !atomic_load(&interrupt_thread.here); i++)
		nanosleep(&tick, NULL);
	return atomic_load(&interrupt_thread.here);
}

/* rte_eal_cleanup() takes the memory away that the handles of devices stand in (memif's listening
 * socket stays among them when it is closed), and leaves EAL's interrupt thread to look at them the
 * next time it wakes: SIGSEGV in one of five stops right after a memif peer has left. So that
 * thread ends first: once around for what it was doing, once more for the list of devices that it
 * makes anew after that; then it waits in epoll_wait(), where it can be cancelled. (Ended inside a
 * callback, that callback would stay "active", and rte_eal_cleanup() wait for it for ever.) */
static void stop_interrupt_thread(void)
{
	if (wait_interrupt_thread() && wait_interrupt_thread() &&
		!pthread_cancel(interrupt_thread.id))
		pthread_join(interrupt_thread.id, NULL);
}

void eal_stop(void)
{
	if (eal.started) {
		rte_eal_mp_wait_lcore();
		stop_interrupt_thread();
		rte_eal_cleanup();
	}
	eal.started = false;
	if (*eal.runtime_dir)
		remove_dir(eal.runtime_dir);
	drop_claims();
}

int eal_launch(uint32_t core, int (*fn)(void *arg), void *arg)
{
	CHECK(eal.started && core < eal.n_cores);
	return rte_eal_remote_launch(fn, arg, core + 1);
}

int eal_wait(uint32_t core)
{
	CHECK(eal.started && core < eal.n_cores);
	return rte_eal_wait_lcore(core + 1);
}

int eal_socket(uint32_t core)
{
	return eal.socket[core];
}

uint32_t eal_sockets(void)
{
	return rte_socket_count();
}

bool eal_huge(void)
{
	return eal.huge;
}
