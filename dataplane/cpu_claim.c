/* cpu_claim.c - a file lock per CPU: shared by those who agree to share, exclusive for the others.
 */
#include "cpu_claim.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"

/* /run/lock is the same for all users; the others keep at least one user's processes apart. */
static const char *claim_dir(void)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");

	if (!access("/run/lock", W_OK))
		return "/run/lock";
	return xdg && !access(xdg, W_OK) ? xdg : "/tmp";
}

/* Without O_CREAT first: in a sticky directory the kernel refuses that for a file of another user.
 * Reading is enough for a lock. */
static int claim_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == EACCES)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	return fd;
}

/* The last owner removes the file, so a lock counts only if the path still leads to what was
 * locked. */
static bool claim_current(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int claim_lock(struct cpu_claim *c, int how)
{
	enum { TRIES = 16 };

	for (int i = 0; i < TRIES; i++) {
		c->fd = claim_open(c->path);
		if (c->fd < 0)
			return -errno;
		if (flock(c->fd, how | LOCK_NB))
			return -errno;
		if (claim_current(c->fd, c->path))
			return 0;
		close(c->fd);
		c->fd = -1;
	}
	return -EAGAIN;
}

static void claim_close(struct cpu_claim *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

int cpu_claim_take(
	struct cpu_claim *c, int cpu, const char *owner, bool share, char *err, size_t err_len)
{
	char holder[96] = "";
	ssize_t n;
	int ret;

	c->fd = -1;
	snprintf(c->path, sizeof(c->path), "%.60s/tela-cpu-%d", claim_dir(), cpu);
	ret = claim_lock(c, share ? LOCK_SH : LOCK_EX);
	if (!ret) {
		/* Who holds it, for the sentence below in another process; nothing depends on it.
		 */
		if (!ftruncate(c->fd, 0))
			dprintf(c->fd, "%s, process %d", owner, (int)getpid());
		return 0;
	}
	if (ret == -EWOULDBLOCK && !share) {
		n = pread(c->fd, holder, sizeof(holder) - 1, 0);
		claim_close(c);
		return say(err, err_len, -EBUSY,
			"CPU %d already has a poller (%s): two on one CPU are a thousand times "
			"slower; give "
			"this core another CPU, or set share_cpu: true to allow it",
			cpu, n > 0 ? holder : "another process");
	}
	claim_close(c);
	if (ret == -EWOULDBLOCK || share)
		return 0;
	return say(err, err_len, ret, "cannot claim CPU %d with the lock file %s: %s", cpu, c->path,
		strerror(-ret));
}

void cpu_claim_drop(struct cpu_claim *c)
{
	/* Only a sole owner may remove the file, or two later ones could each lock a file of their
	 * own. */
	if (c->fd >= 0 && !flock(c->fd, LOCK_EX | LOCK_NB))
		unlink(c->path);
	claim_close(c);
}
