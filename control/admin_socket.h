/* admin_socket.h - where a Unix socket of the node is, and whom the admin socket lets in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A listening socket to be, for owner and group, or -errno with what to do in `err`, naming the
 * configuration key. One left behind by a node that ended badly is taken over. */
int admin_socket_bind(const char *path, const char *key, char *err, size_t err_len);
/* Root, this process's user, or this process's group among the peer's groups. */
bool admin_socket_admits(int fd);
