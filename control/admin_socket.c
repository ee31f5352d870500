#include "admin_socket.h"

#include "log.h"

#include "../dataplane/base.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Root, this process's user, or this process's group among the peer's groups. */
bool admin_socket_admits(int fd)
{
	gid_t groups[256];
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == getegid())
		return true;
	len = sizeof(groups);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(groups[0]); i++)
		if (groups[i] == getegid())
			return true;
	return false;
}

/* A socket file that nobody answers on was left by a node that ended badly. */
static int clear_way(const struct sockaddr_un *to, const char *key, char *err, size_t err_len)
{
	int fd, rc;
	struct stat s;

	if (lstat(to->sun_path, &s))
		return 0;
	if (!S_ISSOCK(s.st_mode)) {
		snprintf(err, err_len, "%s is there and is no socket: remove it, or set %s",
			to->sun_path, key);
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	rc = fd < 0 ? -1 : connect(fd, (const struct sockaddr *)to, sizeof(*to));
	if (fd >= 0)
		close(fd);
	if (!rc) {
		snprintf(err, err_len, "%s: another node answers there: end it, or set %s",
			to->sun_path, key);
		return -EADDRINUSE;
	}
	unlink(to->sun_path);
	return 0;
}

static void make_folder(const char *path)
{
	char folder[108];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return;
	*slash = 0;
	if (mkdir(folder, 0755) && errno != EEXIST)
		log_debug("%s: cannot be made: %s", folder, strerror(errno));
}

int admin_socket_bind(const char *path, const char *key, char *err, size_t err_len)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	mode_t old;
	int fd, rc;

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	make_folder(path);
	rc = clear_way(&to, key, err, err_len);
	if (rc)
		return rc;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	old = umask(0117); /* 0660 from the first moment on */
	rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&to, sizeof(to));
	umask(old);
	if (!rc)
		return fd;
	rc = -errno;
	snprintf(err, err_len,
		"%s: the socket cannot be made: %s; set %s to a place that can be written", path,
		strerror(errno), key);
	if (fd >= 0)
		close(fd);
	return rc;
}
